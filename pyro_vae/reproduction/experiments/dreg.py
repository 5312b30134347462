"""Tucker, Lawson, Gu & Maddison (2019): doubly reparameterised gradients of the IWAE's bound.

The bound is that of ``iwae``, and so are the networks; the gradient of the encoder is another.
What that is good for shows in a model of two dimensions, without a network: the signal-to-noise
ratio of the usual gradient falls with K (Rainforth et al., 2018, arXiv 1802.04537), and that of
the other rises.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import torch
from torch import nn

from pyro_vae import inference, plots
from pyro_vae.cards.card import Found, Number
from pyro_vae.reproduction.experiment import Difference, Experiment, Level, Part, Place, Plan
from pyro_vae.reproduction.experiments.iwae import (
    EPOCHS_AFTER,
    IWAE_5,
    IWAE_AUTHORS_DIFFER,
    IWAE_FORM,
    iwae_part,
)
from pyro_vae.reproduction.repeated import over_repeats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from torch import Tensor

__all__ = ["DREG", "NearOptimum"]

_TABLE = "a reproduction in TensorFlow 2 at the paper's schedule, the table of its own runs"
_OBJECTIVES = {"iwae": -0.5, "dreg": 0.5}
_RATE = "the leading term in 1 / K"

#: Particles; a line is laid through all but the first, which is far from the limit.
_PARTICLES = (1, 4, 16, 64)

#: The draws of a gradient are in so many groups, which say how far a ratio is uncertain.
_GROUPS = 5


class NearOptimum(nn.Module):
    """z ~ Normal(mu, I), x | z ~ Normal(z, I), and q(z | x) = Normal(A x + b, 2/3 I).

    The posterior is Normal((x + mu) / 2, I / 2). The parameters are the best ones, each moved by
    a normal error, so that their gradient has a signal.

    Parameters
    ----------
    num_data, dim
        Data x, which are simulated, and their dimension.
    offset
        Standard deviation of the errors.
    seed
        Seed of data and errors.
    """

    mu: Tensor

    def __init__(
        self, num_data: int = 256, dim: int = 2, offset: float = 0.03, seed: int = 0
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.x = normal(dim) + math.sqrt(2) * normal(num_data, dim)
        best = self.x.mean(0)
        half = 0.5 * torch.eye(dim, dtype=torch.float64)
        self.register_buffer("mu", best + offset * normal(dim))
        self.slope = nn.Parameter(half + offset * normal(dim, dim))
        self.shift = nn.Parameter(0.5 * best + offset * normal(dim))

    def model(self, x: Tensor) -> None:
        """The generative story, as a Pyro program."""
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(self.mu, 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        """q(z | x), as a Pyro program."""
        loc = x @ self.slope.T + self.shift
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(loc, math.sqrt(2 / 3)).to_event(1))


@dataclass(frozen=True)
class _SignalPart(Part):
    """Signal and noise of the gradient of b, which has nothing to train.

    Attributes
    ----------
    name, title
        Folder, and heading.
    """

    name: str
    title: str

    def train(self, plan: Plan, place: Place) -> None:
        """Nothing."""

    def measure(self, plan: Plan, place: Place) -> Found:
        """|mean| / s.d. by objective and K, and the rate at which it changes with K."""
        toy = NearOptimum(seed=plan.seed)
        tables = []
        for group in range(_GROUPS):
            tables.append(
                inference.gradient_snr(
                    toy,
                    toy.x,
                    [toy.shift],
                    objectives=tuple(_OBJECTIVES),
                    num_particles=_PARTICLES,
                    repeats=_draws(plan),
                    seed=plan.seed * _GROUPS + group,
                )
            )
            if place.progress is not None:
                place.progress(group + 1, _GROUPS)
        numbers = {}
        for name, rate in _OBJECTIVES.items():
            ratios = np.array([table[name] for table in tables])
            for column, k in enumerate(_PARTICLES):
                numbers[f"{name}-{k}"] = _mean(ratios[:, column])
            numbers[f"{name}-rate"] = _mean(_rates(ratios))
            numbers[f"{name}-limit"] = Number(value=rate)
        return Found(
            name=self.name,
            title=self.title,
            model="z ~ Normal(mu, I), x | z ~ Normal(z, I), guide Normal(A x + b, 2/3 I)",
            numbers=numbers,
            protocol=self.protocol(plan),
        )

    def protocol(self, plan: Plan) -> dict[str, Any]:
        """Draws of a gradient, in how many groups, and the seed."""
        return {"num_particles": plan.num_particles, "groups": _GROUPS, "seed": plan.seed}


def _draws(plan: Plan) -> int:
    """Draws of a gradient in a group: all the groups have as many as log p(x) has particles."""
    return max(2, plan.num_particles // _GROUPS)


def _mean(values: np.ndarray) -> Number:
    """Mean over the groups, whose draws are all the noise that it has."""
    mean = over_repeats(values.tolist())
    return mean.model_copy(update={"monte_carlo_error": mean.sampling_error})


def _rates(ratios: np.ndarray) -> np.ndarray:
    """Slope of the logarithm of the ratio over that of K, of each group."""
    log_k = np.log(_PARTICLES[1:])
    return np.polyfit(log_k, np.log(ratios[:, 1:]).T, 1)[0]


def _figures(found: Mapping[str, Found]) -> dict[str, tuple[str, Figure]]:
    """The ratios of the gradient against K."""
    if "signal" not in found:
        return {}
    numbers = found["signal"].numbers
    table = pd.DataFrame(
        {name: [numbers[f"{name}-{k}"].value for k in _PARTICLES] for name in _OBJECTIVES},
        index=pd.Index(_PARTICLES, name="K"),
    )
    caption = (
        "The gradient of b in q(z | x) = Normal(A x + b, 2/3 I), near its optimum: the usual "
        "estimate of it drowns in noise as K grows, the doubly reparameterised one does not."
    )
    return {"Signal and noise": (caption, plots.snr_against_k(table))}


def _rows(k: int, plain: str, published: float, doubly: float) -> tuple[Level | Difference, ...]:
    """Levels with both gradients, and what the second gains."""
    at = f"K = {k}"
    gain = round(published - doubly, 2)
    return (
        Level(f"-log p(x), {at}", plain, "log_evidence", published, _TABLE, sign=-1),
        Level(f"-log p(x), DReG, {at}", f"dreg-{k}", "log_evidence", doubly, _TABLE, sign=-1),
        Difference(f"gain of DReG, {at}", f"dreg-{k}", plain, gain, _TABLE),
    )


DREG = Experiment(
    name="dreg",
    title="Doubly reparameterised gradients",
    source="Tucker, Lawson, Gu and Maddison (2019), Doubly reparameterized gradient estimators "
    "for Monte Carlo objectives, arXiv 1810.04152, which has curves; the numbers are of a "
    "reproduction",
    data="mnist",
    form=IWAE_FORM,
    parts=(
        _SignalPart("signal", "signal and noise of the gradient"),
        IWAE_5,
        iwae_part("dreg-5", "DReG, K = 5, one layer", "dreg-5"),
        iwae_part("vae", "VAE, one layer", "elbo"),
        iwae_part("dreg-1", "DReG, K = 1, one layer", "dreg-1"),
        iwae_part("iwae-50", "IWAE, K = 50, one layer", "iwae-50", EPOCHS_AFTER, after=IWAE_5),
        iwae_part("dreg-50", "DReG, K = 50, one layer", "dreg-50", EPOCHS_AFTER, after=IWAE_5),
    ),
    optional=frozenset({"vae", "dreg-1", "iwae-50", "dreg-50"}),
    table=(
        *_rows(5, "iwae-5", 85.18, 84.90),
        Level("slope of log SNR over log K, IWAE", "signal", "iwae-rate", "iwae-limit", _RATE),
        Level("slope of log SNR over log K, DReG", "signal", "dreg-rate", "dreg-limit", _RATE),
        *_rows(1, "vae", 86.35, 86.08),
        *_rows(50, "iwae-50", 84.59, 84.32),
    ),
    differs=(
        *IWAE_AUTHORS_DIFFER,
        "In the shorter schedule training with K = 50 begins at the weights of IWAE with K = 5.",
        "With K = 1 both bounds are the ELBO, and the second gradient is that of Roeder, Wu and "
        "Duvenaud (2017), arXiv 1703.09194.",
        "The model with the signal has two dimensions, 256 data and errors of 0.03: small enough "
        "for the limit in K to show with 64 particles.",
    ),
    figures=_figures,
)
