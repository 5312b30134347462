"""Whether what is about to be read fits in memory."""

from __future__ import annotations

import os
from pathlib import Path

from pyro_vae.errors import DataError

__all__ = ["available_memory", "require_memory"]

#: Bytes in memory for a byte on disk, while a file is read: text becomes strings first.
_FACTORS = {".csv": 8.0, ".tsv": 8.0, ".txt": 8.0, ".parquet": 8.0, ".feather": 4.0}
_OTHERS, _COMPRESSED = 2.0, 4.0


def available_memory() -> int:
    """Bytes that can be had without swapping; all of the machine's where nobody says."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2**63


def require_memory(path: Path, suffix: str, *, compressed: bool, num_rows: int | None) -> None:
    """Refuse a file that would not fit, before it is read.

    Parameters
    ----------
    path
        The file.
    suffix
        What its content is, as in ``".csv"``.
    compressed
        Whether it is compressed.
    num_rows
        How many rows are asked for; a part of a text is not more than the lines that are read.

    Raises
    ------
    DataError
        With both sizes, and what would help.
    """
    if num_rows is not None and suffix in (".csv", ".tsv", ".txt"):
        return
    size = path.stat().st_size
    needed = size * _FACTORS.get(suffix, _OTHERS) * (_COMPRESSED if compressed else 1.0)
    free = available_memory()
    if needed > free:
        text = suffix in (".csv", ".tsv", ".txt")
        help_ = "take the first rows with num_rows=100_000 (--rows 100000), or " if text else ""
        if suffix in (".npy", ".parquet") and not compressed:
            help_ = "read it by blocks of rows with data.stream (--stream), or "
        raise DataError(
            f"{path} has {size / 2**30:.1f} GiB, to be read in about {needed / 2**30:.1f} GiB of "
            f"memory, and {free / 2**30:.1f} GiB are free: "
            f"{help_}leave out rows or columns in "
            "the file, or use a larger machine"
        )
