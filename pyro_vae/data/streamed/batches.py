"""Iterables of batches, such as a PyTorch ``DataLoader``: rows that come one after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

from pyro_vae.conversion import convert
from pyro_vae.data.streamed.rows import even_ends
from pyro_vae.errors import DataError
from pyro_vae.isolation import isolated

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BatchRows"]


class BatchRows:
    """Rows of the batches of an iterable, cut anew into blocks.

    Reading goes forward, and begins again where it must go back. Every pass has the seed of the
    last ``begin``: what is drawn from PyTorch's generators, as the order of a loader that
    shuffles, is then drawn alike.

    Parameters
    ----------
    given
        Gives batches each time it is gone through: tensors or arrays ``(b, *event_shape)``,
        tuples or lists of which the first is such, or mappings in which ``"x"`` is.
    name
        What the argument is called.
    num_data
        Number of rows in all; counted in a pass where neither this nor the iterable says it.
    block_bytes
        Bytes of a block.
    """

    columns = None
    grey = None
    in_order = True

    def __init__(
        self, given: Iterable[Any], name: str, num_data: int | None, block_bytes: int
    ) -> None:
        if isinstance(given, Iterator):
            raise DataError(
                f"{name} got a {type(given).__name__}, which can be gone through once, and every "
                "epoch goes through the data: give what makes one, such as a DataLoader, a list "
                "of batches, or an object whose __iter__ begins again"
            )
        self.name, self._given, self._seed = name, given, 0
        self._event_shape: tuple[int, ...] | None = None
        self._restart()
        first = self._next()
        if first is None:
            raise DataError(f"{name} gives no batch: at least one datum is needed")
        self._event_shape = tuple(first.shape[1:])
        size = num_data or _stated(given) or self._counted()
        self.shape = (size, *self._event_shape)
        row_bytes = first[:1].numel() * first.element_size()
        self.ends = even_ends(size, row_bytes, block_bytes)
        self._restart()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_batches": None, "_left": [], "_at": 0}

    def begin(self, seed: int) -> None:
        """The next pass has another seed."""
        self._seed = seed
        self._restart()

    def read(self, block: int) -> Tensor:
        """Rows of a block."""
        if block < self._at:
            self._restart()
        while self._at < block:
            self._take()
        return self._take()

    def _restart(self) -> None:
        self._batches: Iterator[Any] | None = None
        self._left: list[Tensor] = []
        self._at = 0
        self._drawn = torch.get_rng_state()  # what PyTorch's generator is between two batches

    def _take(self) -> Tensor:
        """Rows of the next block."""
        start = int(self.ends[self._at - 1]) if self._at else 0
        wanted = int(self.ends[self._at]) - start
        while sum(map(len, self._left)) < wanted:
            batch = self._next()
            if batch is None:
                found = start + sum(map(len, self._left))
                raise DataError(
                    f"{self.name} gave {found} rows, and num_data is {self.shape[0]}: say "
                    f"num_data={found}, or give an iterable that gives as many in every pass"
                )
            self._left.append(batch)
        rows = torch.cat(self._left)
        self._left = [rows[wanted:].clone()]
        self._at += 1
        if self._at == len(self.ends) and (len(self._left[0]) or self._next() is not None):
            raise DataError(
                f"{self.name} gives more than the {self.shape[0]} rows that num_data says: give "
                "the number of all of them"
            )
        return rows[:wanted]

    def _next(self) -> Tensor | None:
        """The next batch; None after the last."""
        with isolated():
            if self._batches is None:
                torch.manual_seed(self._seed)
                if isinstance(self._given, DataLoader) and self._given.generator is not None:
                    self._given.generator.manual_seed(self._seed)
                self._batches = iter(self._given)
            else:
                torch.set_rng_state(self._drawn)
            try:
                batch = next(self._batches)
            except StopIteration:
                return None
            finally:
                self._drawn = torch.get_rng_state()
            return self._rows(batch)

    def _rows(self, batch: Any) -> Tensor:
        """What x is of a batch."""
        if isinstance(batch, Mapping):
            if "x" not in batch:
                raise DataError(
                    f"{self.name} gives batches with {', '.join(map(repr, batch))}: name the data "
                    "'x'"
                )
            batch = batch["x"]
        elif isinstance(batch, tuple | list) and len(batch):
            batch = batch[0]
        rows = convert(batch, f"{self.name}: a batch").values.cpu()
        if rows.dim() < 2 or rows.numel() == 0:
            raise DataError(
                f"{self.name} gives a batch of shape {tuple(rows.shape)}: it must be rows, "
                "(b, *event_shape)"
            )
        expected = self._event_shape
        if expected is not None and tuple(rows.shape[1:]) != expected:
            raise DataError(
                f"{self.name} gives rows of shape {tuple(rows.shape[1:])} after such of "
                f"{expected}: all must have one shape"
            )
        return rows

    def _counted(self) -> int:
        self._restart()
        return sum(len(batch) for batch in iter(self._next, None))


def _stated(given: Any) -> int | None:
    """Number of rows that a loader says it has; None where it does not say."""
    if not isinstance(given, DataLoader) or given.batch_size is None:
        return None
    try:
        return len(given) * given.batch_size if given.drop_last else len(given.sampler)  # type: ignore[arg-type]
    except TypeError:  # of a dataset that is an iterable itself
        return None
