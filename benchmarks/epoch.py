"""A whole epoch of ``fit``, with validation and checkpoint, as a multiple of its steps alone."""

from __future__ import annotations

import statistics
import tempfile

import torch

from benchmarks.svi_step import step_of_fit
from benchmarks.timing import interleaved
from pyro_vae.data import Dataset
from pyro_vae.inference import fit
from pyro_vae.models import VAE

__all__ = ["report"]

_IMAGES, _VALIDATION, _BATCH, _EPOCHS = 10_000, 1_000, 128, 6
_TARGET = 1.05


def report() -> bool:
    """Print the multiple; whether the target is met."""
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
    ratio = epoch / steps
    print(
        f"epoch of {_IMAGES} images, 784-400-20, batch {_BATCH}: {epoch:.2f} s, {ratio:.2f} times "
        f"its steps alone (target at most {_TARGET}; {_VALIDATION} images are validated)"
    )
    return ratio <= _TARGET


def _seconds_of_steps(x: torch.Tensor) -> float:
    """Time of the steps of an epoch, by their median."""
    step = step_of_fit((28, 400, 20), x[:_BATCH], "graph")
    return interleaved({"step": step}, rounds=140)["step"] * _IMAGES / _BATCH
