"""The bound on the validation data, which the best weights are chosen by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.inference.engine.inputs import Inputs, count, take
from pyro_vae.isolation import isolated

if TYPE_CHECKING:
    from torch import nn

    from pyro_vae.inference.training.processes import Processes

__all__ = ["Validation"]

#: Data that are measured at once.
_ROWS = 1024


@dataclass(frozen=True)
class Validation:
    """What measures a model on the validation data x, of which there may be none."""

    program: nn.Module
    loss: Any
    x: Inputs
    processes: Processes
    seed: int

    def bound(self) -> float:
        """The bound in nats per datum, with the same draws every time; NaN without data."""
        size = count(self.x)
        if size == 0:
            return math.nan
        self.program.eval()
        with torch.no_grad(), isolated(self.seed), self.processes.fabric.autocast():
            parts = (take(self.x, slice(k, k + _ROWS)) for k in range(0, size, _ROWS))
            total = sum(self._total(part) for part in parts)
        return -total / size

    def _total(self, x: Inputs) -> float:
        """The loss summed over some data, of which every process measures its own."""
        processes, size = self.processes, count(x)
        if size < processes.count:  # too few to share: each measures them all
            return self.loss(x).item()
        with processes.sharing(size):
            found = self.loss(take(x, processes.own))
        return processes.mean(found) * processes.count
