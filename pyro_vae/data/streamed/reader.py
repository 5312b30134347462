"""``data.stream``: a data set of one's own that does not fit into memory."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
import torch

from pyro_vae.conversion import StreamedArray
from pyro_vae.data.affine import Affine
from pyro_vae.data.any_dataset import SPLITS
from pyro_vae.data.kind import Kind
from pyro_vae.data.reading.origin import (
    Origin,
    Streaming,
    checksum_of_file,
    find_again,
    name_of_file,
)
from pyro_vae.data.reading.parts import check_shares, left_shares
from pyro_vae.data.schema.choices import parse_choices
from pyro_vae.data.schema.schema import Schema, kind_of_table
from pyro_vae.data.streamed.census import Census, Moments
from pyro_vae.data.streamed.dataset import StreamedDataset
from pyro_vae.data.streamed.npy import NpyRows
from pyro_vae.data.streamed.opening import open_rows
from pyro_vae.data.streamed.parquet import ParquetRows
from pyro_vae.data.streamed.part import Mask, Part, Shares, as_given
from pyro_vae.data.streamed.table import schema_of
from pyro_vae.errors import DataError, MissingDataError, UnknownNameError
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from pyro_vae.data.reading.reader import Form
    from pyro_vae.data.schema.choices import Choice
    from pyro_vae.data.streamed.rows import RowSource

__all__ = ["MEMORY_LIMIT", "stream", "stream_again"]

#: Bytes that rows may take in memory while a model is fitted, unless said otherwise.
MEMORY_LIMIT = 2**28

_DEFAULT_SHARES = (0.7, 0.1, 0.2)


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
    infinite; NaN and empty cells are missing. Afterwards rows are read when they are asked for.
    ``fit`` goes through blocks of rows in a random order, and mixes as many of them as
    ``memory_limit`` holds; where that is all of them, its numbers are those of the same rows in
    memory, to the bit. A model
    is started from a random sample of 10,000 training rows, from all where there are fewer, or
    from as many as ``memory_limit`` holds.

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
    if maximum is not None and (not isinstance(maximum, int) or maximum < 0):
        raise DataError(
            f"maximum got {maximum!r}, and counts need a whole number, the largest that a feature "
            "can take"
        )
    opened = {
        part: open_rows(x, part, memory_limit)
        if part != "all"
        else open_rows(x, "source", memory_limit, num_data)
        for part, x in given.items()
    }
    paths = _paths(given, opened)
    origin = Origin(
        name=name or (name_of_file(paths["all"]) if "all" in paths else "stream"),
        files={part: str(path.absolute()) for part, path in paths.items()},
        shares=list(check_shares(shares)),
        seed=seed,
        kind=kind,
        streamed=Streaming(memory_limit=memory_limit, maximum=maximum),
    )
    if num_data is not None and not opened["all"].in_order:
        raise DataError(
            f"num_data got {num_data}, and {origin.name} says itself how many rows it has: leave "
            "it out"
        )
    found = _streamed(opened, origin, columns, standardise=standardise)
    assert found.origin is not None
    seals = {part: _checksum(opened[part], path) for part, path in paths.items()}
    return replace(found, origin=found.origin.model_copy(update={"checksums": seals}))


def _paths(given: Mapping[str, Any], opened: Mapping[str, RowSource]) -> dict[str, Path]:
    """The files by which a run finds the data again; none, where one part has none."""
    paths = {part: Path(x) for part, x in given.items() if isinstance(x, str | os.PathLike)}
    for part, source in opened.items():
        if isinstance(source, NpyRows) and source.whole_file:
            paths[part] = source.path
    return paths if paths.keys() == given.keys() else {}


def _checksum(source: RowSource, path: Path) -> str:
    return source.checksum() if isinstance(source, NpyRows) else checksum_of_file(path)


def _streamed(
    opened: Mapping[str, RowSource],
    origin: Origin,
    columns: str | Path | Mapping[str, str] | None,
    *,
    standardise: bool,
) -> StreamedDataset:
    """What ``stream`` gives of what it has opened."""
    for source in opened.values():
        if isinstance(source, NpyRows):
            source.begin_seal()
    if not isinstance(opened["all"], ParquetRows):
        if columns is not None:
            raise DataError(
                f"columns was given for {origin.name}, which is no table and has no names of "
                "columns: leave it out"
            )
        return _of_arrays(opened, origin, standardise=standardise)
    assert origin.streamed is not None
    if origin.kind is not None or origin.streamed.maximum is not None:
        raise DataError(
            f"{origin.name} is a table, and kind and maximum are for arrays: say what columns are "
            "with columns='age=count'"
        )
    return _of_tables(opened, origin, parse_choices(columns))


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
    memory_limit = origin.streamed.memory_limit
    opened = {part: open_rows(path, part, memory_limit) for part, path in found.items()}
    if on is not None:
        opened["on"] = open_rows(on, "on", memory_limit)
    if origin.columns is not None:
        return _of_tables(opened, origin, {})
    return _of_arrays(opened, origin, standardise=form.standardise)


@dataclass
class _Split:
    """What is found out of a split in the pass, and where its rows are."""

    source: RowSource
    shares: Shares | None
    census: Census
    counts: list[int] = field(default_factory=list)
    is_new: bool = False

    def count_rows(self, source: RowSource, shares: Shares | None, split: str) -> None:
        """Count its rows in every block, without a look at them."""
        self.counts = []
        starts = [0, *source.ends[:-1].tolist()]
        for start, stop in zip(starts, source.ends.tolist(), strict=True):
            if shares is None:
                self.counts.append((stop - start) * (split == "train"))
            else:
                here = shares.place(start, stop) == SPLITS.index(split)
                self.counts.append(int(here.sum()))
        self.census.moments.count = sum(self.counts)

    def part(
        self, split: str, dtype: torch.dtype, affine: Affine | None, stand_ins: Tensor | None
    ) -> Part:
        """Its rows as a model is given them."""
        counts = np.array(self.counts, dtype=np.int64)
        return Part(self.source, split, self.shares, counts, dtype, affine, stand_ins)


class _Told(NamedTuple):
    """What is known of numbers without a schema, as they are before they are standardised."""

    kind: Kind
    maximum: int | None
    dtype: torch.dtype
    affine: Affine | None
    moments: Moments | None
    stand_ins: Tensor | None


def _of_arrays(
    opened: Mapping[str, RowSource], origin: Origin, *, standardise: bool
) -> StreamedDataset:
    """A data set of numbers without a schema."""
    assert origin.streamed is not None
    splits, shares = _splits(opened, origin)
    whole = opened["all"]
    if origin.streamed.told is None:
        told = _told_by_a_pass(whole, splits, shares, origin, standardise=standardise)
    else:
        told = _told_before(whole, splits, shares, origin, standardise=standardise)
    _require_rows(splits, origin, shares)
    streaming = origin.streamed.model_copy(
        update={
            "told": told.kind,
            "double": told.dtype == torch.float64,
            "largest": told.maximum,
            "holes": told.stand_ins is not None,
            "stand_ins": None if told.stand_ins is None else told.stand_ins.flatten().tolist(),
        }
    )
    return StreamedDataset(
        origin.name,
        **_arrays(splits, origin, told.dtype, told.affine, told.stand_ins),
        kind="real" if standardise else told.kind,
        moments=told.moments,
        maximum=told.maximum,
        bounded=origin.streamed.maximum is not None,
        seed=origin.seed,
        standardise=standardise,
        base_measure="as given" if whole.grey is None else "unit interval",
        affine=told.affine,
        origin=origin.model_copy(update={"streamed": streaming}),
    )


def _told_by_a_pass(
    whole: RowSource,
    splits: Mapping[str, _Split],
    shares: Shares | None,
    origin: Origin,
    *,
    standardise: bool,
) -> _Told:
    """What one pass over everything tells."""
    assert origin.streamed is not None
    _pass(whole, shares, {s: found for s, found in splits.items() if found.source is whole})
    _pass_own(whole, splits)
    moments = splits["train"].census.moments
    kind, maximum = _kind_of(splits, origin, whole)
    bounded = origin.streamed.maximum is not None
    for split, found in splits.items():
        found.census.require_kind(kind, maximum if bounded or split == "train" else None)
    if standardise and kind not in ("real", "unit-interval"):
        raise DataError(
            f"{origin.name}: {kind} data cannot be standardised, which would leave their "
            "support: leave it out, or say kind='real'"
        )
    affine = moments.standardising() if standardise else None
    keep = standardise or all(
        found.census.keeps_digits(moments, counts=kind == "counts") for found in splits.values()
    )
    stand_ins = None
    if any(found.census.missing for found in splits.values()):
        # No model looks at it: the mean, or else a value that the feature has.
        legal = moments.mean if kind in ("real", "unit-interval") else moments.least
        stand_ins = legal.where(moments.seen > 0, 0.0)
    return _Told(
        kind, maximum, torch.float32 if keep else torch.float64, affine, moments, stand_ins
    )


def _told_before(
    whole: RowSource,
    splits: Mapping[str, _Split],
    shares: Shares | None,
    origin: Origin,
    *,
    standardise: bool,
) -> _Told:
    """What a run remembers of files that have not changed; other rows are gone through."""
    about: Any = origin.streamed
    for split, found in splits.items():
        if found.source is whole:
            found.count_rows(whole, shares, split)
        elif found.is_new:
            _pass(found.source, None, {split: found})
            bound = about.maximum if about.told == "counts" else None
            found.census.require_kind(about.told, bound)
        else:
            found.count_rows(found.source, None, "train")
    affine, shape = None, whole.shape[1:]
    if standardise:
        pair = (torch.tensor(part, dtype=torch.double) for part in (origin.location, origin.scale))
        affine = Affine(*(part.reshape(shape) for part in pair))
    dtype = torch.float64 if about.double else torch.float32
    stand_ins = None
    if about.stand_ins is not None:
        stand_ins = torch.tensor(about.stand_ins, dtype=torch.double).reshape(shape)
    elif any(found.census.missing for found in splits.values()):
        stand_ins = torch.zeros(shape, dtype=torch.double)
    return _Told(about.told, about.largest, dtype, affine, None, stand_ins)


def _of_tables(
    opened: Mapping[str, RowSource], origin: Origin, choices: Mapping[str, Choice]
) -> StreamedDataset:
    """A data set of tables, once they have been gone through; with the origin's schema, if any."""
    assert origin.streamed is not None
    splits, shares = _splits(opened, origin)
    whole, largest = opened["all"], origin.streamed.largest
    assert isinstance(whole, ParquetRows)
    own = {split: found for split, found in splits.items() if found.source is whole}
    if origin.columns is None:
        schema, largest = schema_of(whole, choices, shares)
    else:
        schema = Schema.from_config(origin.columns)
    for name, source in opened.items():
        if not isinstance(source, ParquetRows):
            raise DataError(f"{name} is an array, and source is a table: give a table here too")
        source.schema = schema
    for split, found in own.items():
        found.count_rows(whole, shares, split)
    _pass_own(whole, splits)
    _require_rows(splits, origin, shares)
    kind, affine = kind_of_table(schema), schema.affine()
    holes = origin.streamed.holes or any(column.empty for column in schema.data)
    stand_ins = None
    if holes or any(found.census.missing for found in splits.values()):
        stand_ins = torch.tensor([column.stand_in for column in schema.data], dtype=torch.double)
    streaming = origin.streamed.model_copy(
        update={"largest": largest, "holes": stand_ins is not None}
    )
    return StreamedDataset(
        origin.name,
        **_arrays(splits, origin, torch.float32, affine, stand_ins),
        kind=kind,
        moments=None,
        maximum=largest if kind == "counts" else None,
        seed=origin.seed,
        standardise=True,
        affine=affine,
        columns=schema.names,
        schema=schema,
        origin=origin.model_copy(update={"columns": schema.to_config(), "streamed": streaming}),
    )


def _arrays(
    splits: Mapping[str, _Split],
    origin: Origin,
    dtype: torch.dtype,
    affine: Affine | None,
    stand_ins: Tensor | None,
) -> dict[str, Any]:
    """Arrays of the splits and, where cells are missing, which are there."""
    assert origin.streamed is not None
    limit = origin.streamed.memory_limit
    parts = {s: found.part(s, dtype, affine, stand_ins) for s, found in splits.items()}
    arrays: dict[str, Any] = {s: StreamedArray(part, limit) for s, part in parts.items()}
    if stand_ins is not None:
        arrays["observed"] = {s: StreamedArray(Mask(part), limit) for s, part in parts.items()}
    return arrays


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


def _splits(
    opened: Mapping[str, RowSource], origin: Origin
) -> tuple[dict[str, _Split], Shares | None]:
    """The three splits, and how the rows of the source are shared out among them."""
    whole = opened["all"]
    own = {split: opened[split] for split in SPLITS[1:] if split in opened}
    shares = None
    if not whole.in_order and len(own) < 2:
        shares = Shares(left_shares(origin.shares, list(own)), origin.seed)
    splits = {}
    for split in SPLITS:
        source = own.get(split, whole)
        splits[split] = _Split(
            source, shares if source is whole else None, Census(source.name, source.columns)
        )
    if (other := opened.get("on")) is not None:
        splits["test"] = _Split(other, None, Census(other.name, other.columns), is_new=True)
    return splits, shares


def _require_rows(splits: Mapping[str, _Split], origin: Origin, shares: Shares | None) -> None:
    """Refuse shares that leave a split without a row."""
    for split, found in splits.items():
        wanted = split == "train" or (shares is not None and found.shares is shares)
        if wanted and not found.census.count and origin.shares[SPLITS.index(split)] > 0:
            raise DataError(
                f"shares got {tuple(origin.shares)}, which leaves {split} without a row of the "
                f"{found.source.shape[0]} rows: give more rows, or another share"
            )


def _pass_own(whole: RowSource, splits: Mapping[str, _Split]) -> None:
    """Look at the rows of splits that have a file of their own."""
    for split, found in splits.items():
        if found.source is whole:
            continue
        if found.source.shape[1:] != whole.shape[1:]:
            raise DataError(
                f"{found.source.name} has events of shape {found.source.shape[1:]}, and source of "
                f"{whole.shape[1:]}: give rows of one shape in all splits"
            )
        found.census.columns = found.source.columns
        _pass(found.source, None, {split: found})


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
