"""Answer: log p(x), from which the gap is taken.

With z_1, ..., z_K drawn from q(z | x), the weights w_k = p(x, z_k) / q(z_k | x) have the mean
E_q[w] = p(x), so that

    log p(x) is estimated by log (1/K sum_k w_k),    in nats for each datum.

    pyro-vae verify exercises/answers/log_evidence.py:log_evidence
"""

import math

from pyro_vae.inference.engine import sample_log_weights


def log_evidence(model, guide, x, num_particles):
    """Estimate of log p(x) in nats, ``(B,)``, from log-weights ``(K, B)``."""
    terms, _ = sample_log_weights(model, guide, x, num_particles)
    log_weights = terms.log_weights
    return log_weights.logsumexp(0) - math.log(num_particles)
