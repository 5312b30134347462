"""Small tables of real measurements, as scikit-learn carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pyro_vae.data.sources import RawData, Source, split_by_seed
from pyro_vae.on_demand import library

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BreastCancer", "Iris", "Wine"]


class _Table(Source):
    """Rows with a class each: seven tenths for training, one for validation, two for test."""

    kind = "real"
    reader: str

    def read(self, root: Path, seed: int, download: bool) -> RawData:
        """Measurements as float32, in their own units."""
        bunch = getattr(library("sklearn.datasets"), self.reader)()
        x = torch.as_tensor(bunch.data, dtype=torch.float32)
        test, validation = len(x) // 5, len(x) // 10
        sizes = {"train": len(x) - validation - test, "validation": validation, "test": test}
        return split_by_seed(x, torch.as_tensor(bunch.target, dtype=torch.long), sizes)


class Iris(_Table):
    """Fisher (1936): sepals and petals of three species, in centimetres."""

    name = "iris"
    description = "150 irises of three species, 4 lengths (scikit-learn)"
    event_shape = (4,)
    reader = "load_iris"


class Wine(_Table):
    """Forina et al. (1988): chemical analyses of wines of three growers."""

    name = "wine"
    description = "178 wines of three growers, 13 analyses (scikit-learn)"
    event_shape = (13,)
    reader = "load_wine"


class BreastCancer(_Table):
    """Street, Wolberg & Mangasarian (1993): cell nuclei of malignant and benign tumours."""

    name = "breast-cancer"
    description = "569 tumours of two classes, 30 measures of nuclei (scikit-learn)"
    event_shape = (30,)
    reader = "load_breast_cancer"
