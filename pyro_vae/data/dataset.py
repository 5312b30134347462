"""A small immutable data set: three splits of tensors, and what kind of values they hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

import torch

from pyro_vae.data.binarisation import check_binarisation, draw, stream
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
        Float32 tensors ``(n, *event_shape)``. With dynamic binarisation ``train`` holds the grey
        levels, of which ``epoch_train`` draws; validation and test are drawn once.
    kind
        What the values are: ``"binary"``, ``"unit-interval"``, ``"counts"`` or ``"real"``.
        With dynamic binarisation it is ``"binary"``, as ``epoch_train`` gives.
    maximum
        Largest count that a feature can take; None unless the kind is ``"counts"``.
    labels
        Class of each datum by split, int64, never used in training.
    binarisation
        How grey levels became binary; see ``load``.
    seed
        Seed of the binarisation, or of the simulation.

    Raises
    ------
    DataError
        If there are no training data, shapes differ, or values are not of the kind.
    UnknownNameError
        If the kind or the binarisation is not one of those there are.
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
        check_binarisation(self.binarisation)
        for split in SPLITS:
            self._check_type(split, getattr(self, split))
        if self.train.dim() < 2:
            raise DataError(
                f"{self.name}: train has shape {tuple(self.train.shape)}, and must be "
                "(n, *event_shape); a single column is (n, 1)"
            )
        if self.train.numel() == 0:
            raise DataError(
                f"{self.name}: the training data are empty, of shape {tuple(self.train.shape)}; "
                "give at least one row of at least one value"
            )
        for split in SPLITS:
            self._check_split(split, getattr(self, split))
        self._check_maximum()
        for split in SPLITS:
            self._check_values(split, getattr(self, split))
        if self.labels is not None:
            object.__setattr__(self, "labels", self._checked_labels(self.labels))

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
            Tensors ``(n, *event_shape)`` of any type, kept as float32; a split that is left out
            is empty.
        name
            What to call it.
        kind
            Kind of the values; binary if all are 0 or 1, else real, unless given.
        maximum
            Largest count that a feature can take; the largest of the training data unless given.
        labels
            Class of each datum by split; a split that is empty may be left out.
        """
        for split, x in zip(SPLITS, (train, validation, test), strict=True):
            if x is not None and not isinstance(x, torch.Tensor):
                raise DataError(
                    f"{name}: {split} got {type(x).__name__}, and must be a tensor: "
                    "torch.as_tensor makes one"
                )
        train = train.float()
        if kind is None:
            kind = "binary" if bool(((train == 0) | (train == 1)).all()) else "real"
        # NaN and infinity have no integer, and are refused below by their row.
        if kind == "counts" and maximum is None and train.numel() and train.isfinite().all():
            maximum = int(train.max())
        empty = torch.empty(0, *train.shape[1:])
        validation = empty if validation is None else validation.float()
        test = empty if test is None else test.float()
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

    def _check_type(self, split: str, x: Tensor) -> None:
        if not isinstance(x, torch.Tensor) or x.dtype != torch.float32:
            got = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
            raise DataError(
                f"{self.name}: {split} got {got}, and must be a float32 tensor: "
                "Dataset.from_tensors converts tensors of other types"
            )

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

    def _check_maximum(self) -> None:
        if self.kind != "counts":
            if self.maximum is not None:
                raise DataError(
                    f"{self.name}: maximum got {self.maximum}, and is for counts alone: say "
                    f"kind='counts' (it is {self.kind!r}), or leave it out"
                )
        elif not isinstance(self.maximum, int) or self.maximum < 0:
            raise DataError(
                f"{self.name}: maximum got {self.maximum!r}, and counts need a whole number, the "
                "largest that a feature can take"
            )

    def _check_values(self, split: str, x: Tensor) -> None:
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
            "real": (torch.isfinite(x), "finite numbers"),
        }[kind]
        if not bool(inside.all()):
            row = int((~inside).nonzero()[0, 0])
            raise DataError(
                f"{self.name}: {split} holds {x[~inside][0].item():g} in row {row}, and {kind} "
                f"data are {allowed}"
            )

    def _checked_labels(self, labels: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        unknown = [split for split in labels if split not in SPLITS]
        if unknown:
            raise UnknownNameError("split of labels", str(unknown[0]), SPLITS)
        checked = {}
        for split in SPLITS:
            rows, given = len(getattr(self, split)), torch.as_tensor(labels.get(split, []))
            if given.shape != (rows,):
                raise DataError(
                    f"{self.name}: labels of shape {tuple(given.shape)} for the {rows} rows of "
                    f"{split}: there must be one whole number each, shape ({rows},)"
                )
            checked[split] = given.long()
            if not torch.equal(checked[split].to(given.dtype), given):
                raise DataError(f"{self.name}: labels of {split} must be whole numbers")
        return MappingProxyType(checked)
