"""Finite mixture: the same story with a discrete z, whose log p(x) is exact.

z ~ Categorical(pi), x | z = m ~ p(x | eta_m). With Normal components it is the Gaussian
mixture; a VAE is the mixture with one component for every point of a continuous z.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final, get_args

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import TraceEnum_ELBO
from torch import nn

from pyro_vae.conversion import takes_data
from pyro_vae.errors import DataError, ProgramError, UnknownNameError
from pyro_vae.formulas import ObjectiveFormula, described
from pyro_vae.models.latent_variable_model import LatentVariableModel, data_plate, objective_text
from pyro_vae.models.likelihoods import Likelihood, MultivariateNormal, Normal
from pyro_vae.models.missing import completed, require_observed_shape
from pyro_vae.models.parameters import declare_parameters
from pyro_vae.on_demand import library
from pyro_vae.settings import require_part, require_positive_integer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyro.infer import ELBO
    from sklearn.mixture import GaussianMixture
    from torch import Tensor

__all__ = ["MixtureModel"]

_Missing = Literal["none", "marginal"]


@final
class MixtureModel(LatentVariableModel):
    """Mixture of ``num_components`` distributions of one likelihood family.

    ``model`` and ``guide`` are plain Pyro programs with one plate ``"data"``; the categorical
    site ``"z"`` is summed out by ``TraceEnum_ELBO``, so the guide is empty and the training
    objective is log p(x) itself.

    Parameters
    ----------
    num_components
        Number M of components.
    likelihood
        Family of the components. ``Normal("latent")`` gives every component its own diagonal
        scale, ``MultivariateNormal()`` its own covariance.
    event_shape
        Shape of one datum; learned from the data by ``initialise`` where it is left out.
    missing
        ``"marginal"``: data come with ``observed``, and missing cells are integrated out.
        ``"none"``: a data set with missing cells is refused.

    Raises
    ------
    ValueError
        If ``num_components`` is not positive.
    """

    _roles: ClassVar[dict[str, Any]] = {"likelihood": Likelihood}

    def __init__(
        self,
        num_components: int,
        likelihood: Likelihood,
        event_shape: Sequence[int] | None = None,
        *,
        missing: _Missing = "none",
    ) -> None:
        super().__init__()
        if missing not in get_args(_Missing):
            raise UnknownNameError("way with missing cells", missing, get_args(_Missing))
        require_positive_integer("num_components", num_components, "such as 20")
        require_part("likelihood", likelihood, Likelihood, "Normal()")
        self.num_components = num_components
        self.missing = missing
        self.likelihood = likelihood
        self.event_shape: tuple[int, ...] | None = None
        self.initialised = False
        self.config = None
        if event_shape is not None:
            self._build(tuple(event_shape))

    @classmethod
    def from_sklearn(cls, mixture: GaussianMixture, *, min_scale: float = 1e-6) -> MixtureModel:
        """Take over a fitted ``sklearn.mixture.GaussianMixture``, diagonal or full.

        Parameters
        ----------
        mixture
            The fitted mixture.
        min_scale
            Lower bound of the scales, below every scale of the fit.

        Raises
        ------
        ValueError
            If the covariance type is neither ``"diag"`` nor ``"full"``.
        """
        likelihood: Normal | MultivariateNormal
        if mixture.covariance_type == "diag":
            likelihood = Normal("latent", min_scale=min_scale)
        elif mixture.covariance_type == "full":
            likelihood = MultivariateNormal(min_scale=min_scale)
        else:
            raise ValueError(
                f"covariance_type of the mixture got {mixture.covariance_type!r}: it must be "
                "'diag' or 'full'"
            )
        means = torch.as_tensor(mixture.means_)
        model = cls(mixture.n_components, likelihood, (means.shape[1],)).to(means.dtype)
        eta = likelihood.eta_from_moments(means, torch.as_tensor(mixture.covariances_))
        with torch.no_grad():
            model.logits.copy_(torch.as_tensor(mixture.weights_).log())
            model.eta.copy_(eta)
        model.initialised = True
        return model

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what the programs take beside x."""
        return () if self.missing == "none" else ("observed",)

    @takes_data("x")
    def initialise(self, x: Tensor, *, observed: Tensor | None = None, seed: int = 0) -> None:
        """Start from k-means++ clusters: their shares, and their moments as components.

        Parameters
        ----------
        x
            Data ``(n, *event_shape)``, at least one row per component.
        observed
            Which cells are there: clusters are of rows whose missing cells have the mean of
            their column, and the moments of a cluster are those of its own observed cells.
        seed
            Seed of k-means++ (Arthur & Vassilvitskii, 2007).

        Raises
        ------
        DataError
            If there are fewer rows than components.
        """
        if self.event_shape is None:
            self._build(tuple(x.shape[1:]))
        x = self._filled(x, observed)
        self.likelihood.check(x)
        self.initialised = True
        if len(x) < self.num_components:
            raise DataError(
                f"x has {len(x)} rows: a mixture of {self.num_components} components needs at "
                "least one row each"
            )
        flat = _mean_filled(x.flatten(1).cpu().double(), observed).numpy()
        kmeans = library("sklearn.cluster").KMeans(
            self.num_components, init="k-means++", n_init=1, random_state=seed
        )
        cluster = torch.as_tensor(kmeans.fit_predict(flat).astype(np.int64), device=x.device)
        x = completed(x, observed)
        self.likelihood.initialise(x)
        everywhere = self.likelihood.moment_eta(x)
        with torch.no_grad():
            sizes = torch.bincount(cluster, minlength=self.num_components)
            self.logits.copy_(torch.log((sizes + 1.0) / (len(x) + self.num_components)))
            for m in range(self.num_components):
                members = x[cluster == m]
                if observed is not None:
                    members = completed(members, observed[cluster == m])
                # A lone point has no variance: it borrows that of all the data.
                eta = self.likelihood.moment_eta(members) if len(members) > 1 else everywhere
                self.eta[m].copy_(eta)

    def model(
        self, x: Tensor | None = None, num_data: int = 1, observed: Tensor | None = None
    ) -> Tensor:
        """Generative story: z ~ Categorical(pi), x | z ~ p(x | eta_z).

        Takes what ``VAE.model`` takes; returns x, observed or drawn, ``(..., B, *event_shape)``.
        """
        self._require_shape()
        if x is not None:
            x = self._filled(x, observed)
            self.likelihood.check(x)
        declare_parameters(mixture=self)
        with data_plate(x, observed, num_data=num_data):
            z = pyro.sample(
                "z",
                dist.Categorical(logits=self.logits.double(), validate_args=False),
                infer={"enumerate": "parallel"},
            )
            return pyro.sample("x", self.likelihood(self.eta[z], observed=observed), obs=x)

    def guide(
        self, x: Tensor | None = None, num_data: int = 1, observed: Tensor | None = None
    ) -> None:
        """No sites: z is summed out, so q(z | x) is the posterior itself."""

    @takes_data("x", gradients=True, wide=True)
    def log_prob(
        self, x: Tensor, observed: Tensor | None = None, *, chunk_size: int = 1024
    ) -> Tensor:
        """Exact log p(x) = log sum_m pi_m p(x | eta_m), in nats.

        Parameters
        ----------
        x
            Data ``(n, *event_shape)``.
        observed
            Which cells are there, bool of that shape; log p(x) is then of these.
        chunk_size
            Rows at a time; it bounds the memory and has no effect on the result.

        Returns
        -------
        Tensor
            Shape ``(n,)``, float64.
        """
        parts = self._parts(x, observed, chunk_size)
        return torch.cat([self._joint(*part).logsumexp(-1) for part in parts])

    @takes_data("x", gradients=True, wide=True)
    def responsibilities(
        self, x: Tensor, observed: Tensor | None = None, *, chunk_size: int = 1024
    ) -> Tensor:
        """Exact posterior p(z = m | x), shape ``(n, M)``; rows sum to one."""
        parts = self._parts(x, observed, chunk_size)
        return torch.cat([self._joint(*part).softmax(-1) for part in parts]).to(self.logits)

    @takes_data("x", gradients=True)
    def code(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Responsibilities: where a datum sits among the components, ``(n, M)``."""
        return self.responsibilities(x, observed)

    def component_means(self) -> Tensor:
        """Mean of every component, ``(M, *event_shape)``."""
        self._require_shape()
        return self.likelihood(self.eta).mean

    def default_objective(self) -> ELBO:
        """``TraceEnum_ELBO``, which sums z out."""
        return TraceEnum_ELBO(max_plate_nesting=1)

    def description(self, objective: ELBO | None = None) -> str:
        """Text of ``describe``."""
        about = described(objective or self.default_objective())
        goal = about.formula
        if about.is_elbo and about.enumerate_discrete:
            goal = ObjectiveFormula(
                "log p(x) = log sum_z p(z) p(x | z)",
                "log p(x) itself, not a bound on it: z is summed out",
            )
        features = "?" if self.event_shape is None else math.prod(self.event_shape)
        return "\n".join(
            [
                f"Mixture  x in R^{features}, shape {self.event_shape}; one plate 'data'",
                f"  model      z ~ Categorical(pi),  {self.num_components} components  [site 'z']",
                f"             {self.likelihood.formula()}  with an eta per component  [site 'x']",
                "  guide      none: z is summed out, and p(z | x) is exact",
                objective_text(goal.formula, goal.bound),
                self._units(),
            ]
        )

    def _build(self, event_shape: tuple[int, ...]) -> None:
        self.event_shape = event_shape
        self.likelihood.build(event_shape)
        self.config = {
            "model": "mixture",
            "num_components": self.num_components,
            "likelihood": self.likelihood.to_config(),
            "event_shape": list(event_shape),
            **({} if self.missing == "none" else {"missing": self.missing}),
        }
        self.logits = nn.Parameter(torch.zeros(self.num_components))
        size = self.likelihood.num_params(event_shape)
        # Placeholders: equal components would have equal gradients and stay equal for ever,
        # so `initialise` gives each its own cluster.
        self.eta = nn.Parameter(torch.zeros(self.num_components, size))

    def _filled(self, x: Tensor, observed: Tensor | None) -> Tensor:
        """Data with a legal value, which has no effect, in the cells that are missing."""
        if observed is None:
            return x
        require_observed_shape(x, observed)
        return self.likelihood.filled(x, observed)

    @staticmethod
    def _parts(
        x: Tensor, observed: Tensor | None, size: int
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Rows and their masks, so many at a time."""
        masks = itertools.repeat(None) if observed is None else observed.split(size)
        return zip(x.split(size), masks, strict=False)

    def _joint(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Terms log pi_m + log p(x | eta_m), shape ``(n, M)``."""
        self._require_shape()
        x = self._filled(x, observed)
        self.likelihood.check(x)
        mask = None if observed is None else observed.unsqueeze(1)
        log_likelihood = self.likelihood(self.eta, observed=mask).log_prob(x.unsqueeze(1))
        return self.logits.double().log_softmax(-1) + log_likelihood

    def _require_shape(self) -> None:
        if self.event_shape is None:
            raise ProgramError(
                "event_shape is not known yet: call initialise(x) with the training data, or "
                "give MixtureModel an event_shape"
            )


def _mean_filled(flat: Tensor, observed: Tensor | None) -> Tensor:
    """Rows ``(n, D)`` whose missing cells have the mean of the observed ones of their column."""
    if observed is None:
        return flat
    there = observed.flatten(1).cpu()
    mean = torch.where(there, flat, 0.0).sum(0) / there.sum(0).clamp_min(1)
    return torch.where(there, flat, mean)
