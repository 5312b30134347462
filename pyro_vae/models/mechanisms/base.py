"""What every mechanism p(m | x) says of itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from pyro_vae.models.component import Component

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Mechanism"]


class Mechanism(Component, role="mechanism"):
    """Family of p(m | x): which cells of some columns are observed, given what is in them.

    m_d = 1 where x_d is observed, 0 where it is missing. The masks of the columns that are not
    chosen are taken as ignorable (Rubin, 1976), and have no term.

    Parameters
    ----------
    columns
        Numbers of the chosen columns of the table, from 0; all unless given.
    """

    def __init__(self, columns: Sequence[int] | None = None) -> None:
        super().__init__()
        self.columns = None if columns is None else list(columns)

    def build(self, event_shape: tuple[int, ...]) -> None:
        """Learn which columns there are, and make the mechanism's own parameters.

        Parameters
        ----------
        event_shape
            Shape of one datum, ``(D,)``.

        Raises
        ------
        ValueError
            If the data are no table, or a column is not in it or named twice.
        """
        if len(event_shape) != 1:
            raise ValueError(
                f"mechanism got data of event shape {tuple(event_shape)}: it is of the columns of "
                "a table, so flatten the data to (n, D)"
            )
        (size,) = event_shape
        columns = list(range(size)) if self.columns is None else self.columns
        right = all(type(d) is int and 0 <= d < size for d in columns)
        if not columns or not right or len(set(columns)) < len(columns):
            raise ValueError(
                f"columns got {self.columns!r}: it must be numbers of columns from 0 to "
                f"{size - 1}, each once, such as [0]"
            )
        self.chosen = tuple(columns)
        self.built = True

    @abstractmethod
    def forward(self, cells: Tensor) -> TorchDistribution:
        """Distribution of m over the chosen columns, event shape ``(C,)``.

        Parameters
        ----------
        cells
            All the cells of these columns, observed or drawn, ``(..., C)``.
        """

    @abstractmethod
    def initialise(self, cells: Tensor, observed: Tensor) -> None:
        """Start from data.

        Parameters
        ----------
        cells
            Cells of the chosen columns, ``(n, C)``; missing ones hold any number.
        observed
            Which of them are there, bool ``(n, C)``.
        """

    @abstractmethod
    def formula(self) -> str:
        """The mechanism in symbols, as it stands in the generative story."""
