"""``data.stream``: a data set of one's own that does not fit into memory."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch

from pyro_vae.conversion import StreamedArray
from pyro_vae.data.kind import Kind
from pyro_vae.data.reading.origin import Origin, Streaming, checksum_of_file, find_again
from pyro_vae.data.reading.parts import check_shares, left_shares
from pyro_vae.data.streamed.census import Census
from pyro_vae.data.streamed.dataset import StreamedDataset
from pyro_vae.data.streamed.opening import open_rows
from pyro_vae.data.streamed.part import Part, Shares, as_given
from pyro_vae.data.streamed.rows import BLOCK_BYTES
from pyro_vae.data.streamed.selection import SPLITS
from pyro_vae.errors import DataError, MissingDataError, UnknownNameError
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pyro_vae.data.affine import Affine
    from pyro_vae.data.reading.reader import Form
    from pyro_vae.data.streamed.rows import RowSource

__all__ = ["MEMORY_LIMIT", "stream", "stream_again"]

#: Bytes that rows may take in memory while a model is fitted, unless said otherwise.
MEMORY_LIMIT = 2**28

_DEFAULT_SHARES = (0.7, 0.1, 0.2)

#: So many blocks at least are in memory together, that rows are mixed.
_TOGETHER = 16


@verb
def stream(
    source: Any,
    *,
    validation: Any = None,
    test: Any = None,
    shares: Sequence[float] = _DEFAULT_SHARES,
    columns: str | Path | Mapping[str, str] | None = None,
    kind: Kind | None = None,
    maximum: int | None = None,
    standardise: bool = False,
    num_data: int | None = None,
    name: str | None = None,
    seed: int = 0,
    memory_limit: int = MEMORY_LIMIT,
) -> StreamedDataset:
    """A data set of your own that does not fit into memory, for ``fit`` and ``evaluate``.

    One pass over the rows tells their kind, mean and standard deviation, and refuses what is
    missing or infinite; afterwards rows are read when they are asked for. ``fit`` goes through
    blocks of rows in a random order, and mixes as many of them as ``memory_limit`` holds; where
    that is all of them, its numbers are those of the same rows in memory, to the bit. A model
    is started from a random sample of 10,000 training rows, or from all where there are fewer.

    Parameters
    ----------
    source
        Path of a NumPy (``.npy``) or Parquet file or of a Zarr array; a ``numpy.memmap`` or Zarr
        array; a PyTorch ``DataLoader``, or another iterable of batches that can be gone through
        again and again.
    validation, test
        The same with those rows; then ``source`` has the others.
    shares
        Shares of rows for training, validation and test. Where a row goes depends on the seed
        and on its number alone. An iterable of batches is all for training.
    columns
        What columns of a Parquet file are; as for ``data.read``.
    kind
        Kind of the values of an array; told by them unless given.
    maximum
        Largest count that a feature can take; the largest of the training data unless given,
        and then other splits may have larger ones.
    standardise
        Give every feature of an array mean 0 and standard deviation 1.
    num_data
        Number of data of ``source``, if it is an iterable that does not say it; counted in a
        pass unless given.
    name
        What to call the data; the name of the file unless given.
    seed
        Seed of the split.
    memory_limit
        Bytes that rows may take in memory while a model is fitted.

    Returns
    -------
    StreamedDataset
        Its splits are read by their rows.

    Raises
    ------
    DataError
        If something cannot be read or streamed, with the place, and what would help.
    MissingDataError
        If a file is not there, or needs a library that is not installed.

    Examples
    --------
    >>> import numpy as np, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "counts.npy"
    >>> np.save(path, np.random.default_rng(0).poisson(3.0, (1000, 5)))
    >>> counts = stream(path)
    >>> counts.kind, counts.train[:2].shape
    ('counts', torch.Size([2, 5]))
    """
    memory_limit = int(memory_limit)
    given = {"all": source, "validation": validation, "test": test}
    given = {part: x for part, x in given.items() if x is not None}
    if source is None or (isinstance(source, str) and not source):
        raise DataError(f"source got {source!r}: give the path of a file, or what has batches")
    if kind is not None and kind not in get_args(Kind):
        raise UnknownNameError("kind of data", kind, get_args(Kind))
    block_bytes = _block_bytes(memory_limit)
    opened = {
        part: open_rows(x, part, block_bytes, None)
        if part != "all"
        else open_rows(x, "source", block_bytes, num_data)
        for part, x in given.items()
    }
    paths = {part: Path(x) for part, x in given.items() if isinstance(x, str | os.PathLike)}
    origin = Origin(
        name=name or (_stem(paths["all"]) if "all" in paths else "stream"),
        files={part: str(path.absolute()) for part, path in paths.items()},
        checksums={part: checksum_of_file(path) for part, path in paths.items()},
        shares=list(check_shares(shares)),
        seed=seed,
        kind=kind,
        streamed=Streaming(memory_limit=memory_limit, maximum=maximum),
    )
    return _streamed(opened, origin, standardise=standardise)


def stream_again(
    origin: Origin, form: Form, *, folders: Iterable[Path] = (), on: Any = None
) -> StreamedDataset:
    """The data that a run was fitted to, opened again by their origin.

    Parameters
    ----------
    origin, form
        What the run remembers of them.
    folders
        Where to look for a file that is not where it was.
    on
        Rows that are to be the test data, as ``stream`` takes them.

    Raises
    ------
    MissingDataError
        If a file is nowhere, or the data were given in Python.
    DataError
        If a file has changed.
    """
    assert origin.streamed is not None
    if not origin.files:
        raise MissingDataError(
            f"{origin.name} was streamed from what was given in Python: stream it there again"
        )
    found = find_again(origin, folders)
    block_bytes = _block_bytes(origin.streamed.memory_limit)
    opened = {part: open_rows(path, part, block_bytes, None) for part, path in found.items()}
    if on is not None:
        opened["on"] = open_rows(on, "on", block_bytes, None)
    bare = origin.model_copy(update={"location": None, "scale": None})
    return _streamed(opened, bare, standardise=form.standardise)


def _block_bytes(memory_limit: int) -> int:
    return max(1, min(BLOCK_BYTES, memory_limit // _TOGETHER))


def _stem(path: Path) -> str:
    name = path.absolute().name
    return name.split(".")[0] or name


@dataclass
class _Split:
    """What is found out of a split in the pass, and where its rows are."""

    source: RowSource
    shares: Shares | None
    census: Census
    counts: list[int] = field(default_factory=list)

    def part(self, split: str, dtype: torch.dtype, affine: Affine | None) -> Part:
        """Its rows as a model is given them."""
        counts = np.array(self.counts, dtype=np.int64)
        return Part(self.source, split, self.shares, counts, dtype, affine)


def _streamed(
    opened: Mapping[str, RowSource], origin: Origin, *, standardise: bool
) -> StreamedDataset:
    """A data set of what was opened, once it has been gone through."""
    assert origin.streamed is not None
    splits = _gone_through(opened, origin)
    whole = opened["all"]
    moments = splits["train"].census.moments
    kind, maximum = _kind_of(splits, origin, whole)
    bounded = origin.streamed.maximum is not None
    for split, found in splits.items():
        found.census.require_kind(kind, maximum if bounded or split == "train" else None)
    affine, measure = None, "as given" if whole.grey is None else "unit interval"
    if standardise:
        if kind not in ("real", "unit-interval"):
            raise DataError(
                f"{origin.name}: {kind} data cannot be standardised, which would leave their "
                "support: leave it out, or say kind='real'"
            )
        affine, kind = moments.standardising(), "real"
    keep = affine is not None or all(
        found.census.keeps_digits(moments, counts=kind == "counts") for found in splits.values()
    )
    dtype = torch.float32 if keep else torch.float64
    arrays: dict[str, Any] = {
        split: StreamedArray(found.part(split, dtype, affine), origin.streamed.memory_limit)
        for split, found in splits.items()
    }
    return StreamedDataset(
        origin.name,
        **arrays,
        kind=kind,
        moments=moments,
        maximum=maximum,
        bounded=bounded,
        seed=origin.seed,
        standardise=standardise,
        base_measure=measure,
        affine=affine,
        columns=whole.columns,
        origin=origin,
    )


def _kind_of(
    splits: Mapping[str, _Split], origin: Origin, whole: RowSource
) -> tuple[Kind, int | None]:
    """Kind of the data, and the largest count."""
    assert origin.streamed is not None
    census = splits["train"].census
    kind: Any = origin.kind
    if kind is None:
        kind = census.kind if whole.grey is None else "unit-interval"
    maximum = origin.streamed.maximum
    if kind != "counts":
        if maximum is not None:
            raise DataError(
                f"{origin.name}: maximum got {maximum}, and is for counts alone: say "
                f"kind='counts' (it is {kind!r}), or leave it out"
            )
        return kind, None
    return kind, int(census.moments.largest.max()) if maximum is None else maximum


def _gone_through(opened: Mapping[str, RowSource], origin: Origin) -> dict[str, _Split]:
    """The three splits, after one pass over everything."""
    whole = opened["all"]
    own = {"validation": opened.get("validation"), "test": opened.get("test")}
    given = [split for split, source in own.items() if source is not None]
    shares = None
    if not whole.in_order and len(given) < len(own):
        shares = Shares(left_shares(origin.shares, given), origin.seed)
    splits = {
        split: _Split(own.get(split) or whole, None if own.get(split) else shares, Census(""))
        for split in SPLITS
    }
    for split, found in splits.items():
        found.census = Census(found.source.name, found.source.columns)
        if found.source.shape[1:] != whole.shape[1:]:
            raise DataError(
                f"{origin.name}: {split} has events of shape {found.source.shape[1:]}, and "
                f"source of {whole.shape[1:]}: give rows of one shape in all splits"
            )
    _pass(whole, shares, {s: f for s, f in splits.items() if f.source is whole})
    for split in given:
        _pass(splits[split].source, None, {split: splits[split]})
    if other := opened.get("on"):
        splits["test"] = _Split(other, None, Census(other.name, other.columns))
        _pass(other, None, {"test": splits["test"]})
    for split, found in splits.items():
        wanted = split == "train" or (shares is not None and found.shares is shares)
        if wanted and not found.census.count and origin.shares[SPLITS.index(split)] > 0:
            raise DataError(
                f"shares got {tuple(origin.shares)}, which leaves {split} without a row of the "
                f"{whole.shape[0]} rows: give more rows, or another share"
            )
    return splits


def _pass(source: RowSource, shares: Shares | None, splits: Mapping[str, _Split]) -> None:
    """Look at all rows of a file, and at which split each is of."""
    start = 0
    for block, stop in enumerate(source.ends.tolist()):
        rows = as_given(source.read(block), source.grey)
        numbers = np.arange(start, stop)
        places = None if shares is None else shares.place(start, stop)
        for split, found in splits.items():
            if places is None:
                here = np.full(stop - start, split == "train" or len(splits) == 1)
            else:
                here = places == SPLITS.index(split)
            found.counts.append(int(here.sum()))
            found.census.add(rows[torch.from_numpy(here)], numbers[here])
        start = stop
