"""Handwritten digits of Alpaydin & Kaynak (1998), as scikit-learn carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pyro_vae.data.sources import RawData, Source, split_by_seed
from pyro_vae.on_demand import library

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Digits"]


class Digits(Source):
    """1,797 digits of 8x8 counts from 0 to 16: the ink in blocks of 4x4 pixels."""

    name = "digits"
    description = "1,797 handwritten digits (scikit-learn)"
    event_shape = (8, 8)
    kind = "counts"
    largest_level = 16

    def read(self, root: Path, seed: int, download: bool) -> RawData:
        """Counts as float32, split 1,257 / 180 / 360."""
        bunch = library("sklearn.datasets").load_digits()
        images = torch.as_tensor(bunch.images, dtype=torch.float32)
        labels = torch.as_tensor(bunch.target, dtype=torch.long)
        return split_by_seed(images, labels, {"train": 1257, "validation": 180, "test": 360})
