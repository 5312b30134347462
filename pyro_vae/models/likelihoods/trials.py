"""Log-mass of independent yes/no trials by their logit, for one trial and for many."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

__all__ = ["log_mass_of_trials"]


#: Terms from which on they are added up in groups, and how many a group has.
_MANY, _GROUP = 256, 16


class _LogMass(torch.autograd.Function):
    """Forward in few buffers; backward by the derivative x - n sigmoid(u)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, u: Tensor, n: float, dims: int) -> Tensor:
        if n == 1:
            # x is 0 or 1: log sigmoid((2x - 1) u), of which nothing cancels, so that float32
            # serves until they are added up.
            return _sum(logsigmoid(u * (2.0 * x - 1.0)), dims)
        # -n log(1 + e^-|u|) - (n - x) max(u, 0) - x max(-u, 0)
        part = u.abs().neg_().exp_().log1p_().mul_(n)
        rest = u.clamp_min(0.0).mul_(n - x).addcmul_(x, u.clamp_max(0.0), value=-1.0)
        return -(_sum(part, dims) + _sum(rest, dims))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, u, ctx.n, ctx.dims = inputs
        ctx.save_for_backward(x, u)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None, None]:
        x, u = ctx.saved_tensors
        outer = grad.to(u).reshape(*grad.shape, *(1,) * ctx.dims)
        mean = torch.sigmoid(u) if ctx.n == 1 else ctx.n * torch.sigmoid(u)
        return None, (x - mean) * outer, None, None


def _sum(terms: Tensor, dims: int) -> Tensor:
    """Sum over the last dimensions, in float64; of many terms in float32, sixteen at a time.

    PyTorch makes a float64 copy of what it adds up in that type, which takes longer than the
    sum. So few float32 terms lose no more than each of them has lost by itself.
    """
    if not dims:
        return terms.double()
    flat = terms.flatten(-dims)
    size = flat.shape[-1]
    if size < _MANY:
        return flat.sum(-1, dtype=torch.float64)
    first, rest = flat.split([size - size % _GROUP, size % _GROUP], -1)
    total = first.unflatten(-1, (_GROUP, -1)).sum(-2).sum(-1, dtype=torch.float64)
    return total + rest.sum(-1, dtype=torch.float64) if rest.shape[-1] else total


def log_mass_of_trials(x: Tensor, u: Tensor, n: float, dims: int = 0) -> Tensor:
    """Log of p^x (1 - p)^(n - x) for p = sigmoid(u), added up in float64.

    Parameters
    ----------
    x
        Numbers of successes, any shape.
    u
        Logits, of a shape that broadcasts with that of x. In float32 for n = 1 alone.
    n
        Number of trials.
    dims
        Number of last dimensions to sum over.

    Returns
    -------
    Tensor
        Of the broadcast shape without its last ``dims`` sizes, float64, in nats.
    """
    shape = torch.broadcast_shapes(x.shape, u.shape)
    return _LogMass.apply(x.to(u), u.expand(shape), n, dims)
