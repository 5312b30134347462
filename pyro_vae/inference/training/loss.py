"""The loss of a batch and its gradients, as the pair and Pyro make them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import nn

from pyro_vae.inference.engine.inputs import Inputs, run_program
from pyro_vae.inference.training.objectives.differentiable import differentiable_loss_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightning_fabric import Fabric
    from pyro.infer import ELBO
    from torch import Tensor

__all__ = ["BatchLoss", "Loss", "LossAndGradients", "ThroughHandlers"]


class Loss(nn.Module):
    """Minus the objective, summed over a batch, as a module: what Fabric wraps."""

    def __init__(self, program: nn.Module, objective: ELBO) -> None:
        super().__init__()
        self.program = program
        self.objective = objective

    @cached_property
    def _differentiable(self) -> Callable[..., Tensor]:
        """Looked up at the first step, and not at all for a loss that is only measured."""
        return differentiable_loss_of(self.objective)

    def forward(self, x: Inputs) -> Tensor:
        """A scalar in nats, with its gradient where gradients are on."""
        model, guide = self.program.model, self.program.guide
        if torch.is_grad_enabled():
            return run_program(partial(self._differentiable, model, guide), x)
        # Some objectives refuse to make a differentiable loss that has no gradient.
        return torch.tensor(run_program(partial(self.objective.loss, model, guide), x))


class LossAndGradients(NamedTuple):
    """What a batch gave.

    Attributes
    ----------
    loss
        In nats, times the scale that was asked for.
    backward
        Gives the parameters their gradients; whether there is one.
    """

    loss: Tensor
    backward: Callable[[], bool]


class BatchLoss(Protocol):
    """What gives the loss of a batch."""

    @property
    def how(self) -> str:
        """Whether a graph is in use, and if not, why."""

    def begin_epoch(self) -> None:
        """Look at what may have changed since the last epoch."""

    def __call__(self, x: Inputs, scale: float) -> LossAndGradients:
        """Loss of a batch, times a scale."""


@dataclass(frozen=True)
class ThroughHandlers:
    """The loss as the pair and Pyro make it at every step.

    Attributes
    ----------
    loss
        ``Loss`` as Fabric wrapped it.
    fabric
        What takes the gradients.
    how
        Why nothing else is done.
    """

    loss: Any
    fabric: Fabric
    how: str = "off"

    def begin_epoch(self) -> None:
        """Nothing is kept from one epoch to the next."""

    def __call__(self, x: Inputs, scale: float) -> LossAndGradients:
        """Loss of a batch, times a scale."""
        loss = self.loss(x) * scale

        def backward() -> bool:
            if loss.requires_grad:
                self.fabric.backward(loss)
            return loss.requires_grad

        return LossAndGradients(loss.detach(), backward)
