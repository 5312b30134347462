"""Words that stand for times, numbers or truth values, and the other way round."""

from __future__ import annotations

import re

import numpy as np

from pyro_vae.data.schema.cells import Cells
from pyro_vae.data.schema.column import level_texts
from pyro_vae.errors import DataError

__all__ = ["in_type", "looks_like_another_date", "with_times"]

_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?Z?")
_OTHER_DATE = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}[./]\d{1,2}[./]\d{1,2}")


def with_times(cells: Cells) -> Cells:
    """Words that are all dates of ISO 8601 as times; other cells as they are."""
    if cells.type != "word" or not len(cells.filled):
        return cells
    if not all(_ISO.fullmatch(word) for word in cells.filled):
        return cells
    try:
        # A Z says UTC, in which times are counted anyway.
        words = ["NaT" if e else w.rstrip("Z") for w, e in zip(*cells[1:3], strict=True)]
        return Cells("time", np.array(words, dtype="datetime64[us]"), cells.empty)
    except ValueError:  # such as the 30th of February
        return cells


def looks_like_another_date(cells: Cells) -> bool:
    """Whether words are dates in another form than that of ISO 8601."""
    return cells.type == "word" and all(_OTHER_DATE.fullmatch(word) for word in cells.filled)


def in_type(cells: Cells, kind: str, column: str, name: str) -> Cells:
    """Cells as a column of a type has them, where they can be read so.

    Parameters
    ----------
    cells
        Cells of a column.
    kind
        The type that they should have.
    column, name
        What the column and the table are called.

    Raises
    ------
    DataError
        If a word is no number, or no truth value.
    """
    if cells.type == kind:
        return cells
    if kind == "word":
        words = np.empty(len(cells.values), dtype=object)
        words[:] = level_texts(cells)
        return Cells("word", words, cells.empty)
    if cells.type == "word" and kind == "time":
        return with_times(cells)
    if cells.type == "word" and kind == "number":
        return _numbers(cells, column, name)
    if cells.type == "word" and kind == "truth" and set(cells.filled) <= {"True", "False"}:
        return Cells("truth", cells.values == "True", cells.empty)
    if kind == "number" and cells.type == "truth":
        return Cells("number", cells.values.astype(np.float64), cells.empty)
    if kind == "truth" and cells.type == "number" and set(cells.filled) <= {0.0, 1.0}:
        return Cells("truth", cells.values == 1.0, cells.empty)
    return cells


def _numbers(cells: Cells, column: str, name: str) -> Cells:
    values = np.full(len(cells.values), np.nan)
    for row in np.flatnonzero(~cells.empty):
        try:
            values[row] = float(cells.values[row])
        except ValueError:
            raise DataError(
                f"{name}: column {column!r} has {cells.values[row]!r} in row {row}, and is a "
                "column of numbers: correct the cell, or empty it"
            ) from None
    return Cells("number", values, cells.empty)
