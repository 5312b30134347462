"""Missing cells: what a model may do about them, and data without holes to start from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from pyro_vae.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Missing", "completed", "require_observed_shape"]

#: What an encoder is shown in the place of missing cells: see ``VAE``.
Missing = Literal["none", "zeros", "mask"]


def completed(x: Tensor, observed: Tensor | None) -> Tensor:
    """Data whose columns have about the moments of their observed cells, to start weights from.

    The missing cells of a column get values that it has, evenly over their ranks and in an order
    that has nothing to do with that of the rows. Not an imputation: no column knows of another.

    Parameters
    ----------
    x
        Data ``(n, *event_shape)``, with a legal value in the cells that are missing, which stays
        in columns that are not observed at all.
    observed
        Which cells are there; None for all.
    """
    if observed is None or bool(observed.all()):
        return x
    flat, there = x.flatten(1).clone(), observed.flatten(1)
    for column, seen in zip(flat.unbind(1), there.unbind(1), strict=True):
        known, missing = column[seen].sort().values, int((~seen).sum())
        if len(known) and missing:
            ranks = ((torch.arange(missing) + 0.5) * len(known) / missing).long()
            order = torch.randperm(missing, generator=torch.Generator().manual_seed(missing))
            column[~seen] = known[ranks[order].to(known.device)]
    return flat.reshape(x.shape)


def require_observed_shape(x: Tensor, observed: Tensor) -> None:
    """Refuse a mask that is not of the shape of the data.

    Raises
    ------
    DataError
        With both shapes.
    """
    if observed.shape != x.shape or observed.dtype != torch.bool:
        raise DataError(
            f"observed has shape {tuple(observed.shape)} and type {observed.dtype}, and x shape "
            f"{tuple(x.shape)}: give one truth value for each cell of x, true where it is there"
        )
