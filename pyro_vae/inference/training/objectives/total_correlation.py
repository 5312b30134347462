"""The ELBO with the total correlation of the codes weighted apart: beta-TC-VAE."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, final

import torch
from torch.distributions import Independent, Normal

from pyro_vae.errors import ProgramError, UnknownNameError
from pyro_vae.formulas import ObjectiveFormula
from pyro_vae.inference.engine.traces import latent_sites, observed_sites, sum_sites
from pyro_vae.inference.training.objectives.of_batch import BatchObjective

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.inference.training.objectives.of_batch import BatchTraces

__all__ = ["BetaTCELBO"]


@final
class BetaTCELBO(BatchObjective):
    """E_q[log p(x|z)] - alpha I(n; z) - beta TC(q(z)) - gamma sum_l KL(q(z_l) || p(z_l)).

    Chen, Li, Grosse & Duvenaud (2018), arXiv 1802.04942: over the N data the mean KL to the
    prior is the mutual information of a datum's index n and its code, plus the total
    correlation KL(q(z) || prod_l q(z_l)) of the aggregate posterior, plus the KL of each
    dimension. A weight beta > 1 on the second alone asks for codes whose dimensions are
    independent, and does not pay for it with information about x. Needs one latent site, a
    guide of independent normals, and a prior that is independent over dimensions.

    q(z) and q(z_l) are estimated from the minibatch, at the logarithm of a mean, hence with
    bias; with alpha = beta = gamma = 1 the estimates cancel.

    Parameters
    ----------
    num_particles
        Draws per datum.
    alpha, beta, gamma
        Weights of the three parts of the KL.
    sampling
        Weights of the B data of the batch in the sum over the N data that is q(z).
        ``"weighted"``: 1 / (N B) each, as in the paper's experiments; q(z) then comes out too
        small, by a factor from B (codes far apart) to N (codes alike), and N moves the value
        but not the gradient. ``"stratified"``: 1 / N for the datum that z was drawn from, and
        (N - 1) / (N (B - 1)) for each other one; unbiased for q(z), and q(z) itself where the
        batch is all the data.

    Attributes
    ----------
    num_data
        Number N of data that the batches are drawn from; set by ``of``, which ``fit`` calls.
        None for the size of the data plate.
    """

    name = "beta-tc-elbo"

    def __init__(
        self,
        num_particles: int = 1,
        *,
        beta: float = 6.0,
        alpha: float = 1.0,
        gamma: float = 1.0,
        sampling: Literal["weighted", "stratified"] = "weighted",
    ) -> None:
        super().__init__(num_particles)
        for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
            if not value >= 0 or not math.isfinite(value):
                raise ValueError(f"{name} got {value!r}: it must be a number from 0")
        if sampling not in ("weighted", "stratified"):
            raise UnknownNameError("sampling", sampling, ("weighted", "stratified"))
        self.alpha, self.beta, self.gamma, self.sampling = alpha, beta, gamma, sampling
        self.num_data: int | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The weight of the total correlation, and what else differs from the defaults."""
        found: dict[str, Any] = {"beta": self.beta}
        found |= {k: getattr(self, k) for k in ("alpha", "gamma") if getattr(self, k) != 1}
        return found if self.sampling == "weighted" else {**found, "sampling": self.sampling}

    @property
    def is_bound(self) -> bool:
        """For weights of 1, where the estimates of q(z) cancel."""
        return (self.alpha, self.beta, self.gamma) == (1, 1, 1)

    @property
    def formula(self) -> ObjectiveFormula:
        """Formula, and for which weights it is a bound."""
        weights = (self.alpha, self.beta, self.gamma)
        if self.is_bound:
            bound = "a lower bound on log p(x): the three parts add up to the ELBO's KL"
        elif min(weights) >= 1:
            bound = (
                "at most the mean ELBO over the data with q(z) itself; NOT a bound with q(z) "
                "estimated from a batch, and not to be compared between models"
            )
        else:
            bound = "NOT a bound; not to be compared between models"
        a, b, c = weights
        return ObjectiveFormula(
            f"E_q[log p(x|z)] - {a:g} I(n; z) - {b:g} TC(q(z)) - {c:g} sum_l KL(q(z_l) || p(z_l))",
            bound,
        )

    def of(self, num_data: int) -> None:
        """Take the number N of data that the batches are drawn from."""
        if num_data < 1:
            raise ValueError(f"num_data got {num_data}: it must be at least 1")
        self.num_data = num_data

    def total(self, at: BatchTraces) -> Tensor:
        """Reconstruction of the batch, less the three parts of its KL."""
        cross = _cross_log_guide(at, self.num_particles)
        log_share = self._log_share(at.size, at.scale).to(cross)
        # log q(z_k) = log sum_c share_bc q(z_k | x_c), and the same for each dimension.
        log_marginal = (cross.sum(-1) + log_share).logsumexp(2)
        log_product = (cross + log_share[..., None]).logsumexp(2).sum(-1)
        log_guide, log_prior, log_likelihood = (
            sum_sites(sites, at.structure, self.num_particles, at.size)
            for sites in (latent_sites(at.guide), latent_sites(at.model), observed_sites(at.model))
        )
        total = (
            log_likelihood
            - self.alpha * (log_guide - log_marginal)
            - self.beta * (log_marginal - log_product)
            - self.gamma * (log_product - log_prior)
        )
        return total.mean(0).sum()

    def _log_share(self, size: int, scale: float) -> Tensor:
        """Logarithm of each datum's weight in q(z), for draws of each datum, ``(B, B)``."""
        num_data = self.num_data or round(scale * size)
        if size > num_data:
            raise ValueError(
                f"a batch of {size} data is more than the num_data={num_data} it is drawn from: "
                f"call of({size}) or a larger number"
            )
        if self.sampling == "weighted":
            return torch.full((size, size), -math.log(num_data * size), dtype=torch.double)
        others = (num_data - 1) / (num_data * max(size - 1, 1))
        share = torch.full((size, size), others, dtype=torch.double)
        return share.fill_diagonal_(1 / num_data).log()


def _cross_log_guide(at: BatchTraces, particles: int) -> Tensor:
    """Log q(z_l | x_c) of draws k of datum b under every datum c, ``(K, B, B, L)``."""
    site, *others = latent_sites(at.guide)
    if others:
        names = ", ".join(repr(other["name"]) for other in (site, *others))
        raise ProgramError(
            f"latent sites {names}: the total correlation needs a guide with one latent site; "
            "take beta-elbo"
        )
    q, p = site["fn"], at.model.nodes[site["name"]]["fn"]
    factorised = isinstance(q, Independent) and isinstance(q.base_dist, Normal)
    if not factorised or at.structure.max_plate_nesting > 1:
        raise ProgramError(
            f"latent site {site['name']!r}: the total correlation needs a guide of independent "
            "normals, as the mean-field guide, in the data plate alone; take beta-elbo"
        )
    if not isinstance(p, Independent):
        raise ProgramError(
            f"latent site {site['name']!r}: the total correlation needs a prior that is "
            "independent over dimensions, as the standard normal; take beta-elbo"
        )
    shape = (particles, at.size, -1)
    value = site["value"]
    loc, spread = (
        part.expand(value.shape).reshape(shape)[0] for part in (q.base_dist.loc, q.base_dist.scale)
    )
    return Normal(loc, spread, validate_args=False).log_prob(value.reshape(shape)[:, :, None])
