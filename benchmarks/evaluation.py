"""Time of ``log_evidence``, held against the matrix products of the decoder alone.

The products are those of one set of particles. A fifth more are drawn as a second opinion on the
first, 200 at least: with 100 particles three times the products are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from benchmarks.figure import Figure
from benchmarks.timing import Ratio, ratios
from pyro_vae.inference import log_evidence
from pyro_vae.models import VAE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["figures"]


class _Case(NamedTuple):
    """A network (side of the image, hidden units, latent dimensions), particles and data."""

    network: tuple[int, int, int]
    particles: int
    data: int
    at_least: float | None = None


_SMALL, _LARGE = (8, 200, 8), (28, 400, 20)
_CASES = (
    _Case(_SMALL, 100, 1),
    _Case(_SMALL, 100, 360, at_least=0.6),
    _Case(_SMALL, 1000, 360),
    _Case(_SMALL, 5000, 360),
    _Case(_LARGE, 100, 360),
    _Case(_LARGE, 1000, 60),
    _Case(_LARGE, 5000, 1),
    _Case(_LARGE, 5000, 60, at_least=0.8),
)
#: Data of a test split, of which the time is told by extrapolation.
_WHOLE = 10_000
_FEWEST = 60


def figures() -> Iterator[Figure]:
    """The share of each case, and what a whole test split would take."""
    for case in _CASES:
        (side, hidden, latent), particles, data, at_least = case
        found = _measured(case)
        share, seconds = found["products"], found["estimate"].seconds
        what = f"log p(x), {side**2}-{hidden}-{latent}, K = {particles}, N = {data}"
        yield Figure(
            f"{what}, matrix products",
            share.ratio,
            "of its time",
            share.low,
            share.high,
            at_least=at_least,
        )
        if data >= _FEWEST:
            yield Figure(f"{what}, for N = {_WHOLE}", seconds * _WHOLE / data, "s, extrapolated")
        else:
            yield Figure(what, 1e3 * seconds, "ms")


def _measured(case: _Case) -> dict[str, Ratio]:
    """Times of the estimate and of the products, as multiples of the former."""
    (side, hidden, latent), particles, data, _ = case
    torch.manual_seed(0)
    vae = VAE((side, side), latent, encoder=(hidden,), decoder=(hidden,))
    x = (torch.rand(data, side, side) < 0.2).float()
    z, h = torch.randn(particles, latent), torch.randn(particles, hidden)
    first, last = vae.decoder[0].weight.T, vae.decoder.output.weight.T
    out_h, out_x = torch.empty(particles, hidden), torch.empty(particles, side**2)

    def estimate() -> None:
        log_evidence(vae.model, vae.guide, x, particles)

    @torch.no_grad()
    def products() -> None:
        for _ in range(data):
            torch.mm(z, first, out=out_h)
            torch.mm(h, last, out=out_x)

    both = {"estimate": estimate, "products": products}
    return ratios(both, "estimate", rounds=7, warm_up=1)
