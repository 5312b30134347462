"""Frames and series of pandas, polars and others, read through narwhals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
from narwhals.exceptions import DuplicateError

from pyro_vae.conversion.places import place
from pyro_vae.errors import DataError

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = ["DATE_ADVICE", "Frame", "columns_of", "native_frame"]

Frame: TypeAlias = "nw.DataFrame[Any] | nw.Series[Any]"

#: What to do with an array of times.
DATE_ADVICE = (
    "give a number since a start, as (x - x.min()) / numpy.timedelta64(1, 's') does for an array "
    "of times"
)


def native_frame(given: Any, name: str) -> Frame | None:
    """A frame or series as narwhals has it; None for anything else."""
    pd = nw.dependencies.get_pandas()  # None where nobody has imported it
    if (
        pd is not None
        and isinstance(given, pd.Categorical | pd.Index)
        and not isinstance(given, pd.MultiIndex)
    ):
        given = pd.Series(given)
    try:
        frame = nw.from_native(given, pass_through=True, allow_series=True)
        if isinstance(frame, nw.LazyFrame):
            frame = frame.collect()
        if isinstance(frame, nw.DataFrame):
            _ = frame.columns
    except DuplicateError:
        raise DataError(
            f"{name} got a frame with two columns of one name: rename one of them, or drop it"
        ) from None
    return frame if isinstance(frame, nw.DataFrame | nw.Series) else None


def columns_of(frame: Frame, name: str, *, holes: bool = False) -> dict[str, np.ndarray]:
    """Numbers of every column by its name; with ``holes``, NaN where a value is missing.

    Raises
    ------
    DataError
        If a column is not of numbers, or a value is missing.
    """
    if isinstance(frame, nw.Series):
        return {str(frame.name or name): _cells(frame, name, frame, holes)}
    if not frame.columns:
        raise DataError(f"{name} got a frame without columns: give at least one")
    parts = frame.iter_columns()
    return {str(column.name): _cells(column, name, frame, holes) for column in parts}


def _cells(column: nw.Series[Any], name: str, frame: Frame, holes: bool) -> np.ndarray:
    label = column.name
    dtype = column.dtype
    single = isinstance(frame, nw.Series)
    polars = column.implementation.is_polars()
    missing = column.is_null().to_numpy()
    if missing.any() and holes and (dtype.is_numeric() or dtype == nw.Boolean):
        cells = column.cast(nw.Float64).to_numpy().astype(np.float64)
        return np.where(missing, np.nan, cells)
    if missing.any():
        row = int(missing.nonzero()[0][0])
        drop = "x.drop_nulls()" if polars else "x.dropna()"
        raise DataError(
            f"{name} has a missing value in {place((row, 0), (str(label),))}: drop such rows, as "
            f"{drop} does, or impute it"
        )
    if dtype.is_decimal():
        return column.cast(nw.Float64).to_numpy()
    if dtype.is_numeric() or dtype == nw.Boolean:
        return column.to_numpy()
    if dtype.is_temporal():
        raise DataError(
            f"{name} got times in column {label!r} ({dtype}): give seconds since a start, as "
            f"{_seconds(label, polars, single)}"
        )
    text = dtype in (nw.String, nw.Categorical, nw.Enum)
    if not text and not polars:
        cells = np.asarray(column.to_numpy())
        # An object column of numbers is one of numbers, and another is refused by its cell.
        if cells.dtype.kind != "O" or not len(cells) or not isinstance(cells[0], str):
            return cells
    if dtype.is_nested():
        raise DataError(
            f"{name} got values of type {dtype} in column {label!r}: every cell must hold one "
            f"number, so make columns of them, or leave it out, as x.drop({label!r}) does"
        )
    first = f" ({column[0]!r} in row 0)" if len(column) else ""
    raise DataError(
        f"{name} got text in column {label!r}{first}: make columns of 0 and 1 of it, as "
        f"{_dummies(label, polars, single)}, or give classes as labels of Dataset.from_tensors"
    )


def _seconds(label: Any, polars: bool, single: bool) -> str:
    column = "x" if single else f"x[{label!r}]"
    seconds = f"({column} - {column}.min()).dt.total_seconds()"
    if single:
        return f"{seconds} does"
    if polars:
        return f"x.with_columns({seconds}) does"
    return f"x.assign(**{{{label!r}: {seconds}}}) does"


def _dummies(label: Any, polars: bool, single: bool) -> str:
    if polars:
        text = "x.to_dummies()" if single else f"x.to_dummies({label!r})"
    else:
        text = f"pandas.get_dummies(x, {'' if single else f'columns=[{label!r}], '}dtype=float)"
    return f"{text} does"
