"""A command that stops inside a chosen file write and waits there for its death.

``python -m tests.robustness.killed WRITE PLACE ARGUMENT ...`` is ``pyro-vae ARGUMENT ...`` whose
write number WRITE (from 0) does not end. PLACE: ``half``, when half of the file is on the disk;
``before`` and ``after`` its renaming. It then prints a line, and sleeps.
"""

import itertools
import os
import sys
import time
from pathlib import Path
from unittest import mock

import torch

from pyro_vae.cli import main
from pyro_vae.inference.evidence.checkpoint import Checkpoint

PLACES = ("half", "before", "after")


def wait_for_death():
    print("in the write", flush=True)
    time.sleep(600)


def run(write, place, arguments):
    numbers, replace = itertools.count(), Path.replace

    def slow(self, target):
        if next(numbers) != write:
            return replace(self, target)
        if place == "half":
            os.truncate(self, self.stat().st_size // 2)
        if place == "after":
            replace(self, target)
        return wait_for_death()

    torch.set_num_threads(1)
    with (
        mock.patch.object(Path, "replace", slow),
        # What is measured is kept after each datum, not every 20 seconds.
        mock.patch.dict(Checkpoint.__init__.__kwdefaults__, interval=0.0),
        mock.patch.object(sys, "argv", ["pyro-vae", *arguments]),
    ):
        main()


if __name__ == "__main__":
    run(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
