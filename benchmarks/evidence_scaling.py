"""How the cost of ``log_evidence`` grows: time with particles and data, and peak memory."""

from __future__ import annotations

import resource

import torch

from benchmarks.timing import interleaved
from pyro_vae.inference import log_evidence
from pyro_vae.models import VAE

__all__ = ["report"]

_PARTICLES, _DATA, _FACTOR = 5000, 4, 4
#: Time may grow by this much more, or less, than the work; memory by a tenth.
_SLACK, _MEMORY = 1.25, 1.1


def report() -> bool:
    """Print the growth with four times the particles, and the data; whether it is linear."""
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
    growth = {name: median[name] / median["base"] / _FACTOR for name in ("particles", "data")}
    linear = all(1 / _SLACK <= ratio <= _SLACK for ratio in growth.values())
    print(
        f"log_evidence, {_FACTOR} times the particles: {_FACTOR * growth['particles']:.2f} times "
        f"the time; the data: {_FACTOR * growth['data']:.2f} times; peak memory of the process "
        f"{memory:.2f} times (targets {_FACTOR} within a quarter, and at most {_MEMORY})"
    )
    return linear and memory <= _MEMORY
