"""What a data set says of itself, whether it is in memory or streamed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from pyro_vae.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from pyro_vae.data.affine import Affine
    from pyro_vae.data.kind import Kind
    from pyro_vae.data.schema.schema import Schema

__all__ = ["SPLITS", "AnyDataset"]

SPLITS = ("train", "validation", "test")


class AnyDataset(ABC):
    """A ``Dataset`` or a ``StreamedDataset``, with the attributes that both have."""

    name: str
    train: Any
    validation: Any
    test: Any
    kind: Kind
    maximum: int | None
    binarisation: str
    seed: int
    standardise: bool
    base_measure: str
    affine: Affine | None
    columns: tuple[str, ...] | None
    schema: Schema | None
    observed: Mapping[str, Any] | None

    @abstractmethod
    def inputs(self, split: str, names: Iterable[str] = ()) -> dict[str, Any]:
        """Data of a split with what a model takes beside x."""

    @abstractmethod
    def require_taken(self, names: Iterable[str]) -> None:
        """Refuse to be given to a model that takes other things beside x."""

    @abstractmethod
    def epoch_train(self, epoch: int) -> Any:
        """Training data of an epoch."""

    @abstractmethod
    def remembered(self) -> dict[str, Any] | None:
        """What a run keeps of the data, for JSON."""

    def _split(self, split: str) -> Any:
        if split not in SPLITS:
            raise UnknownNameError("split", split, SPLITS)
        return getattr(self, split)

    @property
    def _holes(self) -> str:
        """What errors call the cells that are missing."""
        return "missing cells"

    def _require_observed(self, names: Iterable[str]) -> None:
        """Refuse a model that would take missing cells for data."""
        if self.observed is not None and "observed" not in names:
            raise DataError(
                f"{self.name} has {self._holes}, and the model is one of whole data: make a model "
                "for them, as VAE(..., missing='mask') or MixtureModel(..., missing='marginal'), "
                "or impute them"
            )

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one datum."""
        return tuple(self.train.shape[1:])

    @property
    def num_features(self) -> int:
        """Number of values in one datum."""
        return math.prod(self.event_shape)

    @property
    def feature_names(self) -> list[str]:
        """Names of the values of one datum: those of the columns, or their numbers."""
        return [str(name) for name in (self.columns or range(self.num_features))]

    @property
    def log_jacobian(self) -> float:
        """Sum of log dy_d/dx_d, in nats per datum: log p(x) = log p(y) + log_jacobian.

        y is the datum that is stored, x the same in the units of ``base_measure``, without a
        missing cell: ``log_jacobians`` has the number of each datum.
        """
        return 0.0 if self.affine is None else self.affine.log_jacobian()

    def in_original_units(self, values: Tensor) -> Tensor:
        """Values on the scale of standardised splits, back in the units of ``base_measure``.

        Parameters
        ----------
        values
            Draws from a model, means or reconstructions, ``(..., *event_shape)``.

        Returns
        -------
        Tensor
            Float64; the values as they are, if the data are not standardised.
        """
        if not self.standardise or self.affine is None:
            return values
        return self.affine.inverse(values)

    @property
    def unit_scale(self) -> float:
        """What counts are multiplied by to be in the unit interval; 1 for other data."""
        return 1.0 if self.maximum is None else 1.0 / self.maximum
