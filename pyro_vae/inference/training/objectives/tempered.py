"""ELBO with another weight on the KL, Rényi's bounds, and free bits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, final

import torch
from torch.distributions import Independent, kl_divergence

from pyro_vae.errors import ProgramError, UnknownNameError
from pyro_vae.formulas import ObjectiveFormula
from pyro_vae.inference.engine.traces import latent_sites, observed_sites, sum_sites
from pyro_vae.inference.training.objectives.of_batch import BatchObjective
from pyro_vae.inference.training.objectives.weighted import WeightedObjective

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.inference.engine.weights import LogWeights
    from pyro_vae.inference.training.objectives.of_batch import BatchTraces

__all__ = ["BetaELBO", "FreeBits", "RenyiBound"]


@final
class BetaELBO(WeightedObjective):
    """E_q[log p(x|z)] - beta KL(q(z|x) || p(z)), beta fixed or moving with the training.

    Higgins et al. (2017) for beta > 1; annealing from 0 to beta, Bowman et al. (2016), arXiv
    1511.06349, and in cycles, Fu et al. (2019), arXiv 1903.10145, against posterior collapse.
    A lower bound on log p(x) for beta >= 1, and no bound below. Evaluation is always of the
    model itself, at beta = 1.

    Parameters
    ----------
    num_particles
        Draws per datum.
    beta
        Weight of the KL, the last one where it moves.
    schedule
        ``"constant"``; ``"linear"``, from 0 to beta over a share of the training; or
        ``"cyclical"``, the same again in every cycle.
    share
        Share of the training, or of a cycle, over which beta rises.
    cycles
        Number of cycles.
    enumerate_discrete
        As for ``WeightedObjective``.
    """

    name = "beta-elbo"
    comparable = False
    #: Of its attributes those that ``at`` changes.
    moving = ("weight",)

    def __init__(
        self,
        num_particles: int = 1,
        *,
        beta: float = 1.0,
        schedule: Literal["constant", "linear", "cyclical"] = "constant",
        share: float = 0.5,
        cycles: int = 4,
        enumerate_discrete: bool = False,
    ) -> None:
        super().__init__(num_particles, enumerate_discrete=enumerate_discrete)
        if not beta >= 0 or not math.isfinite(beta):
            raise ValueError(f"beta got {beta!r}: it must be a number from 0")
        if schedule not in ("constant", "linear", "cyclical"):
            raise UnknownNameError(
                "schedule of beta", schedule, ("constant", "linear", "cyclical")
            )
        if not 0 < share <= 1 or cycles < 1:
            raise ValueError(
                f"share got {share!r} and cycles {cycles!r}: the share must be in (0, 1], and "
                "there must be at least one cycle"
            )
        self.beta, self.schedule, self.share, self.cycles = beta, schedule, share, cycles
        self.weight = beta
        self.at(0.0)

    @property
    def settings(self) -> dict[str, Any]:
        """What differs from the defaults."""
        found: dict[str, Any] = {"beta": self.beta}
        if self.schedule != "constant":
            found |= {"schedule": self.schedule, "share": self.share}
        if self.schedule == "cyclical":
            found["cycles"] = self.cycles
        return found

    def at(self, share: float) -> None:
        """Take the weight that belongs to a share of the training done, in [0, 1)."""
        if self.schedule == "constant":
            return
        if self.schedule == "cyclical":
            share = share * self.cycles % 1.0
        self.weight = self.beta * min(1.0, share / self.share)

    @property
    def is_bound(self) -> bool:
        """For a fixed beta from 1: a schedule starts below."""
        return self.schedule == "constant" and self.beta >= 1

    @property
    def formula(self) -> ObjectiveFormula:
        """Formula, and whether it is a bound."""
        moving = "" if self.schedule == "constant" else f", {self.schedule} from 0"
        bound = "a lower bound on log p(x)" if self.beta >= 1 else "NOT a bound on log p(x)"
        if self.schedule != "constant":
            bound += " at the end of the schedule, and NOT one before"
        return ObjectiveFormula(
            f"E_q[log p(x|z)] - beta KL(q(z|x) || p(z)), beta = {self.beta:g}{moving}",
            f"{bound}; models are compared at beta = 1",
        )

    def bound(self, terms: LogWeights) -> Tensor:
        """Mean of log p(x|z) - beta (log q(z|x) - log p(z)) per datum."""
        kl = terms.log_guide - terms.log_prior
        return (terms.log_likelihood - self.weight * kl).mean(0)


@final
class RenyiBound(WeightedObjective):
    """1/(1-alpha) log mean_k w_k^(1-alpha): between IWAE_K (alpha = 0) and the ELBO (alpha = 1).

    Li & Turner (2016), arXiv 1602.02311. A lower bound in expectation for alpha >= 0; a
    negative alpha aims at an upper bound, which finite K does not keep. Larger alpha makes the
    guide narrower.

    Parameters
    ----------
    num_particles
        Draws K per datum.
    alpha
        Order of the divergence.
    enumerate_discrete
        As for ``WeightedObjective``.
    """

    name = "renyi"

    def __init__(
        self, num_particles: int = 8, *, alpha: float = 0.5, enumerate_discrete: bool = False
    ) -> None:
        super().__init__(num_particles, enumerate_discrete=enumerate_discrete)
        if not math.isfinite(alpha):
            raise ValueError(f"alpha got {alpha!r}: it must be a finite number")
        self.alpha = alpha

    @property
    def settings(self) -> dict[str, Any]:
        """The order."""
        return {"alpha": self.alpha}

    @property
    def is_bound(self) -> bool:
        """For an alpha from 0."""
        return self.alpha >= 0

    @property
    def formula(self) -> ObjectiveFormula:
        """Formula, and whether it is a bound."""
        a, k = self.alpha, self.num_particles
        bound = "a lower bound on log p(x)" if self.is_bound else "NOT a bound at finite K"
        return ObjectiveFormula(f"1/(1-a) log mean_k w_k^(1-a), a = {a:g}, K = {k}", bound)

    def bound(self, terms: LogWeights) -> Tensor:
        """The bound per datum; the mean of log w where alpha is 1."""
        log_weights, order = terms.log_weights, 1.0 - self.alpha
        if order == 0:
            return log_weights.mean(0)
        if abs(order) < 0.01:
            # Near the ELBO the sum of exponentials is K to rounding: what is left is kept apart.
            mean = log_weights.mean(0)
            return mean + (order * (log_weights - mean)).expm1().mean(0).log1p() / order
        return ((order * log_weights).logsumexp(0) - math.log(len(log_weights))) / order


@final
class FreeBits(BatchObjective):
    """ELBO in which a latent dimension's KL counts for no less than a floor.

    Kingma et al. (2016), arXiv 1606.04934, appendix C.8: sum over l of max(floor, mean over the
    batch of KL(q(z_l|x) || p(z_l))). The optimiser gains nothing by taking a KL below the
    floor, so units do not collapse early. For a guide and a prior that are independent over
    dimensions; the KL is in closed form where there is one latent site and the pair has one,
    and otherwise taken from the draws, since a site's prior may hang on the draws of another.

    Parameters
    ----------
    num_particles
        Draws per datum.
    nats
        The floor of one dimension, in nats.
    """

    name = "free-bits"
    is_bound = False

    def __init__(
        self, num_particles: int = 1, *, nats: float = 0.1, enumerate_discrete: bool = False
    ) -> None:
        super().__init__(num_particles, enumerate_discrete=enumerate_discrete)
        if not nats >= 0:
            raise ValueError(f"nats got {nats!r}: it must be a number from 0")
        self.nats = nats

    @property
    def settings(self) -> dict[str, Any]:
        """The floor."""
        return {"nats": self.nats}

    @property
    def formula(self) -> ObjectiveFormula:
        """Formula, and that it is no bound."""
        return ObjectiveFormula(
            f"E_q[log p(x|z)] - sum_l max({self.nats:g}, mean over the batch of KL_l)",
            "at most the ELBO in the mean over the batch, and equal to it where no KL is below "
            "the floor; not to be compared between models",
        )

    def total(self, at: BatchTraces) -> Tensor:
        """Reconstruction of the batch, less its KL with a floor under each dimension."""
        observed = observed_sites(at.model)
        reconstruction = sum_sites(observed, at.structure, self.num_particles, at.size)
        sites = latent_sites(at.guide)
        kls = [
            _kl_per_dimension(site, at.model.nodes[site["name"]]["fn"], closed=len(sites) == 1)
            for site in sites
        ]
        floors = torch.stack([kl.clamp_min(self.nats).sum() for kl in kls]).sum()
        return reconstruction.mean(0).sum() - at.size * floors


def _kl_per_dimension(site: dict[str, Any], p: Any, *, closed: bool) -> Tensor:
    """Mean over particles and data of KL(q_l || p_l), shape ``(L,)``."""
    q = site["fn"]
    if not isinstance(q, Independent) or not isinstance(p, Independent):
        raise ProgramError(
            f"latent site {site['name']!r}: free bits need a guide and a prior that are "
            "independent over dimensions, as the mean-field and the standard normal; take "
            "beta-elbo with a schedule"
        )
    try:
        if not closed:
            raise NotImplementedError
        kl = kl_divergence(q.base_dist, p.base_dist)
    except NotImplementedError:
        kl = q.base_dist.log_prob(site["value"]) - p.base_dist.log_prob(site["value"])
    return kl.reshape(-1, kl.shape[-1]).mean(0)
