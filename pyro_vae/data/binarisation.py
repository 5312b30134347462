"""From grey levels to binary data: the field's four protocols, each draw from its own seed."""

from __future__ import annotations

import hashlib
import operator
from typing import TYPE_CHECKING, Literal, get_args

import torch

from pyro_vae.errors import UnknownNameError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Binarisation", "binarise", "check_binarisation", "draw", "stream"]

#: ``none``; ``threshold`` (grey > 1/2); ``stochastic`` (Bernoulli(grey), drawn once);
#: ``dynamic`` (the same, training data drawn afresh every epoch).
Binarisation = Literal["none", "threshold", "stochastic", "dynamic"]


def check_binarisation(name: str) -> None:
    """Refuse a name that is not one of the four."""
    if name not in get_args(Binarisation):
        raise UnknownNameError("binarisation", name, get_args(Binarisation))


def stream(seed: int, *key: int | str) -> torch.Generator:
    """Generator for one purpose: the same seed and key give the same draws.

    Parameters
    ----------
    seed
        Seed of the data set.
    key
        What the draws are for, as the name of the split and the number of the epoch.
    """
    # NumPy's integers print otherwise than Python's, and must not draw otherwise.
    parts = tuple(part if isinstance(part, str) else int(operator.index(part)) for part in key)
    whole = repr((int(operator.index(seed)), *parts))
    digest = hashlib.blake2b(whole.encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest))


def draw(grey: Tensor, generator: torch.Generator) -> Tensor:
    """One Bernoulli draw of grey levels in [0, 1], same shape and device."""
    # The generator is the CPU's, so that a seed draws the same on every device.
    return torch.bernoulli(grey.cpu(), generator=generator).to(grey.device)


def binarise(grey: Tensor, binarisation: str, seed: int, split: str) -> Tensor:
    """Binary form of one split; with ``dynamic``, the training data stay grey.

    Parameters
    ----------
    grey
        Grey levels in [0, 1], ``(n, *event_shape)``.
    binarisation
        One of ``threshold``, ``stochastic``, ``dynamic``.
    seed
        Seed of the draw.
    split
        Name of the split, which has a stream of its own.
    """
    if binarisation == "threshold":
        return (grey > 0.5).to(grey.dtype)
    if binarisation == "dynamic" and split == "train":
        return grey
    return draw(grey, stream(seed, split))
