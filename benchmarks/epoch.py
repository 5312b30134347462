"""A whole epoch of ``fit``, with validation and checkpoint, as a multiple of its steps alone."""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import TYPE_CHECKING

import torch

from benchmarks.figure import Figure
from benchmarks.svi_step import step_of_fit
from pyro_vae.data import Dataset
from pyro_vae.inference import fit
from pyro_vae.models import VAE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["figures"]

_IMAGES, _VALIDATION, _BATCH, _EPOCHS = 10_000, 1_000, 128, 16
_TARGET = 1.05

#: Epochs that are left out: the first ones record and compare.
_FIRST = 4


def figures() -> Iterator[Figure]:
    """The multiple."""
    torch.manual_seed(0)
    x = (torch.rand(_IMAGES + _VALIDATION, 28, 28) < 0.2).float()
    data = Dataset.from_tensors(x[:_IMAGES], validation=x[_IMAGES:])
    steps: list[float] = []
    vae = _between(steps, step_of_fit((28, 400, 20), x[:_BATCH], "graph"))
    with tempfile.TemporaryDirectory() as folder:
        found = fit(
            vae, data, epochs=_EPOCHS, batch_size=_BATCH, compile="graph", run=f"{folder}/run"
        )
    both = found.metrics["seconds"].diff().iloc[_FIRST:]
    alone = steps[_FIRST:]
    epochs = [together - one for together, one in zip(both, alone, strict=True)]
    share = _IMAGES / (_IMAGES // _BATCH * _BATCH)  # the last batch is smaller
    ratios = [epoch / (share * one) for epoch, one in zip(epochs, alone, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    what = f"{_IMAGES} images, 784-400-20, batch {_BATCH}, {_VALIDATION} validated"
    yield Figure(f"epoch of fit, {what}", statistics.median(epochs), "s")
    yield Figure(f"epoch of fit, {what}", ratio, "of its steps alone", low, high, at_most=_TARGET)


def _between(seconds: list[float], step: Callable[[], object]) -> VAE:
    """A VAE that makes and times the steps of another one before each epoch: they take turns."""

    class Measured(VAE):
        def train(self, mode: bool = True) -> VAE:
            if mode:
                started = time.monotonic()
                for _ in range(_IMAGES // _BATCH):
                    step()
                seconds.append(time.monotonic() - started)
            return super().train(mode)

    return Measured((28, 28), 20, encoder=(400,), decoder=(400,))
