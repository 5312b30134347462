"""The classic claim for the VAE: half-way between a half and a full moon, a three-quarter moon.

It is of moons, whatever the tour's own data are: an autoencoder and a VAE with the same networks
and a code of two numbers are fitted to crescents, halves and full moons alone, and to moons of
every phase. A minute on one core at most.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import torch

from pyro_vae import data, plots
from pyro_vae.data.moon_phases import half_and_full
from pyro_vae.inference.latents import halfway_summary, halfway_test
from pyro_vae.inference.training.sweep import fit_in
from pyro_vae.models import VAE, Autoencoder
from pyro_vae.models.likelihoods import Normal
from pyro_vae.pictures.decoded import interpolate
from pyro_vae.stored.loading import load_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import xarray as xr
    from matplotlib.figure import Figure

__all__ = [
    "MOON_STOPS",
    "MoonStop",
    "MoonVisit",
    "fit_moons",
    "moon_sentences",
    "moon_table",
    "moon_walks",
    "visit_moons",
]

#: Summed squared error, up to a constant.
_SIGMA = 0.5**0.5
_MODELS = {"Autoencoder": Autoencoder, "VAE": VAE}
_PHASES = {"three phases": "moon-phases", "all phases": "all-moon-phases"}


class MoonStop(NamedTuple):
    """A model and the phases that it sees.

    Attributes
    ----------
    model
        ``Autoencoder`` or ``VAE``.
    phases
        ``three phases`` or ``all phases``.
    """

    model: str
    phases: str

    @property
    def title(self) -> str:
        """Its row in the table."""
        return f"{self.model}, {self.phases}"

    def folder(self, out: Path) -> Path:
        """Its run in the tour's folder."""
        return out / "moons" / f"{self.model.lower()}-{self.phases.replace(' ', '-')}"


#: Both models on either set.
MOON_STOPS = tuple(MoonStop(model, phases) for phases, model in product(_PHASES, _MODELS))


class MoonVisit(NamedTuple):
    """What was found of one of them.

    Attributes
    ----------
    stop
        Model and phases.
    found
        What ``halfway_test`` gave of 200 pairs of held-out moons.
    walk
        Means of p(x | z) on the way from the first half moon to the first full one,
        ``(9, 16, 16)``.
    """

    stop: MoonStop
    found: xr.Dataset
    walk: torch.Tensor


def fit_moons(stop: MoonStop, out: Path, *, epochs: int, seed: int, overwrite: bool) -> None:
    """Fit one of them in its folder, go on with it, or find it done."""
    model = _MODELS[stop.model](
        (16, 16),
        2,
        likelihood=Normal(_SIGMA),
        encoder=(128, 64),
        decoder=(64, 128),
        seed=seed,
    )
    fit_in(
        stop.folder(out),
        model,
        data.load(_PHASES[stop.phases], seed=seed),
        None,
        overwrite=overwrite,
        epochs=epochs,
        batch_size=64,
        learning_rate=2e-3,
        schedule="cosine",
        seed=seed,
    )


def visit_moons(stop: MoonStop, out: Path, *, seed: int) -> MoonVisit:
    """Hold what it decodes half-way between half and full moons against every true moon."""
    model: Any = load_model(stop.folder(out))
    moons = data.load("moon-phases", seed=seed)
    half, full = half_and_full(moons)
    family, lit = data.every_moon()
    found = halfway_test(model, half, full, family=family, state=lit, gain=(0.8, 1.0))
    walk = interpolate(model, torch.stack([half[0], full[0]]))
    return MoonVisit(stop, found, walk)


def moon_table(visits: Sequence[MoonVisit]) -> pd.DataFrame:
    """One row a model and its phases; standard errors over pairs in brackets."""
    rows = {}
    for seen in visits:
        summary = halfway_summary(seen.found)
        rows[seen.stop.title] = {
            label: f"{summary.loc[name, 'mean']:.{digits}f} ({summary.loc[name, 'se']:.{digits}f})"
            for label, name, digits in (
                ("reconstructions to a moon", "reconstruction distance", 3),
                ("mid-points to a moon", "midpoint distance", 3),
                ("lit", "midpoint state", 2),
                ("three-quarter moons", "reached", 2),
            )
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def moon_walks(visits: Sequence[MoonVisit]) -> Figure:
    """The same half moon turned into the same full one by each, below the true phases."""
    true = data.moon(torch.linspace(0.5, 1, len(visits[0].walk)))
    walks = {"true phases": true[None].numpy()}
    walks |= {seen.stop.title: seen.walk[None].numpy() for seen in visits}
    return plots.walks(walks)


def moon_sentences(visits: Sequence[MoonVisit]) -> list[str]:
    """What the claim came to, in sentences made of the numbers."""
    reached = {seen.stop: float(seen.found["reached"].mean()) for seen in visits}
    lines = []
    for phases, where in (
        ("three phases", "Where training had crescents, half and full moons alone"),
        ("all phases", "Where it had every phase"),
    ):
        ours, theirs = (reached[MoonStop(name, phases)] for name in ("VAE", "Autoencoder"))
        lines.append(
            f"{where}, {ours:.0%} of the VAE's mid-points between half and full moons are "
            f"three-quarter moons, and {theirs:.0%} of the autoencoder's."
        )
    return lines
