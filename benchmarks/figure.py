"""One measured number of a benchmark, with its target where it has one."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Figure"]


class Figure(NamedTuple):
    """A number, and what it is of.

    Attributes
    ----------
    what
        What was measured, of what size.
    value, unit
        The number; ratios say of what in their unit.
    low, high
        Quartiles of a ratio over the rounds.
    at_most, at_least
        The target.
    """

    what: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool:
        """Whether the target is met, if there is one."""
        above = self.at_most is not None and self.value > self.at_most
        below = self.at_least is not None and self.value < self.at_least
        return not (above or below)

    def __str__(self) -> str:
        spread = "" if self.low is None else f" [{self.low:.2f}, {self.high:.2f}]"
        targets = [
            f"{words} {limit:g}"
            for words, limit in (("at most", self.at_most), ("at least", self.at_least))
            if limit is not None
        ]
        aim = f" (target {', '.join(targets)}{'' if self.met else ': missed'})" if targets else ""
        return f"{self.what}: {self.value:.3g}{spread} {self.unit}{aim}"

    def as_row(self) -> dict[str, Any]:
        """For JSON."""
        return {**self._asdict(), "met": self.met}
