"""Exercise: the ELBO with its KL in closed form.

    ELBO = E_q[log p(x | z)] - KL(q(z | x) || p(z)),    in nats, summed over the data;

for normals, in each dimension of z, with q = N(m, s^2) and p = N(m0, s0^2),

    KL = ((s / s0)^2 + ((m - m0) / s0)^2 - 1 - log (s / s0)^2) / 2.

The objective is there; the formula of the KL has a mistake.

    pyro-vae verify exercises/closed_kl.py:ClosedKL
"""

import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO


def kl(q, p):
    """KL(q || p) of two normals in nats, of the shape of ``q.loc``."""
    scale = q.scale / p.scale
    shift = (q.loc - p.loc) / p.scale
    return 0.5 * (scale**2 + shift**2 - 1 - scale.log())


class ClosedKL(Trace_ELBO):
    """E_q[log p(x | z)] - KL(q(z | x) || p(z)) for a latent site ``z`` and data ``x``."""

    def differentiable_loss(self, model, guide, x):
        """Minus the ELBO, summed over the data: the mean over ``num_particles`` draws of z."""
        draws = [self._of_one_draw(model, guide, x) for _ in range(self.num_particles)]
        return -torch.stack(draws).mean()

    def loss(self, model, guide, x):
        """The same as a number."""
        with torch.no_grad():
            return float(self.differentiable_loss(model, guide, x))

    def loss_and_grads(self, model, guide, x):
        """The same, its gradient added to the parameters' ``grad``."""
        loss = self.differentiable_loss(model, guide, x)
        loss.backward()
        return loss.item()

    def _of_one_draw(self, model, guide, x):
        guide_trace = poutine.trace(guide).get_trace(x)
        model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(x)
        guide_trace.compute_log_prob()
        model_trace.compute_log_prob()
        q, p, data = guide_trace.nodes["z"], model_trace.nodes["z"], model_trace.nodes["x"]
        each = [_normal(q["fn"]), _normal(p["fn"])]
        if None in each:  # no closed form: the difference of log-densities at the draw
            divergence = q["unscaled_log_prob"] - p["unscaled_log_prob"]
        else:
            divergence = kl(*each)
            divergence = divergence.sum(-1) if q["fn"].event_shape else divergence
        return (data["scale"] * (data["unscaled_log_prob"] - divergence)).sum()


def _normal(fn):
    """The normal of each dimension of z; None for any other distribution."""
    base = fn.base_dist if isinstance(fn, dist.Independent) else fn
    return base if isinstance(base, dist.Normal) else None
