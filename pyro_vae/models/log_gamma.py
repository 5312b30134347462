"""Pieces of log-probabilities made of gamma functions, without their cancellation.

log Gamma(a) grows as a log a, and the densities are small differences of such terms: at counts
near 2e7 in float32 PyTorch's Poisson is wrong by tens of nats. Here the large parts are
cancelled on paper, as in Loader (2000), "Fast and accurate computation of binomial
probabilities": what is left are Stirling's remainder J(a) and logarithms of ratios near one.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["log_factorial_remainder", "log_ratio", "log_rising", "stirling_remainder"]

# Where the series takes over: what it leaves out is below 1e-15.
_LARGE = 10.0
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def stirling_remainder(a: Tensor, log_a: Tensor | None = None) -> Tensor:
    """J(a) = log Gamma(a) - [(a - 1/2) log a - a + log(2 pi) / 2] for a > 0, elementwise.

    ``log_a`` is log a where that is known better than from a, which may have underflowed.
    """
    small = a.clamp_max(_LARGE)
    log_small = small.log() if log_a is None else log_a.clamp_max(math.log(_LARGE))
    # log Gamma(a) = log Gamma(1 + a) - log a
    exact = torch.lgamma(1.0 + small) - (small + 0.5) * log_small + small - _HALF_LOG_2PI
    return torch.where(a < _LARGE, exact, _series(a))


def _series(a: Tensor) -> Tensor:
    """Stirling's series of J(a), for a at or above the number where it takes over."""
    # Not clamped, whose slope at the number itself is 1 or 0, by the version of PyTorch.
    inverse = torch.where(a < _LARGE, _LARGE, a).reciprocal()
    square = inverse * inverse
    inner = 1 / 1260 - square * (1 / 1680 - square * (1 / 1188 - square * 691 / 360360))
    return inverse * (1 / 12 - square * (1 / 360 - square * inner))


def log_factorial_remainder(x: Tensor) -> Tensor:
    """Logarithm of x! e^x / x^x for x >= 0, elementwise: 0 at 0, log(2 pi x) / 2 for large x."""
    small, large = x.clamp_max(_LARGE), torch.where(x < _LARGE, _LARGE, x)
    exact = torch.lgamma(1.0 + small) - torch.xlogy(small, small) + small
    return torch.where(x < _LARGE, exact, _series(x) + 0.5 * large.log() + _HALF_LOG_2PI)


def log_rising(a: Tensor, x: Tensor) -> Tensor:
    """Logarithm of Gamma(a + x) / Gamma(a) for a > 0 and x >= 0, elementwise."""
    # (a + x - 1/2) log(a + x) - (a - 1/2) log a - x, with log(a + x) = log a + log(1 + x / a).
    bulk = (a + x - 0.5) * torch.log1p(x / a) + x * (a.log() - 1.0)
    return bulk + stirling_remainder(a + x) - stirling_remainder(a)


class _LogRatio(torch.autograd.Function):
    """log(x / m) by log1p of their distance over the smaller one, which no rounding spoils."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, m: Tensor, difference: Tensor) -> Tensor:
        ratio = (difference.abs() / torch.minimum(x, m)).log1p_()
        return ratio.copysign_(difference)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, m = ctx.saved_tensors
        for_x, for_m, _ = ctx.needs_input_grad
        return (
            (grad / x).sum_to_size(x.shape) if for_x else None,
            (-grad / m).sum_to_size(m.shape) if for_m else None,
            None,
        )


def log_ratio(x: Tensor, m: Tensor, difference: Tensor) -> Tensor:
    """Logarithm of x / m for positive x and m, with every digit where the two are near.

    The difference x - m is given, since it may be known better than x and m round to; it has
    no part in the gradient.
    """
    return _LogRatio.apply(x, m, difference.detach())
