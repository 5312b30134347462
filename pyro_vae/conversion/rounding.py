"""Casting data to the type that a model computes in, refused where digits that matter are lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pyro_vae.conversion.places import first_place, place
from pyro_vae.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["allowed_move", "cast", "keeps_digits", "largest_move"]

#: Share of a column's standard deviation by which rounding may move a value.
_SHARE = 1e-3

# Fewer rows than _FEW say too little of the spread to be held to that share: two rows may be
# near each other by chance.
_FEW, _SHARE_OF_FEW = 10, 0.1

# Types whose every value float32 has.
_SMALL = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.float16, torch.bfloat16)


def cast(
    x: Tensor,
    dtype: torch.dtype,
    name: str,
    columns: Sequence[str] | None = None,
    *,
    like: Tensor | None = None,
    counts: bool = False,
    remedy: str | None = None,
) -> Tensor:
    """Data in another type.

    Parameters
    ----------
    x
        Data ``(n, ...)``.
    dtype
        Type of the result.
    name, columns
        What the data and their columns are called.
    like
        Data whose standard deviations are those that count; x unless given.
    counts
        Whether no value may change at all.
    remedy
        What would help; standardising unless given.

    Raises
    ------
    DataError
        If a value would move by more than a thousandth of the standard deviation of its column,
        or a count would be another.
    """
    y = x.to(dtype)
    lost = _lost(x, y, x if like is None else like, counts)
    if lost is None or not bool(lost.any()):
        return y
    where, index = first_place(lost, columns)
    was, becomes = x[index].item(), y[index].item()
    kind = str(dtype).removeprefix("torch.")
    if counts:
        raise DataError(
            f"{name} has the count {was:.15g} in {where}, which is {becomes:.15g} in {kind}: "
            + (remedy or "take a model in float64, as model.double() makes it")
        )
    column = place((0, *index[1:]), columns).partition(", ")[2]
    whose = f"those of {column}" if column else "them"
    raise DataError(
        f"{name} has {was:.15g} in {where}, which is {becomes:.15g} in {kind}: rounding moves "
        f"{whose} by more than a thousandth of their standard deviation, so "
        + (
            remedy
            or "standardise first, as Dataset.from_tensors(x).standardised() does in float64, or "
            "subtract an offset, such as the first row"
        )
    )


def keeps_digits(x: Tensor, like: Tensor, *, counts: bool) -> bool:
    """Whether ``cast`` would take x to float32."""
    lost = _lost(x, x.float(), like, counts)
    return lost is None or not bool(lost.any())


def largest_move(x: Tensor) -> tuple[Tensor | None, bool]:
    """How far float32 moves a value of every feature at most, and whether it has one as infinite.

    None where it can move none.
    """
    if x.dtype == torch.float32 or x.dtype in _SMALL or x.numel() == 0:
        return None, False
    y = x.float()
    beyond = torch.isfinite(x.double()) & ~torch.isfinite(y)
    return _difference(x, y).amax(0), bool(beyond.any())


def allowed_move(
    count: int, spread: Tensor, least: Tensor, largest: Tensor, *, whole: bool
) -> Tensor:
    """How far rounding may move a value of every feature, by what is known of all of them.

    Parameters
    ----------
    count
        Number of the data.
    spread, least, largest
        Standard deviation and range of each feature, float64.
    whole
        Whether the values came as whole numbers.
    """
    noise = 8 * torch.finfo(torch.double).eps * torch.maximum(least.abs(), largest.abs())
    constant = largest - least <= (0.0 if whole else noise)
    share = _SHARE if count >= _FEW else _SHARE_OF_FEW
    return (share * spread).where(~constant & (count >= 2), torch.inf)


def _lost(x: Tensor, y: Tensor, like: Tensor, counts: bool) -> Tensor | None:
    """Which values of x the cast to y moves too far; None where it can move none."""
    if x.dtype == y.dtype or x.dtype in _SMALL or x.numel() == 0:
        return None
    exact, rounded = x.double(), y.double()
    if counts:
        return _difference(x, y) > 0
    spread = like.double()
    # Whole numbers differ or not; of others a few last digits are the noise of arithmetic.
    noise = 8 * torch.finfo(torch.double).eps * spread.abs().amax(0)
    if like.is_floating_point():
        constant = spread.amax(0) - spread.amin(0) <= noise
    else:
        constant = (like == like[:1]).all(0)
    if len(spread) < 2:
        constant = torch.ones_like(constant)
    share = _SHARE if len(spread) >= _FEW else _SHARE_OF_FEW
    far = _difference(x, y) > share * spread.std(0, correction=0)
    return (far & ~constant) | (torch.isfinite(exact) & ~torch.isfinite(rounded))


def _difference(x: Tensor, y: Tensor) -> Tensor:
    """Distance of the rounded y from x, in float64; exact for whole numbers of 64 bits too."""
    exact = x.double()
    difference = (y.double() - exact).abs()
    if x.dtype == torch.int64:
        difference = difference + (exact.long() - x).abs().double()
    return difference
