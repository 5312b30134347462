"""Which cells of a data set are there, and what stands in the others."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.conversion import convert
from pyro_vae.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from pyro_vae.data.kind import Kind

__all__ = ["checked_observed", "stand_ins", "without_holes"]


def checked_observed(
    name: str, given: Mapping[str, Any], splits: Mapping[str, Tensor]
) -> Mapping[str, Tensor] | None:
    """Truth values of the shape of every split; None where no cell is missing.

    Parameters
    ----------
    name
        Name of the data set, for error messages.
    given
        What the user gave; in a split that is left out every cell is there.
    splits
        The data.

    Raises
    ------
    DataError
        If a shape or a value does not fit.
    UnknownNameError
        If a split is unknown.
    """
    for split in given:
        if split not in splits:
            raise UnknownNameError("split of observed", str(split), splits)
    found = {}
    for split, x in splits.items():
        if split not in given:
            found[split] = torch.ones(x.shape, dtype=torch.bool)
            continue
        mask = convert(given[split], f"{name}: observed of {split}").values.cpu()
        if mask.shape != x.shape:
            raise DataError(
                f"{name}: observed of {split} has shape {tuple(mask.shape)}, and the data "
                f"{tuple(x.shape)}: give one truth value for each cell, true where it is there"
            )
        if mask.dtype != torch.bool and not bool(((mask == 0) | (mask == 1)).all()):
            raise DataError(
                f"{name}: observed of {split} must be true and false, or 1 and 0: true, or 1, "
                "for a cell that is there"
            )
        found[split] = mask.bool()
    whole = all(bool(mask.all()) for mask in found.values())
    return None if whole else MappingProxyType(found)


def stand_ins(x: Tensor, observed: Tensor, kind: Kind) -> Tensor:
    """A value that each feature could have, ``(*event_shape)``, for its missing cells.

    The mean of the observed cells, or, of kinds that are not numbers on a line, the value that is
    most frequent there; zero for a feature without observed cells.

    Parameters
    ----------
    x, observed
        Training data ``(n, *event_shape)``, and which of their cells are there.
    kind
        What their values are.
    """
    if kind in ("real", "unit-interval"):
        mean = x.double().where(observed, 0.0).sum(0) / observed.sum(0).clamp_min(1)
        return mean.to(x.dtype if x.is_floating_point() else torch.float64)
    flat, there = x.flatten(1), observed.flatten(1)
    found = torch.zeros(flat.shape[1], dtype=x.dtype)
    for d in range(flat.shape[1]):
        seen = flat[there[:, d], d]
        if len(seen):
            found[d] = seen.mode().values
    return found.reshape(x.shape[1:])


def without_holes(
    splits: Mapping[str, Tensor], observed: Mapping[str, Tensor], values: Tensor
) -> dict[str, Tensor]:
    """Splits with the same values, ``(*event_shape)``, in the missing cells of every datum."""
    return {
        split: x if bool(observed[split].all()) else torch.where(observed[split], x, values)
        for split, x in splits.items()
    }
