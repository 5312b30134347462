"""Frey Faces: video frames of one face, the set of Kingma & Welling (2014)."""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np
import torch

from pyro_vae.data.sources import RawData, Source, split_by_seed
from pyro_vae.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FreyFaces"]


class FreyFaces(Source):
    """1,965 frames of 28x20 grey levels, after S. Roweis."""

    name = "frey-faces"
    description = "1,965 frames of one face"
    event_shape = (28, 20)
    kind = "unit-interval"
    largest_level = 255
    built_in = False

    def _file(self, root: Path) -> Path:
        return root / "freyfaces" / "freyfaces.npz"

    def missing_files(self, root: Path) -> list[str]:
        """The one archive, if it is not there."""
        return [] if self._file(root).is_file() else [str(self._file(root))]

    def how_to_get(self, root: Path) -> str:
        """No download: its licence is unclear."""
        return (
            "it cannot be downloaded (its licence is unclear); put an archive freyfaces.npz with "
            f"the array `images`, uint8 of shape (1965, 28, 20), in {self._file(root).parent}"
        )

    def read(self, root: Path, seed: int, download: bool) -> RawData:
        """Grey levels, shuffled, split 1,565 / 200 / 200 (Tomczak & Welling, 2018)."""
        path = self._file(root)
        try:
            with np.load(path, allow_pickle=False) as archive:
                images = archive["images"]
        # Every way in which NumPy fails on a file that is cut, altered or of another format.
        except (
            EOFError,
            KeyError,
            OSError,
            TypeError,
            ValueError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise DataError(
                f"{path} is broken, unreadable or has no array `images` ({error}): put a sound "
                "copy there"
            ) from error
        if images.shape != (1965, 28, 20) or images.dtype != np.uint8:
            raise DataError(
                f"{path} has images of shape {images.shape} and type {images.dtype}, and they "
                "must be (1965, 28, 20) and uint8: put a sound copy there"
            )
        grey = torch.as_tensor(images, dtype=torch.float32)
        return split_by_seed(grey, None, {"train": 1565, "validation": 200, "test": 200})
