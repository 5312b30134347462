"""The loss of any objective as a tensor to differentiate, Pyro's own among them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pyro.infer import TraceGraph_ELBO

from pyro_vae.errors import SettingError
from pyro_vae.protocols import Differentiable, offers

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro.infer import ELBO
    from torch import Tensor

    from pyro_vae.inference.engine.traces import Program

__all__ = ["differentiable_loss_of"]


def differentiable_loss_of(objective: ELBO) -> Callable[..., Tensor]:
    """A function of model, guide and data that gives minus the objective, with its gradient.

    Raises
    ------
    SettingError
        If it has none, as Pyro's ``RenyiELBO``.
    """
    if offers(objective, Differentiable):
        return objective.differentiable_loss
    if isinstance(objective, TraceGraph_ELBO):
        return partial(_by_dependencies, objective)
    raise SettingError(
        f"objective got {type(objective).__name__}, which has no differentiable_loss(model, "
        "guide, ...): take one by name, such as 'iwae-50' or 'renyi(alpha=0.5)', or give it one"
    )


def _by_dependencies(
    objective: TraceGraph_ELBO, model: Program, guide: Program, *args: Any, **kwargs: object
) -> Tensor:
    """The value of the bound, with the gradient of Pyro's surrogate and its baselines."""
    elbo, surrogate = objective._loss_and_surrogate_loss(model, guide, args, kwargs)
    loss: Tensor = surrogate - surrogate.detach() - elbo.detach()
    return loss
