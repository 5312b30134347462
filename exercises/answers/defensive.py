"""Answer: a defensive proposal.

Where the guide is too narrow a few weights are huge. Draw each z from the guide or, with
probability 1/2, from the prior: z ~ h(z) = (q(z | x) + p(z)) / 2. The weight is then

    w = p(x | z) p(z) / h(z),    at most 2 p(x | z),    and E_h[w] = p(x).

    pyro-vae verify exercises/answers/defensive.py:log_evidence
"""

import math

import pyro
import torch
from pyro import poutine


def log_evidence(model, guide, x, num_particles):
    """Estimate of log p(x) in nats, ``(B,)``."""
    log_likelihood, log_prior, log_guide = terms(model, guide, x, num_particles)  # (K, B)
    log_mixture = torch.logaddexp(log_guide, log_prior) - math.log(2)
    log_weights = log_likelihood + log_prior - log_mixture
    return log_weights.logsumexp(0) - math.log(num_particles)


def terms(model, guide, x, num_particles):
    """Log p(x | z), log p(z) and log q(z | x), ``(K, B)`` each, at draws of z from h."""
    with pyro.plate("particles", num_particles, dim=-2):
        guided = poutine.trace(guide).get_trace(x).nodes["z"]["value"]
        prior = poutine.trace(poutine.uncondition(model)).get_trace(x).nodes["z"]["value"]
        heads = torch.rand(num_particles, len(x)) < 0.5
        heads = heads.reshape(num_particles, len(x), *(1,) * (guided.dim() - 2))
        z = {"z": torch.where(heads, guided, prior)}
        guide_trace = poutine.trace(poutine.condition(guide, z)).get_trace(x)
        model_trace = poutine.trace(poutine.condition(model, z)).get_trace(x)
    guide_trace.compute_log_prob()
    model_trace.compute_log_prob()
    nodes = model_trace.nodes
    return nodes["x"]["log_prob"], nodes["z"]["log_prob"], guide_trace.nodes["z"]["log_prob"]
