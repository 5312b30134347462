"""The rows of one split, as a model is given them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from pyro_vae.data.streamed.selection import SPLITS, place_of_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pyro_vae.data.affine import Affine
    from pyro_vae.data.streamed.rows import RowSource

__all__ = ["Part", "Shares", "as_given"]


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
    """

    def __init__(
        self,
        source: RowSource,
        split: str,
        shares: Shares | None,
        counts: np.ndarray,
        dtype: torch.dtype,
        affine: Affine | None,
    ) -> None:
        self.source, self.shares, self.dtype, self.affine = source, shares, dtype, affine
        self.place = SPLITS.index(split)
        self.ends = np.cumsum(counts, dtype=np.int64)
        self.shape = (int(counts.sum()), *source.shape[1:])
        self.in_order = source.in_order

    def as_it_came(self) -> Part:
        """The same rows in the units of ``base_measure``, float64."""
        counts = np.diff(self.ends, prepend=0)
        split = SPLITS[self.place]
        return Part(self.source, split, self.shares, counts, torch.float64, None)

    def begin(self, seed: int) -> None:
        """Called before a pass in a seeded order."""
        self.source.begin(seed)

    def read(self, block: int) -> Tensor:
        """Rows of the split in a block."""
        rows = as_given(self.source.read(block), self.source.grey)
        if self.shares is not None:
            start = int(self.source.ends[block - 1]) if block else 0
            here = self.shares.place(start, start + len(rows)) == self.place
            rows = rows[torch.from_numpy(here)]
        return rows.to(self.dtype) if self.affine is None else self.affine.forward(rows)
