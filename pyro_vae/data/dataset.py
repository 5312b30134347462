"""A small immutable data set: three splits of tensors, and what kind of values they hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

import torch

from pyro_vae.data.binarisation import draw, stream
from pyro_vae.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

__all__ = ["SPLITS", "Dataset", "Kind"]

Kind = Literal["binary", "unit-interval", "counts", "real"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training, validation and test data.

    Attributes
    ----------
    name
        Name of the data set.
    train, validation, test
        Tensors ``(n, *event_shape)``. With dynamic binarisation ``train`` holds the grey
        levels, of which ``epoch_train`` draws; validation and test are drawn once.
    kind
        What the values are: ``"binary"``, ``"unit-interval"``, ``"counts"`` or ``"real"``.
    maximum
        Largest count that a feature can take; None unless the kind is ``"counts"``.
    labels
        Class of each datum by split, never used in training.
    binarisation
        How grey levels became binary; see ``load``.
    seed
        Seed of the binarisation, or of the simulation.

    Raises
    ------
    DataError
        If there are no training data, shapes differ, or values are not of the kind.
    """

    name: str
    train: Tensor
    validation: Tensor
    test: Tensor
    kind: Kind
    maximum: int | None = None
    labels: Mapping[str, Tensor] | None = None
    binarisation: str = "none"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UnknownNameError("kind of data", self.kind, get_args(Kind))
        if len(self.train) == 0:
            raise DataError(f"{self.name}: the training data are empty; give at least one row")
        if self.train.dim() < 2:
            raise DataError(
                f"{self.name}: train has shape {tuple(self.train.shape)}, and must be "
                "(n, *event_shape); a single column is (n, 1)"
            )
        for split in SPLITS:
            self._check_split(split, getattr(self, split))
        if self.labels is not None:
            for split in SPLITS:
                if len(self.labels[split]) != len(getattr(self, split)):
                    raise DataError(
                        f"{self.name}: {len(self.labels[split])} labels for the "
                        f"{len(getattr(self, split))} rows of {split}: there must be one each"
                    )
            object.__setattr__(self, "labels", MappingProxyType(dict(self.labels)))

    @classmethod
    def from_tensors(
        cls,
        train: Tensor,
        validation: Tensor | None = None,
        test: Tensor | None = None,
        *,
        name: str = "tensors",
        kind: Kind | None = None,
        maximum: int | None = None,
        labels: Mapping[str, Tensor] | None = None,
    ) -> Dataset:
        """Make a data set of your own tensors.

        Parameters
        ----------
        train, validation, test
            Tensors ``(n, *event_shape)``; a split that is left out is empty.
        name
            What to call it.
        kind
            Kind of the values; binary if all are 0 or 1, else real, unless given.
        maximum
            Largest count that a feature can take; the largest seen unless given.
        labels
            Class of each datum by split.
        """
        empty = train[:0]
        if kind is None:
            kind = "binary" if bool(((train == 0) | (train == 1)).all()) else "real"
        if kind == "counts" and maximum is None and len(train):
            maximum = int(train.max())
        validation = empty if validation is None else validation
        test = empty if test is None else test
        return cls(name, train, validation, test, kind, maximum, labels)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one datum."""
        return tuple(self.train.shape[1:])

    @property
    def num_features(self) -> int:
        """Number of values in one datum."""
        return math.prod(self.event_shape)

    def epoch_train(self, epoch: int) -> Tensor:
        """Training data of an epoch: a fresh draw of the grey levels if binarised dynamically.

        Parameters
        ----------
        epoch
            Number of the epoch; the same seed and epoch give the same draw.
        """
        if self.binarisation != "dynamic":
            return self.train
        return draw(self.train, stream(self.seed, "train", epoch))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(getattr(self, split))} {split}" for split in SPLITS)
        counts = f" 0..{self.maximum}" if self.maximum is not None else ""
        shape = "x".join(map(str, self.event_shape))
        how = "" if self.binarisation == "none" else f", binarisation {self.binarisation}"
        return f"Dataset {self.name}: {sizes}; {shape}, {self.kind}{counts}{how}"

    def _check_split(self, split: str, x: Tensor) -> None:
        if tuple(x.shape[1:]) != self.event_shape:
            raise DataError(
                f"{self.name}: {split} has events of shape {tuple(x.shape[1:])}, and train of "
                f"{self.event_shape}: all splits must have the same"
            )
        finite = torch.isfinite(x).flatten(1).all(1)
        if not bool(finite.all()):
            raise DataError(
                f"{self.name}: {split} has NaN or infinite values, first in row "
                f"{int((~finite).nonzero()[0, 0])}: drop or impute those rows"
            )
        kind = (
            "unit-interval" if self.binarisation == "dynamic" and split == "train" else self.kind
        )
        inside, allowed = {
            "binary": ((x == 0) | (x == 1), "0 and 1; binarise grey levels, or say kind='real'"),
            "unit-interval": ((x >= 0) & (x <= 1), "numbers from 0 to 1; divide by the maximum"),
            "counts": (
                (x >= 0) & (x == x.round()) & (x <= (self.maximum or 0)),
                f"whole numbers from 0 to maximum={self.maximum}; raise the maximum",
            ),
            "real": (finite, "finite numbers"),
        }[kind]
        if not bool(inside.all()):
            raise DataError(
                f"{self.name}: {split} holds {x[~inside][0].item():g}, and {kind} data are "
                f"{allowed}"
            )
