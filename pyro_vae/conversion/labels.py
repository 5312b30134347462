"""Classes by number, or by name: names become numbers, and their order is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import narwhals as nw
import numpy as np

from pyro_vae.conversion.arrays import convert
from pyro_vae.conversion.frames import native_frame
from pyro_vae.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

__all__ = ["convert_labels"]


class _Named(NamedTuple):
    """Classes by name, one a row, and the order of the names where it was given."""

    values: list[Any]
    order: list[Any] | None


def convert_labels(
    given: Mapping[str, Any], name: str
) -> tuple[dict[str, Tensor], tuple[str, ...] | None]:
    """Numbers of the classes by split, and the names that they had.

    Parameters
    ----------
    given
        By split: whole numbers, strings, or a categorical series, one a row.
    name
        What the labels are called.

    Returns
    -------
    dict
        Numbers by split: those that were given, or positions in the levels.
    tuple or None
        Levels: the categories in their order, or the strings of the training data in the
        alphabet's, with those of other splits behind them. None where numbers were given.

    Raises
    ------
    DataError
        If they are neither, or some splits have names and others numbers.
    """
    read = {split: _read(labels, f"{name} of {split}") for split, labels in given.items()}
    named = {split: part for split, part in read.items() if isinstance(part, _Named)}
    if not named:
        return {split: part for split, part in read.items() if not isinstance(part, _Named)}, None
    for split, part in read.items():
        if not isinstance(part, _Named) and len(part):
            raise DataError(
                f"{name} of {split} are numbers, and those of {next(iter(named))} are names: give "
                "all splits one or the other"
            )
    levels: dict[Any, int] = {}
    for split in sorted(named, key=lambda split: split != "train"):
        values, order = named[split]
        for level in order if order is not None else sorted(set(values), key=str):
            levels.setdefault(level, len(levels))
    numbers = {
        split: convert(
            np.array([levels[v] for v in part.values], dtype=np.int64)
            if isinstance(part, _Named)
            else [],
            name,
        ).values
        for split, part in read.items()
    }
    return numbers, tuple(map(str, levels))


def _read(given: Any, name: str) -> Tensor | _Named:
    """One split's labels."""
    frame = native_frame(given, name)
    if isinstance(frame, nw.DataFrame):
        if len(frame.columns) != 1:
            raise DataError(
                f"{name} got a frame with columns {', '.join(map(repr, frame.columns))}: give one "
                f"column, as x[{frame.columns[0]!r}]"
                if frame.columns
                else f"{name} got a frame without columns: give one"
            )
        frame = next(iter(frame.iter_columns()))
    if frame is not None:
        named = frame.dtype in (nw.String, nw.Categorical, nw.Enum)
        values = frame.to_list()
        _refuse_missing(frame.is_null().to_list(), name)
        return (
            _Named(values, _order(frame))
            if named or _texts(values)
            else convert(frame, name).values
        )
    if isinstance(given, np.ndarray) and given.dtype.kind in "USOT":
        given = given.tolist()
    if isinstance(given, list | tuple) and _texts(given):
        _refuse_missing([value is None for value in given], name)
        for row, value in enumerate(given):
            if not isinstance(value, str):
                raise DataError(
                    f"{name} got {value!r} in row {row} among strings: give one or the other"
                )
        return _Named(list(given), None)
    return convert(given, name).values


def _order(frame: nw.Series[Any]) -> list[Any] | None:
    """Categories in the order that they were declared in; None for strings."""
    if frame.dtype == nw.Enum:
        return list(frame.dtype.categories)  # type: ignore[attr-defined]
    # The categories of polars are shared among all the series of a process.
    if frame.dtype == nw.Categorical and frame.implementation.is_pandas_like():
        return list(frame.to_native().cat.categories)
    return None


def _texts(values: Sequence[Any]) -> bool:
    return any(isinstance(value, str) for value in values)


def _refuse_missing(missing: Sequence[bool], name: str) -> None:
    if any(missing):
        row = [bool(m) for m in missing].index(True)
        raise DataError(
            f"{name} has a missing value in row {row}: drop such rows, or give them a class of "
            "their own"
        )
