"""What a conditional model is given beside x: a label, or a vector of covariates.

Sohn, Lee & Yan (2015), "Learning structured output representation using deep conditional
generative models": both p(x | z, c) and q(z | x, c) see c.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pyro_vae.disk.schema import named_settings
from pyro_vae.errors import DataError
from pyro_vae.recording import unrecorded

__all__ = ["Condition", "Covariates", "Labels"]


@dataclass(frozen=True)
class Condition:
    """A vector c of known length that a model is conditioned on."""

    #: Name of the side information in a data set.
    source: ClassVar[str]

    @property
    def size(self) -> int:
        """Length of the vector that the networks see."""
        raise NotImplementedError

    def vector(self, condition: Tensor | None) -> Tensor:
        """The vector c, ``(B, size)``, from what the user gave."""
        raise NotImplementedError

    def to_config(self) -> dict[str, Any]:
        """Name and settings, ready for JSON."""
        return {"name": self.source, **asdict(self)}

    @staticmethod
    def from_config(config: dict[str, Any]) -> Condition:
        """Make the condition that ``to_config`` described."""
        kinds = {cls.source: cls for cls in (Labels, Covariates)}
        name, settings = named_settings("condition", config, kinds)
        return kinds[name](**settings)

    def _require(self, condition: Tensor | None, shape: str) -> Tensor:
        if condition is None:
            raise DataError(
                f"condition is missing: the model is conditioned on {self.source}, so give "
                f"condition={shape} with every call"
            )
        return condition


@dataclass(frozen=True)
class Labels(Condition):
    """One of ``num_classes``: whole numbers ``(B,)``, or one-hot ``(B, num_classes)``."""

    num_classes: int
    source: ClassVar[str] = "labels"

    def __post_init__(self) -> None:
        if not isinstance(self.num_classes, int) or self.num_classes < 2:
            raise ValueError(f"num_classes got {self.num_classes!r}: it must be 2 or more")

    @property
    def size(self) -> int:
        """Length of the one-hot vector."""
        return self.num_classes

    def vector(self, condition: Tensor | None) -> Tensor:
        """One-hot vector ``(B, num_classes)``."""
        given = self._require(condition, "a tensor of whole numbers (n,)")
        if given.dim() == 2 and given.shape[1] == self.num_classes:
            return given
        if given.dim() != 1 or given.is_floating_point():
            raise DataError(
                f"condition has shape {tuple(given.shape)} and type {given.dtype}: give labels as "
                f"whole numbers (n,) or one-hot (n, {self.num_classes})"
            )
        with unrecorded():
            least, largest = (int(given.min()), int(given.max())) if len(given) else (0, 0)
        if not 0 <= least <= largest < self.num_classes:
            raise DataError(
                f"condition holds label {largest if largest >= self.num_classes else least}: "
                f"labels go from 0 to num_classes - 1 = {self.num_classes - 1}"
            )
        classes = torch.arange(self.num_classes, device=given.device)
        return (given.unsqueeze(-1) == classes).to(torch.get_default_dtype())


@dataclass(frozen=True)
class Covariates(Condition):
    """A vector of ``num_covariates`` real numbers per datum, ``(B, num_covariates)``."""

    num_covariates: int
    source: ClassVar[str] = "covariates"

    def __post_init__(self) -> None:
        if not isinstance(self.num_covariates, int) or self.num_covariates < 1:
            raise ValueError(f"num_covariates got {self.num_covariates!r}: it must be positive")

    @property
    def size(self) -> int:
        """Number of covariates."""
        return self.num_covariates

    def vector(self, condition: Tensor | None) -> Tensor:
        """The covariates as they are."""
        shape = f"a tensor (n, {self.num_covariates})"
        given = self._require(condition, shape)
        if given.dim() != 2 or given.shape[1] != self.num_covariates:
            raise DataError(f"condition has shape {tuple(given.shape)}: it must be {shape}")
        with unrecorded():
            finite = bool(torch.isfinite(given).all())
        if not finite:
            raise DataError("condition has NaN or infinite values: drop or impute those rows")
        return given
