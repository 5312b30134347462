"""Cells that are hidden on purpose, by which it is seen how well missing ones are imputed."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.data.binarisation import stream
from pyro_vae.data.dataset import SPLITS, Dataset
from pyro_vae.data.missing import stand_ins, without_holes
from pyro_vae.errors import DataError, SettingError, UnknownNameError
from pyro_vae.spelling import parse_call
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

__all__ = ["PATTERNS", "cells_to_hide", "hide", "parse_pattern"]


def _cells(x: Tensor, train: Tensor, generator: torch.Generator, share: float = 0.5) -> Tensor:
    """Every cell with one probability, whatever it holds: missing completely at random."""
    if not isinstance(share, int | float) or not 0 < share < 1:
        raise SettingError(f"hide: share got {share!r}: give a number between 0 and 1, as in 0.5")
    return torch.rand(x.shape, generator=generator) < share


def _quadrant(x: Tensor, train: Tensor, generator: torch.Generator) -> Tensor:
    """One quarter of each image, at random."""
    rows, columns = _middle(x)
    which = torch.randint(4, (len(x), *(1,) * (x.dim() - 1)), generator=generator)
    low = torch.arange(x.shape[-2]).unsqueeze(1) >= rows
    right = torch.arange(x.shape[-1]) >= columns
    return (2 * low.long() + right.long() == which).expand(x.shape)


def _lower_half(x: Tensor, train: Tensor, generator: torch.Generator) -> Tensor:
    """The lower half of each image."""
    rows, _ = _middle(x)
    return (torch.arange(x.shape[-2]).unsqueeze(1) >= rows).expand(x.shape)


def _half(x: Tensor, train: Tensor, generator: torch.Generator) -> Tensor:
    """The upper, lower, left or right half of each image, at random."""
    rows, columns = _middle(x)
    low = (torch.arange(x.shape[-2]).unsqueeze(1) >= rows).expand(x.shape[-2:])
    right = (torch.arange(x.shape[-1]) >= columns).expand(x.shape[-2:])
    halves = torch.stack([~low, low, ~right, right])
    which = torch.randint(4, (len(x),), generator=generator)
    between = (1,) * (x.dim() - 3)
    return halves[which].reshape(len(x), *between, *x.shape[-2:]).expand(x.shape)


def _above_mean(
    x: Tensor, train: Tensor, generator: torch.Generator, columns: Sequence[int] | None = None
) -> Tensor:
    """What is above its training mean, in the first half of the columns or those of some numbers.

    Missing not at random: self-masking, as in Ipsen et al. (2021, arXiv 2006.12871).
    """
    flat, known = x.flatten(1), train.flatten(1).double()
    size = flat.shape[1]
    chosen = list(range((size + 1) // 2) if columns is None else columns)
    if not chosen or not all(isinstance(c, int) and 0 <= c < size for c in chosen):
        raise SettingError(
            f"hide: columns got {columns!r}: give column numbers from 0 to {size - 1}"
        )
    found = torch.zeros(flat.shape, dtype=torch.bool)
    found[:, chosen] = flat[:, chosen] > known[:, chosen].nanmean(0)
    return found.reshape(x.shape)


#: From data, the training data, in both NaN for what is missing already, and a generator to a
#: mask that is true where a cell is to be hidden; what follows are settings.
PATTERNS: dict[str, Callable[..., Tensor]] = {
    "cells": _cells,
    "quadrant": _quadrant,
    "half": _half,
    "lower-half": _lower_half,
    "above-mean": _above_mean,
}


@verb
def hide(data: Dataset, pattern: str, *, splits: Sequence[str] = SPLITS, seed: int = 0) -> Dataset:
    """A data set some of whose cells are missing, and kept aside in ``hidden``.

    Parameters
    ----------
    data
        Data that are not standardised yet, no table: ``load`` and ``read`` have an argument
        ``hide`` for those, as the scale must not know of what is hidden.
    pattern
        ``cells``, each with probability ``share`` (``"cells(share=0.5)"``); ``quadrant`` or
        ``half``, a quarter or a half of each image at random; ``lower-half`` of each, for test
        data; ``above-mean``, what is above its training mean in the first half of the columns, or
        in ``"above-mean(columns=[0, 2])"``: not missing at random.
    splits
        In which splits.
    seed
        Seed of what is hidden.

    Raises
    ------
    DataError
        If the data are standardised, or no images where the pattern is of such, or if no training
        cell of a feature would be left.
    SettingError
        If the pattern cannot be read.

    Examples
    --------
    >>> from pyro_vae.data import load
    >>> hide(load("iris"), "cells(share=0.5)")
    Dataset iris: 105 train, 15 validation, 30 test; 4, real, 51.2% of the cells missing
    """
    parse_pattern(pattern)
    if data.standardise:
        raise DataError(
            f"{data.name} is standardised, by a scale that knows of what would be hidden: give "
            "hide=... to load or read"
        )
    for split in splits:
        if split not in SPLITS:
            raise UnknownNameError("split of hide", str(split), SPLITS)
    stored = {split: getattr(data, split) for split in SPLITS}
    whole = {s: torch.ones(x.shape, dtype=torch.bool) for s, x in stored.items()}
    before = whole if data.observed is None else data.observed
    given = {s: data.original(s).double().where(before[s], math.nan) for s in SPLITS}
    masks = cells_to_hide(pattern, given, seed=seed, splits=splits)
    observed = {split: before[split] & ~masks[split] for split in SPLITS}
    values = stand_ins(stored["train"], observed["train"], data.kind)
    filled: dict[str, Any] = without_holes(stored, observed, values)
    return replace(
        data,
        **filled,
        observed=observed,
        originals=None,
        hide=pattern,
        hidden=MappingProxyType({s: given[s].where(masks[s], math.nan) for s in SPLITS}),
    )


def parse_pattern(text: str) -> tuple[Callable[..., Tensor], dict[str, Any]]:
    """The function of a pattern, and its settings.

    Raises
    ------
    SettingError
        If it has no such setting.
    UnknownNameError
        If there is no such pattern.
    """
    name, settings = parse_call(text)
    if name not in PATTERNS:
        raise UnknownNameError("pattern to hide", name, PATTERNS)
    known = list(inspect.signature(PATTERNS[name]).parameters)[3:]
    for setting in settings:
        if setting not in known:
            allowed = ", ".join(known) or "no setting"
            raise SettingError(f"hide: {name} has {allowed}, and got {setting!r}: leave it out")
    return PATTERNS[name], settings


def cells_to_hide(
    pattern: str, given: Mapping[str, Tensor], *, seed: int, splits: Sequence[str] = SPLITS
) -> dict[str, Tensor]:
    """Which cells a pattern hides, by split, bool of the shape of the data.

    Parameters
    ----------
    pattern, seed, splits
        As for ``hide``.
    given
        Data by split, with NaN in cells that are missing already.
    """
    function, settings = parse_pattern(pattern)
    found = {}
    for split, x in given.items():
        found[split] = torch.zeros(x.shape, dtype=torch.bool)
        if split in splits and len(x):
            generator = stream(seed, "hide", split)
            found[split] |= function(x, given["train"], generator, **settings)
    known = ~given["train"].isnan()
    lost = (known.any(0) & ~(known & ~found["train"]).any(0)).sum()
    if bool(lost):
        raise DataError(
            f"hide got {pattern!r}, which leaves no training cell of {int(lost)} of the "
            f"{known[0].numel()} features, so that nothing could be learned of them: hide less, "
            "or in the test data alone, as in hide(data, ..., splits=['test'])"
        )
    return found


def _middle(x: Tensor) -> tuple[int, int]:
    """Row and column from which on an image's second halves are."""
    if x.dim() < 3:
        raise DataError(
            f"hide: data of shape {tuple(x.shape[1:])} are no images, which have a height and a "
            "width: hide 'cells(share=0.5)'"
        )
    return x.shape[-2] // 2, x.shape[-1] // 2
