"""In a mount of its own: fit and measure on a disk that is full, then once there is room.

``python -m tests.robustness.full_disk FOLDER``, inside ``unshare --mount``; see the test.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import torch

from tests.robustness.children import command
from tests.robustness.test_full_disk import POINTS
from tests.robustness.test_kill import again, arguments, everything, succeed


def fill(disk, free):
    """Leave so many KiB of the disk free."""
    room = shutil.disk_usage(disk).free - 1024 * free
    (disk / "ballast").write_bytes(bytes(room))


def wide(kind, place):
    """The command, of a model so large that its files fill a disk at many points."""
    return (*arguments(kind, place), *(("--hidden", "128,128") if kind == "fit" else ()))


def said_in_a_sentence(ended):
    text = ended.stderr.strip()
    return (
        ended.status == 1 and not ended.raised and text.startswith("error: ") and "\n" not in text
    )


def main(folder):
    torch.set_num_threads(1)
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], check=True)
    whole = folder / "whole"
    whole.mkdir()
    starts, expected = {}, {}
    for kind in ("fit", "evaluate"):
        starts[kind] = folder / f"before {kind}"
        shutil.copytree(whole, starts[kind])
        succeed(*wide(kind, whole))
        expected[kind] = everything(whole)
    for kind, points in POINTS.items():
        for free in points:
            place = disk / "runs"
            shutil.copytree(starts[kind], place)
            fill(disk, free)
            ended = command(*wide(kind, place))
            (disk / "ballast").unlink()
            assert said_in_a_sentence(ended), (free, kind, ended)
            begun = kind == "evaluate" or (place / "run" / "config.json").is_file()
            succeed(*(again if begun else wide)(kind, place))
            print(f"{kind}, {free} KiB free: refused, and done once there was room")
            assert everything(place) == expected[kind], free
            shutil.rmtree(place)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
