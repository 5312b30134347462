"""The cells of a column as plain arrays, whatever frame they came in."""

from __future__ import annotations

import datetime
import numbers
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

import narwhals as nw
import numpy as np

from pyro_vae.conversion.frames import native_frame
from pyro_vae.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Cells", "cells_of_frame", "cells_of_values"]

#: What cells can hold: numbers, yes or no, times in microseconds, or words.
Type = Literal["number", "truth", "time", "word"]


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
    """

    type: Type
    values: np.ndarray
    empty: np.ndarray
    order: tuple[str, ...] | None = None
    ordered: bool = False
    whole: bool = False

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
        If it is no frame, has no row, has two columns of one name, or a cell holds what no
        column can.
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
    return {str(column.name): _cells(column, name) for column in frame.iter_columns()}


def cells_of_values(values: Iterable[Any], empty: np.ndarray, column: str, name: str) -> Cells:
    """Cells of Python objects: numbers, truth values, times or strings, all of one type."""
    given = list(values)
    kinds = {_type_of(v, column, name, i) for i, v in enumerate(given) if not empty[i]}
    if len(kinds) > 1:
        first = next(i for i in range(len(given)) if not empty[i])
        kind = _type_of(given[first], column, name, first)
        other = next(
            i
            for i in range(len(given))
            if not empty[i] and _type_of(given[i], column, name, i) != kind
        )
        raise DataError(
            f"{name}: column {column!r} has {given[first]!r} in row {first} and {given[other]!r} "
            f"in row {other}: a column must hold values of one type"
        )
    kind = kinds.pop() if kinds else "number"
    if kind == "word":
        return Cells(
            "word", _objects(["" if e else str(v) for v, e in _pairs(given, empty)]), empty
        )
    if kind == "truth":
        return Cells(
            "truth", np.array([not e and bool(v) for v, e in _pairs(given, empty)]), empty
        )
    if kind == "time":
        times = [np.datetime64("NaT") if e else np.datetime64(v) for v, e in _pairs(given, empty)]
        return Cells("time", np.array(times, dtype="datetime64[us]"), empty)
    values = np.array([np.nan if e else float(v) for v, e in _pairs(given, empty)])
    return Cells("number", values, empty)


def _cells(column: nw.Series[Any], name: str) -> Cells:
    dtype, label = column.dtype, str(column.name)
    empty = np.asarray(column.is_null().to_numpy(), dtype=bool)
    if dtype == nw.Boolean:
        return Cells("truth", np.array([v is True for v in column.to_list()]), empty)
    if dtype.is_numeric():
        if dtype.is_decimal():
            column = column.cast(nw.Float64)
        values = np.array([np.nan if v is None else v for v in column.to_list()], dtype=np.float64)
        return Cells("number", values, empty | np.isnan(values), whole=dtype.is_integer())
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
        words = ["" if e else str(v) for v, e in _pairs(given, empty)]
        return Cells("word", _objects(words), empty, order, ordered)
    if dtype == nw.Object or dtype == nw.Unknown:
        return cells_of_values(column.to_list(), empty, label, name)
    raise DataError(
        f"{name}: column {label!r} holds values of type {dtype}, and a cell must be a number, a "
        "word, a date, or yes or no: make such columns of it, or drop it"
    )


def _order(column: nw.Series[Any]) -> tuple[tuple[str, ...] | None, bool]:
    """Declared categories, and whether they are ordered."""
    if column.dtype == nw.Enum:
        return tuple(column.dtype.categories), True  # type: ignore[attr-defined]
    if column.dtype == nw.Categorical and column.implementation.is_pandas_like():
        categories = column.to_native().cat
        return tuple(map(str, categories.categories)), bool(categories.ordered)
    return None, False


def _type_of(value: Any, column: str, name: str, row: int) -> Type:
    if isinstance(value, str):
        return "word"
    if isinstance(value, bool | np.bool_):
        return "truth"
    if isinstance(value, numbers.Real | Decimal):
        return "number"
    if isinstance(value, datetime.date | np.datetime64):
        return "time"
    _refuse(value, column, name, row)


def _refuse(value: Any, column: str, name: str, row: int) -> NoReturn:
    raise DataError(
        f"{name}: column {column!r} has {value!r} in row {row}, and a cell must be a number, a "
        "word, a date, or yes or no: make such columns of it, or drop it"
    )


def _pairs(values: list[Any], empty: np.ndarray) -> Iterable[tuple[Any, bool]]:
    return zip(values, map(bool, empty), strict=True)


def _objects(words: list[str]) -> np.ndarray:
    found = np.empty(len(words), dtype=object)
    found[:] = words
    return found
