"""Several data in one pass, each with the draws that it would have alone.

One datum of a small model is a few operations on small tensors, and most of the time goes into
starting them. The graph of one datum is therefore run for many at once (``torch.vmap``), with the
draws of each made beforehand from its own seed: they are those of the datum alone to the bit, and
what is made of them is so up to the rounding of matrix products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pyro_vae.inference.engine.inputs import Inputs, count, take, tensors
from pyro_vae.isolation import isolated, reseed
from pyro_vae.recording import NotRecordableError, noise_as_inputs, record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

__all__ = ["SeveralAtOnce"]

#: Relative difference from one datum alone that the rounding of matrix products may make.
_ROUNDING = 1e-4


class SeveralAtOnce:
    """What a function gives of each datum, computed for a batch of them when one is asked for.

    Parameters
    ----------
    function
        Takes the tensors of one datum, with a leading 1, and gives tensors.
    x
        All the data.
    size
        Data in a batch. Which datum is in which batch depends on its row alone.
    seed_of
        Seed of a row's draws.

    Raises
    ------
    NotRecordableError
        If the function is no flat graph, draws what depends on more than a shape, or does not
        give the same for several data as for one.
    """

    def __init__(
        self,
        function: Callable[..., Sequence[Tensor]],
        x: Inputs,
        size: int,
        seed_of: Callable[[int], int],
    ) -> None:
        self._x, self._size, self._seed_of = x, size, seed_of
        first = tensors(take(x, slice(1)))
        graph = record(function, first, fixed=True)
        self._noises = noise_as_inputs(graph)
        self._run = torch.vmap(graph)
        self._start, self._batch = -1, list[torch.Tensor]()
        with isolated(seed_of(0)), torch.no_grad():
            alone = function(*first)
        try:
            same = all(map(_nearly, self(0), alone))
        except RuntimeError as error:
            raise NotRecordableError(f"several data at once fail with {error}") from error
        if not same:
            raise NotRecordableError("several data at once are not what each is alone")

    def __call__(self, row: int) -> list[Tensor]:
        """What the function gives of one datum."""
        start = row - row % self._size
        if start != self._start:
            self._batch = self._run_from(start)
            self._start = start
        return [part[row - start] for part in self._batch]

    @torch.no_grad()
    def _run_from(self, start: int) -> list[Tensor]:
        stop = min(start + self._size, count(self._x))
        drawn = []
        with isolated():
            for row in range(start, stop):
                reseed(self._seed_of(row))
                drawn.append([noise.draw() for noise in self._noises])
        noise = [torch.stack(parts) for parts in zip(*drawn, strict=True)]
        data = [part.unsqueeze(1) for part in tensors(take(self._x, slice(start, stop)))]
        return list(self._run(*data, *noise))


def _nearly(a: Tensor, b: Tensor) -> bool:
    scale = b.abs().max().clamp_min(1.0) if b.numel() else 1.0
    return a.shape == b.shape and bool((a - b).abs().le(_ROUNDING * scale).all())
