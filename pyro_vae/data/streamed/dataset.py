"""A data set whose splits are read when their rows are asked for."""

from __future__ import annotations

import html
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from pyro_vae.conversion.streamed import SAMPLE, StreamedArray
from pyro_vae.data.any_dataset import SPLITS, AnyDataset
from pyro_vae.data.dataset import Dataset
from pyro_vae.data.streamed.part import Mask
from pyro_vae.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from pyro_vae.data.affine import Affine
    from pyro_vae.data.kind import Kind
    from pyro_vae.data.reading.origin import Origin
    from pyro_vae.data.schema.schema import Schema
    from pyro_vae.data.streamed.census import Moments

__all__ = ["StreamedDataset"]


@dataclass(frozen=True, eq=False, repr=False)
class StreamedDataset(AnyDataset):
    """Training, validation and test data that are not in memory: what ``data.stream`` gives.

    ``fit`` takes it as it takes a ``Dataset``, and ``evaluate`` and its kin take a split.

    Attributes
    ----------
    train, validation, test
        Arrays whose rows ``x[rows]`` are read when they are asked for, of shape
        ``(n, *event_shape)``.
    moments
        Number, mean, variance and range of the training rows, in the units of ``base_measure``;
        None of a table, whose schema says as much, and of a run's data.
    observed
        Which cells are there, by split; None where all are.

    The other attributes are those of a ``Dataset``.
    """

    name: str
    train: StreamedArray
    validation: StreamedArray
    test: StreamedArray
    kind: Kind
    moments: Moments | None
    maximum: int | None = None
    bounded: bool = False
    seed: int = 0
    standardise: bool = False
    base_measure: str = "as given"
    affine: Affine | None = None
    columns: tuple[str, ...] | None = None
    schema: Schema | None = None
    origin: Origin | None = None
    observed: Mapping[str, StreamedArray] | None = None

    #: What data that are streamed do not have, or not yet.
    binarisation: str = field(default="none", init=False)
    values: ClassVar[None] = None
    total_exposure: ClassVar[bool] = False
    hide: ClassVar[None] = None
    num_validation: ClassVar[None] = None
    labels: ClassVar[None] = None

    def first_rows(self, num_rows: int = SAMPLE, *, num_test: int | None = None) -> Dataset:
        """The first rows of every split, in memory.

        Parameters
        ----------
        num_rows
            How many of each, at most.
        num_test
            How many of the test rows, where that is another number.
        """
        sizes = dict.fromkeys(SPLITS, num_rows)
        if num_test is not None:
            sizes["test"] = num_test
        made: dict[str, Any] = {
            about.name: getattr(self, about.name)
            for about in fields(self)
            if about.name not in (*SPLITS, "moments", "observed")
        }
        made |= {split: getattr(self, split)[:size] for split, size in sizes.items()}
        if self.observed is not None:
            masks = {split: mask[: sizes[split]] for split, mask in self.observed.items()}
            made["observed"] = masks
        if self.affine is not None:
            of = {split: getattr(self, split).source.as_it_came() for split in SPLITS}
            made["originals"] = {s: StreamedArray(part, 1)[: sizes[s]] for s, part in of.items()}
        return Dataset(**made)

    def inputs(self, split: str, names: Iterable[str] = ()) -> dict[str, Any]:
        """Data of a split: ``{"x": ...}``, with ``"observed"`` where that is named.

        Parameters
        ----------
        split
            ``"train"``, ``"validation"`` or ``"test"``.
        names
            What the model takes beside x: ``"observed"`` at most.

        Raises
        ------
        DataError
            If it takes anything else, or cells are missing and it does not take that.
        """
        x = self._split(split)
        names = (names,) if isinstance(names, str) else tuple(names)
        self.require_taken(names)
        found = {"x": x}
        if "observed" in names:
            found["observed"] = StreamedArray(Mask(x.source), x.memory_limit)
        return found

    @property
    def num_missing(self) -> int:
        """Number of cells that are missing, in all splits, once all have been read."""
        masks = () if self.observed is None else self.observed.values()
        return sum(int((~there).sum()) for mask in masks for _, there in mask.blocks())

    def require_taken(self, names: Iterable[str]) -> None:
        """Refuse a model that takes labels, covariates or an exposure, or holes for data.

        Raises
        ------
        DataError
            If it does.
        """
        names = list(names)
        self._require_observed(names)
        if beside := [name for name in names if name != "observed"]:
            raise DataError(
                f"{self.name} is streamed, and has no {beside[0]}, which the model takes: make "
                "the data with data.read, which has them in memory, or a model of x alone"
            )

    def epoch_train(self, epoch: int) -> StreamedArray:
        """Training data of an epoch, the same in every one."""
        return self.train

    def log_jacobians(self, split: str) -> Tensor:
        """``log_jacobian`` of each datum, over its observed cells, float64 ``(n,)``."""
        x = self._split(split)
        if self.affine is None or self.observed is None:
            return torch.tensor(self.log_jacobian, dtype=torch.double).expand(len(x))
        masks = (there for _, there in self.observed[split].blocks())
        return torch.cat([self.affine.log_jacobian_of(there) for there in masks])

    def remembered(self) -> dict[str, Any] | None:
        """What a run keeps of the data, for JSON: see ``Origin``."""
        if self.origin is None:
            return None
        found = self.origin.model_dump()
        if self.standardise and self.schema is None and self.affine is not None:
            location, scale = (part.flatten().tolist() for part in self.affine)
            found |= {"location": location, "scale": scale}
        return found

    def _repr_html_(self) -> str:
        rows = "" if self.schema is None else self.schema._repr_html_()
        return f"<p>{html.escape(repr(self))}</p>{rows}"

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(getattr(self, split))} {split}" for split in SPLITS)
        counts = f" 0..{self.maximum}" if self.maximum is not None else ""
        shape = "x".join(map(str, self.event_shape))
        how = ", standardised" if self.standardise and self.schema is None else ""
        how += "" if self.observed is None else ", with missing cells"
        return f"StreamedDataset {self.name}: {sizes}; {shape}, {self.kind}{counts}{how}"
