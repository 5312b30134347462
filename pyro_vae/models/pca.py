"""Principal component analysis behind the interface of the other models.

The components are scikit-learn's. Tipping & Bishop (1999), "Probabilistic principal component
analysis", make a generative story of them, whose exact log p(x) and posterior ``LinearVAE``
knows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from pyro_vae.conversion import takes_data
from pyro_vae.errors import DataError
from pyro_vae.models.guides import MeanFieldNormal
from pyro_vae.models.linear import LinearVAE
from pyro_vae.models.softplus import inverse_softplus
from pyro_vae.on_demand import library

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro.infer import ELBO
    from torch import Tensor

__all__ = ["PCA"]


class PCA(LinearVAE):
    """PCA, and the probabilistic PCA that it is the maximum-likelihood fit of.

    ``initialise(x)``, which ``fit`` calls, runs scikit-learn's PCA and takes its components,
    and the exact posterior as the guide: nothing is left to be trained, and ELBO and log p(x)
    are equal. ``code`` is the orthogonal projection, in units in which z ~ N(0, I):
    z = (Lambda - sigma^2 I)^(-1/2) U^T (x - b), so that ``decode(code(x))`` is PCA's
    reconstruction; the mean of p(z | x) is shorter, and tends to it as sigma goes to zero.

    Parameters
    ----------
    event_shape
        Shape of one datum.
    latent_dim
        Number q of components; at most the number of features.
    min_scale
        Lower bound of sigma, in units of x.
    seed
        Seed of scikit-learn's randomised solver, for data so large that it takes one.

    Raises
    ------
    ValueError
        If there are more components than features.
    """

    _roles: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_dim: int,
        *,
        min_scale: float = 1e-3,
        seed: int = 0,
    ) -> None:
        if latent_dim > math.prod(event_shape):
            raise ValueError(
                f"latent_dim got {latent_dim}: PCA has at most as many components as x has "
                f"features, {math.prod(event_shape)}"
            )
        super().__init__(
            event_shape, latent_dim, min_scale=min_scale, guide=MeanFieldNormal(), seed=seed
        )
        self.config = {
            "model": "pca",
            "event_shape": list(self.event_shape),
            "latent_dim": latent_dim,
            "min_scale": min_scale,
            "seed": seed,
        }
        self.seed = seed
        self.requires_grad_(False)

    @takes_data("x")
    def initialise(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        exposure: Tensor | None = None,
        observed: Tensor | None = None,
    ) -> None:
        """Fit scikit-learn's PCA to x, ``(n, *event_shape)``, and take it over.

        Raises
        ------
        DataError
            If there are fewer data than components, or cells are missing.
        """
        self._require_whole(observed)
        self.likelihood.check(x)
        if len(x) < self.latent_dim:
            raise DataError(
                f"x has {len(x)} rows: PCA with latent_dim={self.latent_dim} components needs at "
                "least as many"
            )
        pca = library("sklearn.decomposition").PCA(self.latent_dim, random_state=self.seed)
        # W has orthogonal columns, so that the posterior is mean-field.
        self.take_pca(pca.fit(x.flatten(1).double().cpu().numpy()))
        self._take_posterior()

    @takes_data("x", gradients=True)
    def code(
        self, x: Tensor, condition: Tensor | None = None, observed: Tensor | None = None
    ) -> Tensor:
        """Coordinates of the orthogonal projection of x, ``(B, L)``."""
        self._require_whole(observed)
        # The columns of W are orthogonal: the pseudo-inverse divides each by its square.
        return (x.flatten(1) - self.bias) @ torch.linalg.pinv(self.weight).T

    def description(self, objective: ELBO | None = None) -> str:
        """Text of ``describe``."""
        text = super().description(objective).replace("Linear VAE", "PCA", 1)
        return text + "\n  training   none: scikit-learn's PCA, and the exact posterior as guide"

    @staticmethod
    def _require_whole(observed: Tensor | None) -> None:
        if observed is not None and not bool(observed.all()):
            raise DataError(
                f"x has {int((~observed).sum())} missing cells, and PCA has no closed form for "
                "them: take LinearVAE(..., missing='mask'), the same model, which is trained"
            )

    def _take_posterior(self) -> None:
        """Put p(z | x) = N(S W^T (x - b) / sigma^2, S) into the encoder; S is diagonal here."""
        variance = self.variance()[0]
        # W^T W is diagonal: S = sigma^2 (W^T W + sigma^2 I)^-1
        share = 1 / (self.weight.square().sum(0) + variance)
        gain = share.unsqueeze(-1) * self.weight.T
        scale = (share * variance).sqrt() - self.guide_family.min_scale  # type: ignore[operator]
        self.encoder.mean.weight.copy_(gain)  # type: ignore[union-attr, operator]
        self.encoder.mean.bias.copy_(-gain @ self.bias)  # type: ignore[union-attr, operator]
        raw = inverse_softplus(scale.clamp_min(1e-9))
        self.encoder.covariance.copy_(raw)  # type: ignore[operator]
