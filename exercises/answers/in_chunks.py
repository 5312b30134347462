"""Answer: log p(x) from more particles than memory holds.

The K weights are drawn in chunks, and only a running sum is kept,

    log p(x) is estimated by log sum_k w_k - log K,    in nats for each datum.

Log-weights of a small image are near -100, of larger data below -1000: w_k itself is then zero to
the computer. Keep the logarithm of the sum, which a = log sum_k w_k and b of the next chunk
change to log(e^a + e^b) = max(a, b) + log(1 + e^-|a - b|).

    pyro-vae verify exercises/answers/in_chunks.py:log_evidence
"""

import math

import torch

from pyro_vae.inference.engine import sample_log_weights

CHUNK = 64


def log_evidence(model, guide, x, num_particles):
    """Estimate of log p(x) in nats, ``(B,)``."""
    log_total = torch.full((len(x),), -math.inf)
    for start in range(0, num_particles, CHUNK):
        size = min(CHUNK, num_particles - start)
        terms, _ = sample_log_weights(model, guide, x, size)
        log_weights = terms.log_weights  # (size, B)
        log_total = torch.logaddexp(log_total, log_weights.logsumexp(0))
    return log_total - math.log(num_particles)
