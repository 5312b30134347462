"""Where in the data something is, in words; and the refusal of NaN and infinity by its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pyro_vae.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["check_finite", "first_place", "place"]


def place(index: Sequence[int], columns: Sequence[str] | None = None) -> str:
    """An index in words: ``row 3``, ``row 3, column 'age'`` or ``row 3, at (0, 7)``.

    Parameters
    ----------
    index
        Row, and where in the datum.
    columns
        Names of the columns of a table.
    """
    row, *rest = index
    if columns is not None and len(rest) < 2:
        return f"row {row}, column {columns[rest[0] if rest else 0]!r}"
    if len(rest) > 1:
        return f"row {row}, at {tuple(rest)}"
    return f"row {row}, column {rest[0]}" if rest else f"row {row}"


def first_place(
    where: Tensor, columns: Sequence[str] | None = None
) -> tuple[str, tuple[int, ...]]:
    """The first true element of a mask ``(n, ...)``, in words and as an index."""
    index = tuple(int(i) for i in where.nonzero()[0])
    return place(index, columns), index


def check_finite(
    x: Tensor, name: str, columns: Sequence[str] | None = None, *, infinite: bool = False
) -> None:
    """Refuse NaN and infinity.

    Parameters
    ----------
    x
        Data ``(n, ...)``.
    name
        What the data are called.
    columns
        Names of the columns of a table.
    infinite
        Whether infinity is allowed.

    Raises
    ------
    DataError
        With the row and the column of the first of them.
    """
    if not x.is_floating_point():
        return
    bad = torch.isnan(x) if infinite else ~torch.isfinite(x)
    if bool(bad.any()):
        where, index = first_place(bad, columns)
        holes = ", or say with observed=~isnan(x) that such cells are missing"
        raise DataError(
            f"{name} has NaN or infinite values, first in {where} ({x[index].item():g}): drop or "
            f"impute those rows{holes if bool(x[index].isnan()) else ''}"
        )
