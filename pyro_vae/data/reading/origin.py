"""Where data came from, as a run remembers it: files, their checksums, how they were read."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from pyro_vae.data.reading.images import image_files
from pyro_vae.data.streamed.zarr_arrays import is_zarr
from pyro_vae.disk.schema import Settings
from pyro_vae.errors import DataError, MissingDataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Origin", "Streaming", "checksum_of_file", "find_again", "name_of_file"]


class Streaming(Settings):
    """How data are streamed.

    Attributes
    ----------
    memory_limit, maximum
        As for ``data.stream``.
    told, double, largest
        What the pass over all rows told: kind of the values, whether float32 has not their
        digits, and the largest count in the training rows.
    holes, stand_ins
        Whether cells are missing, and what stands in them, in an array.
    """

    memory_limit: int
    maximum: int | None = None
    told: str | None = None
    double: bool = False
    largest: int | None = None
    holes: bool = False
    stand_ins: list[float] | None = None


class Origin(Settings):
    """Where a data set came from.

    Attributes
    ----------
    name
        What it is called.
    files
        Paths, ``"all"`` or by split; empty where the data were given in Python.
    checksums
        SHA-256 of each, as ``sha256sum`` prints it.
    shares, split_by, group, seed, drop_empty, num_rows, resize, kind
        As for ``data.read``.
    columns
        The schema, of a table.
    names
        Names of the columns of an array.
    location, scale
        Of every feature that was standardised, in the order of the array; None for a table,
        whose schema has them.
    streamed
        How they are read by blocks; None for data that are read whole.
    """

    name: str
    files: dict[str, str] = pydantic.Field(default_factory=dict)
    checksums: dict[str, str] = pydantic.Field(default_factory=dict)
    shares: list[float] = pydantic.Field(default_factory=lambda: [0.7, 0.1, 0.2])
    split_by: str | None = None
    group: str | None = None
    seed: int = 0
    drop_empty: bool = False
    num_rows: int | None = None
    resize: list[int] | None = None
    kind: str | None = None
    columns: list[dict[str, Any]] | None = None
    names: list[str] | None = None
    location: list[float] | None = None
    scale: list[float] | None = None
    streamed: Streaming | None = None


def name_of_file(path: Path) -> str:
    """What data of a file are called: its name up to the first dot."""
    name = path.absolute().name
    return name.split(".")[0] or name


def checksum_of_file(path: Path) -> str:
    """SHA-256 of a file; of a folder of images, or a Zarr array, of names and contents.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        if path.is_dir():
            whole = hashlib.sha256()
            every = sorted(p for p in path.rglob("*") if p.is_file()) if is_zarr(path) else None
            for image in every or image_files(path):
                whole.update(image.relative_to(path).as_posix().encode() + b"\0")
                whole.update(checksum_of_file(image).encode())
            return whole.hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): give one that can") from error


def find_again(origin: Origin, folders: Iterable[Path]) -> Mapping[str, Path]:
    """The files of an origin: where they were, or in one of some folders under their names.

    A file that has moved is named in a warning.

    Raises
    ------
    MissingDataError
        If one is nowhere.
    DataError
        If one has changed.
    """
    return {part: _find(origin, part, Path(path), folders) for part, path in origin.files.items()}


def _find(origin: Origin, part: str, was: Path, folders: Iterable[Path]) -> Path:
    places = [was, *(folder / was.name for folder in folders)]
    there = [place for place in places if place.exists()]
    for place in there:
        if checksum_of_file(place) == origin.checksums[part]:
            if place != was:
                warnings.warn(f"{was} has moved: {place} has the same content", stacklevel=2)
            return place
    if there:
        raise DataError(
            f"{there[0]} has changed since the model was fitted to it (its SHA-256 was "
            f"{origin.checksums[part][:12]}...): restore it, measure other rows with on=... (--on "
            "FILE), or fit anew"
        )
    looked = ", ".join(str(place.parent) for place in places[1:]) or "another folder"
    raise MissingDataError(
        f"{was} is not there any more, and no {was.name} lies in {looked}: put it back, or give a "
        "file of the same schema with on=... (--on FILE)"
    )
