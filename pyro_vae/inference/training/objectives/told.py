"""What an objective may ask to be told while it is trained, beside the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pyro.infer import ELBO

__all__ = ["Moving", "OfNumData", "Scheduled", "moving_of", "tell_num_data", "tell_share"]


@runtime_checkable
class OfNumData(Protocol):
    """An objective that needs the number of data that the batches are drawn from."""

    def of(self, num_data: int) -> None:
        """Take the number of training data, before training."""


@runtime_checkable
class Scheduled(Protocol):
    """An objective that changes over the training."""

    def at(self, share: float) -> None:
        """Take the form that belongs to a share of the training done, in [0, 1)."""


@runtime_checkable
class Moving(Protocol):
    """An objective that says which of its attributes ``at`` changes.

    They are numbers, and it computes with them: a recorded graph has them as inputs.
    """

    moving: tuple[str, ...]


def moving_of(objective: ELBO) -> tuple[str, ...]:
    """Attributes of an objective that change over the training, as far as it says so."""
    return objective.moving if isinstance(objective, Moving) else ()


def tell_num_data(objective: ELBO, num_data: int) -> None:
    """Tell an objective that asks for it how many data the batches are drawn from."""
    if isinstance(objective, OfNumData):
        objective.of(num_data)


def tell_share(objective: ELBO, share: float) -> None:
    """Tell an objective that changes over the training which share of it is done, in [0, 1)."""
    if isinstance(objective, Scheduled):
        objective.at(share)
