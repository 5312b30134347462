"""Estimators of scikit-learn as pairs: factor analysis, probabilistic PCA, Gaussian mixtures.

Their posteriors are known, and so is log p(x): the guide is p(z | x) itself, so that every weight
is log p(x), and the bound has no gap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.distributions import (
    Categorical,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

from pyro_vae.errors import ProgramError
from pyro_vae.on_demand import library
from pyro_vae.pairs.pair import Pair

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributions import Distribution

__all__ = ["from_sklearn"]


def from_sklearn(estimator: Any, x: Any) -> Pair:
    """A pair out of a fitted ``FactorAnalysis``, ``PCA`` or ``GaussianMixture``.

    z is a point of the latent space, or the number of the component; q(z | x) is the posterior.
    All is in float64, as it is in scikit-learn.

    Parameters
    ----------
    estimator
        A fitted estimator of one of the three classes, or of a subclass.
    x
        Two rows of data or more, ``(B, D)``.

    Returns
    -------
    Pair
        With ``log_prob``, the exact log p(x), made from the parameters and not by
        ``score_samples``, to which it is equal.

    Raises
    ------
    ProgramError
        If the estimator is of another class, or was not fitted.

    Examples
    --------
    >>> from sklearn.decomposition import FactorAnalysis
    >>> from sklearn.datasets import load_iris
    >>> x = load_iris().data
    >>> fitted = FactorAnalysis(2, random_state=0).fit(x)
    >>> pair = from_sklearn(fitted, x)
    >>> abs(pair.log_prob(torch.from_numpy(x)).mean().item() - fitted.score(x)) < 1e-9
    True
    """
    decomposition, mixture = library("sklearn.decomposition"), library("sklearn.mixture")
    linear = (decomposition.FactorAnalysis, decomposition.PCA)
    if not isinstance(estimator, (*linear, mixture.GaussianMixture)):
        raise ProgramError(
            f"from_sklearn got {type(estimator).__name__}: FactorAnalysis, PCA and "
            "GaussianMixture have a density p(x) by way of a z; give one of them"
        )
    try:
        library("sklearn.utils.validation").check_is_fitted(estimator)
    except library("sklearn.exceptions").NotFittedError as error:
        raise ProgramError(
            f"from_sklearn got {type(estimator).__name__} without parameters: call its fit first"
        ) from error
    story = _Mixture if isinstance(estimator, mixture.GaussianMixture) else _Linear
    made = story(estimator, isinstance(estimator, decomposition.PCA))
    x = torch.as_tensor(np.asarray(x, dtype=np.float64))
    return Pair.from_functions(
        x=x, encode=made.encode, decode=made.decode, prior=made.prior, log_prob=made.log_prob
    )


def _tensor(array: Any) -> Tensor:
    return torch.tensor(array, dtype=torch.float64)


class _Linear:
    """Story z ~ N(0, I), x ~ N(mean + W z, noise): factor analysis; PCA with equal noise.

    Tipping and Bishop (1999), Probabilistic principal component analysis.
    """

    def __init__(self, estimator: Any, principal: bool) -> None:
        self.mean, components = _tensor(estimator.mean_), _tensor(estimator.components_)
        noise = _tensor(estimator.noise_variance_)
        if principal:
            # PCA's rows have length one: W has the variance beyond that of the noise.
            beyond = _tensor(estimator.explained_variance_) - noise
            components = components * beyond.clamp(min=0).sqrt().unsqueeze(1)
        self.loadings, self.noise = components.T, noise.expand(len(self.mean))
        if not bool((self.noise > 0).all()):
            raise ProgramError(
                f"{type(estimator).__name__} has no noise in some columns, so that p(x | z) has "
                "no density: fit it with fewer components, or leave out columns that are constant"
            )
        weighed = self.loadings / self.noise.unsqueeze(1)
        # Posterior N(V W' noise^-1 (x - mean), V), V = (I + W' noise^-1 W)^-1
        precision = torch.eye(self.loadings.shape[1]).double() + self.loadings.T @ weighed
        self.tril = torch.linalg.cholesky(torch.linalg.inv(precision))
        self.to_code = weighed @ self.tril @ self.tril.T
        self.prior = Normal(torch.zeros(len(precision)).double(), 1.0)

    def encode(self, x: Tensor) -> Distribution:
        """Posterior p(z | x)."""
        return MultivariateNormal((x - self.mean) @ self.to_code, scale_tril=self.tril)

    def decode(self, z: Tensor) -> Distribution:
        """Likelihood p(x | z)."""
        return Normal(self.mean + z @ self.loadings.T, self.noise.sqrt())

    def log_prob(self, x: Tensor) -> Tensor:
        """Log p(x) = log N(x; mean, W W' + noise), ``(B,)``, in nats."""
        found: Tensor = LowRankMultivariateNormal(self.mean, self.loadings, self.noise).log_prob(
            x.double()
        )
        return found


class _Mixture:
    """Story z ~ Categorical(weights), x ~ N(mean_z, covariance_z)."""

    def __init__(self, estimator: Any, _: bool) -> None:
        self.prior = Categorical(probs=_tensor(estimator.weights_))
        self.means = _tensor(estimator.means_)
        count, size = self.means.shape
        covariance = _tensor(estimator.covariances_)
        kind = estimator.covariance_type
        if kind == "spherical":
            covariance = covariance.unsqueeze(1).expand(count, size)
        if kind == "tied":
            covariance = covariance.expand(count, size, size)
        self.diagonal = kind in ("diag", "spherical")
        self.scale = covariance.sqrt() if self.diagonal else torch.linalg.cholesky(covariance)

    def _component(self, which: Any) -> Distribution:
        if self.diagonal:
            return Normal(self.means[which], self.scale[which])
        return MultivariateNormal(self.means[which], scale_tril=self.scale[which])

    def _log_joint(self, x: Tensor) -> Tensor:
        """Log p(x, z), ``(B, components)``."""
        terms = self._component(slice(None)).log_prob(x.double().unsqueeze(1))
        terms = terms.sum(-1) if self.diagonal else terms
        joint: Tensor = terms + self.prior.logits
        return joint

    def encode(self, x: Tensor) -> Distribution:
        """Posterior p(z | x): the responsibilities."""
        return Categorical(logits=self._log_joint(x))

    def decode(self, z: Tensor) -> Distribution:
        """Likelihood p(x | z)."""
        return self._component(z.long())

    def log_prob(self, x: Tensor) -> Tensor:
        """Log p(x), the sum over components, ``(B,)``, in nats."""
        return self._log_joint(x).logsumexp(1)
