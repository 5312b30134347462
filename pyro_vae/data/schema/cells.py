"""The cells of a column as plain arrays, whatever frame they came in."""

from __future__ import annotations

import datetime
import numbers
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import narwhals as nw
import numpy as np

from pyro_vae.conversion.frames import native_frame
from pyro_vae.errors import DataError
from pyro_vae.spelling import spelt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["LARGEST_WHOLE", "Cells", "cells_of_frame", "cells_of_values"]

#: What cells can hold: numbers, yes or no, times in microseconds, or words.
Type = Literal["number", "truth", "time", "word"]

#: Above this float64 has not every whole number.
LARGEST_WHOLE = 2**53


class Cells(NamedTuple):
    """One column.

    Attributes
    ----------
    type
        What the values are.
    values
        ``(n,)``: float64; bool; datetime64[us]; or objects, strings. What stands in an empty
        cell means nothing.
    empty
        ``(n,)``, which cells are empty.
    order
        Categories in the order in which they were declared; None where they were not.
    ordered
        Whether that order means something.
    whole
        Whether numbers came as integers.
    fault
        Why the column can be data as words at most, in a sentence; empty where nothing is wrong.
    """

    type: Type
    values: np.ndarray
    empty: np.ndarray
    order: tuple[str, ...] | None = None
    ordered: bool = False
    whole: bool = False
    fault: str = ""

    @property
    def filled(self) -> np.ndarray:
        """The values of the cells that are not empty."""
        return self.values[~self.empty]

    def rows(self, which: np.ndarray) -> Cells:
        """Some of the rows."""
        return self._replace(values=self.values[which], empty=self.empty[which])


def cells_of_frame(given: Any, name: str) -> dict[str, Cells]:
    """Cells of every column of a frame by its name.

    Raises
    ------
    DataError
        If it is no frame, has no row, or has two columns of one name.
    """
    frame = native_frame(given, name)
    if not isinstance(frame, nw.DataFrame):
        raise DataError(
            f"{name} got a {type(given).__name__}: it must be a frame with named columns, as "
            "pandas.DataFrame(x, columns=[...]) makes one"
        )
    if not frame.columns or not len(frame):
        what = "row" if frame.columns else "column"
        raise DataError(f"{name} has no {what}: give a table with at least one of each")
    found: dict[str, Cells] = {}
    for column in frame.iter_columns():
        label = str(column.name)
        if label in found:
            raise DataError(
                f"{name} has two columns that are written {label!r}: rename one of them"
            )
        found[label] = _cells(column, name)
    return found


def cells_of_values(values: Iterable[Any], empty: np.ndarray, column: str, name: str) -> Cells:
    """Cells of Python objects: numbers, truth values, times or strings, all of one type.

    Others become words, with what is wrong about them.
    """
    given = list(values)
    types = [None if e else _type_of(v) for v, e in _pairs(given, empty)]
    if fault := _fault(given, types, column, name):
        return Cells("word", _words(given, empty), empty, fault=fault)
    kind = next((found for found in types if found is not None), "number")
    if kind == "word":
        return Cells("word", _words(given, empty), empty)
    if kind == "truth":
        return Cells(
            "truth", np.array([not e and bool(v) for v, e in _pairs(given, empty)]), empty
        )
    if kind == "time":
        times = np.full(len(given), "NaT", dtype="datetime64[us]")
        for row in np.flatnonzero(~empty):
            times[row] = np.datetime64(given[row])
        return Cells("time", times, empty)
    values = np.array([np.nan if e else float(v) for v, e in _pairs(given, empty)])
    return Cells("number", values, empty, fault=_infinite(values, empty, column, name))


def _cells(column: nw.Series[Any], name: str) -> Cells:
    dtype, label = column.dtype, str(column.name)
    empty = np.asarray(column.is_null().to_numpy(), dtype=bool)
    if dtype == nw.Boolean:
        return Cells("truth", np.array([v is True for v in column.to_list()]), empty)
    if dtype.is_numeric():
        if dtype.is_decimal():
            column = column.cast(nw.Float64)
        if empty.any():
            given = column.to_list()  # in which pandas has an object of its own for an empty cell
            filled = [np.nan if e else v for v, e in _pairs(given, empty)]
            values = np.array(filled, dtype=np.float64)
        else:
            values = np.asarray(column.to_numpy()).astype(np.float64)
        empty = empty | np.isnan(values)
        if dtype.is_integer() and bool((np.abs(values[~empty]) > LARGEST_WHOLE).any()):
            # Floats cannot tell such numbers apart: they are names.
            return Cells("word", _words(column.to_list(), empty), empty)
        fault = _infinite(values, empty, label, name)
        return Cells("number", values, empty, whole=dtype.is_integer(), fault=fault)
    if dtype in (nw.Date, nw.Datetime):
        if isinstance(dtype, nw.Datetime) and dtype.time_zone is not None:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        times = column.to_numpy().astype("datetime64[us]")
        return Cells("time", times, empty | np.isnat(times))
    if dtype in (nw.String, nw.Categorical, nw.Enum):
        order, ordered = _order(column)
        given = column.to_list()
        if order is not None and not all(isinstance(v, str) for v in given if v is not None):
            # Categories may be numbers: they are known by how they are written.
            order = tuple(map(str, order))
        return Cells("word", _words(given, empty), empty, order, ordered)
    if dtype == nw.Object or dtype == nw.Unknown:
        return cells_of_values(column.to_list(), empty, label, name)
    fault = (
        f"{name}: column {label!r} holds values of type {dtype}, and a cell must be a number, a "
        f"word, a date, or yes or no: make such columns of it, or say {spelt(label)}=drop"
    )
    return Cells("word", _words(column.to_list(), empty), empty, fault=fault)


def _infinite(values: np.ndarray, empty: np.ndarray, column: str, name: str) -> str:
    """What is wrong where a number is infinite; "" where none is."""
    rows = np.flatnonzero(np.isinf(values) & ~empty)
    if not len(rows):
        return ""
    return (
        f"{name}: column {column!r} has {values[rows[0]]} in row {rows[0]}, and numbers must be "
        f"finite: correct or empty that cell, or say {spelt(column)}=drop"
    )


def _fault(
    given: list[Any], types: Sequence[Type | Literal[""] | None], column: str, name: str
) -> str:
    """What is wrong with the values of a column; "" where nothing is."""
    rows = [row for row, found in enumerate(types) if found is not None]
    odd = next((row for row in rows if types[row] == ""), None)
    if odd is not None:
        return (
            f"{name}: column {column!r} has {str(given[odd])!r} in row {odd}, a "
            f"{type(given[odd]).__name__}, and a cell must be a number, a word, a date, or yes or "
            f"no: make such columns of it, or say {spelt(column)}=drop"
        )
    other = next((row for row in rows if types[row] != types[rows[0]]), None)
    if other is not None:
        return (
            f"{name}: column {column!r} has {given[rows[0]]!r} in row {rows[0]} and "
            f"{given[other]!r} in row {other}: a column must hold values of one type; or say "
            f"{spelt(column)}=drop"
        )
    return ""


def _order(column: nw.Series[Any]) -> tuple[tuple[str, ...] | None, bool]:
    """Declared categories, and whether they are ordered."""
    if column.dtype == nw.Enum:
        return tuple(column.dtype.categories), True  # type: ignore[attr-defined]
    if column.dtype == nw.Categorical and column.implementation.is_pandas_like():
        categories = column.to_native().cat
        return tuple(map(str, categories.categories)), bool(categories.ordered)
    return None, False


def _type_of(value: Any) -> Type | Literal[""]:
    """The type of a cell; "" for what no column can hold."""
    if isinstance(value, str):
        return "word"
    if isinstance(value, bool | np.bool_):
        return "truth"
    if isinstance(value, numbers.Real | Decimal):
        return "number"
    return "time" if isinstance(value, datetime.date | np.datetime64) else ""


def _pairs(values: list[Any], empty: np.ndarray) -> Iterable[tuple[Any, bool]]:
    return zip(values, map(bool, empty), strict=True)


def _words(values: list[Any], empty: np.ndarray) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = ["" if e else str(v) for v, e in _pairs(values, empty)]
    return found
