"""Files that say whether they are what was written: JSON, tensors and netCDF with a checksum.

The checksum is BLAKE2b (RFC 7693) of the content, and of the file's name, so that no file stands
for another. It lies in the file itself: the two are replaced in one step, and a process that is
killed cannot leave a good file that looks bad. Readers check it before anything else is parsed.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from safetensors.torch import load, save

from pyro_vae.disk.files import write_whole
from pyro_vae.disk.schema import parse_json
from pyro_vae.errors import RunError, SettingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from torch import Tensor

__all__ = [
    "altered",
    "checksum",
    "checksum_of_arrays",
    "checksum_of_rows",
    "read_bytes",
    "read_json",
    "read_netcdf",
    "read_notes",
    "read_tensors",
    "write_json",
    "write_netcdf",
    "write_tensors",
]

_BLANK = "0" * 64
#: A list of numbers over several lines: no string has a line break that is not escaped.
_NUMBERS = re.compile(r"\[\n((?:\s+(?:-?[\d.]+(?:e[-+]?\d+)?|null),?\n)+)\s*\]")
_TRAILER = b"\npyro_vae checksum "


def checksum(*parts: bytes | memoryview | str) -> str:
    """BLAKE2b of these parts one after another, 64 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write an object as JSON, with its checksum as the last key; a list of numbers is a line."""
    sealed = {**document, "checksum": _of_json(path, document)}
    text = json.dumps(sealed, indent=2, allow_nan=False)
    write_whole(path, _NUMBERS.sub(_on_one_line, text) + "\n")


def _on_one_line(found: re.Match[str]) -> str:
    return f"[{' '.join(found[1].split())}]"


def read_json(path: Path, *, remedy: str) -> tuple[dict[str, Any], bool]:
    """What ``write_json`` wrote, and whether it still has its checksum.

    The layout of the text is not part of what is checked.

    Raises
    ------
    RunError
        If it cannot be read as JSON.
    """
    try:
        document = parse_json(read_bytes(path, remedy=remedy))
        seal = document.pop("checksum", None)
        return document, seal == _of_json(path, document)
    except (SettingError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {error}: {remedy}") from error


def altered(path: Path, remedy: str) -> RunError:
    """The error for a file that was changed after it was written."""
    return RunError(
        f"{path} is not what was written: its checksum does not fit, so it was changed or is "
        f"damaged; {remedy}"
    )


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
    """Write named tensors, with notes as JSON in the file's header, and there the checksum."""
    text = json.dumps({**notes, "checksum": _BLANK}, allow_nan=False)
    content = save({k: v.contiguous() for k, v in tensors.items()}, {"notes": text})
    # The header comes first, and so does the blank in it.
    seal = checksum(path.name, content).encode()
    write_whole(path, content.replace(_BLANK.encode(), seal, 1))


def read_notes(path: Path, *, remedy: str) -> dict[str, Any]:
    """The notes of a file of tensors that is what was written, ``checksum`` among them."""
    return _checked_notes(path, read_bytes(path, remedy=remedy), remedy)


def read_tensors(path: Path, *, remedy: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What ``write_tensors`` wrote, ``checksum`` among the notes.

    Raises
    ------
    RunError
        If the file is missing, or is not what was written.
    """
    content = read_bytes(path, remedy=remedy)
    notes = _checked_notes(path, content, remedy)
    return load(content), notes


def write_netcdf(path: Path, dataset: xr.Dataset) -> None:
    """Write a data set as netCDF, its checksum behind it, where other readers do not look."""
    content = memoryview(dataset.to_netcdf(engine="h5netcdf"))
    write_whole(path, [content, _TRAILER + checksum(path.name, content).encode() + b"\n"])


def read_netcdf(path: Path, *, remedy: str) -> xr.Dataset:
    """What ``write_netcdf`` wrote.

    Raises
    ------
    RunError
        If the file is missing, or is not what was written.
    """
    content, _, seal = read_bytes(path, remedy=remedy).rpartition(_TRAILER)
    if seal != checksum(path.name, content).encode() + b"\n":
        raise altered(path, remedy)
    with xr.open_dataset(io.BytesIO(content), engine="h5netcdf") as found:
        return found.load()


def _of_json(path: Path, document: Mapping[str, Any]) -> str:
    return checksum(path.name, json.dumps(document, sort_keys=True))


def read_bytes(path: Path, *, remedy: str) -> bytes:
    """Content of a file, checked by nothing.

    Raises
    ------
    RunError
        If it is missing, or cannot be read, or is no file: reading a pipe would never end.
    """
    if path.exists() and not path.is_file():
        raise RunError(f"{path} is no file: {remedy}")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: {remedy}") from error
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}): {remedy}") from error


def _checked_notes(path: Path, content: bytes, remedy: str) -> dict[str, Any]:
    """The notes in the header of these bytes, if their checksum fits."""
    size = int.from_bytes(content[:8], "little")
    try:
        header = parse_json(content[8 : 8 + size])
        notes = parse_json(header["__metadata__"]["notes"])
        seal = notes["checksum"].encode()
    except (SettingError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise RunError(f"{path} is broken, truncated or not of this package: {remedy}") from error
    blank = content.replace(seal, _BLANK.encode(), 1)
    if len(seal) != len(_BLANK) or checksum(path.name, blank) != notes["checksum"]:
        raise altered(path, remedy)
    return notes


def checksum_of_arrays(arrays: Iterable[Any]) -> str:
    """Checksum of arrays: their types, shapes and values."""
    parts: list[bytes | str] = []
    for array in arrays:
        parts += [f"{array.dtype} {array.shape}", array.tobytes()]
    return checksum(*parts)


def checksum_of_rows(blocks: Iterable[Any], dtype: str, shape: tuple[int, ...]) -> str:
    """``checksum_of_arrays`` of one array whose rows come in blocks.

    Parameters
    ----------
    blocks
        Arrays of rows, one after another.
    dtype, shape
        Of the whole.
    """
    # As ``checksum`` of two parts, the second of which is never in memory as a whole.
    about = f"{dtype} {shape}".encode()
    digest = hashlib.blake2b(digest_size=32)
    digest.update(len(about).to_bytes(8, "little") + about)
    digest.update((math.prod(shape) * np.dtype(dtype).itemsize).to_bytes(8, "little"))
    for rows in blocks:
        digest.update(rows.tobytes())
    return digest.hexdigest()
