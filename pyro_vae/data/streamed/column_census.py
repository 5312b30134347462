"""What one pass over a column finds out, so that its kind is told as from the whole column."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.data.schema.cells import Cells
from pyro_vae.data.schema.column import LEVELLED, Column
from pyro_vae.data.schema.kinds import MOST_LEVELS, Guess, guess_kind
from pyro_vae.data.schema.recognise import in_type, with_times
from pyro_vae.data.schema.schema import levels_said, with_likelihood
from pyro_vae.errors import DataError
from pyro_vae.spelling import spelt

if TYPE_CHECKING:
    from pyro_vae.data.schema.choices import Choice

__all__ = ["ColumnCensus", "NumbersOfBlocks"]

#: Whole numbers below this are what float64 can count with.
_COUNTED = 2**53

#: Numbers that are added up at once, to see whether none is missing among them.
_AT_ONCE = 2**20

#: Microseconds of the units that times are counted in.
_MICROSECONDS = {"days": 86_400_000_000, "seconds": 1_000_000}


class _Powers:
    """Mean and central moments up to the fourth, merged from those of blocks.

    Pébay (2008), "Formulas for robust, one-pass parallel computation of covariances and
    arbitrary-order statistical moments", Sandia report SAND2008-6212.
    """

    def __init__(self) -> None:
        self.size, self.mean = 0, 0.0
        self.second = self.third = self.fourth = 0.0

    def add(self, x: np.ndarray) -> None:
        """Take in more numbers."""
        b, mean = len(x), float(x.mean())
        with np.errstate(over="ignore", invalid="ignore"):
            away = x - mean
            second, third, fourth = (float((away**power).sum()) for power in (2, 3, 4))
            a, self.size = self.size, self.size + b
            n, d = self.size, mean - self.mean
            self.fourth += fourth + d**4 * a * b * (a * a - a * b + b * b) / n**3
            self.fourth += 6 * d * d * (a * a * second + b * b * self.second) / n**2
            self.fourth += 4 * d * (a * third - b * self.third) / n
            self.third += third + d**3 * a * b * (a - b) / n**2
            self.third += 3 * d * (a * second - b * self.second) / n
            self.second += second + d * d * a * b / n
            self.mean += d * b / n

    def standardised(self, moment: float, power: int) -> float:
        """A central moment in the place of standard deviations; 0 without a spread."""
        spread = math.sqrt(self.second / self.size) if self.size else 0.0
        return moment / self.size / spread**power if spread > 0 else 0.0


class NumbersOfBlocks:
    """What is to be known of numbers, in a state that does not grow with them.

    The attributes are those of ``data.schema.numbers.Numbers``.
    """

    def __init__(self) -> None:
        self.least, self.largest = math.inf, -math.inf
        self._of, self._of_log = _Powers(), _Powers()
        self._rounded = self._whole_type = True
        #: Different numbers in the order in which they came; None where they are too many.
        self.different: dict[float, None] | None = {}
        self._sum = 0

    def add(self, x: np.ndarray, *, whole_type: bool = False) -> None:
        """Take in more numbers, one at least."""
        self.least = min(self.least, float(x.min()))
        self.largest = max(self.largest, float(x.max()))
        self._of.add(x)
        if self.least > 0:
            self._of_log.add(np.log(x))
        self._whole_type &= whole_type
        self._rounded &= bool((x == np.rint(x)).all())
        if self._rounded and self.largest < _COUNTED and self.least > -_COUNTED:
            self._sum = (self._sum + _sum_scattered(x.astype(np.int64))) % 2**64
        if self.different is not None:
            values, at = np.unique(x, return_index=True)
            self.different |= dict.fromkeys(values[np.argsort(at)].tolist())
            if len(self.different) > MOST_LEVELS:
                self.different = None

    @property
    def size(self) -> int:
        """How many."""
        return self._of.size

    @property
    def mean(self) -> float:
        """Their mean."""
        return self._of.mean

    @property
    def variance(self) -> float:
        """Their variance, over their number."""
        return self._of.second / self.size

    @property
    def whole(self) -> bool:
        """Whether all are whole numbers."""
        return self._rounded and (self._whole_type or self.largest < _COUNTED)

    @property
    def zeros_and_ones(self) -> bool:
        """Whether none is other than 0 and 1."""
        return self.different is not None and self.different.keys() <= {0.0, 1.0}

    @property
    def gapless(self) -> bool:
        """Whether they are all the whole numbers from the smallest to the largest.

        Of many numbers it is known only of those that are all different.
        """
        if self.different is not None:
            return len(self.different) == self.largest - self.least + 1
        return self.all_different

    @cached_property
    def all_different(self) -> bool:
        """Whether no two are equal; asked of whole numbers that are gapless alone.

        As many as the range has are all different where their sum, each scattered over 64 bits,
        is that of the range.
        """
        if self.different is not None:
            return len(self.different) == self.size
        if not self.whole or self.largest - self.least + 1 != self.size:
            return False
        least, stop = int(self.least), int(self.largest) + 1
        total = 0
        for start in range(least, stop, _AT_ONCE):
            part = np.arange(start, min(start + _AT_ONCE, stop), dtype=np.int64)
            total = (total + _sum_scattered(part)) % 2**64
        return total == self._sum

    @property
    def skewness(self) -> float:
        """Third standardised moment; 0 where they are all equal."""
        return self._of.standardised(self._of.third, 3)

    @property
    def excess_kurtosis(self) -> float:
        """Fourth standardised moment, less 3."""
        return self._of.standardised(self._of.fourth, 4) - 3

    @property
    def log_skewness(self) -> float:
        """Skewness of their logarithms, where all are positive."""
        return self._of_log.standardised(self._of_log.third, 3)

    @property
    def log_mean(self) -> float:
        """Mean of their logarithms."""
        return self._of_log.mean

    @property
    def log_variance(self) -> float:
        """Variance of their logarithms."""
        return self._of_log.second / self._of_log.size

    def outside(self, low: float, high: float) -> float | None:
        """One that is not strictly between; None where all are."""
        return self.least if self.least <= low else self.largest if self.largest >= high else None


def _sum_scattered(x: np.ndarray) -> int:
    """Sum of a number of 64 bits for each whole number (SplitMix64, Steele et al., 2014)."""
    z = x.view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return int((z ^ (z >> np.uint64(31))).sum(dtype=np.uint64))


class ColumnCensus:
    """A column of a table, a block of rows after another.

    Parameters
    ----------
    label
        Its name.
    choice
        What a person says of it.
    name
        What the table is called.
    """

    def __init__(self, label: str, choice: Choice, name: str) -> None:
        self.label, self.choice, self.name = label, choice, name
        self.role = choice.role or "data"
        if self.role not in ("data", "drop"):
            raise DataError(
                f"columns says {label!r} is {self.role}, and data that are streamed have none "
                f"such: say {spelt(label)}=drop, or take data.read where they fit into memory"
            )
        #: Numbers of all rows, and those of the training rows.
        self.numbers, self.trained = NumbersOfBlocks(), NumbersOfBlocks()
        self._type: Any = None
        self._whole_days = True
        self._words: dict[str, None] = {}
        self._order: tuple[tuple[str, ...] | None, bool] | None = None
        self._rows = self._filled = self._trained_rows = 0

    def add(self, cells: Cells, train: np.ndarray) -> None:
        """Take in more rows, and which of them are for training.

        Raises
        ------
        DataError
            If a cell is infinite or of another type than those before.
        """
        start, self._rows = self._rows, self._rows + len(cells.empty)
        there = ~cells.empty
        self._filled += int(there.sum())
        if self.role == "drop":
            self._type = self._type or cells.type
            return
        if not there.any():
            return  # whose type no value tells
        self._refuse_bad(cells, start)
        cells, train = self._in_type(cells.rows(there)), train[there]
        if self._type is None:
            self._type, self._order = cells.type, (cells.order, cells.ordered)
        if cells.type != self._type or (cells.order, cells.ordered) != self._order:
            raise DataError(
                f"{self.name}: column {self.label!r} has {self._type}s up to row {start}, and "
                f"there a {cells.type}, or other categories: write it as one type, or say "
                f"{spelt(self.label)}=drop"
            )
        self._trained_rows += int(train.sum())
        if cells.type in ("word", "truth"):
            self._words |= dict.fromkeys(map(str, cells.values.tolist()))
            self._refuse_many()
            return
        x = cells.values
        if cells.type == "time":
            self._whole_days &= bool((x == x.astype("datetime64[D]")).all())
            x = x.astype(np.int64) / _MICROSECONDS["days"]
        self.numbers.add(x, whole_type=cells.whole)
        if train.any():
            self.trained.add(x[train], whole_type=cells.whole)

    def _refuse_bad(self, cells: Cells, start: int) -> None:
        """Refuse infinite cells, and what is no cell."""
        if cells.type == "number" and len(
            bad := np.flatnonzero(np.isinf(cells.values) & ~cells.empty)
        ):
            raise DataError(
                f"{self.name}: column {self.label!r} has {cells.values[bad[0]]} in row "
                f"{start + bad[0]}, and numbers must be finite: correct or drop that row, or say "
                f"{spelt(self.label)}=drop"
            )
        if cells.fault and not (self.choice.kind in LEVELLED and cells.type == "word"):
            raise DataError(cells.fault)

    def _in_type(self, cells: Cells) -> Cells:
        """Cells of the type that the kind, if one was said, can have."""
        kind = self.choice.kind
        if kind in LEVELLED:
            return in_type(cells, "word", self.label, self.name) if cells.type == "time" else cells
        times = with_times(cells)
        if kind in (None, "real", "date") and times.type == "time":
            return times
        if kind == "date" or (kind is not None and times.type == "time"):
            raise DataError(
                f"{self.name}: column {self.label!r} holds {str(cells.values[0])!r}, which does "
                f"not go with {kind}: say {spelt(self.label)}=date of dates as YYYY-MM-DD, or "
                "another kind"
            )
        return cells if kind is None else in_type(cells, "number", self.label, self.name)

    def _refuse_many(self) -> None:
        if len(self._words) > MOST_LEVELS:
            raise DataError(
                f"{self.name}: column {self.label!r} has more than {MOST_LEVELS:,} different "
                f"words, and is no data as it is: leave it out with "
                f"columns='{spelt(self.label)}=drop' (--columns)"
            )

    def column(self) -> Column | str:
        """The column of a schema; or why it is no data, in words."""
        about: dict[str, Any] = {
            "name": self.label,
            "role": self.role,
            "empty": self._rows - self._filled,
        }
        if self.role == "drop":
            return Column(kind="text", type=self._type, why="as was said", **about)
        if not self._filled:
            return "every cell is empty"
        different = self._different()
        told = self._told(different)
        if told.kind in ("id", "text"):
            return told.why
        levels: list[str] = []
        if told.kind in LEVELLED:
            levels = levels_said(different, told.kind, self.choice, self.label, self.name)
        if len(different.values) == 1:
            return f"one value in all rows, {str(different.values[0])!r}"
        unit = ""
        if told.kind == "date":
            unit = "days" if self._whole_days else "seconds"
        about |= {"kind": told.kind, "type": self._type, "why": told.why}
        column = Column(levels=levels, unit=unit, **about)
        if told.kind == "count":
            ends = np.array([self.numbers.least, self.numbers.largest])
            column.numbers(Cells("number", ends, np.zeros(2, dtype=bool)), self.name)
        made = with_likelihood(column, self.numbers, self.choice, self.name)
        if unit:
            per_day = _MICROSECONDS["days"] / _MICROSECONDS[unit]
            ends = np.array([self.numbers.least, self.numbers.largest]) * per_day
            made = made.model_copy(update={"least": float(ends[0]), "largest": float(ends[1])})
        return self._scaled(made)

    def _different(self) -> Cells:
        """Cells with every value once, those of too many numbers left out but for two."""
        if self._type in ("word", "truth"):
            words = np.array(list(self._words), dtype=object)
            if self._type == "truth":
                words = words == "True"
            order, ordered = self._order or (None, False)
            return Cells(self._type, words, np.zeros(len(words), dtype=bool), order, ordered)
        few = self.numbers.different
        if few is None and self.choice.kind in LEVELLED:
            raise DataError(
                f"{self.name}: column {self.label!r} has more than {MOST_LEVELS:,} levels, the "
                f"most that a category may have: say {spelt(self.label)}=real, or "
                f"{spelt(self.label)}=drop"
            )
        values = np.array([self.numbers.least, self.numbers.largest] if few is None else list(few))
        if self._type == "time":
            values = (values * _MICROSECONDS["days"]).round().astype("datetime64[us]")
        return Cells(self._type, values, np.zeros(len(values), dtype=bool))

    def _told(self, different: Cells) -> Guess:
        """The kind that was said, or else the one that the values tell."""
        kind = self.choice.kind
        if kind is None:
            return guess_kind(different, numbers=self.numbers, rows=self._filled)
        if kind == "real" and self._type == "time":
            return Guess("date", "as was said")
        return Guess(kind, "as was said")

    def _scaled(self, column: Column) -> Column:
        """The column with its location and scale over the training rows."""
        if not self._trained_rows:
            raise DataError(
                f"{self.name}: column {self.label!r} has no cell that is not empty among the "
                f"training rows: give other shares, or say {spelt(self.label)}=drop"
            )
        if column.kind not in ("real", "positive", "date"):
            return column
        x = self.trained
        if column.kind == "positive":
            return column.model_copy(update={"scale": math.exp(x.log_mean)})
        per_day = 1.0
        if column.unit:
            per_day = _MICROSECONDS["days"] / _MICROSECONDS[column.unit]
        spread = math.sqrt(x.variance) if x.variance >= 0 else math.nan
        location, scale = x.mean * per_day, spread * per_day
        if not math.isfinite(location + scale):
            raise DataError(
                f"{self.name}: column {self.label!r} has numbers as large as "
                f"{max(abs(x.least), abs(x.largest)):g}, whose variance is no number: give it in "
                f"another unit, or say {spelt(self.label)}=drop"
            )
        if not scale > 0 or x.least == x.largest:  # rounding is no spread
            scale = 1.0
        return column.model_copy(update={"location": location, "scale": scale})
