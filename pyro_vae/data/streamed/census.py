"""What one pass over the rows of a split finds out, in a state that does not grow with them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch

from pyro_vae.conversion import place
from pyro_vae.conversion.rounding import allowed_move, largest_move
from pyro_vae.data.affine import Affine
from pyro_vae.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from torch import Tensor

    from pyro_vae.data.kind import Kind

__all__ = ["Census", "Moments"]


class Moments:
    """Number, mean, variance and range of rows, merged from those of blocks.

    Chan, Golub & LeVeque (1983), "Algorithms for computing the sample variance", in float64.

    Attributes
    ----------
    count
        Number of rows.
    seen, mean, variance, least, largest
        Of every feature, over the cells that are there, how many these are and what they are
        like: float64 of the shape of one datum.
    """

    def __init__(self) -> None:
        self.count = 0
        self.seen = self.mean = self.variance = self.least = self.largest = torch.empty(0)

    def add(self, rows: Tensor, observed: Tensor | None = None) -> None:
        """Take in more rows, ``(m, *event_shape)``, and which of their cells are there."""
        x = rows.double()
        if observed is None:
            seen = torch.full(x.shape[1:], float(len(x)), dtype=torch.double)
            mean, variance = x.mean(0), x.var(0, correction=0)
            least, largest = rows.amin(0).double(), rows.amax(0).double()
        else:
            seen = observed.sum(0).double()
            mean = x.where(observed, 0.0).sum(0) / seen.clamp_min(1)
            variance = (x - mean).where(observed, 0.0).square().sum(0) / seen.clamp_min(1)
            least = x.where(observed, torch.inf).amin(0)
            largest = x.where(observed, -torch.inf).amax(0)
        if not self.count:
            self.count, self.seen, self.mean, self.variance = len(x), seen, mean, variance
            self.least, self.largest = least, largest
            return
        whole = self.seen + seen
        share = seen / whole.clamp_min(1)
        away = mean - self.mean
        within = (self.seen * self.variance + seen * variance) / whole.clamp_min(1)
        self.variance = within + away.square() * share * (self.seen / whole.clamp_min(1))
        self.mean = self.mean + away * share
        self.least, self.largest = self.least.minimum(least), self.largest.maximum(largest)
        self.count, self.seen = self.count + len(x), whole

    @property
    def constant(self) -> Tensor:
        """Which features have one value, or none."""
        return ~(self.least < self.largest)

    @property
    def spread(self) -> Tensor:
        """Standard deviation of every feature."""
        return self.variance.sqrt()

    def standardising(self) -> Affine:
        """Map to mean 0 and standard deviation 1; a constant feature keeps its scale."""
        spread = self.spread
        return Affine(self.mean, spread.where(~self.constant, torch.ones_like(spread)))


class _Found(NamedTuple):
    """A value, and where it is."""

    row: int
    inside: tuple[int, ...]
    value: float


#: Values that data of some kind cannot have.
_ODD = {
    "no 0 or 1": lambda x: (x != 0) & (x != 1),
    "negative": lambda x: x < 0,
    "not whole": lambda x: x != x.round(),
    "above 1": lambda x: x > 1,
}

#: By kind, what its data cannot be, and what they are, with a remedy.
_ALLOWED = {
    "binary": [("no 0 or 1", "0 and 1; binarise grey levels, or say kind='real'")],
    "unit-interval": [
        ("negative", "numbers from 0 to 1; divide by the maximum"),
        ("above 1", "numbers from 0 to 1; divide by the maximum"),
    ],
    "counts": [
        ("negative", "not negative; drop or impute codes for what is missing, or say kind='real'"),
        ("not whole", "whole numbers; round them, or say kind='real'"),
    ],
}


@dataclass
class Census:
    """The rows of one split.

    Attributes
    ----------
    name
        What errors call them.
    columns
        Names of the features, of a table.
    moments
        Of all rows.
    missing
        Number of cells that are not there.
    """

    name: str
    columns: Sequence[str] | None = None
    moments: Moments = field(default_factory=Moments)
    _odd: dict[str, _Found] = field(default_factory=dict)
    _most: _Found | None = None
    _moved: Tensor | None = None
    _beyond: bool = False
    _whole_type: bool = True
    missing: int = 0

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.moments.count

    def add(self, x: Tensor, rows: np.ndarray) -> None:
        """Look at rows of these numbers; NaN is a cell that is not there.

        Raises
        ------
        DataError
            If a value is infinite.
        """
        if not len(x):
            return
        least, largest = float(x.amin()), float(x.amax())
        observed = None
        if not math.isfinite(least) or not math.isfinite(largest):
            self._refuse(torch.isinf(x), x, rows)
            observed = ~x.isnan()
            self.missing += int((~observed).sum())
        self.moments.add(x, observed)
        if observed is not None:
            # Zero is what data of every kind can be.
            x = x.where(observed, 0.0)
            least, largest = float(x.amin()), float(x.amax())
        # What the range tells needs no look at every value.
        there = {"negative": least < 0, "above 1": largest > 1}
        whole = not x.is_floating_point() or torch.equal(x, x.round())
        there |= {"not whole": not whole}
        there |= {"no 0 or 1": any(there.values())}
        for what, odd in _ODD.items():
            if there[what] and what not in self._odd:
                found = _first(odd(x), x, rows)
                assert found is not None
                self._odd[what] = found
        if self._most is None or largest > self._most.value:
            self._most = _first(x == x.amax(), x, rows)
        self._whole_type = not x.is_floating_point()
        moved, beyond = largest_move(x)
        self._beyond |= beyond
        if moved is not None:
            self._moved = moved if self._moved is None else self._moved.maximum(moved)

    def _refuse(self, bad: Tensor, x: Tensor, rows: np.ndarray) -> None:
        if (found := _first(bad, x, rows)) is None:
            return
        raise DataError(
            f"{self.name} has infinite values, first in {self._place(found)} ({found.value:g}): "
            "drop or impute those rows"
        )

    def _place(self, found: _Found) -> str:
        return place((found.row, *found.inside), self.columns)

    @property
    def kind(self) -> Kind:
        """The kind that the values tell, as ``data.read`` tells it from all of them."""
        if "no 0 or 1" not in self._odd:
            return "binary"
        return "real" if self._odd.keys() & {"negative", "not whole"} else "counts"

    def require_kind(self, kind: Kind, maximum: int | None) -> None:
        """Refuse values that data of a kind cannot have.

        Parameters
        ----------
        kind
            The kind.
        maximum
            Largest count; None where larger ones than those of the training data may come.

        Raises
        ------
        DataError
            With the first of them.
        """
        for what, allowed in _ALLOWED.get(kind, []):
            if found := self._odd.get(what):
                raise DataError(
                    f"{self.name} holds {found.value:.9g} in {self._place(found)}, and {kind} "
                    f"data are {allowed}"
                )
        most = self._most
        if kind == "counts" and maximum is not None and most is not None and most.value > maximum:
            raise DataError(
                f"{self.name} holds {most.value:.9g} in {self._place(most)}, and counts data are "
                f"whole numbers from 0 to maximum={maximum}; raise the maximum"
            )

    def keeps_digits(self, like: Moments, *, counts: bool) -> bool:
        """Whether float32 has the values as well as ``conversion.cast`` asks for.

        Parameters
        ----------
        like
            Of the data whose standard deviations are those that count.
        counts
            Whether no value may change at all.
        """
        if self._beyond:
            return False
        if self._moved is None:
            return True
        if counts:
            return not bool((self._moved > 0).any())
        allowed = allowed_move(
            like.count, like.spread, like.least, like.largest, whole=self._whole_type
        )
        return not bool((self._moved > allowed).any())


def _first(where: Tensor, x: Tensor, rows: np.ndarray) -> _Found | None:
    if not bool(where.any()):
        return None
    index = tuple(int(i) for i in where.nonzero()[0])
    return _Found(int(rows[index[0]]), index[1:], float(x[index]))
