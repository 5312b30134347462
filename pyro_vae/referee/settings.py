"""What a referee is asked to measure, and with how many draws."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypedDict

from pyro_vae.errors import SettingError
from pyro_vae.settings import checked

__all__ = ["MeasuringSettings", "Settings"]


class MeasuringSettings(TypedDict, total=False):
    """Settings of the referee as keywords: see ``Settings``."""

    num_particles: int
    iwae: list[int]
    num_annealed: int
    num_temperatures: int
    num_chains: int
    num_simulated: int
    num_ranked: int
    steps: int
    seed: int


@dataclass(frozen=True)
class Settings:
    """What decides the numbers of a referee beside the pair and the data.

    Attributes
    ----------
    num_particles
        Draws from the guide per datum, of ELBO, IWAE_K and log p(x).
    iwae
        Values of K for IWAE_K; those above ``num_particles`` are left out.
    num_annealed
        The first so many data are also annealed, and their gap is taken apart; 0 for none.
    num_temperatures, num_chains
        Steps of annealing, and chains per datum.
    num_simulated
        Data simulated from the model for the sandwich; 0 for none.
    num_ranked
        Data simulated for calibration; 0 for none.
    steps
        Steps in which the best guide of each datum is looked for.
    seed
        Seed of the draws.
    """

    num_particles: int = 5000
    iwae: tuple[int, ...] = (5, 50)
    num_annealed: int = 50
    num_temperatures: int = 500
    num_chains: int = 16
    num_simulated: int = 50
    num_ranked: int = 500
    steps: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            given = checked(name, list(value) if name == "iwae" else value)
            object.__setattr__(self, name, tuple(given) if name == "iwae" else given)
        least = {"num_annealed": 2, "num_simulated": 2, "num_ranked": 10}
        for name, few in least.items():
            value = vars(self)[name]
            if isinstance(value, bool) or not isinstance(value, int) or 0 != value < few:
                raise SettingError(f"{name} got {value!r}: give at least {few}, or 0 for none")

    def as_json(self) -> dict[str, Any]:
        """The settings as a card keeps them."""
        return {**asdict(self), "iwae": list(self.iwae)}
