"""Functions that are called many times, by a graph where that is worth it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.isolation import isolated
from pyro_vae.recording.bindings import bound
from pyro_vae.recording.graphs import NotRecordableError, record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, fx

__all__ = ["COMPARED", "WORTH_RECORDING", "Repeated", "equal", "shapes_of"]

#: Calls at which a new graph is held against what it was recorded of.
COMPARED = 2

#: Seconds that must lie before a function for it to be recorded, which takes half a second to two
#: and saves between a fifth and nine tenths.
WORTH_RECORDING = 5.0


@dataclass
class Repeated:
    """A function of tensors that is called many times: by a graph, where that is worth it.

    The graph is held against the function at its first calls. A function that is no flat graph is
    called as it is. Whatever it is made of, such as weights, must not change meanwhile.

    Attributes
    ----------
    function
        Takes tensors, and gives tensors; it may draw from PyTorch's generator.
    calls
        How often it will be called with tensors of the same shapes, about.
    before
        Called before a graph is recorded, which does not look at values: a check of what it
        will be given.
    """

    function: Callable[..., Sequence[Tensor]]
    calls: int
    before: Callable[[], object] | None = None
    _graphs: dict[Any, fx.GraphModule | None] = field(default_factory=dict)
    _seconds: dict[Any, float] = field(default_factory=dict)
    _compared: dict[Any, int] = field(default_factory=dict)

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """What the function gives."""
        key = shapes_of(inputs)
        graph = self._graphs.get(key)
        if graph is None:
            found = self._timed(key, inputs)
            if key not in self._graphs and self.calls * self._seconds[key] > WORTH_RECORDING:
                if self.before is not None:
                    self.before()
                try:
                    self._graphs[key] = bound(record(self.function, inputs, fixed=True))
                except NotRecordableError:
                    self._graphs[key] = None
            return found
        if self._compared.get(key, 0) < COMPARED:
            self._compared[key] = self._compared.get(key, 0) + 1
            with isolated():
                ours = _run(graph, inputs)
            found = self.function(*inputs)
            if not all(map(equal, ours, found)):
                self._graphs[key] = None
            return found
        return _run(graph, inputs)

    def _timed(self, key: Any, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        started = time.perf_counter()
        found = self.function(*inputs)
        seconds = time.perf_counter() - started
        self._seconds[key] = min(seconds, self._seconds.get(key, seconds))
        return found


@torch.no_grad()
def _run(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    found: Sequence[Tensor] = graph(*inputs)
    return found


def shapes_of(inputs: Sequence[Tensor]) -> tuple[object, ...]:
    """What a graph holds for: shapes, types and devices."""
    return tuple((part.shape, part.dtype, part.device) for part in inputs)


def equal(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal to the bit, NaN and all."""
    return torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))
