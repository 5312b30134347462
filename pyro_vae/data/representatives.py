"""Which data are shown: one of each class, and pairs of different classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyro_vae.data.dataset import Dataset

__all__ = ["different_pairs", "one_of_each"]


def one_of_each(data: Dataset) -> list[int]:
    """The first test datum of every class, in order; all of them where there are no labels."""
    if data.labels is None:
        return list(range(len(data.test)))
    labels = data.labels["test"]
    first = {int(label): i for i, label in reversed(list(enumerate(labels.tolist())))}
    return [first[label] for label in sorted(first)]


def different_pairs(data: Dataset, count: int = 4) -> list[list[int]]:
    """Pairs of test data, of different labels where there are labels."""
    members = one_of_each(data)
    if data.labels is None:
        return [[2 * i, 2 * i + 1] for i in range(min(count, len(members) // 2))]
    return [[members[i], members[-1 - i]] for i in range(min(count, len(members) // 2))]
