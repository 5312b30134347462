"""Options that several commands share, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DataRoot", "Json", "Limit", "MemoryMB", "Particles", "RunFolder", "Seed"]

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
    typer.Option(min=2, help="Draws from the guide per datum: K of the estimate of log p(x)."),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Use the first so many data of the split only.")
]
MemoryMB = Annotated[
    int, typer.Option(min=1, help="Memory that one chunk of particles may take, in MiB.")
]
