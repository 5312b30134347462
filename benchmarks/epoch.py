"""A whole epoch of ``fit``, with validation and checkpoint, as a multiple of its steps alone."""

from __future__ import annotations

import statistics
import tempfile
from typing import TYPE_CHECKING

import torch

from benchmarks.figure import Figure
from benchmarks.svi_step import step_of_fit
from benchmarks.timing import interleaved
from pyro_vae.data import Dataset
from pyro_vae.inference import fit
from pyro_vae.models import VAE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["figures"]

_IMAGES, _VALIDATION, _BATCH, _EPOCHS = 10_000, 1_000, 128, 6
_TARGET = 1.05


def figures() -> Iterator[Figure]:
    """The multiple."""
    torch.manual_seed(0)
    x = (torch.rand(_IMAGES + _VALIDATION, 28, 28) < 0.2).float()
    data = Dataset.from_tensors(x[:_IMAGES], validation=x[_IMAGES:])
    vae = VAE((28, 28), 20, encoder=(400,), decoder=(400,))
    with tempfile.TemporaryDirectory() as folder:
        found = fit(
            vae, data, epochs=_EPOCHS, batch_size=_BATCH, compile="graph", run=f"{folder}/run"
        )
    # The first epochs record and compare.
    epochs = found.metrics["seconds"].diff().iloc[2:].dropna()
    epoch = statistics.median(epochs)
    steps = _seconds_of_steps(x)
    yield Figure(
        f"epoch of fit, {_IMAGES} images, 784-400-20, batch {_BATCH}, {_VALIDATION} validated",
        epoch / steps,
        "of its steps alone",
        at_most=_TARGET,
    )


def _seconds_of_steps(x: torch.Tensor) -> float:
    """Time of the steps of an epoch, by their median."""
    step = step_of_fit((28, 400, 20), x[:_BATCH], "graph")
    return interleaved({"step": step}, rounds=140)["step"] * _IMAGES / _BATCH
