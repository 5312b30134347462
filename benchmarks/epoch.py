"""A whole epoch of ``fit``, with validation and checkpoint, as a multiple of its steps alone."""

from __future__ import annotations

import statistics
import tempfile
import time

import torch
from pyro.infer import Trace_ELBO

from pyro_vae.data import Dataset
from pyro_vae.inference import fit
from pyro_vae.inference.training.by_graph import ByGraph
from pyro_vae.inference.training.devices import fabric_on
from pyro_vae.inference.training.loss import Loss, ThroughHandlers
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
    steps = _seconds_of_steps(vae, x)
    ratio = epoch / steps
    print(
        f"epoch of {_IMAGES} images, 784-400-20, batch {_BATCH}: {epoch:.2f} s, {ratio:.2f} times "
        f"its steps alone (target at most {_TARGET}; {_VALIDATION} images are validated)"
    )
    return ratio <= _TARGET


def _seconds_of_steps(vae: VAE, x: torch.Tensor) -> float:
    """Time of the steps of an epoch, by their median."""
    fabric = fabric_on("cpu", 1, "32-true")
    plain = Loss(vae, Trace_ELBO())
    loss, optimiser = fabric.setup(plain, torch.optim.Adam(vae.parameters(), fused=True))
    handlers = ThroughHandlers(loss, fabric)
    batch_loss = ByGraph(handlers, plain, {}, always=True, trusts_data=True)
    vae.train()
    batch_loss.begin_epoch()
    seconds = []
    for step in range(150):
        part = x[step * 32 : step * 32 + _BATCH]
        started = time.perf_counter()
        found = batch_loss(part, 1 / _BATCH)
        found.loss.item()
        found.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[10:]) * _IMAGES / _BATCH
