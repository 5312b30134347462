"""Several processes that share every batch, and give what one process would have given.

Each process has every k-th row of a batch. What hangs on all of its rows, such as the moments of
a batch normalisation or the averages of a codebook, is told by a ``SharedBatch``; draws are
those of the whole batch (``whole_draws``). Numbers agree with those of one process to rounding.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pyro_vae.errors import ProgramError, SettingError
from pyro_vae.inference.training.shared_batch import SharedBatch, own_rows
from pyro_vae.inference.training.whole_draws import WholeDraws
from pyro_vae.protocols import NeedsWholeBatch, OverWholeBatch, offers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from lightning_fabric import Fabric
    from torch import Tensor

__all__ = ["Processes"]


@dataclass(frozen=True)
class Processes:
    """The processes of a training: one, or several that share every batch.

    Attributes
    ----------
    fabric
        What connects them.
    program
        What is trained.
    num_particles
        Draws of each datum, which lie to the left of the data.
    """

    fabric: Fabric
    program: nn.Module
    num_particles: int = 1

    @property
    def count(self) -> int:
        """How many there are."""
        return self.fabric.world_size

    @property
    def own(self) -> slice:
        """Which rows of a batch this process has."""
        return own_rows(self.fabric)

    def mean(self, value: Tensor) -> float:
        """Mean of a number over the processes, the same in each of them."""
        if self.count == 1:
            return value.item()
        found: Any = self.fabric.all_reduce(value, reduce_op="mean")
        return found.item()

    @cached_property
    def _told(self) -> list[OverWholeBatch]:
        """The modules that ask for the whole batch, looked for once and not at every step."""
        return [module for module in self.program.modules() if offers(module, OverWholeBatch)]

    def sharing(self, size: int) -> AbstractContextManager[object]:
        """The programs run on rows of one batch of a size, which the processes share."""
        return nullcontext() if self.count == 1 else self._sharing(size)

    @contextmanager
    def _sharing(self, size: int) -> Iterator[None]:
        batch = SharedBatch(self.fabric, size)
        for module in self._told:
            module.share_batch(batch)
        try:
            with WholeDraws(batch, self.num_particles):
                yield
        finally:
            for module in self._told:
                module.share_batch(None)

    def require_shareable(self, objective: Any, num_data: int, batch_size: int) -> None:
        """Refuse what several processes cannot share.

        Parameters
        ----------
        objective
            How the program is trained.
        num_data, batch_size
            Training data, and data per step.

        Raises
        ------
        ProgramError
            If the objective or a module needs the whole batch in one process.
        SettingError
            If a process would have no datum of the last batch of an epoch.
        """
        if self.count == 1:
            return
        for part in (objective, *self.program.modules()):
            why = part.needs_whole_batch if offers(part, NeedsWholeBatch) else _of_pytorch(part)
            if why:
                raise ProgramError(
                    f"{type(part).__name__} cannot be trained by {self.count} processes: {why}; "
                    "take devices=1"
                )
        rest = num_data % batch_size or batch_size
        if rest < self.count:
            raise SettingError(
                f"batch_size got {batch_size}, which leaves {rest} of the {num_data} training "
                f"data for the last batch, and there are {self.count} processes: take another "
                "batch_size, so that each has a datum"
            )


def _of_pytorch(module: object) -> str:
    """Why a module of PyTorch needs the whole batch; empty where it does not."""
    other = isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm)
    if not other or offers(module, OverWholeBatch):
        return ""
    return (
        "it would normalise by the data of its own process (networks.layers.BatchNorm, or "
        "nn.SyncBatchNorm on GPUs, take those of all)"
    )
