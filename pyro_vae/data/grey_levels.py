"""What is done with grey levels, the whole numbers from 0 to a largest one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import torch

from pyro_vae.data.affine import Affine
from pyro_vae.data.binarisation import stream
from pyro_vae.errors import UnknownNameError

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.data.kind import Kind

__all__ = ["Preprocessed", "Values", "check_values", "preprocess"]

#: ``unit-interval`` (level / largest); ``levels`` (as they are); ``dequantised``
#: ((level + u) / (largest + 1), u uniform, drawn once: Theis et al., 2016, arXiv 1511.01844).
Values = Literal["unit-interval", "levels", "dequantised"]

# Between two levels lie 2^15 values of u, each in the middle of its cell: in float32 no sum
# level + u <= 256 is rounded, and none comes near the next level.
_CELLS = 2**15


class Preprocessed(NamedTuple):
    """Grey levels in the form that was asked for.

    Attributes
    ----------
    splits
        Float32 tensors by split.
    kind, maximum
        As in ``Dataset``.
    base_measure
        What log p(x) is measured against, in words.
    affine
        Map from the units of ``base_measure`` to the splits; None for the identity.
    """

    splits: dict[str, Tensor]
    kind: Kind
    maximum: int | None
    base_measure: str
    affine: Affine | None


def check_values(name: str) -> None:
    """Refuse a name that is not one of ``Values``."""
    if name not in get_args(Values):
        raise UnknownNameError("form of the values", name, get_args(Values))


def preprocess(levels: dict[str, Tensor], largest: int, values: str, seed: int) -> Preprocessed:
    """Bring grey levels into one of the forms of ``Values``.

    Parameters
    ----------
    levels
        Grey levels by split, ``(n, *event_shape)``.
    largest
        Largest level there can be.
    values
        One of ``Values``.
    seed
        Seed of the dequantisation; every split has a stream of its own.
    """
    if values == "levels":
        return Preprocessed(levels, "counts", largest, f"levels 0 to {largest}", None)
    if values == "unit-interval":
        splits = {split: x / largest for split, x in levels.items()}
        return Preprocessed(splits, "unit-interval", None, "unit interval", None)
    splits = {split: _dequantise(x, largest, seed, split) for split, x in levels.items()}
    # The density is one of level + u, so that its integral over a level is that level's mass.
    shape = levels["train"].shape[1:]
    affine = Affine(
        torch.zeros(shape, dtype=torch.double),
        torch.full(shape, largest + 1.0, dtype=torch.double),
    )
    text = f"dequantised levels 0 to {largest}"
    return Preprocessed(splits, "unit-interval", None, text, affine)


def _dequantise(levels: Tensor, largest: int, seed: int, split: str) -> Tensor:
    generator = stream(seed, "dequantise", split)
    cell = torch.randint(_CELLS, levels.shape, generator=generator, dtype=torch.int32)
    u = (cell.to(levels.dtype) + 0.5) / _CELLS
    return (levels + u) / (largest + 1)
