"""A table whose columns have different likelihoods."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch
from pyro.distributions import TorchDistribution
from torch import nn
from torch.distributions import constraints

from pyro_vae.errors import DataError
from pyro_vae.models.likelihoods.base import Likelihood

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["ColumnsOfTable", "PerColumn"]


class ColumnsOfTable(TorchDistribution):
    """Independent distributions of event shape ``(1,)``, side by side: event shape ``(D,)``.

    Parameters
    ----------
    columns
        The distributions.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, columns: Sequence[TorchDistribution], validate_args: bool | None = None
    ) -> None:
        self.columns = tuple(columns)
        batch = torch.broadcast_shapes(*(column.batch_shape for column in self.columns))
        super().__init__(batch, torch.Size([len(self.columns)]), validate_args=validate_args)

    @property
    def support(self) -> Any:
        """Supports of the columns, side by side."""
        parts = [_of_cell(column.support) for column in self.columns]
        return constraints.independent(constraints.cat(parts, -1), 1)

    @property
    def has_rsample(self) -> bool:
        """Whether draws have gradients."""
        return all(column.has_rsample for column in self.columns)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> TorchDistribution:
        """The same with another batch shape."""
        return type(self)([column.expand(batch_shape) for column in self.columns], False)

    def marginal(self, columns: Sequence[int]) -> ColumnsOfTable:
        """Some of the columns."""
        return type(self)([self.columns[d] for d in columns], False)

    def column_log_prob(self, value: Tensor) -> Tensor:
        """Log-mass or log-density of every column in nats, ``(..., D)``."""
        cells = value.split(1, dim=-1)
        each = (c.log_prob(cell) for c, cell in zip(self.columns, cells, strict=True))
        return torch.stack(torch.broadcast_tensors(*each), dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Sum of the columns' log-probabilities, ``(...)``."""
        return self.column_log_prob(value).sum(-1)

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Draws of all the columns."""
        return torch.cat([column.sample(sample_shape) for column in self.columns], dim=-1)

    def rsample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Draws with gradients."""
        return torch.cat([column.rsample(sample_shape) for column in self.columns], dim=-1)

    @property
    def mean(self) -> Tensor:
        """Means of the columns."""
        return torch.cat([column.mean for column in self.columns], dim=-1)


@final
class PerColumn(Likelihood):
    """x_d | z ~ the likelihood of column d, independent over the columns of a table.

    For tables of mixed type: an age, a yes or no, one of three regions. ``eta`` is the columns'
    own, one after another. Its distribution has, beside ``log_prob``, ``column_log_prob``: the
    terms of the sum, ``(..., D)``. Densities may be unbounded as those of their columns are.

    Parameters
    ----------
    columns
        One likelihood per column: an object of its own, its name with settings as in
        ``"student-t(df=4)"``, or what ``to_config`` gives.

    Raises
    ------
    ValueError
        If there is no column, or one object stands for two.

    Examples
    --------
    >>> from pyro_vae.models.likelihoods import Bernoulli, Categorical, Normal
    >>> PerColumn([Normal(), Bernoulli(), Categorical(3)]).measure
    'mixed(lebesgue,counting,counting)'
    """

    support = "in each column what its likelihood takes"
    remedy = "Change the column, or its likelihood."
    kinds = ("mixed", "real", "counts", "unit-interval", "binary")
    exact_as_given = True  # each column sees to its own

    def __init__(self, columns: Sequence[Likelihood | str | dict[str, Any]]) -> None:
        super().__init__()
        parts = [_column(given) for given in columns]
        if not parts:
            raise ValueError("columns is empty: give one likelihood for each column of the table")
        if len({id(part) for part in parts}) < len(parts):
            raise ValueError(
                "columns holds one likelihood object twice, and its parameters would be shared: "
                "make an object for each, as in [Normal() for _ in range(3)]"
            )
        self.columns = nn.ModuleList(parts)
        measures = [part.measure for part in parts]
        same = len(set(measures)) == 1
        self.measure = measures[0] if same else f"mixed({','.join(measures)})"
        self.takes_exposure = any(part.takes_exposure for part in parts)

    def to_config(self) -> dict[str, Any]:
        """Name and the columns' configurations, ready for JSON."""
        return {"name": self.name, "columns": [column.to_config() for column in self._parts()]}

    def extra_repr(self) -> str:
        """The columns, as in the call that made them."""
        return f"columns=[{', '.join(map(repr, self.columns))}]"

    def build(self, event_shape: tuple[int, ...]) -> None:
        """Build every column for events of shape ``(1,)``.

        Raises
        ------
        DataError
            If ``event_shape`` is not ``(D,)`` for D columns.
        """
        if tuple(event_shape) != (len(self.columns),):
            raise DataError(
                f"columns has {len(self.columns)} likelihoods, and the event shape is "
                f"{tuple(event_shape)}: give one likelihood for each of the columns of a table "
                "(n, D)"
            )
        super().build(event_shape)
        for column in self._parts():
            column.build((1,))

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """Sum of the columns' numbers of parameters."""
        return sum(self._sizes())

    def forward(self, eta: Tensor, exposure: Tensor | None = None) -> TorchDistribution:
        """Distribution of x; the exposure goes to the columns that take one.

        Raises
        ------
        DataError
            If an exposure is missing, or no column takes one.
        """
        if exposure is not None and not self.takes_exposure:
            raise DataError(
                "exposure was given, and no column takes one: make a count likelihood with "
                "exposure=True, or leave it out"
            )
        pairs = zip(self._parts(), eta.split(self._sizes(), dim=-1), strict=True)
        return ColumnsOfTable(
            [c(part, exposure) if c.takes_exposure else c(part) for c, part in pairs],
            validate_args=False,
        )

    def in_support(self, x: Tensor) -> Tensor:
        """True where x is in the support of its column."""
        return self._each("in_support", x)

    def support_text(self) -> str:
        """The supports of the columns."""
        texts = (f"column {d}: {part.support_text()}" for d, part in enumerate(self._parts()))
        return "; ".join(texts)

    def standardise(self, x: Tensor) -> Tensor:
        """Every column on its own scale of order one."""
        return self._each("standardise", x)

    def filled(self, x: Tensor, observed: Tensor) -> Tensor:
        """Data with a value that is legal in its column in the cells that are missing."""
        self._check_shape(x)
        parts = zip(self._parts(), x.split(1, -1), observed.split(1, -1), strict=True)
        return torch.cat([column.filled(cell, there) for column, cell, there in parts], dim=-1)

    def check(self, x: Tensor) -> None:
        """Refuse data of the wrong shape, or outside a column's support, by its number.

        Parameters
        ----------
        x
            Data, shape ``(n, D)``.

        Raises
        ------
        DataError
            If the event shape differs or a value is NaN or infinite.
        SupportError
            If a value is outside the support of its column.
        """
        self._check_shape(x)
        for d, (column, cells) in enumerate(zip(self._parts(), x.split(1, dim=-1), strict=True)):
            try:
                column.check(cells)
            except DataError as error:
                raise type(error)(f"column {d} ({column.name}): {error}") from None

    def initialise(self, x: Tensor) -> None:
        """Start every column's learned parameters from its cells."""
        for column, cells in zip(self._parts(), x.split(1, dim=-1), strict=True):
            column.initialise(cells)

    def moment_eta(self, x: Tensor) -> Tensor:
        """Moment estimates of the columns, one after another."""
        return self._each("moment_eta", x)

    def formula(self) -> str:
        """Formula of p(x | z), a line for each column, below each other in a story."""
        # The number of the column stands for the index d.
        parts = enumerate(self._parts())
        return (";\n" + 13 * " ").join(
            re.sub(r"_(c?)d\b", rf"_\g<1>{d}", part.formula()) for d, part in parts
        )

    def _parts(self) -> list[Likelihood]:
        return list(self.columns)  # type: ignore[arg-type]

    def _sizes(self) -> list[int]:
        return [column.num_params((1,)) for column in self._parts()]

    def _each(self, method: str, x: Tensor) -> Tensor:
        """What every column's method makes of its cells, side by side."""
        cells = x.split(1, dim=-1)
        pairs = zip(self._parts(), cells, strict=True)
        return torch.cat([getattr(column, method)(cell) for column, cell in pairs], dim=-1)


def _column(given: Likelihood | str | dict[str, Any]) -> Likelihood:
    if isinstance(given, Likelihood):
        return given
    return Likelihood.parse(given) if isinstance(given, str) else Likelihood.from_config(given)


def _of_cell(support: Any) -> Any:
    """The support of one cell from that of a column of it: all together have one dimension."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support
