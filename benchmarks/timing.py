"""Interleaved timing: every contender in turn, round after round, so that noise hits all."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["interleaved"]


def interleaved(
    contenders: dict[str, Callable[[], object]], *, rounds: int, warm_up: int = 5
) -> dict[str, float]:
    """Median seconds of each contender."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + warm_up):
        for name, act in contenders.items():
            start = time.perf_counter()
            act()
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}
