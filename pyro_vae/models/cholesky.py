"""Lower triangular matrices with a positive diagonal, as unconstrained vectors and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pyro_vae.models.softplus import inverse_softplus, softplus

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["num_entries", "pack", "unpack"]


def num_entries(size: int) -> int:
    """Numbers on and below the diagonal of a matrix of ``size`` rows."""
    return size * (size + 1) // 2


def unpack(raw: Tensor, size: int, min_scale: float) -> Tensor:
    """Lower triangular matrix, its diagonal min_scale + softplus(.).

    Parameters
    ----------
    raw
        Diagonal before the softplus, then the strict lower triangle by rows:
        ``(..., num_entries(size))``.
    size
        Number of rows.
    min_scale
        Lower bound of the diagonal.

    Returns
    -------
    Tensor
        Shape ``(..., size, size)``.
    """
    raw_diagonal, lower = raw.split([size, num_entries(size) - size], dim=-1)
    rows, columns = torch.tril_indices(size, size, offset=-1, device=raw.device)
    scale_tril = torch.diag_embed(min_scale + softplus(raw_diagonal))
    scale_tril[..., rows, columns] = lower
    return scale_tril


def pack(scale_tril: Tensor, min_scale: float) -> Tensor:
    """Inverse of ``unpack``; diagonal entries at or below ``min_scale`` are moved just above."""
    size = scale_tril.shape[-1]
    rows, columns = torch.tril_indices(size, size, offset=-1, device=scale_tril.device)
    excess = scale_tril.diagonal(dim1=-2, dim2=-1) - min_scale
    raw_diagonal = inverse_softplus(excess.clamp_min(1e-3 * min_scale))
    return torch.cat([raw_diagonal, scale_tril[..., rows, columns]], dim=-1)
