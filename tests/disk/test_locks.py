"""One writer at a time, and a lock that ends with its process."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from pyro_vae.disk.files import locked
from pyro_vae.disk.runs import Run
from pyro_vae.errors import RunError, WriteError
from pyro_vae.inference.training.sweep import claimed_folder
from pyro_vae.stored.measured import certify_run, gap_of_run, measure_run
from tests.cli.test_commands import run as command
from tests.disk.small import small_fit

HOLD = """
import sys, time
from pathlib import Path
from pyro_vae.disk.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def held():
    """Hold the lock of a folder in another process."""
    processes = []

    def hold(folder):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_writer_is_refused_while_another_process_writes(folder, held):
    before = contents(folder)
    process = held(folder)
    run = Run.open(folder)  # who reads is not held up
    assert len(run.metrics()) == 2
    writers = {
        "fit": lambda: small_fit(folder, overwrite=True),
        "resume": lambda: small_fit(folder, resume=True),
        "create": lambda: Run.create(folder, overwrite=True),
        "measure": lambda: measure_run(run, limit=2, num_particles=5),
        "certify": lambda: certify_run(run, ["exact"], limit=2),
        "gap": lambda: gap_of_run(run, limit=2),
        "sweep": lambda: claimed_folder(
            folder / "grid.json", {}, holds="", overwrite=False
        ).__enter__(),
    }
    for name, write in writers.items():
        with pytest.raises(RunError, match="is being written to") as caught:
            write()
        assert str(folder) in str(caught.value), name
    for arguments in (
        ("evaluate", folder, "--limit", 2),
        ("report", folder),
        ("sample", folder),
        ("figure", "training", folder),
        ("explore", folder),
        ("fit", "--run", folder, "--resume"),
    ):
        assert "is being written to" in command(*arguments, status=1).stderr
    assert contents(folder) == before
    # A lock ends with its process, however it ended.
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (folder / ".lock").exists()
    small_fit(folder, resume=True)


def test_another_thread_is_another_writer_and_the_same_one_is_not(tmp_path):
    refused = []

    def enter():
        try:
            with locked(tmp_path):
                refused.append(False)
        except RunError:
            refused.append(True)

    with locked(tmp_path), locked(tmp_path):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    enter()
    assert refused == [True, False]


def test_a_lock_that_was_left_does_not_make_a_folder_taken(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").touch()
    (tmp_path / "run" / ".config.json.17.tmp").write_text("half")
    small_fit(tmp_path / "run", epochs=1)
    assert not list((tmp_path / "run").glob("*.tmp"))


def test_without_locks_of_the_system_a_file_stands_for_them(tmp_path, monkeypatch):
    def refuse(fd, *_):
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr("fcntl.flock", refuse)
    with locked(tmp_path):
        assert (tmp_path / ".lock.soft").exists()
    assert not (tmp_path / ".lock.soft").exists()


def test_a_folder_that_cannot_be_locked_is_named(tmp_path, monkeypatch):
    def refuse(fd, *_):
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(WriteError, match=f"{tmp_path}.*Read-only"), locked(tmp_path):
        pass
