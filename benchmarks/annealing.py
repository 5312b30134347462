"""Time of ``ais``, held against the gradients of the decoder that it has to take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmarks.figure import Figure
from benchmarks.timing import ratios
from pyro_vae.inference.evidence import ais
from pyro_vae.models import VAE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["figures"]

_DATA, _CHAINS, _TEMPERATURES, _LEAPFROG = 20, 16, 25, 10
_AT_LEAST = 0.6


def figures() -> Iterator[Figure]:
    """The share of the gradients."""
    torch.manual_seed(0)
    vae = VAE((28, 28), 20, encoder=(400,), decoder=(400,))
    x = (torch.rand(_DATA, 28, 28) < 0.2).float()
    z = torch.randn(_CHAINS * _DATA, 20)
    # A warm-up and the measured run, each transition from a point with its own gradient.
    number = 2 * _TEMPERATURES * (_LEAPFROG + 1)

    def annealed() -> None:
        ais(
            vae.model,
            vae.guide,
            x,
            num_temperatures=_TEMPERATURES,
            num_chains=_CHAINS,
            num_leapfrog=_LEAPFROG,
        )

    def gradients() -> None:
        for _ in range(number):
            u = z.detach().requires_grad_()
            torch.autograd.grad(vae.decoder(u).sum(), u)

    found = ratios({"ais": annealed, "gradients": gradients}, "ais", rounds=5, warm_up=1)
    share = found["gradients"]
    yield Figure(
        f"AIS, 784-400-20, {_CHAINS} chains, N = {_DATA}, gradients of the decoder",
        share.ratio,
        "of its time",
        share.low,
        share.high,
        at_least=_AT_LEAST,
    )
