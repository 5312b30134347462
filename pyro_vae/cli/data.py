"""``pyro-vae data``: what is there, and what can be had."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pyro_vae import data as datasets
from pyro_vae.cli.options import DataRoot, Json
from pyro_vae.cli.output import print_json

__all__ = ["data"]


def data(
    download: Annotated[
        str | None, typer.Option(help="Name of a data set to fetch into the data root.")
    ] = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """List the data sets, where each is, and how to have it; or download one."""
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
