"""What an objective may ask to be told while it is trained, beside the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_vae.protocols import Moving, OfNumData, Scheduled, offers

if TYPE_CHECKING:
    from pyro.infer import ELBO

__all__ = ["moving_of", "tell_num_data", "tell_share"]


def moving_of(objective: ELBO) -> tuple[str, ...]:
    """Attributes of an objective that change over the training, as far as it says so."""
    return objective.moving if offers(objective, Moving) else ()


def tell_num_data(objective: ELBO, num_data: int) -> None:
    """Tell an objective that asks for it how many data the batches are drawn from."""
    if offers(objective, OfNumData):
        objective.of(num_data)


def tell_share(objective: ELBO, share: float) -> None:
    """Tell an objective that changes over the training which share of it is done, in [0, 1)."""
    if offers(objective, Scheduled):
        objective.at(share)
