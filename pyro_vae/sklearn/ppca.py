"""Probabilistic PCA as a scikit-learn estimator.

Tipping & Bishop (1999), "Probabilistic principal component analysis".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.errors import DataError
from pyro_vae.models import PCA
from pyro_vae.sklearn.base import LatentVariableEstimator
from pyro_vae.sklearn.parts import plain
from pyro_vae.sklearn.units import Units

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

__all__ = ["PPCAEstimator"]


class PPCAEstimator(LatentVariableEstimator):
    """Probabilistic PCA at its maximum likelihood, in closed form; log p(x) is exact.

    z ~ Normal(0, I), x | z ~ Normal(W z + b, sigma^2 I). ``transform`` gives the means of the
    exact posterior p(z | x): codes in units in which z ~ Normal(0, I), and shorter than the
    projections of ``sklearn.decomposition.PCA``. Eigenvalues have n in the denominator, as
    maximum likelihood has, where scikit-learn's have n - 1.

    NaN is refused: with missing cells the maximum has no closed form. ``VAEEstimator`` takes them,
    and ``ModelImputer`` fills them in.

    Parameters
    ----------
    latent_dim
        Number q of components; at most that of the columns, and of the rows.
    min_scale
        Lower bound of sigma, in units of X. The density has none without it where q components
        are all that there is.
    random_state
        Seed of the randomised solver, for tables so large that scikit-learn takes one, and of
        the draws.

    Attributes
    ----------
    model_
        The fitted ``PCA`` of ``pyro_vae.models``, in float64: ``model_.weight`` is W,
        ``model_.bias`` is b.
    noise_variance_
        sigma^2.
    units_
        The identity: nothing is standardised.
    seed_
        Seed that was drawn from ``random_state``.
    n_features_in_
        Number of columns of X.
    feature_names_in_
        Their names, where X is a frame with names that are all strings.

    Examples
    --------
    >>> X = [[0.0, 0.1], [1.0, 1.1], [2.0, 1.9], [3.0, 3.1]]
    >>> ppca = PPCAEstimator(latent_dim=1).fit(X)
    >>> ppca.transform(X).shape, round(ppca.score(X), 1)
    ((4, 1), -0.5)
    """

    model_: PCA

    def __init__(
        self, latent_dim: int = 2, *, min_scale: float = 1e-6, random_state: Any = None
    ) -> None:
        self.latent_dim = latent_dim
        self.min_scale = min_scale
        self.random_state = random_state

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Rows drawn from the model, ``(n_samples, n_features)``, in the units of X.

        Parameters
        ----------
        n_samples
            How many.
        random_state
            Seed of the draws; the estimator's own unless given.
        """
        return self.units_.inverse(self._draws(n_samples, random_state).nodes["x"]["value"])

    def _fit(self, X: np.ndarray, seed: int) -> None:
        latent_dim = plain(self.latent_dim)
        for what, size in (("n_features", X.shape[1]), ("n_samples", len(X))):
            if isinstance(latent_dim, int) and latent_dim > size:
                raise DataError(
                    f"latent_dim got {latent_dim}, and X has {what}={size}: PCA has at most as "
                    "many components as columns and rows, so take a smaller latent_dim"
                )
        model = PCA((X.shape[1],), latent_dim, min_scale=plain(self.min_scale), seed=seed)
        # In float64 before it is fitted: nothing is trained that float32 would be enough for.
        model.double().initialise(torch.as_tensor(X))
        self._keep(model, Units.of(X, model.likelihood, False), model.latent_dim)
        self.noise_variance_ = float(model.variance()[0])

    def _log_prob(self, rows: dict[str, Tensor]) -> Tensor:
        return self.model_.log_prob(rows["x"])

    def _code(self, rows: dict[str, Tensor]) -> Tensor:
        return self.model_.exact_posterior(rows["x"]).mean

    def _decode(self, codes: Tensor) -> Tensor:
        return self.model_.decode(codes)
