"""A batch of which each of several processes has some rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor

__all__ = ["SharedBatch", "own_rows"]


def own_rows(fabric: Fabric) -> slice:
    """Which rows of a batch this process has: every k-th of k processes."""
    return slice(fabric.global_rank, None, fabric.world_size)


@dataclass(frozen=True)
class SharedBatch:
    """A batch of which every process has some rows: see ``protocols.WholeBatch``.

    Attributes
    ----------
    fabric
        What connects the processes.
    size
        Number B of rows of the whole.
    """

    fabric: Fabric
    size: int

    @property
    def own(self) -> slice:
        """Which rows this process has."""
        return own_rows(self.fabric)

    @property
    def num_own(self) -> int:
        """Number of rows of this process."""
        return len(range(self.size)[self.own])

    def total(self, part: Tensor) -> Tensor:
        """Sum over the processes, with its gradient."""
        return _Total.apply(part)

    def rows(self, part: Tensor) -> Tensor:
        """Rows ``(B, ...)`` of all processes in the order of the batch, without gradient."""
        world, own = self.fabric.world_size, self.num_own
        # A datum may be several rows on end, as the vectors of an image are.
        part = part.detach().reshape(own, -1, *part.shape[1:])
        most = -(-self.size // world)
        padded = part.new_zeros(most, *part.shape[1:])
        padded[:own] = part
        gathered = [torch.empty_like(padded) for _ in range(world)]
        torch.distributed.all_gather(gathered, padded)
        # Row i of the batch is that of process i mod k.
        return torch.stack(gathered, 1).flatten(0, 1)[: self.size].flatten(0, 1)


class _Total(torch.autograd.Function):
    """Sum over the processes; its gradient is the sum of what theirs are."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        total = part.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Total.forward(ctx, gradient)
