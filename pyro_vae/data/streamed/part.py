"""The rows of one split, as a model is given them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyro_vae.data.any_dataset import SPLITS
from pyro_vae.data.streamed.selection import place_of_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pyro_vae.data.affine import Affine
    from pyro_vae.data.streamed.rows import RowSource

__all__ = ["Mask", "Part", "Shares", "as_given"]


@dataclass(frozen=True)
class Shares:
    """How the rows of a file are shared out: as for ``place_of_rows``."""

    shares: Sequence[float] | None
    seed: int

    def place(self, start: int, stop: int) -> np.ndarray:
        """The split of each of these rows, as its place in ``SPLITS``."""
        return place_of_rows(start, stop, self.shares, self.seed)


def as_given(rows: Tensor, grey: int | None) -> Tensor:
    """Rows in the units of ``base_measure``: grey levels in the unit interval."""
    return rows if grey is None else rows.float() / grey


class Part:
    """Some rows of a file, by blocks.

    Parameters
    ----------
    source
        The file.
    split
        Which of its rows.
    shares
        How they are shared out; None for all of them.
    counts
        Number of rows of the split in every block, ``(num_blocks,)``.
    dtype
        Type of the rows.
    affine
        Map to the scale of the model; None for the identity.
    stand_ins
        What stands in missing cells, ``(*event_shape)``, before that map; None where none is.
    """

    def __init__(
        self,
        source: RowSource,
        split: str,
        shares: Shares | None,
        counts: np.ndarray,
        dtype: torch.dtype,
        affine: Affine | None,
        stand_ins: Tensor | None = None,
    ) -> None:
        self.source, self.shares, self.dtype, self.affine = source, shares, dtype, affine
        self.stand_ins = stand_ins
        self._last: tuple[int, Tensor] | None = None
        self.place = SPLITS.index(split)
        self.ends = np.cumsum(counts, dtype=np.int64)
        self.shape = (int(counts.sum()), *source.shape[1:])
        self.in_order = source.in_order

    def as_it_came(self) -> Part:
        """The same rows in the units of ``base_measure``, float64."""
        counts = np.diff(self.ends, prepend=0)
        split = SPLITS[self.place]
        return Part(self.source, split, self.shares, counts, torch.float64, None, self.stand_ins)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_last": None}

    def begin(self, seed: int) -> None:
        """Called before a pass in a seeded order."""
        self._last = None
        self.source.begin(seed)

    def read(self, block: int) -> Tensor:
        """Rows of the split in a block."""
        rows = self.raw(block)
        if self.stand_ins is not None and rows.is_floating_point():
            rows = torch.where(rows.isnan(), self.stand_ins.to(rows), rows)
        return rows.to(self.dtype) if self.affine is None else self.affine.forward(rows)

    def raw(self, block: int) -> Tensor:
        """The same in the units of ``base_measure``, NaN where a cell is missing."""
        if self._last is not None and self._last[0] == block:
            return self._last[1]
        rows = as_given(self.source.read(block), self.source.grey)
        if self.shares is not None:
            start = int(self.source.ends[block - 1]) if block else 0
            here = self.shares.place(start, start + len(rows)) == self.place
            rows = rows[torch.from_numpy(here)]
        if self.stand_ins is not None:
            self._last = block, rows  # which is asked for twice, for which cells are there too
        return rows


class Mask:
    """Which cells of a part are there, by blocks, bool.

    Parameters
    ----------
    part
        The part.
    """

    dtype = torch.bool

    def __init__(self, part: Part) -> None:
        self._part = part
        self.shape, self.ends, self.in_order = part.shape, part.ends, part.in_order

    def begin(self, seed: int) -> None:
        """The part has begun."""

    def read(self, block: int) -> Tensor:
        """Which cells of a block are there."""
        rows = self._part.raw(block)
        there = torch.ones(rows.shape, dtype=torch.bool)
        return ~rows.isnan() if rows.is_floating_point() else there
