"""``pyro-vae data``: what is there, what can be had, and what the columns of a file are."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pyro_vae import data as datasets
from pyro_vae.cli.options import Columns, DataRoot, Json
from pyro_vae.cli.output import print_json, print_schema
from pyro_vae.disk.files import write_whole
from pyro_vae.errors import SettingError
from pyro_vae.spelling import command_line

if TYPE_CHECKING:
    from pyro_vae.data import Dataset, StreamedDataset

__all__ = ["data"]


def data(
    file: Annotated[
        Path | None, typer.Argument(help="A file of yours, whose schema is shown.")
    ] = None,
    columns: Columns = None,
    drop_empty: Annotated[
        bool, typer.Option("--drop-empty", help="Leave out rows with an empty cell.")
    ] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Read a file by blocks, as `pyro-vae fit --stream`.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the schema as a file of columns, to be changed and given back."),
    ] = None,
    download: Annotated[
        str | None, typer.Option(help="Name of a data set to fetch into the data root.")
    ] = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """List the data sets; download one; or show what the columns of a file of yours are."""
    if file is not None:
        if stream and drop_empty:
            raise SettingError("--drop-empty is for data in memory: leave it or --stream out")
        read = datasets.stream if stream else partial(datasets.read, drop_empty=drop_empty)
        said = ["--stream"] * stream + ["--drop-empty"] * drop_empty
        _show_file(file, read(file, columns=columns), said, columns, out, as_json)
        return
    if columns is not None or out is not None or drop_empty or stream:
        raise SettingError(
            "--columns, --out, --drop-empty and --stream are for a file, and none was given: "
            "`pyro-vae data FILE`"
        )
    if download is not None:
        print(datasets.load(download, data_root=data_root, download=True))
        return
    entries = datasets.catalogue(data_root=data_root)
    if as_json:
        print_json({"data": [entry._asdict() for entry in entries]})
        return
    table = Table("name", "what", "shape", "values", "there?", "where, or how to have it")
    for entry in entries:
        shape = "x".join(map(str, entry.event_shape))
        there = "yes" if entry.available else "no"
        table.add_row(entry.name, entry.description, shape, entry.kind, there, entry.where)
    Console().print(table)


def _show_file(
    file: Path,
    found: Dataset | StreamedDataset,
    flags: list[str],
    columns: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """The schema of a file, printed before anything is fitted."""
    if out is not None:
        if found.schema is None:
            raise SettingError(f"--out is for a table, and {file} is an array: leave it out")
        write_whole(out, found.schema.choices_text())
    if as_json:
        schema = None if found.schema is None else found.schema.to_config()
        print_json({"data": repr(found), "columns": schema})
        return
    console = Console(highlight=False, soft_wrap=True)
    if found.schema is None:
        console.print(repr(found), markup=False)
    else:
        print_schema(found)
    if out is not None:
        console.print(
            f"wrote {out}: change it, and give it back with --columns {out}", markup=False
        )
    said: list[str | Path] = [] if columns is None else ["--columns", columns]
    said = said if out is None else ["--columns", out]
    said += flags
    command = command_line("fit", "--run", Path("runs") / found.name, "--data", file, *said)
    console.print(f"next: {command}", markup=False)
