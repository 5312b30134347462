"""The linear-Gaussian VAE, whose maximum-likelihood optimum is probabilistic PCA.

z ~ Normal(0, I), x | z ~ Normal(W z + b, sigma^2 I), so x ~ Normal(b, W W^T + sigma^2 I):
log p(x) and p(z | x) are known in closed form. Tipping & Bishop (1999), "Probabilistic
principal component analysis"; Lucas, Tucker, Grosse & Norouzi (2019), "Don't blame the ELBO!",
arXiv 1911.02469, for what it says of posterior collapse. With one sigma per feature the model
is factor analysis.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pyro.distributions as dist
import torch
from torch import nn

from pyro_vae.conversion import takes_data
from pyro_vae.errors import DataError
from pyro_vae.isolation import isolated
from pyro_vae.models.guides import FullCovarianceNormal, Guide, MeanFieldNormal
from pyro_vae.models.likelihoods import Normal
from pyro_vae.models.missing import Missing, require_observed_shape
from pyro_vae.models.vae import VAE
from pyro_vae.networks import Dense
from pyro_vae.settings import require_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro.distributions import TorchDistribution
    from pyro.infer import ELBO
    from sklearn.decomposition import PCA
    from torch import Tensor

__all__ = ["LinearVAE"]


class _ConstantCovariance(nn.Module):
    """Linear encoder whose mean depends on x and whose covariance does not, as the posterior's."""

    def __init__(self, size_in: int, latent_dim: int, size_out: int) -> None:
        super().__init__()
        self.mean = nn.Linear(size_in, latent_dim)
        self.covariance = nn.Parameter(torch.zeros(size_out - latent_dim))

    def forward(self, features: Tensor) -> Tensor:
        mean = self.mean(features)
        return torch.cat([mean, self.covariance.expand(*mean.shape[:-1], -1)], dim=-1)

    def summary(self) -> str:
        """In one line."""
        size_in, latent_dim = self.mean.in_features, self.mean.out_features
        return f"linear mean {size_in}-{latent_dim}, covariance the same for every x"


class LinearVAE(VAE):
    """VAE with a linear decoder, a linear encoder and a constant posterior covariance.

    Parameters
    ----------
    event_shape
        Shape of one datum.
    latent_dim
        Length q of z; at most the number of features.
    scale, min_scale
        As for the ``Normal`` likelihood: a number, ``"shared"`` (probabilistic PCA) or
        ``"per-feature"`` (factor analysis).
    guide
        ``FullCovarianceNormal()``, the family of the exact posterior, unless given; or
        ``MeanFieldNormal()``, which holds the posterior only where W has orthogonal columns.
    missing
        As for ``VAE``. With holes the posterior covariance is no longer that of every datum, and
        the guide, which has one, does not hold it.
    seed
        Seed of the first weights.

    Raises
    ------
    ValueError
        If the scale depends on z, or the guide is of another family.
    """

    likelihood: Normal

    _roles: ClassVar[dict[str, Any]] = {"guide": Guide}

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_dim: int,
        *,
        scale: Any = "shared",
        min_scale: float = 1e-3,
        guide: Guide | None = None,
        missing: Missing = "none",
        seed: int = 0,
    ) -> None:
        guide = FullCovarianceNormal() if guide is None else guide
        require_part("guide", guide, Guide, "MeanFieldNormal()")
        if scale == "latent":
            raise ValueError(
                "scale got 'latent': a linear-Gaussian model has a sigma that does not depend on "
                "z; take a number, 'shared' or 'per-feature', or a VAE"
            )
        if not isinstance(guide, FullCovarianceNormal | MeanFieldNormal):
            raise ValueError(
                f"guide got {guide.name}: the posterior of a linear-Gaussian model is a normal, "
                "so take full-covariance-normal or mean-field-normal"
            )
        size = guide.num_params((latent_dim,))
        with isolated(seed):
            size_in = math.prod(event_shape) * (2 if missing == "mask" else 1)
            encoder = _ConstantCovariance(size_in, latent_dim, size)
        super().__init__(
            event_shape,
            latent_dim,
            likelihood=Normal(scale, min_scale),
            guide=guide,
            encoder=encoder,
            decoder=Dense(()),
            missing=missing,
            seed=seed,
        )
        self.config = {
            "model": "linear-vae",
            "event_shape": list(self.event_shape),
            "latent_dim": latent_dim,
            "scale": scale,
            "min_scale": min_scale,
            "guide": guide.to_config(),
            **self._missing_config(),
            "seed": seed,
        }

    @property
    def weight(self) -> Tensor:
        """W, shape ``(D, q)``."""
        return self.decoder.output.weight  # type: ignore[union-attr, return-value]

    @property
    def bias(self) -> Tensor:
        """Mean b of x, shape ``(D,)``."""
        return self.decoder.output.bias  # type: ignore[union-attr, return-value]

    def variance(self) -> Tensor:
        """sigma_d^2 of every feature, shape ``(D,)``, float64."""
        size = self.likelihood.num_params(self.event_shape)
        eta = self.weight.new_zeros(size, dtype=torch.float64)
        return self.likelihood(eta).variance.flatten()

    @takes_data("x", gradients=True, wide=True)
    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Exact log p(x) = log Normal(x; b, W W^T + diag(sigma^2)), in nats, ``(n,)``, float64.

        With ``observed``, bool of the shape of x, that of the observed cells, zero where there
        are none.
        """
        if observed is not None:
            return self._log_prob_of(x, observed)
        self.likelihood.check(x)
        # The inverse of W W^T + diag(sigma^2) cancels most digits where sigma is small.
        parts = (part.double() for part in (self.bias, self.weight, self.variance()))
        marginal = dist.LowRankMultivariateNormal(*parts)
        return marginal.log_prob(x.flatten(1).double())

    @takes_data("x", gradients=True)
    def exact_posterior(self, x: Tensor, observed: Tensor | None = None) -> TorchDistribution:
        """Exact p(z | x) = Normal(S W^T (x - b) / sigma^2, S), S = (I + W^T W / sigma^2)^-1.

        Batch shape ``(n,)``, event shape ``(q,)``, float64. With ``observed``, given these cells,
        whose rows of W and b alone count.
        """
        if observed is not None:
            precision, pull, _ = self._given(x, observed)
            loc = torch.linalg.solve(precision, pull.unsqueeze(-1)).squeeze(-1)
            return dist.MultivariateNormal(loc, precision_matrix=precision)
        self.likelihood.check(x)
        bias, weight, variance = (
            part.double() for part in (self.bias, self.weight, self.variance())
        )
        scaled = weight / variance.unsqueeze(-1)
        identity = torch.eye(self.latent_dim).to(scaled)
        covariance = torch.linalg.inv(identity + weight.T @ scaled)
        loc = (x.flatten(1).double() - bias) @ scaled @ covariance
        return dist.MultivariateNormal(loc, covariance)

    def _given(self, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of z given the observed cells: precision, precision times mean; (x - b) / sigma.

        The last is zero in cells that are missing. Float64.
        """
        require_observed_shape(x, observed)
        x = self.likelihood.filled(x, observed)
        self.likelihood.check(x)
        bias, weight, variance = (
            part.double() for part in (self.bias, self.weight, self.variance())
        )
        there = observed.flatten(1)
        scaled = weight / variance.sqrt().unsqueeze(-1)
        rest = torch.where(there, (x.flatten(1).double() - bias) / variance.sqrt(), 0.0)
        # sum_d m_d w_d w_d^T / sigma_d^2, for all patterns of holes by one product.
        products = scaled.unsqueeze(-1) * scaled.unsqueeze(-2)
        size = (len(x), self.latent_dim, self.latent_dim)
        precision = (there.double() @ products.flatten(1)).reshape(size)
        return precision + torch.eye(self.latent_dim).to(precision), rest @ scaled, rest

    def _log_prob_of(self, x: Tensor, observed: Tensor) -> Tensor:
        """Log p(x) of the observed cells, by the precision of z and not by the covariance of x."""
        precision, pull, rest = self._given(x, observed)
        factor = torch.linalg.cholesky(precision)
        half = torch.linalg.solve_triangular(factor, pull.unsqueeze(-1), upper=False)
        square = rest.square().sum(-1) - half.squeeze(-1).square().sum(-1)
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        each = (2 * math.pi * self.variance().double()).log()
        return -0.5 * (square + log_det + observed.flatten(1).double() @ each)

    def description(self, objective: ELBO | None = None) -> str:
        """Text of ``describe``."""
        exact = "  log p(x)   exact: x ~ Normal(b, W W^T + diag(sigma^2))"
        return super().description(objective).replace("VAE", "Linear VAE", 1) + "\n" + exact

    @takes_data("x")
    def supported_units(self, x: Tensor) -> int:
        """Latent dimensions that the likelihood can use: eigenvalues of Cov(x) above sigma^2.

        At the maximum-likelihood W, each such eigenvalue has its latent direction, up to
        ``latent_dim`` of them, and the others have collapsed. Fewer active units than this in
        a trained model are the optimiser's doing, not the likelihood's (Lucas et al., 2019).

        Parameters
        ----------
        x
            Training data ``(n, *event_shape)``.

        Raises
        ------
        ValueError
            If sigma differs between features, since then it is not the covariance that counts.
        """
        variance = self.variance().detach()
        if not bool((variance == variance[0]).all()):
            raise ValueError("supported_units needs one sigma for all features: scale='shared'")
        eigenvalues = torch.linalg.eigvalsh(torch.cov(x.flatten(1).T, correction=0))
        return min(self.latent_dim, int((eigenvalues > variance[0]).sum()))

    def take_pca(self, pca: PCA) -> Self:
        """Take the maximum-likelihood weights from a fitted ``sklearn.decomposition.PCA``.

        W = U (Lambda - sigma^2 I)^(1/2), with sigma^2 the mean of the D - q discarded
        eigenvalues (Tipping & Bishop, 1999, equation 7, with R = I). scikit-learn's eigenvalues
        have n - 1 in the denominator, where maximum likelihood has n; and of fewer data than
        features it knows n eigenvalues alone, where the others are zero.

        Parameters
        ----------
        pca
            Fitted on the training data, with ``latent_dim`` components and without whitening.

        Raises
        ------
        DataError
            If its sizes are others than the model's.
        ValueError
            If the scale is not shared, since PCA has one.
        """
        size = (self.latent_dim, math.prod(self.event_shape))
        if pca.components_.shape != size:
            raise DataError(
                f"pca has components of shape {pca.components_.shape}: the model needs {size}"
            )
        if self.likelihood.scale != "shared":
            raise ValueError("take_pca needs scale='shared': PCA has one sigma for all features")
        share = (pca.n_samples_ - 1) / pca.n_samples_
        # scikit-learn takes the mean over as many as there are data; the others are zero.
        latent_dim, features = size
        left_out = pca.noise_variance_ * (min(pca.n_samples_, features) - latent_dim)
        noise = torch.as_tensor(left_out / max(features - latent_dim, 1) * share)
        eigenvalues = torch.as_tensor(pca.explained_variance_ * share)
        weight = torch.as_tensor(pca.components_).T * (eigenvalues - noise).clamp_min(0).sqrt()
        with torch.no_grad():
            self.weight.copy_(weight)
            self.bias.copy_(torch.as_tensor(pca.mean_))
            self.likelihood.sigma.raw.copy_(self.likelihood.sigma.invert(noise.sqrt()))
        self.initialised = True
        return self
