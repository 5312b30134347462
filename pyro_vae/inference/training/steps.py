"""Passes over the training data: the batches of an epoch, and the step that each of them makes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.inference.engine.inputs import Inputs, count, take
from pyro_vae.inference.training.non_finite import non_finite
from pyro_vae.inference.training.order import batches_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from torch import Tensor, nn

    from pyro_vae.inference.training.loss import BatchLoss, LossAndGradients
    from pyro_vae.inference.training.processes import Processes

__all__ = ["Steps", "epoch_seed", "update_by"]


@dataclass(frozen=True)
class Steps:
    """What makes an epoch's steps: module and optimiser as Fabric wrapped them, and the loss.

    Attributes
    ----------
    update
        Moves the parameters by the optimiser, and lets their gradients go.
    """

    program: nn.Module
    module: Any
    batch_loss: BatchLoss
    optimiser: Any
    update: Callable[[], None]
    processes: Processes
    batch_size: int
    clip_norm: float | None
    seed: int

    def epoch(self, x: Inputs, epoch: int, rate: float) -> float:
        """Run through the data once; the mean of the bound over it, in nats per datum.

        Parameters
        ----------
        x
            The training data.
        epoch
            Its number, from 0.
        rate
            Learning rate.

        Raises
        ------
        NonFiniteLossError
            If a loss is NaN or infinite; no step is made with it.
        """
        self.program.train()
        self.batch_loss.begin_epoch()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        size = count(x)
        batches = self.batches(x, epoch)
        total = 0.0
        for index, batch in enumerate(batches):
            part = take(x, batch if self.processes.count == 1 else batch[self.processes.own])
            # The mean over processes that Fabric takes of the gradients is then the batch's.
            with self.processes.sharing(len(batch)):
                found = self.batch_loss(part, self.processes.count / len(batch))
            value = self.processes.mean(found.loss)
            if not math.isfinite(value):
                step = epoch * len(batches) + index
                raise non_finite(self.program, part, epoch, step, value)
            total += value * len(batch)
            self.step(found)
        return -total / size

    def batches(self, x: Inputs | int, epoch: int) -> Collection[Tensor]:
        """Rows of every batch of an epoch; the generator is seeded for the draws of its steps."""
        # Every epoch has its own seed, so that a resumed run draws what it would have drawn.
        seed = epoch_seed(self.seed, epoch)
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        return batches_of(x, self.batch_size, generator, self.processes.fabric.device)

    def step(self, found: LossAndGradients) -> None:
        """One step of the optimiser down a loss per datum; none where it has no gradient."""
        if not found.backward():
            return
        if self.clip_norm is not None:
            fabric = self.processes.fabric
            fabric.clip_gradients(self.module, self.optimiser, max_norm=self.clip_norm)
        self.update()


def update_by(optimiser: Any) -> Callable[[], None]:
    """The step of an optimiser as Fabric wrapped it."""

    def update() -> None:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return update


def epoch_seed(seed: int, epoch: int) -> int:
    """Seed of an epoch, in every process: of the order of the data, and of the draws."""
    return (seed * 1_000_003 + epoch) * 1_009
