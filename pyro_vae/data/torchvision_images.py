"""MNIST and the sets of its form, read by torchvision."""

from __future__ import annotations

import math
import struct
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pyro_vae.data.sources import RawData, Source, resolve_data_root
from pyro_vae.errors import DataError, MissingDataError
from pyro_vae.on_demand import library
from pyro_vae.spelling import command_line

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

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
    largest_level = 255
    built_in = False
    downloadable = True

    def missing_files(self, root: Path) -> list[str]:
        """IDX files that are not under ``root/<name>/raw``, as torchvision lays them."""
        folder = self._folder(root)
        return [str(folder / name) for name in _FILES if not (folder / name).is_file()]

    def how_to_get(self, root: Path) -> str:
        """The command that downloads it to this root."""
        return f"`{self._command(root)}` would download it"

    def read(self, root: Path, seed: int, download: bool) -> RawData:
        """Grey levels, as whole numbers."""
        dataset = getattr(_torchvision_datasets(), self.torchvision_name)
        try:
            train, test = (
                dataset(str(root), train=part, download=download) for part in (True, False)
            )
        except Exception as error:
            # torchvision's own message runs over several lines.
            reason = " ".join(str(error).split())
            if download and self.missing_files(root):
                raise MissingDataError(
                    f"{self.name} could not be downloaded to {root} ({reason}): run "
                    f"`{self._command(root)}` again with a network, or put {_FILES[0]} and the "
                    f"other three files in {self._folder(root)}"
                ) from error
            broken = next(
                (path for name in _FILES if not _is_whole(path := self._folder(root) / name)),
                f"a file under {self._folder(root)}",
            )
            raise DataError(
                f"{self.name}: {broken} is broken or truncated ({reason}): remove it and run "
                f"`{self._command(root)}`"
            ) from error
        for part, prefix in ((train, "train"), (test, "t10k")):
            self._check_images(part.data, part.targets, self._folder(root), prefix)
        cut = len(train.data) - len(train.data) // 6
        grey, labels = train.data.float(), train.targets.long()
        return RawData(
            {"train": grey[:cut], "validation": grey[cut:], "test": test.data.float()},
            {"train": labels[:cut], "validation": labels[cut:], "test": test.targets.long()},
        )

    def _folder(self, root: Path) -> Path:
        return root / self.torchvision_name / "raw"

    def _command(self, root: Path) -> str:
        # Where no option was needed to look in this root, none is needed to download to it.
        where = () if root == resolve_data_root(None)[0] else ("--data-root", root)
        return command_line("data", "--download", self.name, *where)

    def _check_images(self, images: Tensor, labels: Tensor, folder: Path, prefix: str) -> None:
        if tuple(images.shape[1:]) != self.event_shape:
            raise DataError(
                f"{self.name}: {folder / f'{prefix}-images-idx3-ubyte'} has images of shape "
                f"{tuple(images.shape[1:])}, and they must be {self.event_shape}: it is another "
                "data set's file"
            )
        if len(images) != len(labels):
            raise DataError(
                f"{self.name}: {folder / f'{prefix}-labels-idx1-ubyte'} has {len(labels)} labels "
                f"for {len(images)} images: remove both files and download them again"
            )


def _torchvision_datasets() -> Any:
    """Torchvision's module of data sets: slow to import, and needed by these sets alone."""
    needed_by = "reading mnist, fashion-mnist and kmnist"
    try:
        return library("torchvision.datasets", "images", needed_by)
    except (ImportError, RuntimeError) as error:
        raise MissingDataError(
            f"torchvision {version('torchvision')} cannot be imported beside torch "
            f"{version('torch')} ({' '.join(str(error).split())}): they are of different builds; "
            "install both together, as in `pip install --force-reinstall torch torchvision`"
        ) from error


def _is_whole(path: Path) -> bool:
    """Whether an IDX file of bytes is as long as its header says."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            # Two zeros, the code of unsigned bytes, and the number of dimensions.
            if len(magic) < 4 or magic[:3] != b"\x00\x00\x08":
                return False
            sizes = file.read(4 * magic[3])
    except OSError:
        return False
    if len(sizes) < 4 * magic[3]:
        return False
    payload = math.prod(struct.unpack(f">{magic[3]}I", sizes))
    return path.stat().st_size == 4 + 4 * magic[3] + payload


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
