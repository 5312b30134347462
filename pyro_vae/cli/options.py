"""The options that several commands have, each declared once, with its help.

A type is one option; a group is a frozen dataclass of options that a command takes as one
argument, and ``spread`` lays it out for Typer. What one command alone has stands in its
signature, and the options that make a model are the fields of ``Recipe``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyro_vae import data as datasets
from pyro_vae.inference.training.settings import SCHEDULES

if TYPE_CHECKING:
    from pyro_vae.data import Dataset

__all__ = [
    "Activation",
    "BatchSize",
    "Binarise",
    "DataName",
    "DataOptions",
    "DataRoot",
    "Epochs",
    "Hidden",
    "Json",
    "LatentDim",
    "LearningRate",
    "Limit",
    "MemoryMB",
    "Optimisation",
    "Particles",
    "Patience",
    "RunFolder",
    "Schedule",
    "Seed",
    "Standardise",
    "Values",
    "overwrite_of",
    "widths",
]

RunFolder = Annotated[Path, typer.Argument(help="Run folder, as made by `pyro-vae fit`.")]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the data sets. Default: PYRO_VAE_DATA, else the user's cache folder."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]
Seed = Annotated[int, typer.Option(help="Seed of the random draws.")]
Particles = Annotated[
    int,
    typer.Option(
        "--particles",
        "--num-particles",
        min=2,
        help="Draws from the guide per datum: K of the estimate of log p(x).",
    ),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Use the first so many data of the split only.")
]
MemoryMB = Annotated[
    int, typer.Option(min=1, help="Memory that one chunk of particles may take, in MiB.")
]
DataName = Annotated[str, typer.Option(help="Data set; `pyro-vae data` lists them.")]
Binarise = Annotated[
    str,
    typer.Option(
        help="none; threshold; stochastic (drawn once); dynamic (drawn afresh every epoch)."
    ),
]
Values = Annotated[
    str | None,
    typer.Option(help="Grey levels as: unit-interval; levels (whole numbers); dequantised."),
]
Standardise = Annotated[
    bool, typer.Option("--standardise", help="Features to mean 0 and standard deviation 1.")
]
LatentDim = Annotated[
    int,
    typer.Option(help="Length of z; of a hierarchical VAE's top layer, twice as long below."),
]
Hidden = Annotated[str, typer.Option(help="Hidden widths of encoder and (mirrored) decoder.")]
Activation = Annotated[
    str, typer.Option(help="Activation of the networks: relu, tanh, elu, silu, softplus.")
]
Epochs = Annotated[int, typer.Option(help="Passes over the data.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Data per step.")]
LearningRate = Annotated[float, typer.Option(help="Step size of Adam.")]
Schedule = Annotated[str, typer.Option(help=f"Learning rate over time: {', '.join(SCHEDULES)}.")]
Compile = Annotated[
    str,
    typer.Option(
        help="Steps without Pyro's handlers: auto (where worth it), off, graph (the same numbers "
        "to the bit), inductor (compiled in a minute or two; rounds in another way)."
    ),
]
Patience = Annotated[
    int | None,
    typer.Option(help="Stop after so many epochs without a better validation bound."),
]


@dataclass(frozen=True)
class DataOptions:
    """Which data, and in what form."""

    data: DataName = "digits"
    binarisation: Binarise = "none"
    values: Values = None
    standardise: Standardise = False

    def load(self, *, seed: int, data_root: Path | None, total_exposure: bool = False) -> Dataset:
        """The data set, as ``pyro_vae.data.load`` gives it."""
        return datasets.load(
            self.data,
            binarisation=self.binarisation,
            values=self.values,
            standardise=self.standardise,
            total_exposure=total_exposure,
            seed=seed,
            data_root=data_root,
        )


@dataclass(frozen=True)
class Optimisation:
    """How long, and in what steps: arguments of ``inference.fit``."""

    epochs: Epochs = 100
    batch_size: BatchSize = 128
    learning_rate: LearningRate = 1e-3
    schedule: Schedule = "constant"
    compile: Compile = "auto"


def overwrite_of(what: str) -> Any:
    """The flag ``--overwrite``, with what it replaces: the type of one is ``bool``."""
    return typer.Option("--overwrite", help=f"Replace {what}.")


def widths(text: str) -> tuple[int, ...]:
    """Widths of layers, from numbers with commas between."""
    try:
        return tuple(int(width) for width in text.split(",") if width.strip())
    except ValueError:
        raise typer.BadParameter(
            f"--hidden got {text!r}: give widths with commas between, as in 200,200"
        ) from None
