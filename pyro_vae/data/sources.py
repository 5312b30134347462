"""What every source of data says of itself, and where its files are looked for."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import torch

from pyro_vae.errors import DataError, MissingDataError

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.data.kind import Kind

__all__ = ["RawData", "Source", "resolve_data_root", "split_by_seed"]

#: Seed of every split of a set that has none of its own: part of the data's definition.
_SPLIT_SEED = 20140101


@dataclass(frozen=True)
class RawData:
    """Splits and labels as read or simulated, before any preprocessing.

    Attributes
    ----------
    splits
        Tensors ``(n, *event_shape)`` by split; grey levels are whole numbers.
    labels
        Classes by split, or None.
    covariates
        Vectors known of each datum by split, ``(n, C)``, or None.
    """

    splits: dict[str, Tensor]
    labels: dict[str, Tensor] | None
    covariates: dict[str, Tensor] | None = None

    def cut(self, name: str, num_validation: int) -> RawData:
        """With the last so many of what is no test data for validation.

        Raises
        ------
        DataError
            If that would leave nothing to train on.
        """
        size = len(self.splits["train"]) + len(self.splits["validation"])
        if num_validation >= size:
            raise DataError(
                f"num_validation got {num_validation} for {name}, which has {size} data beside "
                "the test data: leave some to train on"
            )

        def again(parts: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
            if parts is None:
                return None
            whole = torch.cat([parts["train"], parts["validation"]])
            train, validation = whole.split([size - num_validation, num_validation])
            return {**parts, "train": train, "validation": validation}

        splits = again(self.splits)
        assert splits is not None
        return RawData(splits, again(self.labels), again(self.covariates))


class Source(ABC):
    """One named data set.

    Attributes
    ----------
    name, description
        What it goes by, and a line on what it is.
    event_shape, kind
        What its values are, unless ``load`` is asked for another form.
    largest_level
        Largest grey level; None where the values are no grey levels.
    built_in
        Whether it needs no file under the data root.
    downloadable
        Whether ``load(..., download=True)`` can fetch it.
    """

    name: str
    description: str
    event_shape: tuple[int, ...]
    kind: Kind
    largest_level: int | None = None
    built_in: bool = True
    downloadable: bool = False

    @abstractmethod
    def read(self, root: Path, seed: int, download: bool) -> RawData:
        """Read or simulate the data."""

    def missing_files(self, root: Path) -> list[str]:
        """Files that are not under the data root; none for a set that is built in."""
        return []

    def how_to_get(self, root: Path) -> str:
        """Clause with the command, or the act, that would put the files there."""
        return "built in"


def resolve_data_root(data_root: str | Path | None) -> tuple[Path, bool]:
    """Data root: the argument, else ``PYRO_VAE_DATA``, else the user's cache folder.

    Parameters
    ----------
    data_root
        Folder that somebody gave, or None.

    Returns
    -------
    tuple
        The folder, and whether somebody named it (then it ought to be there).
    """
    named = data_root or os.environ.get("PYRO_VAE_DATA")
    if named:
        return Path(named).expanduser(), True
    return Path(platformdirs.user_cache_dir("pyro_vae")), False


def require_files(source: Source, root: Path, named: bool) -> None:
    """Refuse a source whose files are not there, in one sentence that says what would help."""
    missing = source.missing_files(root)
    if missing and named and not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise MissingDataError(
            f"the data root {root} {what}, and {source.name} needs {missing[0]}: give the folder "
            "that holds the data sets (--data-root or PYRO_VAE_DATA), or note that "
            f"{source.how_to_get(root)}"
        )
    if missing:
        raise MissingDataError(
            f"{source.name} is not in {root}, where {missing[0]} was expected: "
            f"{source.how_to_get(root)}"
        )


def split_by_seed(
    x: Tensor,
    labels: Tensor | None,
    sizes: dict[str, int],
    *,
    covariates: Tensor | None = None,
) -> RawData:
    """Cut into splits after a fixed permutation, the same on every machine."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(_SPLIT_SEED))
    parts = dict(zip(sizes, order.split(list(sizes.values())), strict=True))

    def by_split(whole: Tensor | None) -> dict[str, Tensor] | None:
        return None if whole is None else {name: whole[rows] for name, rows in parts.items()}

    splits = {name: x[rows] for name, rows in parts.items()}
    return RawData(splits, by_split(labels), by_split(covariates))
