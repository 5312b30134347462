"""Which files can be read, and how each is."""

from __future__ import annotations

import gzip
import io
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.data.any_dataset import SPLITS
from pyro_vae.data.reading.content import Content
from pyro_vae.data.reading.delimited import read_delimited
from pyro_vae.data.reading.images import read_idx, read_images
from pyro_vae.data.reading.memory import require_memory
from pyro_vae.data.schema.cells import cells_of_frame
from pyro_vae.errors import DataError, MissingDataError
from pyro_vae.on_demand import library

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["READABLE", "content_of_anndata", "content_of_array", "format_of", "read_content"]

#: What can be read, for messages.
READABLE = (
    "CSV or TSV (.csv, .tsv, .txt), Parquet (.parquet), Feather (.feather), NumPy (.npy, .npz), "
    "SciPy sparse matrices (.npz), AnnData (.h5ad), idx files (.idx, -ubyte), each with .gz "
    "behind it or not, or a folder of images"
)

#: Names that arrays of one file may have, for all rows; and for what each row is.
_ALL, _LABELS = ("all", "x", "X", "data", "images", "arr_0"), ("labels", "y", "label", "target")


def format_of(path: Path) -> tuple[str, bool]:
    """What a file holds, by its name, as in ``".csv"``; and whether it is compressed.

    Raises
    ------
    DataError
        If no such file can be read.
    """
    if path.is_dir():
        return "folder", False
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compressed = suffixes[-1:] == [".gz"]
    rest = suffixes[:-1] if compressed else suffixes
    stem = path.name.removesuffix(".gz") if compressed else path.name
    if stem.endswith("ubyte"):
        return ".idx", compressed
    suffix = rest[-1] if rest else ""
    if suffix not in _READERS:
        raise DataError(
            f"{path} has a name that does not say what it holds: it must be {READABLE}"
        )
    return suffix, compressed


def read_content(
    path: Path, *, num_rows: int | None = None, resize: Sequence[int] | None = None
) -> Content:
    """What a file, or a folder of images, holds.

    Parameters
    ----------
    path
        Where it is.
    num_rows
        Read the first so many rows only.
    resize
        Height and width that images are brought to.

    Raises
    ------
    DataError
        If it cannot be read, is broken, or does not fit in memory.
    MissingDataError
        If nothing is there, or a library is needed that is not installed.
    """
    try:
        there, regular = path.exists(), path.is_file() or path.is_dir()
    except OSError as error:  # a name too long, or a folder that may not be entered
        raise DataError(
            f"{str(path)[:200]} cannot be read ({error.strerror}): give the path of a file that "
            "can"
        ) from error
    if not there:
        raise MissingDataError(f"{path} does not exist: give the path of a file, {READABLE}")
    if not regular:
        raise DataError(
            f"{path} is neither a file nor a folder, and it must be read more than once: write "
            "its content into a file"
        )
    suffix, compressed = format_of(path)
    if suffix == "folder":
        return read_images(path, resize=resize, num_rows=num_rows)
    if resize is not None:
        raise DataError(f"resize is for folders of images, and {path} is a file: leave it out")
    require_memory(path, suffix, compressed=compressed, num_rows=num_rows)
    try:
        with gzip.open(path) if compressed else path.open("rb") as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): put a sound copy there") from error
    return _first_rows(_READERS[suffix](content, str(path), num_rows), num_rows)


def content_of_array(values: Any) -> Content:
    """An array; of pictures in bytes, grey levels."""
    pictures = isinstance(values, np.ndarray) and values.dtype == np.uint8 and values.ndim > 2
    return Content(arrays={"all": values}, grey=255 if pictures else None)


def content_of_anndata(annotated: Any) -> Content:
    """Counts, or other numbers, of annotated data: ``X``, a row for each observation."""
    return Content(arrays={"all": annotated.X})


def _first_rows(content: Content, num_rows: int | None) -> Content:
    """The first rows of arrays; of a table they were read alone."""
    if num_rows is None or content.arrays is None:
        return content

    def first(parts: Any) -> Any:
        return None if parts is None else {key: part[:num_rows] for key, part in parts.items()}

    return Content(None, first(content.arrays), first(content.labels), content.grey)


def _csv(content: bytes, name: str, num_rows: int | None) -> Content:
    return Content(table=read_delimited(content, name, separator=None, num_rows=num_rows))


def _tsv(content: bytes, name: str, num_rows: int | None) -> Content:
    return Content(table=read_delimited(content, name, separator="\t", num_rows=num_rows))


def _parquet(content: bytes, name: str, num_rows: int | None) -> Content:
    return _arrow("read_parquet", content, name, num_rows)


def _feather(content: bytes, name: str, num_rows: int | None) -> Content:
    return _arrow("read_feather", content, name, num_rows)


def _arrow(reader: str, content: bytes, name: str, num_rows: int | None) -> Content:
    _require("pyarrow", name)
    try:
        frame = getattr(library("pandas"), reader)(io.BytesIO(content))
    except Exception as error:  # Arrow's errors are many, and its own
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{name} cannot be read ({reason}): put a sound copy there") from error
    return Content(table=cells_of_frame(frame.head(num_rows) if num_rows else frame, name))


def _npy(content: bytes, name: str, num_rows: int | None) -> Content:
    return content_of_array(_load(content, name))


def _npz(content: bytes, name: str, num_rows: int | None) -> Content:
    arrays = _load(content, name)
    if {"format", "shape", "data"} <= set(arrays):
        try:
            return Content(arrays={"all": library("scipy.sparse").load_npz(io.BytesIO(content))})
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DataError(f"{name} is no sparse matrix of SciPy ({error}): write it anew") from (
                error
            )
    labels = next((arrays[key] for key in _LABELS if key in arrays), None)
    splits = {split: arrays[split] for split in SPLITS if split in arrays}
    if "train" in splits:
        found = {s: arrays[f"{s}_labels"] for s in splits if f"{s}_labels" in arrays} or None
        return Content(arrays=splits, labels=found, grey=content_of_array(splits["train"]).grey)
    key = next((key for key in _ALL if key in arrays), None)
    if key is None and len(arrays) == 1:
        key = next(iter(arrays))
    if key is None:
        raise DataError(
            f"{name} has {'the arrays ' if arrays else 'no arrays'}"
            f"{', '.join(map(repr, arrays))}: it must have 'train' (and "
            f"'validation', 'test'), or one of {', '.join(map(repr, _ALL))}"
        )
    whole = content_of_array(arrays[key])
    return Content(
        whole.table, whole.arrays, None if labels is None else {"all": labels}, whole.grey
    )


def _load(content: bytes, name: str) -> Any:
    """An array, or arrays by name, without running code of the file."""
    try:
        found = np.load(io.BytesIO(content), allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        return {key: found[key] for key in found.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{name} cannot be read as NumPy's ({error}): it must hold plain numbers; write it "
            "anew, without objects"
        ) from error


def _h5ad(content: bytes, name: str, num_rows: int | None) -> Content:
    anndata = _require("anndata", name)
    with tempfile.TemporaryDirectory() as folder:  # it reads files alone
        path = Path(folder) / "data.h5ad"
        path.write_bytes(content)
        try:
            # What AnnData should no longer call of pandas is no affair of whoever reads a file.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                found = anndata.read_h5ad(path)
            return content_of_anndata(found)
        except Exception as error:  # HDF5's errors are many, and its own
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{name} cannot be read ({reason}): put a sound copy there") from error


def _idx(content: bytes, name: str, num_rows: int | None) -> Content:
    return content_of_array(read_idx(content, name))


def _require(package: str, name: str) -> Any:
    return library(package, "files", name)


_READERS: dict[str, Callable[[bytes, str, int | None], Content]] = {
    ".csv": _csv,
    ".txt": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
    ".feather": _feather,
    ".npy": _npy,
    ".npz": _npz,
    ".h5ad": _h5ad,
    ".idx": _idx,
}
