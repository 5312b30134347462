"""Interleaved timing: every contender in turn, round after round, so that noise hits all."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Ratio", "interleaved", "ratios"]


class Ratio(NamedTuple):
    """Time of a contender as a multiple of another's.

    Attributes
    ----------
    seconds
        Median of the contender.
    ratio
        Of the medians.
    low, high
        Quartiles of the ratio over the rounds.
    """

    seconds: float
    ratio: float
    low: float
    high: float


def interleaved(
    contenders: dict[str, Callable[[], object]], *, rounds: int, warm_up: int = 5
) -> dict[str, float]:
    """Median seconds of each contender."""
    seconds = _seconds(contenders, rounds, warm_up)
    return {name: statistics.median(times) for name, times in seconds.items()}


def ratios(
    contenders: dict[str, Callable[[], object]], against: str, *, rounds: int, warm_up: int = 5
) -> dict[str, Ratio]:
    """Times of each contender as multiples of those of one of them."""
    seconds = _seconds(contenders, rounds, warm_up)
    base = statistics.median(seconds[against])
    found = {}
    for name, times in seconds.items():
        pairs = [a / b for a, b in zip(times, seconds[against], strict=True)]
        low, _, high = statistics.quantiles(pairs, n=4)
        median = statistics.median(times)
        found[name] = Ratio(median, median / base, low, high)
    return found


def _seconds(
    contenders: dict[str, Callable[[], object]], rounds: int, warm_up: int
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + warm_up):
        for name, act in contenders.items():
            start = time.perf_counter()
            act()
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return seconds
