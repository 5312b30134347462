"""MNIST and the sets of its form, read by torchvision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_vae.data.sources import RawData, Source
from pyro_vae.errors import DataError, MissingDataError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KMNIST", "MNIST", "FashionMNIST"]

_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


class _TorchvisionImages(Source):
    """28x28 grey levels; the last sixth of the training data is the validation split."""

    torchvision_name: str
    event_shape = (28, 28)
    kind = "unit-interval"

    def missing_files(self, root: Path) -> list[str]:
        """IDX files that are not under ``root/<name>/raw``, as torchvision lays them."""
        folder = root / self.torchvision_name / "raw"
        return [str(folder / name) for name in _FILES if not (folder / name).is_file()]

    def how_to_get(self, root: Path) -> str:
        """The command that downloads it to this root."""
        return f"`pyro-vae data --download {self.name} --data-root {root}` would download it"

    def read(self, root: Path, seed: int, download: bool) -> RawData:
        """Grey levels in [0, 1]."""
        # Slow to import, and needed by these sets alone.
        from torchvision import datasets

        dataset = getattr(datasets, self.torchvision_name)
        try:
            train, test = (
                dataset(str(root), train=part, download=download) for part in (True, False)
            )
        except Exception as error:
            if download and self.missing_files(root):
                raise MissingDataError(
                    f"{self.name} could not be downloaded to {root} ({error}): try again with a "
                    f"network, or put its files there, {_FILES[0]} and three more, under "
                    f"{root / self.torchvision_name / 'raw'}"
                ) from error
            raise DataError(
                f"{self.name}: a file under {root / self.torchvision_name / 'raw'} is broken or "
                f"truncated ({error}): remove the folder and download it again"
            ) from error
        cut = len(train.data) - len(train.data) // 6
        grey, labels = train.data.float() / 255, train.targets.long()
        return RawData(
            {"train": grey[:cut], "validation": grey[cut:], "test": test.data.float() / 255},
            {"train": labels[:cut], "validation": labels[cut:], "test": test.targets.long()},
        )


class MNIST(_TorchvisionImages):
    """LeCun, Cortes & Burges: handwritten digits."""

    name = "mnist"
    description = "70,000 handwritten digits"
    torchvision_name = "MNIST"


class FashionMNIST(_TorchvisionImages):
    """Xiao, Rasul & Vollgraf (2017), arXiv 1708.07747: articles of clothing."""

    name = "fashion-mnist"
    description = "70,000 articles of clothing"
    torchvision_name = "FashionMNIST"


class KMNIST(_TorchvisionImages):
    """Clanuwat et al. (2018), arXiv 1812.01718: cursive Japanese characters."""

    name = "kmnist"
    description = "70,000 cursive Japanese characters"
    torchvision_name = "KMNIST"
