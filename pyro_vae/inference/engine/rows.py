"""Results of one datum after another, written into arrays of all data.

Small arrays that are kept of each datum, among the large ones of its particles, would hold the
heap in place: it would grow by what the particles take, and not by what is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Rows"]


class Rows:
    """Arrays over data by name, filled one datum at a time.

    Parameters
    ----------
    size
        Number of data.
    begun
        Arrays of the first so many data, which were filled before.

    Attributes
    ----------
    done
        Number of data whose parts are all there.
    """

    def __init__(self, size: int, begun: Mapping[str, np.ndarray] | None = None) -> None:
        self._size = size
        self._begun = dict(begun or {})
        self._arrays: dict[str, np.ndarray] = {}
        self.done = len(next(iter(self._begun.values()), []))

    def add(self, parts: Mapping[str, np.ndarray]) -> None:
        """Write what is kept of the next datum; every datum has parts of the same shapes."""
        if not self._arrays:
            for name, part in parts.items():
                self._arrays[name] = np.empty((self._size, *part.shape), part.dtype)
                if self.done:
                    self._arrays[name][: self.done] = self._begun[name]
        for name, part in parts.items():
            self._arrays[name][self.done] = part
        # A datum counts all at once, so that an interruption finds whole ones.
        self.done += 1

    def arrays(self) -> dict[str, np.ndarray]:
        """What there is of the data that are done, ``(done, ...)``."""
        if not self._arrays:
            return self._begun
        return {name: values[: self.done] for name, values in self._arrays.items()}
