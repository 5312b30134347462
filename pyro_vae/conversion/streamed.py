"""Arrays that are read when their rows are asked for, since all of them do not fit into memory.

Whoever takes rows ``x[rows]`` and their number ``len(x)`` takes such an array as it takes a
tensor. What looks at every value goes by ``blocks``, and what looks for where to start at a
``sample``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from pyro_vae.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Self

    from torch import Tensor

__all__ = [
    "SAMPLE",
    "Blocks",
    "StreamedArray",
    "look_through",
    "pieces",
    "refuse_streamed",
    "sample_of",
    "sampled_of",
    "streamed_part",
]

#: Rows, at most, of what is made from a sample.
SAMPLE = 10_000


class Blocks(Protocol):
    """Where the rows of an array come from, a block of neighbours at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole, ``(n, *event_shape)``."""

    @property
    def ends(self) -> np.ndarray:
        """Row after the last one of every block, int64 ``(num_blocks,)``."""

    @property
    def in_order(self) -> bool:
        """Whether blocks can only be had one after another, from the first."""

    def read(self, block: int) -> Tensor:
        """Rows of a block."""

    def begin(self, seed: int) -> None:
        """Called before a pass in a seeded order."""


class TypedBlocks(Blocks, Protocol):
    """The same with rows of one type."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the values."""


class StreamedArray:
    """An array whose rows are read when they are asked for.

    ``x[rows]``, of a slice or of a tensor of row numbers, is a tensor. Rows by number come from a
    window of blocks in memory, and slices from one block beside it.

    Parameters
    ----------
    source
        Where rows come from.
    memory_limit
        Bytes that the window may take.
    dtype, device
        What rows are given as; as they are read, on the CPU, unless given.
    num_rows
        The first so many rows only.

    It has the ``shape``, ``dtype`` and ``device`` of a tensor.
    """

    def __init__(
        self,
        source: TypedBlocks,
        memory_limit: int,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
        num_rows: int | None = None,
    ) -> None:
        self.source, self.memory_limit = source, memory_limit
        self.dtype = source.dtype if dtype is None else dtype
        self.device = torch.device("cpu") if device is None else device
        size = source.shape[0] if num_rows is None else min(num_rows, source.shape[0])
        self.shape = torch.Size((size, *source.shape[1:]))
        before = np.concatenate([[0], source.ends[:-1]]) if len(source.ends) else source.ends
        there = (before < size) & (source.ends > before)
        #: Numbers of the blocks that have rows, and where these begin and end.
        self._blocks = np.flatnonzero(there)
        self._starts = before[there].astype(np.int64)
        self._ends = np.minimum(source.ends[there], size).astype(np.int64)
        self._forget()

    def _forget(self) -> None:
        """Let go of what is in memory."""
        #: Where in the window the blocks are that it has, the one longest not used first.
        self._slots: OrderedDict[int, int] = OrderedDict()
        self._free: list[int] = []
        self._window: Tensor | None = None
        self._beside: tuple[int, Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Whoever it is sent to reads for itself.
        nothing: dict[str, Any] = {
            "_slots": OrderedDict(),
            "_free": [],
            "_window": None,
            "_beside": None,
        }
        return self.__dict__ | nothing

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"StreamedArray {shape}, {str(self.dtype).removeprefix('torch.')}"

    def dim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def to(self, *, dtype: torch.dtype | None = None, device: torch.device | None = None) -> Self:
        """The same with rows of another type, or on another device."""
        dtype = self.dtype if dtype is None else dtype
        device = self.device if device is None else device
        if (dtype, device) == (self.dtype, self.device):
            return self
        return type(self)(
            self.source, self.memory_limit, dtype=dtype, device=device, num_rows=len(self)
        )

    def first(self, num_rows: int | None) -> Self:
        """The first so many rows, unread; all of them for None."""
        if num_rows is None or num_rows >= len(self):
            return self
        how: dict[str, Any] = {"dtype": self.dtype, "device": self.device, "num_rows": num_rows}
        return type(self)(self.source, self.memory_limit, **how)

    def filled(self, observed: Self, fill: Callable[[Tensor, Tensor], Tensor]) -> Self:
        """The same with other values in missing cells.

        Parameters
        ----------
        observed
            Which cells are there, of the same rows.
        fill
            From rows and which of their cells are there to rows with a value in the others.
        """
        if isinstance(self.source, _Filled) and self.source.fill == fill:
            return self
        source = _Filled(self.source, observed.source, fill, self.dtype)
        return type(self)(source, self.memory_limit, device=self.device, num_rows=len(self))

    def require_processes(self) -> None:
        """Refuse to be shared out to several processes, where rows come one after another.

        Raises
        ------
        DataError
            If each process would go through all of them.
        """
        if self.source.in_order:
            raise DataError(
                "x comes from an iterable of batches, which goes from the first to the last, so "
                "that processes cannot share its rows: leave n_jobs out, or write the rows into a "
                "file, as numpy.save does"
            )

    @cached_property
    def num_slots(self) -> int:
        """Blocks that are in memory at once when rows are taken by number."""
        if not len(self._ends):
            return 0
        # An int64 of the order and one of its permutation for each row, beside the row.
        row = self._row_bytes + 16
        fewest = 2 if self.source.in_order else 1
        return min(len(self._ends), max(fewest, self.memory_limit // (self._longest * row)))

    @cached_property
    def _row_bytes(self) -> int:
        return torch.empty((), dtype=self.dtype).element_size() * int(np.prod(self.shape[1:]))

    @cached_property
    def _longest(self) -> int:
        """Rows of the longest block."""
        return int((self._ends - self._starts).max())

    @property
    def fits(self) -> bool:
        """Whether all rows are in memory at once when they are taken by number."""
        return self.num_slots >= len(self._ends)

    def __getitem__(self, rows: int | slice | Tensor | Sequence[int]) -> Tensor:
        if isinstance(rows, int | np.integer):
            row = int(rows) + len(self) * (rows < 0)
            if not 0 <= row < len(self):
                raise IndexError(f"row {rows} of {len(self)}")
            return self[row : row + 1][0]
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step != 1:
                return self[torch.arange(start, stop, step)]
            return self._between(start, stop)
        numbers = torch.empty(0) if isinstance(rows, tuple) else torch.as_tensor(rows).cpu()
        if numbers.dtype == torch.bool:
            numbers = numbers.nonzero().flatten()
        if numbers.dim() != 1 or numbers.is_floating_point():
            raise IndexError(
                f"rows got {rows!r}: a streamed array is taken by a slice or by numbers of rows"
            )
        numbers = torch.where(numbers < 0, numbers + len(self), numbers)
        return self._gathered(numbers.long().numpy()).to(self.device)

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """Every block after the other, with the number of its first row."""
        for start, stop in zip(self._starts.tolist(), self._ends.tolist(), strict=True):
            yield start, self._between(start, stop)

    def sample(self, size: int | None = None, *, seed: int = 0) -> Tensor:
        """Rows drawn without replacement, in their order: all, where there are no more.

        Parameters
        ----------
        size
            How many; 10,000 unless given, or as many as the memory limit holds.
        seed
            Seed of the draw.
        """
        if size is None:
            size = min(SAMPLE, max(1, self.memory_limit // max(self._row_bytes, 1)))
        if len(self) <= size:
            return self[:]
        return torch.cat(list(self.sampled(size, seed=seed)))

    def sampled(self, size: int = SAMPLE, *, seed: int = 0) -> Iterator[Tensor]:
        """The rows of ``sample``, those of a block at a time."""
        if len(self) <= size:
            yield from (rows for _, rows in self.blocks())
            return
        rows = np.random.default_rng(seed).choice(len(self), size, replace=False, shuffle=False)
        rows.sort()
        done = 0
        for at, stop in enumerate(np.searchsorted(rows, self._ends).tolist()):
            if stop > done:
                inside = torch.from_numpy(rows[done:stop] - self._starts[at])
                yield self._block(at)[inside].to(self.device)
                done = stop

    def windows(
        self, generator: torch.Generator, beside: Sequence[StreamedArray] = ()
    ) -> Iterator[Tensor]:
        """Row numbers in a random order, of as many blocks together as memory holds.

        Where that is all of them, the order is that of a tensor in memory.

        Parameters
        ----------
        generator
            What draws the order.
        beside
            Arrays of the same rows, which are taken together with these.
        """
        self.source.begin(generator.initial_seed())
        in_order, together = self.source.in_order, self.num_slots
        if self.fits:
            if in_order:
                self._with_beside(range(len(self._ends)), beside)  # in their order, and once
            yield torch.randperm(len(self), generator=generator)
            return
        order = torch.randperm(len(self._ends), generator=generator)
        if in_order:
            for array in (self, *beside):
                array._forget()  # another pass may bring other rows
            # Rows that are left of one window are had while the next is read.
            order, together = order.sort().values, together // 2
        for blocks in order.split(together):
            if in_order:
                self._with_beside(blocks.tolist(), beside)
            parts = [torch.arange(self._starts[b], self._ends[b]) for b in blocks.tolist()]
            rows = torch.cat(parts)
            yield rows[torch.randperm(len(rows), generator=generator)]

    def _block(self, at: int) -> Tensor:
        """Rows of a block by its place, those beyond the last row left out."""
        if at in self._slots:
            size, slot = int(self._ends[at] - self._starts[at]), self._slots[at]
            assert self._window is not None
            return self._window[slot * self._longest :][:size]
        if self._beside is None or self._beside[0] != at:
            self._beside = None  # before another is read
            self._beside = at, self._read(at)
        return self._beside[1]

    def _read(self, at: int) -> Tensor:
        found = self.source.read(int(self._blocks[at]))
        return found[: self._ends[at] - self._starts[at]].to(self.dtype)

    def _between(self, start: int, stop: int) -> Tensor:
        if stop <= start:
            return torch.empty((0, *self.shape[1:]), dtype=self.dtype, device=self.device)
        first = int(np.searchsorted(self._ends, start, side="right"))
        last = int(np.searchsorted(self._ends, stop - 1, side="right"))
        if first == last:
            offset = start - int(self._starts[first])
            part = self._block(first)[offset : offset + stop - start]
            # The window is written over, and what is read beside it is not.
            return (part.clone() if first in self._slots else part).to(self.device)
        found = torch.empty((stop - start, *self.shape[1:]), dtype=self.dtype)
        for at in range(first, last + 1):
            low, high = max(start, int(self._starts[at])), min(stop, int(self._ends[at]))
            offset = low - int(self._starts[at])
            found[low - start : high - start] = self._block(at)[offset : offset + high - low]
        return found.to(self.device)

    def _gathered(self, rows: np.ndarray) -> Tensor:
        """Rows by number, out of the window."""
        found = torch.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows from {rows.min()} to {rows.max()} of {len(self)}")
        which = np.searchsorted(self._ends, rows, side="right")
        wanted = np.unique(which).tolist()
        # Those that are here first: what is let go of for the others has been used then.
        here = [at for at in wanted if at in self._slots]
        groups = [here] if here else []
        missing = [at for at in wanted if at not in self._slots]
        size = max(self.num_slots, 1)
        groups += [missing[k : k + size] for k in range(0, len(missing), size)]
        for group in groups:
            window = self._with(group)
            mask = np.isin(which, group)
            at = which[mask]
            slots = np.array([self._slots[b] for b in group])[np.searchsorted(group, at)]
            places = slots * self._longest + rows[mask] - self._starts[at]
            found[torch.from_numpy(mask)] = window[torch.from_numpy(places)]
        return found

    def _with_beside(self, blocks: Iterable[int], beside: Sequence[StreamedArray]) -> None:
        """Read blocks into the windows of all arrays, each for all of them before the next."""
        for block in blocks:
            for array in (self, *beside):
                array._with([block])

    def _with(self, blocks: list[int]) -> Tensor:
        """The window with these blocks in it, in the place of those longest not used."""
        if self._window is None:
            shape = (self.num_slots * self._longest, *self.shape[1:])
            self._window = torch.empty(shape, dtype=self.dtype)
        for at in blocks:
            if at in self._slots:
                self._slots.move_to_end(at)
        for at in blocks:
            if at in self._slots:
                continue
            found = self._read(at)
            if len(self._slots) >= self.num_slots:
                self._free.append(self._slots.popitem(last=False)[1])
            if not self._free:  # at first, and where an interruption came between two lines
                self._free = sorted(set(range(self.num_slots)).difference(self._slots.values()))
            free = self._free.pop()
            self._window[free * self._longest :][: len(found)] = found
            self._slots[at] = free
        return self._window


class _Filled:
    """Blocks with values in missing cells: the arguments of ``StreamedArray.filled``."""

    def __init__(
        self,
        source: TypedBlocks,
        observed: Blocks,
        fill: Callable[[Tensor, Tensor], Tensor],
        dtype: torch.dtype,
    ) -> None:
        self._source, self._observed, self.fill, self.dtype = source, observed, fill, dtype
        self.shape, self.ends, self.in_order = source.shape, source.ends, source.in_order

    def begin(self, seed: int) -> None:
        """Called before a pass in a seeded order."""
        self._source.begin(seed)

    def read(self, block: int) -> Tensor:
        """Rows of a block."""
        rows, there = self._source.read(block).to(self.dtype), self._observed.read(block)
        return torch.where(there, rows, self.fill(rows, there))


def streamed_part(x: Any) -> StreamedArray | None:
    """Data that are streamed, or the first of named data if they are; None for any others."""
    first = next(iter(x.values()), None) if isinstance(x, Mapping) else x
    return first if isinstance(first, StreamedArray) else None


def pieces(x: Any) -> Iterator[tuple[int, Any]]:
    """Data at once, with row 0; those that are streamed a block at a time, with its first row."""
    if (lead := streamed_part(x)) is None:
        yield 0, x
        return
    for start, stop in zip(lead._starts.tolist(), lead._ends.tolist(), strict=True):
        rows = slice(start, stop)
        if isinstance(x, Mapping):
            yield start, {name: part[rows] for name, part in x.items()}
        else:
            yield start, x[rows]


def sample_of(x: Any, *, seed: int = 0) -> Any:
    """The same sample of rows of data that are streamed, in every named part."""
    lead = streamed_part(x)
    assert lead is not None
    if not isinstance(x, Mapping):
        return x.sample(seed=seed)
    size = len(lead.sample(seed=seed))
    return {name: part.sample(size, seed=seed) for name, part in x.items()}


def sampled_of(x: Any) -> Iterator[Any]:
    """The rows of a sample of 10,000, those of a block at a time, in every named part."""
    if not isinstance(x, Mapping):
        yield from x.sampled()
        return
    for parts in zip(*(part.sampled() for part in x.values()), strict=True):
        yield dict(zip(x, parts, strict=True))


def look_through(check: Callable[[Any], object], x: Any) -> None:
    """Have data looked at as a whole, or, where they are streamed, a block at a time.

    Raises
    ------
    DataError
        What the check raises; of a block, with where that lies.
    """
    for start, part in pieces(x):
        try:
            check(part)
        except DataError as error:
            if not start:
                raise
            raise type(error)(f"in the rows from {start} on, counted from there: {error}") from (
                error
            )


def refuse_streamed(x: Any, name: str, verb: str) -> None:
    """Refuse an array that is streamed for what needs all rows in memory.

    Parameters
    ----------
    x
        Data, or named data.
    name
        What the argument is called.
    verb
        What does.

    Raises
    ------
    DataError
        If it is such an array.
    """
    parts = x.values() if isinstance(x, Mapping) else [x]
    if any(isinstance(part, StreamedArray) for part in parts):
        raise DataError(
            f"{name} got data that are streamed, and {verb} needs all its rows in memory: give "
            f"some, as {name}[:1000], or a sample, as {name}.sample(1000); data.read has all"
        )
