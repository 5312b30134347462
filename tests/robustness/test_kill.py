"""``kill -9`` at any write, and the same command again: the same bits as without the kill."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from pyro_vae import load_model
from pyro_vae.disk.runs import Run
from tests.robustness.children import command
from tests.robustness.killed import PLACES

#: Kills by command; of each ten, one is at a moment by the clock and the others inside a write.
KILLS = {"fit": 50, "evaluate": 30, "grid": 20}
#: Writes that a command has.
WRITES = {"fit": 10, "evaluate": 5, "grid": 14}
SMALL = ("--data", "moons", "--hidden", "4", "--latent-dim", "1", "--batch-size", "500")
MEASURED = ("--limit", "4", "--particles", "20")


def arguments(kind, folder):
    return {
        "fit": ("fit", *SMALL, "--epochs", "3", "--run", folder / "run"),
        "evaluate": ("evaluate", folder / "run", *MEASURED),
        "grid": (
            *("grid", *SMALL, "--epochs", "2", "--out", folder / "grid", *MEASURED),
            *("--prior", "standard-normal,normal"),
        ),
    }[kind]


def again(kind, folder):
    """The command that goes on."""
    if kind == "fit" and (folder / "run" / "config.json").is_file():
        return ("fit", "--run", folder / "run", "--resume")
    return arguments(kind, folder)


def succeed(*words):
    ended = command(*words)
    assert ended.status == 0, ended


def bits(path):
    """All that a run holds but its clocks, as text."""
    found = {key: value.numpy().tobytes() for key, value in load_model(path).state_dict().items()}
    metrics = Run.open(path).metrics()
    found |= {name: metrics[name].to_numpy().tobytes() for name in metrics if name != "seconds"}
    if (path / "evidence.nc").is_file():
        results = Run.open(path).results()
        found |= {str(name): results[name].values.tobytes() for name in results.variables}
    return found


def everything(folder):
    return {
        str(config.parent.relative_to(folder)): bits(config.parent)
        for config in sorted(folder.rglob("config.json"))
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """What each command leaves when it is let be, and what it starts from."""
    folder = tmp_path_factory.mktemp("reference")
    found = {}
    for kind in KILLS:
        start = folder / kind
        start.mkdir()
        if kind == "evaluate":
            succeed(*arguments("fit", start))
        shutil.copytree(start, folder / f"{kind} start")
        succeed(*arguments(kind, start))
        found[kind] = everything(start)
    return folder, found


def killed_in_a_write(words, write, place):
    """Whether the command got as far as this write; it is dead now."""
    module = ("-m", "tests.robustness.killed", str(write), place, *map(str, words))
    process = subprocess.Popen(
        [sys.executable, *module],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
    )
    with process:
        reached = any(line.startswith("in the write") for line in process.stdout)
        process.kill()
    return reached


def killed_by_the_clock(words, seconds):
    """Whether the command was still at it."""
    process = subprocess.Popen(
        [Path(sys.executable).parent / "pyro-vae", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    with process:
        status = process.wait()
    timer.cancel()
    return status < 0


def kill(words, kind, number, rng):
    """Where the command was when it was killed, in words."""
    if number % 10 == 9:
        seconds = rng.uniform(2, 6)
        reached = killed_by_the_clock(words, seconds)
        return f"{'killed' if reached else 'had ended'} after {seconds:.1f} s"
    # The writes in turn, each of them in each place.
    turn = number - number // 10
    write, place = turn % WRITES[kind], PLACES[turn // WRITES[kind] % 3]
    assert killed_in_a_write(words, write, place), f"{kind} has no write number {write}"
    return f"killed in write {write}, {place}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "number"), [(kind, number) for kind in KILLS for number in range(KILLS[kind])]
)
def test_what_was_killed_goes_on_to_the_same_bits(reference, tmp_path, kind, number):
    start, expected = reference
    folder = tmp_path / "killed"
    shutil.copytree(start / f"{kind} start", folder)
    print(kind, kill(arguments(kind, folder), kind, number, np.random.default_rng([7, number])))
    succeed(*again(kind, folder))
    found = everything(folder)
    assert found == expected[kind]
    assert not [path for path in folder.rglob(".*.tmp") if path.is_file()]


def test_one_kill_in_the_middle_of_a_write(tmp_path):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    succeed(*arguments("fit", tmp_path / "whole"))
    assert killed_in_a_write(arguments("fit", tmp_path / "killed"), 2, "half")
    succeed(*again("fit", tmp_path / "killed"))
    assert everything(tmp_path / "killed") == everything(tmp_path / "whole")
