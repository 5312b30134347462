"""What is to be known of a column's numbers to tell its kind and likelihood."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import numpy as np

__all__ = ["Numbers", "NumbersOfArray"]

#: Whole numbers below this are what float64 can count with.
_COUNTED = 2**53


class Numbers(Protocol):
    """Numbers of a column, none missing."""

    @property
    def size(self) -> int:
        """How many."""

    @property
    def least(self) -> float:
        """The smallest."""

    @property
    def largest(self) -> float:
        """The largest."""

    @property
    def mean(self) -> float:
        """Their mean."""

    @property
    def variance(self) -> float:
        """Their variance, over their number."""

    @property
    def whole(self) -> bool:
        """Whether all are whole numbers."""

    @property
    def zeros_and_ones(self) -> bool:
        """Whether none is other than 0 and 1."""

    @property
    def gapless(self) -> bool:
        """Whether they are all the whole numbers from the smallest to the largest."""

    @property
    def all_different(self) -> bool:
        """Whether no two are equal; asked of those that are gapless alone."""

    @property
    def skewness(self) -> float:
        """Third standardised moment; 0 where they are all equal."""

    @property
    def excess_kurtosis(self) -> float:
        """Fourth standardised moment, less 3."""

    @property
    def log_skewness(self) -> float:
        """Skewness of their logarithms, where all are positive."""

    @property
    def log_mean(self) -> float:
        """Mean of their logarithms."""

    @property
    def log_variance(self) -> float:
        """Variance of their logarithms."""

    def outside(self, low: float, high: float) -> float | None:
        """One that is not strictly between; None where all are."""


class NumbersOfArray:
    """The same of an array.

    Parameters
    ----------
    x
        The numbers.
    whole_type
        Whether they came as integers.
    """

    def __init__(self, x: np.ndarray, whole_type: bool = False) -> None:
        self._x, self._whole_type = x, whole_type

    @property
    def size(self) -> int:
        """How many."""
        return len(self._x)

    @cached_property
    def least(self) -> float:
        """The smallest."""
        return float(self._x.min())

    @cached_property
    def largest(self) -> float:
        """The largest."""
        return float(self._x.max())

    @cached_property
    def mean(self) -> float:
        """Their mean."""
        return float(self._x.mean())

    @cached_property
    def variance(self) -> float:
        """Their variance, over their number."""
        return float(self._x.var())

    @cached_property
    def whole(self) -> bool:
        """Whether all are whole numbers."""
        whole = bool((self._x == np.rint(self._x)).all())
        return whole and (self._whole_type or self.largest < _COUNTED)

    @cached_property
    def _different(self) -> np.ndarray:
        return np.unique(self._x)

    @property
    def zeros_and_ones(self) -> bool:
        """Whether none is other than 0 and 1."""
        return set(self._different) <= {0.0, 1.0}

    @property
    def gapless(self) -> bool:
        """Whether they are all the whole numbers from the smallest to the largest."""
        return len(self._different) == self.largest - self.least + 1

    @property
    def all_different(self) -> bool:
        """Whether no two are equal."""
        return len(self._different) == self.size

    @property
    def skewness(self) -> float:
        """Third standardised moment; 0 where they are all equal."""
        return _standard_moment(self._x, 3)

    @property
    def excess_kurtosis(self) -> float:
        """Fourth standardised moment, less 3."""
        return _standard_moment(self._x, 4) - 3

    @cached_property
    def _log(self) -> np.ndarray:
        return np.log(self._x)

    @property
    def log_skewness(self) -> float:
        """Skewness of their logarithms, where all are positive."""
        return _standard_moment(self._log, 3)

    @property
    def log_mean(self) -> float:
        """Mean of their logarithms."""
        return float(self._log.mean())

    @property
    def log_variance(self) -> float:
        """Variance of their logarithms."""
        return float(self._log.var())

    def outside(self, low: float, high: float) -> float | None:
        """The first that is not strictly between; None where all are."""
        found = self._x[~((self._x > low) & (self._x < high))]
        return float(found[0]) if len(found) else None


def _standard_moment(x: np.ndarray, power: int) -> float:
    with np.errstate(over="ignore", invalid="ignore"):  # refused with its scale
        spread = float(x.std())
        return float((((x - x.mean()) / spread) ** power).mean()) if spread > 0 else 0.0
