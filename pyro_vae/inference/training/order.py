"""The order of the data in an epoch, cut into batches."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.conversion import streamed_part
from pyro_vae.inference.engine.inputs import count

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.conversion import StreamedArray

__all__ = ["batches_of"]


def batches_of(
    x: Any, batch_size: int, generator: torch.Generator, device: torch.device
) -> Collection[Tensor]:
    """Row numbers of every batch of an epoch, in an order that the generator draws.

    Parameters
    ----------
    x
        The data, or their number. Of data that are streamed the order goes by windows of blocks.
    batch_size
        Data in a batch; the last one may be smaller.
    generator
        What draws.
    device
        Where the numbers are to be.
    """
    if (lead := streamed_part(x)) is not None:
        beside = list(x.values())[1:] if isinstance(x, Mapping) else []
        return _Streamed(lead, beside, batch_size, generator)
    size = x if isinstance(x, int) else count(x)
    return torch.randperm(size, generator=generator).to(device).split(batch_size)


class _Streamed(Collection["Tensor"]):
    """The batches of data that are streamed, each made when it is asked for."""

    def __init__(
        self,
        x: StreamedArray,
        beside: list[StreamedArray],
        batch_size: int,
        generator: torch.Generator,
    ) -> None:
        self._x, self._beside = x, beside
        self._size, self._generator = batch_size, generator

    def __len__(self) -> int:
        return -(-len(self._x) // self._size)

    def __contains__(self, batch: object) -> bool:
        return any(batch is one for one in self)

    def __iter__(self) -> Iterator[Tensor]:
        left = torch.empty(0, dtype=torch.long)
        for window in self._x.windows(self._generator, self._beside):
            # A batch goes on into the next window, so that one alone may be smaller: the last.
            rows = torch.cat([left, window])
            whole = len(rows) - len(rows) % self._size
            yield from rows[:whole].split(self._size) if whole else ()
            left = rows[whole:]
        if len(left):
            yield left
