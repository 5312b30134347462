"""Decoded samples per second of ``log_evidence``, as a share of the decoder's matrix products."""

from __future__ import annotations

import torch

from benchmarks.timing import interleaved
from pyro_vae.inference import log_evidence
from pyro_vae.models import VAE

__all__ = ["report"]

_TARGET = 0.5
_PARTICLES = 5000
_DATA = 4


def report() -> bool:
    """Print the share; whether the target is met."""
    torch.manual_seed(0)
    vae = VAE((28, 28), 20, encoder=(400,), decoder=(400,))
    x = (torch.rand(_DATA, 28, 28) < 0.2).float()
    first, last = vae.decoder[0], vae.decoder.output
    z, hidden = torch.randn(_PARTICLES, 20), torch.randn(_PARTICLES, 400)
    out_hidden, out_x = torch.empty(_PARTICLES, 400), torch.empty(_PARTICLES, 784)

    def estimate() -> None:
        log_evidence(vae.model, vae.guide, x, _PARTICLES)

    def products() -> None:
        with torch.no_grad():
            for _ in range(_DATA):
                torch.mm(z, first.weight.T, out=out_hidden)
                torch.mm(hidden, last.weight.T, out=out_x)

    median = interleaved({"estimate": estimate, "products": products}, rounds=30)
    share = median["products"] / median["estimate"]
    per_second = _DATA * _PARTICLES / median["estimate"]
    print(
        f"log_evidence, 784-400-20, {_PARTICLES} particles: {per_second:,.0f} decoded samples/s, "
        f"{share:.2f} of what the decoder's matrix products alone would allow "
        f"(target at least {_TARGET})"
    )
    return share >= _TARGET
