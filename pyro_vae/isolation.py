"""A call has the process to itself while it lasts, and leaves it as it was.

PyTorch's generator and Pyro's stack of handlers belong to the process, not to a thread or a
model: whoever seeds the one or pushes on the other does it inside ``isolated``, so that a
simulation study keeps its own stream of draws, and models that are trained in several threads
do not draw from each other's. Threads therefore take turns.
"""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from pyro_vae.on_demand import without_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["isolated", "reseed"]

#: Re-entrant, since one public call is often made of others.
_TURN = threading.RLock()


@contextmanager
def isolated(seed: int | None = None) -> Iterator[None]:
    """Keep PyTorch's, NumPy's and Python's generators and PyTorch's number of threads.

    Warning filters stay too, though a library is imported inside.

    Parameters
    ----------
    seed
        Seed of PyTorch's generators inside; they go on as they are unless given.
    """
    with _TURN, without_trace():
        python, numpy, threads = random.getstate(), np.random.get_state(), torch.get_num_threads()
        try:
            with _torch_generators_kept():
                if seed is not None:
                    reseed(seed)
                yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)


def reseed(seed: int) -> None:
    """Seed the generators of the CPU and of the GPUs, inside ``isolated``.

    Without a GPU ``torch.manual_seed`` would put off its seeding with a formatted stack, at every
    call and for ever: a third of the time of measuring a small model.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)


@contextmanager
def _torch_generators_kept() -> Iterator[None]:
    """Keep the state of the CPU's generator and of every GPU's."""
    on_gpu = torch.cuda.is_initialized()
    begun_with = torch.initial_seed()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if on_gpu else ()):
        yield
    if not on_gpu and torch.cuda.is_available():
        # A GPU that is not in use yet has no state, but the seed that it will start from.
        torch.cuda.manual_seed_all(begun_with)
