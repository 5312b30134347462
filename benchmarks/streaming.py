"""Peak resident memory of fitting and measuring a file that is streamed, while the file grows."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["figures", "grown", "write_pictures"]

#: Bytes that rows may take in memory, and those of the smallest file.
MEMORY = 2**26
#: Lengths of the files, in that figure.
LENGTHS = (1, 2, 4)
#: Bytes by which the peak of the longest file may be above that of the shortest: a heap does not
#: come back to the byte, and results take 250 bytes a datum.
ALLOWED = 2**24
_PIXELS = 784
_ROWS = 1024


def write_pictures(path: Path, size: int) -> int:
    """Write a ``.npy`` file of so many bytes, a block at a time; its number of rows."""
    num_rows = size // (4 * _PIXELS)
    generator = np.random.default_rng(0)
    about = {"descr": "<f4", "fortran_order": False, "shape": (num_rows, _PIXELS)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, about)
        for start in range(0, num_rows, _ROWS):
            rows = min(_ROWS, num_rows - start)
            file.write(generator.random((rows, _PIXELS), dtype=np.float32).round().tobytes())
    return num_rows


def _peak() -> int:
    """Bytes that this process has had in memory at most."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _work(path: str, what: str, memory: int) -> dict[str, float]:
    """Fit or measure a file in this process; its peak before and after."""
    import torch

    from pyro_vae import VAE, data, evaluate, fit

    torch.set_num_threads(1)
    vae = VAE((_PIXELS,), 2, encoder=(32,), decoder=(32,))
    shares = (0.98, 0.01, 0.01) if what == "fit" else (0.9, 0.0, 0.1)
    # Once on a few rows: libraries and graphs are there then.
    few = torch.rand(2000, _PIXELS).round()
    fit(vae, few, epochs=1, batch_size=500, progress=False)
    evaluate(vae, few[:300], 5, iwae=(1, 5))
    before = _peak()
    streamed = data.stream(path, shares=shares, memory_limit=memory)
    if what == "fit":
        fit(vae, streamed, epochs=1, batch_size=500, progress=False)
    else:
        evaluate(vae, streamed.test, 5, iwae=(1, 5))
    return {"before": before, "after": _peak()}


def grown(path: Path, what: str, memory: int = MEMORY) -> int:
    """Bytes that ``"fit"`` or ``"evaluate"`` of a file adds to the peak of a fresh process."""
    command = [sys.executable, "-m", "benchmarks.streaming", str(path), what, str(memory)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(ended.stdout.splitlines()[-1])
    return int(found["after"] - found["before"])


def figures() -> Iterator[Figure]:
    """What the longest file adds to the peak above what the shortest does."""
    with tempfile.TemporaryDirectory() as folder:
        peaks: dict[str, list[int]] = {"fit": [], "evaluate": []}
        for length in LENGTHS:
            path = Path(folder) / "pictures.npy"
            write_pictures(path, length * MEMORY)
            for what, found in peaks.items():
                found.append(grown(path, what))
    for what, found in peaks.items():
        yield Figure(
            f"{what} of a streamed file {LENGTHS[-1]} times as long, peak memory",
            (max(found) - found[0]) / 2**20,
            "MiB more",
            at_most=ALLOWED / 2**20,
        )


if __name__ == "__main__":
    print(json.dumps(_work(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
