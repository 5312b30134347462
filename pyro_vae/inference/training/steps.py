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
    from collections.abc import Collection

    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from pyro_vae.inference.training.loss import BatchLoss, LossAndGradients

__all__ = ["Steps", "epoch_seed"]


@dataclass(frozen=True)
class Steps:
    """What makes an epoch's steps: module and optimiser as Fabric wrapped them, and the loss."""

    program: nn.Module
    module: Any
    batch_loss: BatchLoss
    optimiser: Any
    fabric: Fabric
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
        rank, world = self.fabric.global_rank, self.fabric.world_size
        size = count(x)
        batches = self.batches(x, epoch)
        total = 0.0
        for index, batch in enumerate(batches):
            part = take(x, batch[rank::world])
            # The mean over processes that Fabric takes of the gradients is then the batch's.
            found = self.batch_loss(part, world / len(batch))
            value = found.loss.item()
            if not math.isfinite(value):
                step = epoch * len(batches) + index
                raise non_finite(self.program, part, epoch, step, value)
            total += value * len(batch)
            self.step(found)
        if world > 1:
            total = self.fabric.all_reduce(torch.tensor(total), reduce_op="mean").item()  # type: ignore[union-attr]
        return -total / size

    def batches(self, x: Inputs | int, epoch: int) -> Collection[Tensor]:
        """Rows of every batch of an epoch; the generator is seeded for the draws of its steps."""
        # Every epoch has its own seed, so that a resumed run draws what it would have drawn.
        torch.manual_seed(epoch_seed(self.seed, epoch, self.fabric.global_rank))
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, epoch, 0))
        return batches_of(x, self.batch_size, generator, self.fabric.device)

    def step(self, found: LossAndGradients) -> None:
        """One step of the optimiser down a loss per datum; none where it has no gradient."""
        if not found.backward():
            return
        if self.clip_norm is not None:
            self.fabric.clip_gradients(self.module, self.optimiser, max_norm=self.clip_norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)


def epoch_seed(seed: int, epoch: int, rank: int) -> int:
    """Seed of the draws of a process in an epoch; that of rank 0 is of the order of data, too."""
    return (seed * 1_000_003 + epoch) * 1_009 + rank
