"""One column of a table: what it holds, how its cells become numbers, and numbers cells again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pydantic

from pyro_vae.disk.schema import Settings
from pyro_vae.errors import DataError
from pyro_vae.spelling import spelt

if TYPE_CHECKING:
    from pyro_vae.data.schema.cells import Cells

__all__ = ["KINDS", "LEVELLED", "ROLES", "Column", "ColumnKind", "Role", "level_texts"]

#: What a column holds.
ColumnKind = Literal[
    "real", "positive", "share", "yes-no", "category", "ordinal", "count", "date", "id", "text"
]

#: What a column is for: a part of x, a covariate, the class of a row, how rows are split, which
#: rows stay together, or nothing.
Role = Literal["data", "covariate", "label", "split", "group", "drop"]

KINDS: tuple[str, ...] = ColumnKind.__args__  # type: ignore[attr-defined]
ROLES: tuple[str, ...] = Role.__args__  # type: ignore[attr-defined]

#: Kinds whose cells are levels, numbered from 0.
LEVELLED = ("yes-no", "category", "ordinal")

#: Lengths of the units that times are counted in, in microseconds.
_MICROSECONDS = {"days": 86_400_000_000, "seconds": 1_000_000}

# Above this float32 has not every whole number.
_LARGEST_COUNT = 2**24


class Column(Settings):
    """A column of a table.

    Attributes
    ----------
    name
        As in the table.
    kind
        What it holds.
    role
        What it is for.
    likelihood
        Family of p(x_d | z) with its settings, as it is typed; empty where the column is no
        data.
    levels
        Of a yes or no, a category or an ordinal column: what the numbers 0, 1, ... stand for.
    type
        What its cells are: ``"number"``, ``"truth"``, ``"time"`` or ``"word"``.
    unit
        Of dates: ``"days"`` or ``"seconds"`` since the start of 1970.
    location, scale
        A number x of a real, positive or date column is modelled as (x - location) / scale.
    least, largest
        Range in the table that the schema was read from, where the column has numbers.
    empty
        How many of its cells were empty there.
    why
        What the kind was told by.
    """

    name: str
    kind: ColumnKind
    role: Role = "data"
    likelihood: str = ""
    levels: list[str] = pydantic.Field(default_factory=list)
    type: Literal["number", "truth", "time", "word"] = "number"
    unit: str = ""
    location: float = 0.0
    scale: float = 1.0
    least: float | None = None
    largest: float | None = None
    empty: int = 0
    why: str = ""

    @property
    def width(self) -> int:
        """Numbers that a covariate of this kind takes: one, or one per level."""
        return len(self.levels) if self.kind in ("category", "ordinal") else 1

    @property
    def stand_in(self) -> float:
        """A value that it could have, in its units, for cells that are missing."""
        if self.kind == "share":
            return 0.5
        if self.kind == "positive":
            return self.scale
        return float(self.least or 0.0) if self.kind == "count" else self.location

    def numbers(self, cells: Cells, name: str) -> np.ndarray:
        """Cells as numbers in the units of the column, float64 ``(n,)``.

        Levels by their position, times in ``unit`` since the start of 1970. An empty cell is NaN.

        Raises
        ------
        DataError
            If the cells are of another type, or hold a level, or a count, that cannot be.
        """
        if cells.empty.all():  # whose type no value tells
            return np.full(len(cells.empty), np.nan)
        if cells.type != self.type:
            row = int(np.flatnonzero(~cells.empty)[0])
            raise DataError(
                f"{name}: column {self.name!r} has {cells.values[row]!r} in row {row}, a "
                f"{cells.type}, and is a column of {self.type}s in the schema: give a table of "
                "the same schema, or read this one anew"
            )
        if self.kind in LEVELLED:
            found = self._positions(cells, name)
        elif cells.type == "time":
            found = (
                cells.values.astype("datetime64[us]").astype(np.int64) / _MICROSECONDS[self.unit]
            )
        else:
            found = cells.values.astype(np.float64)
        if self.kind == "count" and self.role == "data":
            self._check_counts(found, cells.empty, name)
        found = np.where(cells.empty, np.nan, found)
        return found

    def standardised(self, numbers: np.ndarray) -> np.ndarray:
        """(x - location) / scale, float64."""
        return (numbers - self.location) / self.scale

    def covariates(self, numbers: np.ndarray) -> np.ndarray:
        """What a conditional model sees of the column, float64 ``(n, width)``."""
        if self.kind in ("category", "ordinal"):
            return (numbers[:, None] == np.arange(len(self.levels))).astype(np.float64)
        return self.standardised(numbers)[:, None]

    def cells(self, numbers: np.ndarray) -> pd.Series:
        """A column of a frame from numbers in its units: levels by name, times as times."""
        flat = np.asarray(numbers, dtype=np.float64).reshape(-1)
        if self.kind in LEVELLED:
            at = np.clip(np.rint(flat), 0, len(self.levels) - 1).astype(int)
            words = np.array(self.levels, dtype=object)[at]
            return pd.Series(_typed(words, self.type), name=self.name)
        if self.kind == "date":
            times = np.rint(flat * _MICROSECONDS[self.unit]).astype(np.int64)
            found = pd.Series(times.astype("datetime64[us]"), name=self.name)
            return found.dt.round("D") if self.unit == "days" else found
        if self.kind == "count" and bool((flat == np.rint(flat)).all()):
            return pd.Series(flat.astype(np.int64), name=self.name)
        return pd.Series(flat, name=self.name)

    @property
    def contents(self) -> str:
        """Levels, or the range, in words."""
        if self.levels:
            # On one line, whatever a level holds.
            levels = [" ".join(level.split()) for level in self.levels]
            shown = levels if len(levels) <= 5 else [*levels[:4], "..."]
            text = (" < " if self.kind == "ordinal" else ", ").join(shown)
            return text if len(self.levels) <= 5 else f"{len(self.levels)} levels: {text}"
        if self.least is None or self.largest is None:
            return ""
        if self.kind == "date":
            ends = self.cells(np.array([self.least, self.largest]))
            return " to ".join(str(end).removesuffix(" 00:00:00") for end in ends)
        return f"{self.least:g} to {self.largest:g}"

    def _positions(self, cells: Cells, name: str) -> np.ndarray:
        """Numbers of the levels."""
        place = {level: i for i, level in enumerate(self.levels)}
        written = level_texts(cells)
        found = np.array([place.get(text, -1) for text in written], dtype=np.float64)
        unknown = np.flatnonzero((found < 0) & ~cells.empty)
        if len(unknown):
            row = int(unknown[0])
            known = ", ".join(self.levels[:8]) + (", ..." if len(self.levels) > 8 else "")
            raise DataError(
                f"{name}: column {self.name!r} has {written[row]!r} in row {row}, a level that "
                f"the schema has not ({known}): correct the cell, drop such rows, or fit with "
                "data that have the level"
            )
        return found

    def _check_counts(self, found: np.ndarray, empty: np.ndarray, name: str) -> None:
        bad = ~empty & ((found < 0) | (found != np.rint(found)))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"{name}: column {self.name!r} has {found[row]:g} in row {row}, and is a column "
                f"of counts: correct the cell, or say {spelt(self.name)}=real"
            )
        if np.nanmax(np.where(empty, 0.0, found), initial=0.0) > _LARGEST_COUNT:
            raise DataError(
                f"{name}: column {self.name!r} has counts above {_LARGEST_COUNT:,}, which "
                f"networks in float32 cannot tell apart: say {spelt(self.name)}=real, or "
                f"{spelt(self.name)}=positive"
            )


def level_texts(cells: Cells) -> list[str]:
    """Levels as they are written: whole numbers without a point."""
    if cells.type == "number":  # 0.0 is added for a zero without a sign
        return [f"{v + 0.0:.0f}" if v == np.rint(v) else repr(float(v)) for v in cells.values]
    return [str(v) for v in cells.values]


def _typed(words: np.ndarray, kind: str) -> Any:
    """Levels in the type that the cells had."""
    if kind == "truth":
        return words == "True"
    if kind == "number":
        numbers = words.astype(np.float64)
        return numbers.astype(np.int64) if bool((numbers == np.rint(numbers)).all()) else numbers
    return list(words)
