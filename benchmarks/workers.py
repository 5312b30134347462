"""How ``evaluate`` and ``ais`` are faster with two and four workers, and their start."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import joblib
import torch

from benchmarks.figure import Figure
from benchmarks.timing import interleaved
from pyro_vae.inference import evaluate
from pyro_vae.inference.evidence import ais
from pyro_vae.models import VAE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["figures"]

_TARGET = 1.7
_JOBS = 2
_MORE = 4


def figures() -> Iterator[Figure]:
    """Throughput with workers as a multiple of that with one, and how long they take to start."""
    torch.manual_seed(0)
    vae = VAE((28, 28), 50, encoder=(200, 200), decoder=(200, 200))
    x = (torch.rand(96, 28, 28) < 0.2).float()
    began = time.perf_counter()
    joblib.Parallel(_JOBS)(joblib.delayed(_pyro)() for _ in range(2 * _JOBS))
    start = time.perf_counter() - began
    works: dict[str, Callable[[int], object]] = {
        "evaluate": lambda jobs: evaluate(vae, x, 5000, n_jobs=jobs),
        "ais": lambda jobs: ais(
            vae.model, vae.guide, x, num_temperatures=20, batch_size=24, n_jobs=jobs
        ),
    }
    for name, work in works.items():
        # One number of workers after the other: a pool that is resized begins anew.
        for jobs in (_JOBS, _MORE):
            median = interleaved(
                {str(n): lambda n=n, work=work: work(n) for n in (1, jobs)},  # type: ignore[misc]
                rounds=5,
                warm_up=1,
            )
            what = f"{name}, 784-200-200-50, 96 data, {jobs} workers"
            ratio = median["1"] / median[str(jobs)]
            # As many cores are needed.
            at_least = _TARGET if jobs == _JOBS else None
            yield Figure(what, ratio, "times the throughput of one", at_least=at_least)
    yield Figure(f"start of {_JOBS} workers, PyTorch and Pyro imported", start, "s, once")


def _pyro() -> str:
    import pyro_vae.inference

    return pyro_vae.inference.__name__
