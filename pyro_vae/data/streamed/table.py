"""The schema of a table that is streamed, told in one pass over its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyro_vae.data.schema.choices import Choice
from pyro_vae.data.schema.schema import Schema
from pyro_vae.data.streamed.column_census import ColumnCensus
from pyro_vae.errors import DataError, SettingError
from pyro_vae.spelling import spelt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyro_vae.data.streamed.parquet import ParquetRows
    from pyro_vae.data.streamed.part import Shares

__all__ = ["schema_of"]


def schema_of(
    source: ParquetRows, choices: Mapping[str, Choice], shares: Shares | None
) -> tuple[Schema, int | None]:
    """What the columns of a table are, as ``data.read`` tells it from all of them.

    Parameters
    ----------
    source
        The table.
    choices
        What a person says of some columns, by name.
    shares
        How rows are shared out: continuous columns are on the scale of the training rows.

    Returns
    -------
    Schema
        With location and scale of every continuous column.
    int
        The largest count in the training rows; None without a column of counts.

    Raises
    ------
    DataError
        If a column cannot be data as it is, or cannot be streamed.
    SettingError
        If a choice names no column, or cannot be made of the column.
    """
    found: dict[str, ColumnCensus] = {}
    start = 0
    for block, stop in enumerate(source.ends.tolist()):
        cells = source.cells(block)
        if not block:
            for said in choices:
                if said not in cells:
                    raise SettingError(
                        f"columns names {said!r}, and {source.name} has "
                        f"{', '.join(map(repr, cells))}: correct the name"
                    )
            found = {
                label: ColumnCensus(label, choices.get(label, Choice()), source.name)
                for label in cells
            }
        train = np.ones(stop - start, dtype=bool)
        if shares is not None:
            train = shares.place(start, stop) == 0
        for label, census in found.items():
            census.add(cells[label], train)
        start = stop
    schema = Schema.of_columns(
        {label: census.column() for label, census in found.items()}, source.name
    )
    counts = [found[c.name].trained.largest for c in schema.data if c.kind == "count"]
    _check_rounded(schema, source.name)
    return schema, int(max(counts)) if counts else None


def _check_rounded(schema: Schema, name: str) -> None:
    """Refuse columns with numbers that leave their support in float32."""
    for column in schema.data:
        ends = np.array([column.least or 0.0, column.largest or 0.0])
        least, largest = ((ends - column.location) / column.scale).astype(np.float32)
        gone = column.kind in ("positive", "share") and least <= 0
        if gone or (column.kind == "share" and largest >= 1):
            raise DataError(
                f"{name} has numbers from {column.least!r} to {column.largest!r} in column "
                f"{column.name!r}, of which float32 has some outside of what a {column.kind} "
                f"column may hold: correct them, or say {spelt(column.name)}=real"
            )
