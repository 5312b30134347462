"""How the cost of ``log_evidence`` grows: time with particles and data, and peak memory."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import torch

from benchmarks.figure import Figure
from benchmarks.timing import interleaved
from pyro_vae.inference import log_evidence
from pyro_vae.models import VAE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["figures"]

_PARTICLES, _DATA, _FACTOR = 5000, 4, 4
#: Time may grow by this much more, or less, than the work; memory by a tenth.
_SLACK, _MEMORY = 1.25, 1.1


def figures() -> Iterator[Figure]:
    """The growth with four times the particles, and the data."""
    torch.manual_seed(0)
    vae = VAE((28, 28), 20, encoder=(400,), decoder=(400,))
    x = (torch.rand(_FACTOR * _DATA, 28, 28) < 0.2).float()

    def run(particles: int, data: int) -> None:
        log_evidence(vae.model, vae.guide, x[:data], particles)

    run(_PARTICLES, _DATA)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    median = interleaved(
        {
            "base": lambda: run(_PARTICLES, _DATA),
            "particles": lambda: run(_FACTOR * _PARTICLES, _DATA),
            "data": lambda: run(_PARTICLES, _FACTOR * _DATA),
        },
        rounds=7,
        warm_up=1,
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / before
    linear = {"at_most": _SLACK * _FACTOR, "at_least": _FACTOR / _SLACK}
    for name in ("particles", "data"):
        what = f"log p(x), {_FACTOR} times the {name}"
        yield Figure(what, median[name] / median["base"], "times as long", **linear)
    what = f"log p(x), {_FACTOR} times the particles or data, peak memory"
    yield Figure(what, memory, "of that before", at_most=_MEMORY)
