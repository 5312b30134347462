"""Answer: the importance-weighted bound.

With z_1, ..., z_K drawn from q(z | x) and the weights w_k = p(x, z_k) / q(z_k | x),

    IWAE_K = E[log (1/K sum_k w_k)] <= log p(x),    in nats for each datum.

    pyro-vae verify exercises/answers/importance_bound.py:ImportanceBound
"""

import math

from pyro_vae.inference.training.objectives import WeightedObjective


class ImportanceBound(WeightedObjective):
    """The logarithm of the mean weight of K particles."""

    formula = "E_q[log mean_k w_k]"
    is_bound = True

    def bound(self, terms):
        """The bound of each datum, ``(B,)``, from log-weights ``(K, B)``."""
        log_weights = terms.log_weights
        return log_weights.logsumexp(0) - math.log(len(log_weights))
