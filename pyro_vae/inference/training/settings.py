"""What a training is asked to do: the settings that decide its numbers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from pyro_vae.disk.sealed import checksum
from pyro_vae.errors import UnknownNameError

if TYPE_CHECKING:
    from pyro.infer import ELBO

from pyro_vae.inference.training.by_graph import COMPILE
from pyro_vae.inference.training.objectives import objective_name

__all__ = [
    "SCHEDULES",
    "FitOptions",
    "Schedule",
    "TrainingSettings",
    "multiplier_of",
    "schedule_name",
]

Schedule = Literal["constant", "cosine"] | Callable[[float], float]

#: Multipliers of the learning rate as functions of the share of training that is done.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda share: 1.0,
    "cosine": lambda share: 0.5 * (1.0 + math.cos(math.pi * share)),
}

#: Epochs, at most, by whose multipliers one function is told from another.
_COMPARED = 1000


class FitOptions(TypedDict, total=False):
    """Keywords of ``fit`` for how it trains, as those of a function that hands them on."""

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: Schedule
    clip_norm: float | None
    patience: int | None
    seed: int
    accelerator: str
    devices: int
    precision: str
    compile: str
    progress: bool | None


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of ``fit`` that a run keeps, beside the model, the data and the objective.

    Attributes
    ----------
    epochs, batch_size, learning_rate, schedule, clip_norm, patience, seed, precision, compile
        As for ``fit``.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: Schedule
    clip_norm: float | None
    patience: int | None
    seed: int
    precision: str
    compile: str = "auto"

    def __post_init__(self) -> None:
        if self.compile not in COMPILE:
            raise UnknownNameError("compile", self.compile, COMPILE)

    def planned(self, num_data: int) -> dict[int, int]:
        """Steps of the whole training by the number of data in their batch."""
        whole, rest = divmod(num_data, self.batch_size)
        return {self.batch_size: whole * self.epochs, **({rest: self.epochs} if rest else {})}

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch, from 0."""
        multiplier = multiplier_of(self.schedule)
        return self.learning_rate * multiplier(epoch / self.epochs)

    def within(self, num_data: int) -> TrainingSettings:
        """With a batch that is no larger than the data, and a warning where it was."""
        if self.batch_size <= num_data:
            return self
        warnings.warn(
            f"batch_size {self.batch_size} is larger than the {num_data} training data: every "
            "step takes all of them",
            stacklevel=4,
        )
        return replace(self, batch_size=num_data)

    def as_config(self, objective: ELBO) -> dict[str, Any]:
        """What ``config.json`` has under ``"fit"``."""
        return {
            "objective": objective_name(objective),
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "schedule": schedule_name(self.schedule, self.epochs),
            "clip_norm": self.clip_norm,
            "patience": self.patience,
            "seed": self.seed,
            "precision": self.precision,
            "compile": self.compile,
        }


def multiplier_of(schedule: Schedule) -> Callable[[float], float]:
    """Multiplier of the learning rate by the share of training done, in [0, 1).

    Raises
    ------
    UnknownNameError
        If there is no schedule of that name.
    ValueError
        When called, if a function gives what is no finite number of at least 0.
    """
    if not callable(schedule):
        if schedule not in SCHEDULES:
            raise UnknownNameError("schedule", str(schedule), SCHEDULES)
        return SCHEDULES[schedule]

    def multiplier(share: float) -> float:
        value = schedule(share)
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ValueError(
                f"schedule gave {value!r} at the share {share:g} of training: it must give a "
                "finite number of at least 0"
            )
        return value

    return multiplier


def schedule_name(schedule: Schedule, epochs: int) -> str:
    """Name of a schedule; that of a function says what it gives over the epochs.

    Two functions are the same schedule where their multipliers are, whatever they are called.
    """
    if isinstance(schedule, str):
        return schedule
    multiplier = multiplier_of(schedule)
    compared = min(epochs, _COMPARED)
    found = (multiplier(k * epochs // compared / epochs) for k in range(compared))
    return f"custom {checksum(*(float(value).hex() for value in found))[:16]}"
