"""The options that several commands have, each declared once, with its help.

A type is one option; a group is a frozen dataclass of options that a command takes as one
argument, and ``spread`` lays it out for Typer. What one command alone has stands in its
signature, and the options that make a model are the fields of ``Recipe``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyro_vae import data as datasets
from pyro_vae.data.hiding import PATTERNS
from pyro_vae.errors import SettingError
from pyro_vae.inference.training.settings import SCHEDULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro_vae.data import StreamedDataset

__all__ = [
    "Activation",
    "BatchSize",
    "Binarise",
    "Columns",
    "DataName",
    "DataOptions",
    "DataRoot",
    "Epochs",
    "Hidden",
    "Hide",
    "Jobs",
    "Json",
    "LatentDim",
    "LearningRate",
    "Limit",
    "MemoryMB",
    "On",
    "Optimisation",
    "Particles",
    "Patience",
    "RunFolder",
    "Schedule",
    "Seed",
    "Standardise",
    "Values",
    "numbers",
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
Jobs = Annotated[
    int | None,
    typer.Option(
        help="Processes that share the work, with one thread each; -1: one on every core. "
        "Default: this one, with all its threads."
    ),
]
MemoryMB = Annotated[
    int, typer.Option(min=1, help="Memory that one chunk of particles may take, in MiB.")
]
On = Annotated[
    Path | None,
    typer.Option(help="File with other rows of the run's schema, to measure on."),
]
DataName = Annotated[
    str,
    typer.Option(
        help="Data set, as `pyro-vae data` lists them; or the path of a file of yours: CSV, TSV, "
        "Parquet, Feather, NumPy, sparse, h5ad, idx, or a folder of images."
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        help="What columns of a table are, as in 'age=normal, stage=ordinal, site=covariate, "
        "id=drop', or a file of such lines; `pyro-vae data FILE` shows what is told by itself."
    ),
]
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
Hide = Annotated[
    str | None,
    typer.Option(
        help=f"Cells to make missing, to see how well they are imputed: {', '.join(PATTERNS)}; "
        "settings in brackets, as in 'cells(share=0.5)'."
    ),
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
Precision = Annotated[
    str,
    typer.Option(
        help="32-true; 32-medium and 32-high, which round what matrix products multiply to 7 and "
        "10 bits; bf16-mixed, 64-true."
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
    hide: Hide = None
    num_validation: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Validation data of a set with a name: the last of those that are no test data.",
        ),
    ] = None
    columns: Columns = None
    test: Annotated[
        Path | None, typer.Option(help="File with the test rows, rather than a share of --data.")
    ] = None
    validation: Annotated[
        Path | None, typer.Option(help="File with the validation rows, likewise.")
    ] = None
    shares: Annotated[
        str, typer.Option(help="Shares of a file's rows for training, validation and test.")
    ] = "0.7,0.1,0.2"
    split_by: Annotated[
        str | None, typer.Option(help="Column that says train, validation or test of every row.")
    ] = None
    group: Annotated[
        str | None,
        typer.Option(help="Column whose equal rows stay in one split, such as the patient."),
    ] = None
    drop_empty: Annotated[
        bool, typer.Option("--drop-empty", help="Leave out rows with an empty cell.")
    ] = False
    rows: Annotated[
        int | None, typer.Option(min=1, help="Read the first so many rows of a file only.")
    ] = None
    resize: Annotated[
        str | None, typer.Option(help="Height and width of all images of a folder, as in 28,28.")
    ] = None

    def load(
        self,
        *,
        seed: int,
        data_root: Path | None,
        total_exposure: bool = False,
        condition: Sequence[str] = (),
        stream_mb: int | None = None,
    ) -> Any:
        """The data set, as ``pyro_vae.data.load`` or, from a file, ``read`` gives it.

        With ``stream_mb``, rows are read by blocks, so many MiB of which are in memory.
        """
        if stream_mb is not None:
            return self._stream(seed, stream_mb, total_exposure, condition)
        form: dict[str, Any] = {
            "binarisation": self.binarisation,
            "values": self.values,
            "standardise": self.standardise,
            "hide": self.hide,
            "total_exposure": total_exposure,
            "seed": seed,
        }
        if not self._is_file():
            self._refuse_reading(condition)
            return datasets.load(
                self.data, data_root=data_root, num_validation=self.num_validation, **form
            )
        if self.num_validation is not None:
            raise SettingError(
                f"--num-validation got {self.num_validation} for a file, {self.data}: --shares "
                "and --validation say which of its rows are for validation"
            )
        return datasets.read(
            Path(self.data),
            columns=self.columns,
            validation=self.validation,
            test=self.test,
            shares=numbers(self.shares, "--shares"),
            split_by=self.split_by,
            group=self.group,
            condition=condition,
            drop_empty=self.drop_empty,
            num_rows=self.rows,
            resize=None if self.resize is None else widths(self.resize, "--resize"),
            **form,
        )

    def _stream(
        self, seed: int, stream_mb: int, total_exposure: bool, condition: Sequence[str]
    ) -> StreamedDataset:
        """A file as ``pyro_vae.data.stream`` opens it."""
        taken = ("data", "standardise", "columns", "test", "validation", "shares")
        given = [
            field.name
            for field in fields(self)
            if field.name not in taken and getattr(self, field.name) != field.default
        ]
        given += ["total_exposure"] * total_exposure + ["condition"] * bool(condition)
        if given:
            raise SettingError(
                f"--{given[0].replace('_', '-')} is for data in memory, and --stream reads "
                "them by blocks of rows: leave one of the two out"
            )
        if not self._is_file():
            raise SettingError(
                f"--stream is for a file of yours, and --data got {self.data!r}, a data set with "
                "a name: leave it out, or give the path of a file"
            )
        return datasets.stream(
            Path(self.data),
            columns=self.columns,
            validation=self.validation,
            test=self.test,
            shares=numbers(self.shares, "--shares"),
            standardise=self.standardise,
            seed=seed,
            memory_limit=stream_mb * 2**20,
        )

    def _is_file(self) -> bool:
        """Whether the data are named by a path: no set with a name has a dot or a slash."""
        path = Path(self.data)
        return bool(path.suffix) or len(path.parts) > 1 or path.exists()

    def _refuse_reading(self, condition: Sequence[str]) -> None:
        """Refuse options on files for a data set with a name."""
        given = [
            field.name
            for field in fields(self)
            if field.name in _OF_FILES and getattr(self, field.name) != field.default
        ]
        if given or condition:
            option = f"--{given[0].replace('_', '-')}" if given else "--condition with columns"
            raise SettingError(
                f"{option} is for a file of yours, and --data got {self.data!r}, a data set with "
                "a name: leave it out, or give the path of a file"
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


#: Options that only files have.
_OF_FILES = (
    "columns",
    "test",
    "validation",
    "shares",
    "split_by",
    "group",
    "drop_empty",
    "rows",
    "resize",
)


def widths(text: str, option: str = "--hidden") -> tuple[int, ...]:
    """Widths of layers, or sizes, from whole numbers with commas between."""
    try:
        return tuple(int(width) for width in text.split(",") if width.strip())
    except ValueError:
        raise typer.BadParameter(
            f"{option} got {text!r}: give whole numbers with commas between, as in 200,200"
        ) from None


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Numbers with commas between."""
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise typer.BadParameter(
            f"{option} got {text!r}: give numbers with commas between, as in 0.7,0.1,0.2"
        ) from None
