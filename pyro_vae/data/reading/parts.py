"""Rows cut into training, validation and test data: by share, by a column, or by group."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from pyro_vae.data.any_dataset import SPLITS
from pyro_vae.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["by_column", "by_share", "check_shares", "left_shares"]


#: What stands for a split in a column that says of each row where it belongs.
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


def check_shares(shares: Sequence[float]) -> tuple[float, float, float]:
    """Shares of training, validation and test data, which must add up to one.

    Raises
    ------
    DataError
        If they do not, or are not three.
    """
    found = tuple(float(share) for share in shares)
    sound = len(found) == 3 and found[0] > 0 and min(found) >= 0
    if not sound or not math.isclose(sum(found), 1.0, abs_tol=1e-6):
        raise DataError(
            f"shares got {tuple(shares)}: give those of training, validation and test data, which "
            "add up to 1, as in (0.7, 0.1, 0.2)"
        )
    return found  # type: ignore[return-value]


def left_shares(shares: Sequence[float], given: Sequence[str]) -> list[float]:
    """Shares of the rows that are to be split, where some splits have rows of their own."""
    left = [0.0 if split in given else share for split, share in zip(SPLITS, shares, strict=True)]
    return [share / sum(left) for share in left]


def by_share(
    count: int, shares: Sequence[float], seed: int, groups: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Rows of each split, in the order of the table.

    Parameters
    ----------
    count
        Number of rows.
    shares
        Of training, validation and test data.
    seed
        Seed of the permutation, which is the same on every machine.
    groups
        ``(count,)``; rows with the same value stay together, and the shares are met as nearly
        as that allows.

    Raises
    ------
    DataError
        If a share above zero comes to no row.
    """
    generator = torch.Generator().manual_seed(seed)
    if groups is None:
        numbers, sizes = np.arange(count), np.ones(count, dtype=int)
    else:
        _, numbers = np.unique(groups, return_inverse=True)
        sizes = np.bincount(numbers)
    order = torch.randperm(len(sizes), generator=generator).numpy()
    # A group goes where its middle lies.
    ends = np.cumsum(sizes[order])
    middles = (ends - sizes[order] / 2) / count
    cuts = np.array([shares[0], shares[0] + shares[1]])
    where = np.empty(len(sizes), dtype=int)
    where[order] = (middles[:, None] > cuts + 1e-12).sum(1)
    found = {split: np.flatnonzero(where[numbers] == i) for i, split in enumerate(SPLITS)}
    for split, share in zip(SPLITS, shares, strict=True):
        if share > 0 and not len(found[split]):
            what = f"{len(sizes)} groups" if groups is not None else f"{count} rows"
            raise DataError(
                f"shares got {tuple(shares)}, which leaves {split} without a row of the {what}: "
                "give more rows, or another share"
            )
    return found


def by_column(words: Sequence[str], column: str) -> dict[str, np.ndarray]:
    """Rows of each split, as a column says it.

    Parameters
    ----------
    words
        What stands in the column, one a row.
    column
        Its name.

    Raises
    ------
    DataError
        If a word is no split, or no row is for training.
    """
    known = {word: split for split, meant in _WORDS.items() for word in meant}
    found = [known.get(word.strip().lower()) for word in words]
    if None in found:
        row = found.index(None)
        allowed = ", ".join(itertools.chain(*_WORDS.values()))
        raise DataError(
            f"split_by got the column {column!r}, which has {words[row]!r} in row {row}: it must "
            f"have one of {allowed} in every row"
        )
    where = np.array(found)
    parts = {split: np.flatnonzero(where == split) for split in SPLITS}
    if not len(parts["train"]):
        raise DataError(f"split_by got the column {column!r}, which has no row for training")
    return parts
