"""The data of a training as the model is given them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pyro_vae.conversion import StreamedArray, as_inputs, own_dtype, streamed_part
from pyro_vae.data import Dataset
from pyro_vae.data.any_dataset import AnyDataset
from pyro_vae.errors import DataError
from pyro_vae.inference.engine.inputs import Inputs, take
from pyro_vae.protocols import Facts

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor, nn

__all__ = ["Splits", "dataset_of"]


def dataset_of(data: Any) -> AnyDataset:
    """A data set as it is, in memory or streamed, or one of what else ``fit`` takes."""
    if isinstance(data, AnyDataset):
        return data
    if isinstance(data, StreamedArray):
        raise DataError(
            "data got one split of data that are streamed: give all that data.stream returned, "
            "which has the validation data too"
        )
    return replace(Dataset.from_tensors(data, name="data"), name="tensors")


@dataclass(frozen=True)
class Splits:
    """Training and validation data, each x alone or x with the side information that is named.

    Attributes
    ----------
    data
        What they are of.
    train, validation
        Tensors ``(n, ...)`` of the model's type.
    """

    data: AnyDataset
    train: Inputs
    validation: Inputs

    @classmethod
    def of(cls, model: nn.Module, data: AnyDataset) -> Splits:
        """The splits of a data set, with what the model's ``inputs`` name.

        Raises
        ------
        DataError
            If they cannot be converted, or would lose digits that matter.
        """
        names = Facts(model).inputs
        data.require_taken(names)
        train = _inputs(model, data, "train", names, data.epoch_train(0))
        return cls(data, train, _inputs(model, data, "validation", names, data.validation))

    def without_validation(self) -> Splits:
        """The training data alone."""
        return replace(self, validation=take(self.validation, slice(0)))

    def on_device_of(self, fabric: Fabric) -> Splits:
        """The same where the training runs."""
        train, validation = (_on_device_of(fabric, x) for x in (self.train, self.validation))
        return replace(self, train=train, validation=validation)

    def train_in(self, epoch: int) -> Inputs:
        """The training data of an epoch: new ones each time where they are drawn from greys."""
        if self.data.binarisation != "dynamic":
            return self.train
        x = self.data.epoch_train(epoch)
        if isinstance(self.train, Mapping):
            return {**self.train, "x": x.to(self.train["x"])}
        return x.to(self.train)


def _on_device_of(fabric: Fabric, x: Any) -> Any:
    if streamed_part(x) is None:
        return fabric.to_device(x)
    if isinstance(x, Mapping):
        return {name: part.to(device=fabric.device) for name, part in x.items()}
    return x.to(device=fabric.device)


def _inputs(
    model: nn.Module, data: AnyDataset, split: str, names: Sequence[str], x: Tensor
) -> Inputs:
    """What a model is given of a split: x alone, or x with the side information it names."""
    given: Inputs = {**data.inputs(split, names), "x": x} if names else x
    if len(x) == 0:
        return given
    made: Inputs = as_inputs(given, model, split, dtype=own_dtype(model))
    return made
