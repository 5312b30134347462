"""The data that a pair is given: one tensor, or named tensors for a pair that takes several.

A tensor may be a ``StreamedArray``, whose rows are read when they are taken.
``{"x": images, "condition": labels}`` is passed as ``model(x=images, condition=labels)``. All
tensors have one leading dimension, over data. ``pyro_vae.conversion`` makes them of what a public
function was given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pyro_vae.conversion import StreamedArray, streamed_part

__all__ = [
    "Inputs",
    "count",
    "device_of",
    "encoder_side",
    "first_rows",
    "named_as",
    "run_program",
    "take",
    "tensors",
]

Inputs: TypeAlias = Tensor | Mapping[str, Tensor]


def tensors(x: Inputs) -> list[Tensor]:
    """The tensors, in the order in which they were named."""
    return list(x.values()) if isinstance(x, Mapping) else [x]


def named_as(x: Inputs, given: Sequence[Tensor]) -> Inputs:
    """Other tensors under the names of these, in the order of ``tensors``."""
    return dict(zip(x, given, strict=True)) if isinstance(x, Mapping) else given[0]


def count(x: Inputs) -> int:
    """Number of data."""
    return len(tensors(x)[0])


def device_of(x: Inputs) -> torch.device:
    """Device of the data."""
    return tensors(x)[0].device


def take(x: Inputs, rows: slice | Tensor) -> Inputs:
    """Some of the data, in every tensor alike."""
    if isinstance(x, Mapping):
        return {name: part[rows] for name, part in x.items()}
    return x[rows]


def first_rows(x: Inputs, num_rows: int | None) -> Inputs:
    """The first so many data, all of them for None; those that are streamed unread."""
    if isinstance(x, StreamedArray):
        return x.first(num_rows)
    if isinstance(x, Mapping) and streamed_part(x) is not None:
        return {name: part.first(num_rows) for name, part in x.items()}  # type: ignore[attr-defined]
    return take(x, slice(num_rows))


def encoder_side(x: Inputs) -> Inputs:
    """What the guide sees of the data: an exposure is the likelihood's alone."""
    if isinstance(x, Mapping):
        return {name: part for name, part in x.items() if name != "exposure"}
    return x


def run_program(program: Callable[..., Any], x: Inputs) -> Any:
    """Call a Pyro program on the data."""
    return program(**x) if isinstance(x, Mapping) else program(x)
