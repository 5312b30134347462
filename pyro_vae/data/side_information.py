"""What is known of every datum besides its values: labels, covariates, exposure."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from pyro_vae.conversion import cast
from pyro_vae.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

__all__ = ["checked_covariates", "checked_exposure", "checked_labels", "one_hot"]


def checked_labels(
    name: str, given: Mapping[str, Tensor], rows: Mapping[str, int]
) -> Mapping[str, Tensor]:
    """Int64 labels ``(n,)`` by split.

    Parameters
    ----------
    name
        Name of the data set, for error messages.
    given
        What the user gave; a split that is empty may be left out.
    rows
        Number of data in every split.

    Raises
    ------
    DataError
        If shapes or values do not fit.
    UnknownNameError
        If a split is unknown.
    """

    def check(split: str, x: Tensor) -> Tensor:
        if x.shape != (rows[split],):
            raise DataError(
                f"{name}: labels of shape {tuple(x.shape)} for the {rows[split]} rows of "
                f"{split}: there must be one whole number each, shape ({rows[split]},)"
            )
        if not x.is_floating_point():
            return x.long()
        _refuse(name, "labels", split, x, x == x.round(), "whole numbers, strings or categories")
        return x.long()

    return _by_split("labels", given, rows, check, torch.empty(0))


def checked_covariates(
    name: str, given: Mapping[str, Tensor], rows: Mapping[str, int]
) -> Mapping[str, Tensor]:
    """Float32 covariates ``(n, C)`` by split; see ``checked_labels``."""
    width = torch.as_tensor(given.get("train", [])).shape[1:]

    def check(split: str, x: Tensor) -> Tensor:
        if len(width) != 1 or x.shape != (rows[split], *width):
            raise DataError(
                f"{name}: covariates of shape {tuple(x.shape)} for the {rows[split]} rows of "
                f"{split}: there must be a vector each, of the same length in all splits, shape "
                f"({rows[split]}, {width[0] if len(width) == 1 else 'C'})"
            )
        _refuse(name, "covariates", split, x, torch.isfinite(x), "finite numbers")
        train = torch.as_tensor(given["train"])
        remedy = "subtract an offset, such as the first row"
        return cast(x, torch.float32, f"{name}: covariates of {split}", like=train, remedy=remedy)

    return _by_split("covariates", given, rows, check, torch.empty(0, *width))


def checked_exposure(
    name: str, given: Mapping[str, Tensor], rows: Mapping[str, int]
) -> Mapping[str, Tensor]:
    """Float32 exposure ``(n,)`` by split; see ``checked_labels``."""

    def check(split: str, x: Tensor) -> Tensor:
        if x.shape != (rows[split],):
            raise DataError(
                f"{name}: exposure of shape {tuple(x.shape)} for the {rows[split]} rows of "
                f"{split}: there must be one positive number each, shape ({rows[split]},)"
            )
        inside = torch.isfinite(x) & (x > 0)
        _refuse(name, "exposure", split, x, inside, "positive numbers; drop those rows")
        return x.float()

    return _by_split("exposure", given, rows, check, torch.empty(0))


def one_hot(
    name: str,
    labels: Mapping[str, Tensor],
    split: str,
    levels: Sequence[str] | None = None,
) -> Tensor:
    """Labels of a split as float32 ``(n, classes)``; the classes are those in training.

    Raises
    ------
    DataError
        If a label is none of 0 to the largest of the training data.
    """
    given, classes = labels[split], int(labels["train"].max()) + 1
    outside = (given < 0) | (given >= classes)
    if bool(outside.any()):
        row = int(outside.nonzero()[0])
        label = int(given[row])
        known = "" if levels is None or not 0 <= label < len(levels) else f" ({levels[label]!r})"
        raise DataError(
            f"{name}: {split} has the label {label}{known} in row {row}, and the training "
            f"data have 0 to {classes - 1}: number the classes from 0, and keep each of them in "
            "the training data"
        )
    return F.one_hot(given, classes).float()


def _by_split(
    what: str,
    given: Mapping[str, Tensor],
    rows: Mapping[str, int],
    check: Callable[[str, Tensor], Tensor],
    empty: Tensor,
) -> Mapping[str, Tensor]:
    unknown = [split for split in given if split not in rows]
    if unknown:
        raise UnknownNameError(f"split of {what}", str(unknown[0]), rows)
    return MappingProxyType(
        {split: check(split, torch.as_tensor(given.get(split, empty))) for split in rows}
    )


def _refuse(name: str, what: str, split: str, x: Tensor, inside: Tensor, allowed: str) -> None:
    if not bool(inside.all()):
        row = int((~inside).nonzero()[0, 0])
        raise DataError(
            f"{name}: row {row} of the {what} of {split} has {x[~inside][0].item():g}, and they "
            f"must be {allowed}"
        )
