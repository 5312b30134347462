"""The importance-weighted bound.

Burda, Grosse & Salakhutdinov (2016), "Importance weighted autoencoders", arXiv 1509.00519.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

from pyro_vae.formulas import ObjectiveFormula
from pyro_vae.inference.training.objectives.weighted import WeightedObjective

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.inference.engine.weights import LogWeights

__all__ = ["IWAE", "iwae_formula", "log_mean_weight"]


@final
class IWAE(WeightedObjective):
    """IWAE_K = E[log (1/K) sum_k w_k], a lower bound that rises with K to log p(x).

    Tighter than the ELBO for any K > 1, so the decoder comes nearer to maximum likelihood; the
    signal-to-noise ratio of the encoder's gradient falls with K (Rainforth et al., 2018, arXiv
    1802.04537). K times the cost of the ELBO. With K = 1 it is the ELBO.

    ``RenyiELBO(alpha=0)`` of Pyro is the same bound on a plain plate; in a subsampled plate it
    raises the weights to the power N / B, and is no bound.
    """

    name = "iwae"
    is_bound = True

    @property
    def formula(self) -> ObjectiveFormula:
        """Formula of the bound."""
        return iwae_formula(self.num_particles)

    def bound(self, terms: LogWeights) -> Tensor:
        """Log mean_k w_k per datum, shape ``(B,)``."""
        return log_mean_weight(terms)


def iwae_formula(num_particles: int, gradient: str = "") -> ObjectiveFormula:
    """Formula of IWAE_K, and which gradient of it is taken where it is another than its own."""
    k, more = num_particles, f", {gradient}" if gradient else ""
    return ObjectiveFormula(
        f"E_q[log mean_k p(x, z_k) / q(z_k|x)], K = {k}{more}",
        f"a lower bound on log p(x) (IWAE_{k}), never below the ELBO",
    )


def log_mean_weight(terms: LogWeights) -> Tensor:
    """Log mean_k w_k per datum, shape ``(B,)``, from terms ``(K, B)``."""
    log_weights = terms.log_weights
    return log_weights.logsumexp(0) - math.log(len(log_weights))
