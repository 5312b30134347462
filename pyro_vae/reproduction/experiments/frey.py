"""Kingma & Welling (2014): the lower bound while a VAE learns the Frey faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from pyro_vae import plots
from pyro_vae.models import VAE
from pyro_vae.models.likelihoods import Normal
from pyro_vae.networks import Dense, SigmoidMean
from pyro_vae.reproduction.experiment import Experiment, Level
from pyro_vae.reproduction.trained import TrainedPart, Training, constant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

    from pyro_vae.cards.card import Found
    from pyro_vae.data import Dataset
    from pyro_vae.reproduction.experiment import Place, Plan

__all__ = ["FREY"]

_OWN = "frey-faces"
_FORM = {"values": "unit-interval"}
_DIMENSIONS = (2, 5, 10, 20)


_SCHEDULES = {
    "paper": Training(
        6400, 100, 1e-3, constant, "10 million samples of 1,565 images, at 0.001: not tuned"
    ),
    "sooner": Training(
        640, 100, 1e-3, constant, "1 million samples of 1,565 images, at 0.001: not tuned"
    ),
}


@dataclass(frozen=True)
class _FacesPart(TrainedPart):
    """A VAE whose curve is by the samples that it has seen."""

    def measure(self, plan: Plan, place: Place) -> Found:
        """Log p(x) and the bound of the test images, and the curves of the training."""
        found = super().measure(plan, place)
        size = len(self.load(plan, place).train)
        samples = [size * epoch for epoch in found.curve["epoch"] if epoch is not None]
        return found.model_copy(update={"curve": {**found.curve, "samples": [*samples]}})


def _part(latent_dim: int) -> _FacesPart:
    def model(data: Dataset, seed: int) -> VAE:
        return VAE(
            data.event_shape,
            latent_dim,
            likelihood=Normal("latent"),
            encoder=Dense((200,), "tanh"),
            decoder=SigmoidMean((200,), "tanh"),
            seed=seed,
        )

    return _FacesPart(
        f"vae-{latent_dim}",
        f"{latent_dim} latent dimensions",
        model,
        "elbo",
        _FORM,
        _OWN,
        _SCHEDULES,
    )


def _figures(found: Mapping[str, Found]) -> dict[str, tuple[str, Figure]]:
    """The paper's Figure 2: the bound against the samples seen."""
    curves = {
        part.title: pd.DataFrame(part.curve).astype(float)
        for part in found.values()
        if len(part.curve.get("samples", ())) > 1
    }
    if not curves:
        return {}
    caption = (
        "As Figure 2 of the paper: solid, the training images; dashed, images that are not "
        "trained on, by which the epoch is chosen."
    )
    return {"The bound while it learns": (caption, plots.bound_against_samples(curves))}


FREY = Experiment(
    name="frey",
    title="The lower bound on the Frey faces",
    source="Kingma and Welling (2014), Auto-encoding variational Bayes, arXiv 1312.6114, Figure 2",
    data=_OWN,
    form=_FORM,
    parts=tuple(map(_part, _DIMENSIONS)),
    table=(
        *(Level(f"test bound, {d} dimensions", f"vae-{d}", "elbo") for d in _DIMENSIONS),
        *(
            Level(f"test log p(x), {d} dimensions", f"vae-{d}", "log_evidence")
            for d in _DIMENSIONS
        ),
    ),
    differs=(
        "The paper has a figure and no table, so that there is no published number to stand "
        "beside.",
        "Adam with a constant rate here; Adagrad in the paper.",
        "The dashed curves are of 200 held-out images, and the weights kept are those with the "
        "best bound on them; the numbers are of 200 others.",
        "A density of grey levels has no upper limit: it hangs on the smallest scale of a pixel, "
        "here 0.001 of the unit interval, and no noise is added to the levels.",
    ),
    figures=_figures,
)
