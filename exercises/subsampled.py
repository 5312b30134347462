"""Exercise: the importance-weighted bound of a part of the data.

In ``pyro.plate("data", N, subsample_size=B)`` Pyro multiplies the log-probability of each of the B
data by N / B, so that their sum stands for all N. The bound of a datum must be multiplied, not its
log-weights: inside the logarithm N / B is an exponent of the weights,

    N / B log (1/K sum_k w_k)    and not    log (1/K sum_k w_k^(N / B)),    in nats.

A site of a trace has ``"log_prob"``, with that factor in it, ``"unscaled_log_prob"``, without, and
``"scale"``, the factor. Below the log-weights have it in them.

    pyro-vae verify exercises/subsampled.py:Subsampled
"""

import math

import pyro
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO


class Subsampled(Trace_ELBO):
    """The logarithm of the mean weight, for a latent site ``z`` and data ``x`` in a plate."""

    def differentiable_loss(self, model, guide, x):
        """Minus the bound, summed over the data."""
        with pyro.plate("particles", self.num_particles, dim=-2):
            guide_trace = poutine.trace(guide).get_trace(x)
            model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(x)
        guide_trace.compute_log_prob()
        model_trace.compute_log_prob()
        q, p, data = guide_trace.nodes["z"], model_trace.nodes["z"], model_trace.nodes["x"]
        log_weights = p["log_prob"] + data["log_prob"] - q["log_prob"]  # (K, B)
        bound = log_weights.logsumexp(0) - math.log(self.num_particles)
        return -bound.sum()

    def loss(self, model, guide, x):
        """The same as a number."""
        with torch.no_grad():
            return float(self.differentiable_loss(model, guide, x))

    def loss_and_grads(self, model, guide, x):
        """The same, its gradient added to the parameters' ``grad``."""
        loss = self.differentiable_loss(model, guide, x)
        loss.backward()
        return loss.item()
