"""Pictures: a folder of image files, and files in the format of MNIST (idx)."""

from __future__ import annotations

import io
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from pyro_vae.data.reading.content import Content
from pyro_vae.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["image_files", "read_idx", "read_images"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")

#: Types of the numbers in an idx file by their code; big-endian.
_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def image_files(folder: Path) -> list[Path]:
    """Image files of a folder and of the folders in it, in the order of their names.

    Raises
    ------
    DataError
        If there is none.
    """
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    if not found:
        raise DataError(
            f"{folder} has no image files ({', '.join(s[1:] for s in _SUFFIXES)}): give a folder "
            "of images, or one file"
        )
    return found


def read_images(folder: Path, *, resize: Sequence[int] | None, num_rows: int | None) -> Content:
    """Grey levels 0 to 255 of a folder of images; colours where one has colours.

    The folders that images lie in are their classes, where there are such.

    Parameters
    ----------
    folder
        The folder.
    resize
        Height and width that all are brought to; their own, which must be one, unless given.
    num_rows
        Read the first so many only.

    Raises
    ------
    DataError
        If a file is broken, or sizes differ.
    """
    files = image_files(folder)[:num_rows]
    pictures = [_open(path, resize) for path in files]
    colour = any(picture.mode != "L" for picture in pictures)
    first = pictures[0].size
    for path, picture in zip(files, pictures, strict=True):
        if picture.size != first:
            width, height = picture.size
            raise DataError(
                f"{path} is {height}x{width}, and {files[0]} {first[1]}x{first[0]}: all images "
                f"must be of one size; resize=({first[1]}, {first[0]}) (--resize "
                f"{first[1]},{first[0]}) brings them to it"
            )
    grey = np.stack([np.asarray(p.convert("RGB" if colour else "L")) for p in pictures])
    if colour:
        grey = np.moveaxis(grey, -1, 1)
    classes = [path.parent.relative_to(folder).as_posix() for path in files]
    labels = {"all": classes} if len(set(classes)) > 1 else None
    return Content(arrays={"all": grey}, labels=labels, grey=255)


def _open(path: Path, resize: Sequence[int] | None) -> Image.Image:
    try:
        with Image.open(path) as opened:
            _check_levels(opened, path)
            picture = opened.convert("L" if opened.mode in ("1", "L", "LA") else "RGB")
    except DataError:
        raise
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        ValueError,
        SyntaxError,
    ) as error:
        raise DataError(f"{path} is no image that can be read ({error}): remove it") from error
    if resize is not None:
        height, width = resize
        picture = picture.resize((int(width), int(height)), Image.Resampling.BILINEAR)
    return picture


def _check_levels(picture: Image.Image, path: Path) -> None:
    """Refuse what 256 levels cannot say: finer levels, and what shines through."""
    if picture.mode[0] in "IF":
        raise DataError(
            f"{path} has finer levels of grey than 256 (mode {picture.mode}): convert it to 8 "
            "bits, or give numpy.stack of the pictures as a .npy file"
        )
    if picture.has_transparency_data:
        if np.asarray(picture.convert("RGBA"))[..., 3].min() < 255:
            raise DataError(
                f"{path} has transparent pixels, whose colour depends on what is behind: save it "
                "without transparency"
            )


def read_idx(content: bytes, name: str) -> np.ndarray:
    """Numbers of a file in the format of MNIST: LeCun, Cortes & Burges.

    Raises
    ------
    DataError
        If it is none, or cut.
    """
    stream = io.BytesIO(content)
    head = stream.read(4)
    kind = _IDX_TYPES.get(head[2]) if len(head) == 4 and head[:2] == b"\x00\x00" else None
    if kind is None:
        raise DataError(f"{name} does not begin as an idx file: it must be one, as MNIST's are")
    sizes = stream.read(4 * head[3])
    shape: tuple[int, ...] = ()
    if len(sizes) == 4 * head[3]:
        shape = struct.unpack(f">{head[3]}I", sizes)
    rest = stream.read()
    expected = math.prod(shape) * np.dtype(kind).itemsize
    if not shape or len(rest) != expected:
        raise DataError(
            f"{name} holds {len(rest)} bytes of numbers, and its header says {expected}: it is "
            "cut or damaged; put a sound copy there"
        )
    found: Any = np.frombuffer(rest, dtype=kind).reshape(shape)
    return found.astype(found.dtype.newbyteorder("="))
