"""What a file holds: a table with named columns, or numbers in an array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyro_vae.data.schema.cells import Cells

__all__ = ["Content"]


@dataclass(frozen=True)
class Content:
    """A table, or arrays by split.

    Attributes
    ----------
    table
        Columns by name; None where there is no table.
    arrays
        Numbers ``(n, *event_shape)``: all rows under ``"all"``, or those of each split; whatever
        can be converted.
    labels
        Class of each row, under the same keys; None without.
    grey
        Largest grey level of pictures; None for other numbers.
    """

    table: Mapping[str, Cells] | None = None
    arrays: Mapping[str, Any] | None = None
    labels: Mapping[str, Any] | None = None
    grey: int | None = None
