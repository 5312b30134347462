"""Trainings that one process and several are compared in: ``python -m`` this, CASES, FOLDER."""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pyro_vae.data import Dataset, stream
from pyro_vae.errors import PyroVAEError
from pyro_vae.inference import fit
from pyro_vae.inference.training.devices import is_first_process
from pyro_vae.models import (
    VAE,
    VQVAE,
    Autoencoder,
    AutoregressiveCodes,
    DenoisingAutoencoder,
    HierarchicalVAE,
    LinearVAE,
    MixtureModel,
    PoorMansVAE,
)
from pyro_vae.models.likelihoods import Bernoulli
from pyro_vae.networks import Convolutional, Dense
from tests.models.test_cross_product import made_of
from tests.models.test_devices import MADE_OF, OBJECTIVES, PLAIN

#: In float64, so that what differs is no rounding of float32 that Adam has made larger.
SETTINGS = {
    "epochs": 2,
    "batch_size": 5,
    "learning_rate": 1e-2,
    "precision": "64-true",
    "compile": "off",
    "progress": False,
}


def binary(*shape):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) > 0.5
    return Dataset.from_tensors(x.double(), x[:9].double())


class OwnProgram(nn.Module):
    """A pair of a user's own, with dropout and with a layer that no step uses."""

    def __init__(self, *more):
        super().__init__()
        self.vae = VAE((8,), 2, encoder=(5,), decoder=(4,))
        self.dropout, self.unused = nn.Dropout(0.3), nn.Linear(2, 2)
        self.more = nn.ModuleList(more)

    def model(self, x):
        return self.vae.model(x)

    def guide(self, x):
        return self.vae.guide(self.dropout(x))


class NotFinite(OwnProgram):
    """A program whose code is NaN for a datum of ones, which one process has."""

    def guide(self, x):
        return self.vae.guide(torch.where(x.all(1, keepdim=True), torch.nan, x))


def with_ones():
    return Dataset.from_tensors(torch.cat([binary(21, 8).train, torch.ones(1, 8)]))


def streamed(rows):
    """The rows in a file that is read by blocks, of which a few are mixed at a time."""
    path = Path(tempfile.mkdtemp()) / "rows.npy"
    np.save(path, rows.numpy())
    return stream(path, shares=(0.55, 0.25, 0.2), memory_limit=500, seed=1)


def of_parts(names, **settings):
    torch.manual_seed(0)
    vae, x = made_of(*names)
    x = x.double().repeat(6, *(1 for _ in x.shape[1:]))[:17]
    return vae.double(), Dataset.from_tensors(x, x[:7]), settings


NORMED = Dense((6, 5), batch_norm=True)
IMAGES = Convolutional(batch_norm=True)

#: Cases by name: what makes a model, its data (22, so that the last batch has 2) and settings.
FAMILIES = {
    "batch-norm": lambda: VAE((8,), 2, encoder=NORMED, decoder=NORMED),
    "codebook": lambda: VQVAE((8,), 4, 3, 2),
    "gradient-codebook": lambda: VQVAE((8,), 4, 3, 2, updates="gradient"),
    "code-prior": lambda: VQVAE((8,), 4, 3, 2, prior=AutoregressiveCodes()),
    "own-program": OwnProgram,
    "autoencoder": lambda: Autoencoder((8,), 2),
    "denoising": lambda: DenoisingAutoencoder((8,), 2),
    "poor-mans": lambda: PoorMansVAE((8,), 2),
    "hierarchical": lambda: HierarchicalVAE((8,), (3, 2)),
    "linear": lambda: LinearVAE((8,), 2),
    "mixture": lambda: MixtureModel(3, Bernoulli(), (8,)),
}
CASES = {name: lambda make=make: (make(), binary(22, 8), {}) for name, make in FAMILIES.items()}
CASES["batch-norm-images"] = lambda: (
    VAE((8, 8), 2, encoder=IMAGES, decoder=IMAGES),
    binary(22, 8, 8),
    {},
)
CASES["batch-norm-particles"] = lambda: (*CASES["batch-norm"]()[:2], {"objective": "iwae-5"})
CASES["patience"] = lambda: (
    VAE((8,), 2),
    binary(22, 8),
    {"epochs": 40, "patience": 1, "learning_rate": 0.3, "clip_norm": 1.0},
)
CASES["streamed"] = lambda: (VAE((8,), 2), streamed(binary(40, 8).train), {})
CASES |= {"+".join(names): lambda names=names: of_parts(names) for names in MADE_OF}
CASES |= {
    name: lambda name=name: of_parts(tuple(PLAIN.values()), objective=name) for name in OBJECTIVES
}
REFUSED = {
    "torch-batch-norm": lambda: (OwnProgram(nn.BatchNorm1d(3)), binary(22, 8), {}),
    "lone-last-row": lambda: (VAE((8,), 2), binary(21, 8), {}),
    "not-finite": lambda: (NotFinite(), with_ones(), {}),
    "other-number": lambda: (VAE((8,), 2), binary(22, 8), {"devices": 3}),
}


def trained(name):
    """Weights and metrics of a case; the sentence where it is refused."""
    torch.manual_seed(1)
    model, data, settings = (CASES | REFUSED)[name]()
    try:
        found = fit(model.double(), data, **SETTINGS | settings)
    except PyroVAEError as error:
        return str(error)
    return dict(model.state_dict()), found.metrics.drop(columns="seconds"), found.stopped


def stopped_and_resumed(folder):
    """A run in one go, and one that Ctrl-C stopped in its third epoch and that went on."""
    settings = SETTINGS | {"epochs": 4}
    calls = []

    def stop(share):
        calls.append(share)
        if share == 0.5 and len(calls) > 5:
            raise KeyboardInterrupt
        return 1.0

    for run, schedule in (("whole", lambda share: 1.0), ("stopped", stop)):
        torch.manual_seed(1)
        model, data, _ = CASES["codebook"]()
        fit(model.double(), data, run=folder / run, schedule=schedule, **settings)
    torch.manual_seed(2)  # other weights, which the run replaces by its own
    model, data, _ = CASES["codebook"]()
    settings |= {"run": folder / "stopped", "resume": True, "schedule": lambda share: 1.0}
    fit(model.double(), data, **settings)


def main(names, folder):
    for name in names.split(","):
        if name == "resumed":
            stopped_and_resumed(folder)
            continue
        found = trained(name)
        if is_first_process():
            torch.save(found, folder / f"{name}.pt")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
