"""Softplus, its inverse, and the two distributions whose log-mass is made of it."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

__all__ = ["LogitBernoulli", "LogitBinomial", "inverse_softplus", "softplus"]


def _softplus(u: Tensor) -> Tensor:
    """Softplus in one buffer, without a gradient."""
    # Beyond 80 the exponential nears overflow, and log(1 + e^u) is u to rounding.
    out = u.clamp_max(80.0).exp_().add_(1.0).log_()
    return torch.maximum(out, u, out=out)


class _Softplus(torch.autograd.Function):
    """Forward in one buffer; backward by the derivative sigmoid(u)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor) -> Tensor:
        return _softplus(u)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        return grad * torch.sigmoid(u)


def softplus(u: Tensor) -> Tensor:
    """log(1 + e^u), elementwise, any shape.

    PyTorch's own takes ``log1p`` of each element, which has no vectorised kernel on CPU and
    costs about seven times as much. The plain logarithm's absolute error is one unit of
    rounding, which is nothing in a sum of terms of order one.
    """
    return _Softplus.apply(u)


def inverse_softplus(y: Tensor) -> Tensor:
    """Solution u of log(1 + e^u) = y > 0, stable for large and for small y."""
    return y + torch.log(-torch.expm1(-y))


class _LogMass(torch.autograd.Function):
    """x u - n log(1 + e^u), the log-mass of a Binomial without its coefficient, in one buffer."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, u: Tensor, n: Tensor | float) -> Tensor:
        return _softplus(u).mul_(-n).addcmul_(x.to(u), u)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, u, n = inputs
        ctx.save_for_backward(x, u)
        ctx.n = n

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None]:
        x, u = ctx.saved_tensors
        return None, torch.sigmoid(u).mul(-ctx.n).add(x).mul(grad), None


class LogitBernoulli(dist.Bernoulli):
    """Pyro's Bernoulli by logits, with a log-mass that evaluates fast."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass x u - log(1 + e^u) for logits u."""
        value, logits = torch.broadcast_tensors(value, self.logits)
        return _LogMass.apply(value, logits, 1.0)


class LogitBinomial(dist.Binomial):
    """Pyro's Binomial by logits, one total for all, with a log-mass that evaluates fast."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass log C(n, x) + x u - n log(1 + e^u) for logits u."""
        # One total for all, which the constructor has expanded: take it back, or the
        # coefficient would be computed for every particle.
        n = self.total_count[(0,) * self.total_count.dim()]
        log_choose = torch.lgamma(n + 1) - torch.lgamma(value + 1) - torch.lgamma(n - value + 1)
        value, logits = torch.broadcast_tensors(value, self.logits)
        return log_choose + _LogMass.apply(value, logits, n)
