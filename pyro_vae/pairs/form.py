"""What a pair is made of: three distributions, however they are given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Form"]


class Form(ABC):
    """The distributions of a model and its guide; what lies beside x comes by name.

    Attributes
    ----------
    measure
        Base measure of log p(x).
    event_shape
        Shape of one datum.
    z_shape
        Shape of one z.
    """

    measure: str
    event_shape: tuple[int, ...]
    z_shape: tuple[int, ...]

    @property
    @abstractmethod
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """What it was given: modules among it, and methods of such, have the parameters."""

    @abstractmethod
    def prior(self) -> TorchDistribution:
        """Distribution p(z) of one z."""

    @abstractmethod
    def posterior(self, x: Tensor, beside: dict[str, Tensor]) -> TorchDistribution:
        """Distribution q(z | x) of B rows."""

    @abstractmethod
    def likelihood(self, z: Tensor, beside: dict[str, Tensor]) -> TorchDistribution:
        """Distribution p(x | z) for z ``(..., B, *z_shape)``, of batch shape ``(..., B)``."""

    @abstractmethod
    def check(self, x: Tensor, beside: dict[str, Tensor]) -> list[str]:
        """Look at some rows whether all is as it must be, and say in sentences what was seen.

        Raises
        ------
        ProgramError, DataError
            If it is not.
        """
