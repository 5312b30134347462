"""Tipping & Bishop (1999): probabilistic PCA, which a linear VAE must find.

Lucas, Tucker, Grosse & Norouzi (2019), arXiv 1911.02469: the ELBO of a linear VAE has its maxima
where log p(x) has its own, so that nothing but optimisation stands between the two numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import multivariate_normal

from pyro_vae.cards.card import Found, Number
from pyro_vae.models import LinearVAE
from pyro_vae.reproduction.experiment import Experiment, Level, Place, Plan, load_form
from pyro_vae.reproduction.trained import TrainedPart, Training, warmed_cosine

if TYPE_CHECKING:
    from pyro_vae.data import Dataset

__all__ = ["PPCA"]

_FORM = {"standardise": True, "num_validation": 0}
_DIMENSIONS = (1, 2, 3)
_CLOSED = "closed form: Tipping and Bishop (1999), equations 7 and 8"

#: There is no schedule in the paper, whose solution is an eigendecomposition.
_TRAINING = Training(
    400, 16, 2e-2, warmed_cosine(0), "a cosine to zero from 0.02: the paper trains nothing"
)


@dataclass(frozen=True)
class _LinearPart(TrainedPart):
    """A linear VAE of so many latent dimensions, against the closed form."""

    latent_dim: int = 1

    def measure(self, plan: Plan, place: Place) -> Found:
        """Log p(x) of the training data, and the highest that any such model has."""
        found = super().measure(plan, place)
        x = load_form(self.form, plan, place.data_root, own=plan.data == self.own_data).train
        rows = x.double().numpy()
        best = _best_of(rows, self.latent_dim)[: plan.limit].mean()
        return found.model_copy(
            update={"numbers": {**found.numbers, "closed_form": Number(value=float(best))}}
        )


def _best_of(rows: np.ndarray, latent_dim: int) -> np.ndarray:
    """Log p(x) of every row under the probabilistic PCA that fits them best.

    Tipping & Bishop (1999), equations 7 and 8: of the covariance S of the rows, the largest q
    eigenvalues stay as they are, and the others take their mean.
    """
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    values[:-latent_dim] = values[:-latent_dim].mean()
    covariance = (vectors * values) @ vectors.T
    found: np.ndarray = multivariate_normal(rows.mean(0), covariance).logpdf(rows)
    return found


def _part(latent_dim: int) -> _LinearPart:
    def model(data: Dataset, seed: int) -> LinearVAE:
        return LinearVAE(data.event_shape, latent_dim, seed=seed)

    return _LinearPart(
        f"linear-vae-{latent_dim}",
        f"linear VAE, {latent_dim} latent dimension{'s' if latent_dim > 1 else ''}",
        model,
        None,
        _FORM,
        "wine",
        {"paper": _TRAINING, "sooner": _TRAINING},
        "train",
        latent_dim,
    )


PPCA = Experiment(
    name="ppca",
    title="Probabilistic PCA by a linear VAE",
    source="Tipping and Bishop (1999), Probabilistic principal component analysis; Lucas, Tucker, "
    "Grosse and Norouzi (2019), arXiv 1911.02469",
    data="wine",
    form=_FORM,
    parts=tuple(map(_part, _DIMENSIONS)),
    table=(
        *(
            Level(
                f"log p(x), q = {q}",
                f"linear-vae-{q}",
                "log_evidence",
                "closed_form",
                _CLOSED,
            )
            for q in _DIMENSIONS
        ),
        *(
            Level(f"gap, q = {q}", f"linear-vae-{q}", "gap", 0.0, "Lucas et al. (2019)")
            for q in _DIMENSIONS
        ),
    ),
    differs=(
        "The linear VAE is trained by stochastic gradients of the ELBO, and its guide has a full "
        "covariance; the closed form takes an eigendecomposition.",
        "Both are measured on the standardised training rows.",
    ),
)
