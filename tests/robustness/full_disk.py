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
    for kind in ("fit", "evaluate"):
        succeed(*arguments(kind, whole))
    refused = 0
    for free in POINTS:
        place = disk / "runs"
        place.mkdir()
        for kind in ("fit", "evaluate"):
            fill(disk, free)
            ended = command(*arguments(kind, place))
            (disk / "ballast").unlink()
            if ended.status:
                assert said_in_a_sentence(ended), (free, kind, ended)
                refused += 1
            if ended.status or kind == "evaluate":
                succeed(*again(kind, place))
            print(f"{free} KiB free, {kind}: {'refused' if ended.status else 'fitted in'}")
        assert everything(place) == everything(whole), free
        shutil.rmtree(place)
    assert refused >= len(POINTS), refused


if __name__ == "__main__":
    main(Path(sys.argv[1]))
