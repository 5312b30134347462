"""Any write may fail: nothing half written stays, and the run goes on once there is room."""

import errno
import os
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from pyro_vae.disk.files import make_folder, write_whole
from pyro_vae.disk.runs import Run
from pyro_vae.errors import WriteError
from pyro_vae.stored.measured import measure_run
from tests.cli.test_commands import run as command
from tests.disk.small import small_fit

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Disk:
    """Says that it is full at its n-th operation, and at all that follow."""

    def __init__(self, monkeypatch):
        self.left = float("inf")
        for owner, name in ((Path, "mkdir"), (Path, "replace"), (os, "fsync"), (Path, "open")):
            monkeypatch.setattr(owner, name, self.guarded(getattr(owner, name), name))
        monkeypatch.setattr(os, "open", self.guarded(os.open, "os.open"))

    def guarded(self, real, name):
        def operation(*arguments, **settings):
            writes = (
                name in ("mkdir", "replace", "fsync")
                or (name == "open" and "w" in "".join(map(str, arguments[1:2])))
                or (name == "os.open" and len(arguments) > 1 and arguments[1] & os.O_CREAT)
            )
            if writes and not (name == "mkdir" and arguments[0].is_dir()):
                self.left -= 1
                if self.left < 0:
                    raise FULL
            return real(*arguments, **settings)

        return operation


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def scratch(folder):
    return [p for p in folder.parent.rglob("*") if p.name.endswith((".tmp", ".new", ".old"))]


def numbers(folder):
    run = Run.open(folder)
    return run.weights_seal(), run.metrics()["train_elbo"].tolist()


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_fit_goes_on_from_its_last_epoch(disk, tmp_path, step):
    small_fit(tmp_path / "whole")
    whole = numbers(tmp_path / "whole")
    for n in range(0, 200, step):
        folder = tmp_path / str(n) / "run"
        disk.left = n
        try:
            small_fit(folder)
        except WriteError as error:
            assert "No space left" in str(error)  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
        else:
            break
        finally:
            disk.left = float("inf")
        assert scratch(folder) == []
        small_fit(folder, resume=(folder / "config.json").is_file())
        assert numbers(folder) == whole
    assert n > 15


def test_a_run_that_is_to_be_replaced_is_kept(disk, tmp_path):
    folder = tmp_path / "run"
    small_fit(folder, seed=1)
    old = numbers(folder)
    for n in range(200):
        disk.left = n
        try:
            small_fit(folder, seed=2, epochs=1, overwrite=True)
        except WriteError as error:
            assert "No space left" in str(error)  # noqa: PT017
        else:
            break
        finally:
            disk.left = float("inf")
        assert numbers(folder) == old
        assert scratch(folder) == []
    assert n > 8
    assert numbers(folder) != old


@pytest.mark.slow
def test_evaluate_report_and_sample_say_so_and_can_be_repeated(disk, folder, monkeypatch):
    def one_figure(_):
        figure, _ = plt.subplots(figsize=(1, 1))
        plt.close(figure)
        return {"training": figure}

    monkeypatch.setattr("pyro_vae.cli.report.report_figures", one_figure)
    before = numbers(folder)
    for arguments in (
        ("evaluate", folder, "--limit", 2, "--particles", 5, "--estimator", "importance"),
        ("report", folder),
        ("sample", folder, "--count", 2, "--out", folder / "drawn.npy"),
    ):
        for n in range(100):
            disk.left = n
            if n > 12:
                break
            try:
                done = command(*arguments)
            except AssertionError as error:
                assert "No space left" in str(error)  # noqa: PT017
                assert "Traceback" not in str(error)  # noqa: PT017
            else:
                assert done.stdout
                break
            finally:
                disk.left = float("inf")
            assert scratch(folder) == []
        assert 1 < n <= 12
    assert numbers(folder) == before


def test_a_file_is_synced_before_it_is_renamed_and_its_folder_after(tmp_path, monkeypatch):
    seen = []
    fsync, replace = os.fsync, Path.replace

    def synced(handle):
        seen.append(os.readlink(f"/proc/self/fd/{handle}").rpartition("/")[2])
        fsync(handle)

    def replaced(path, target):
        seen.append("renamed")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write_whole(tmp_path / "file", "text")
    assert seen[0].endswith(".tmp")
    assert seen[1:] == ["renamed", tmp_path.name]


@pytest.mark.parametrize("name", ["x" * 300, "a/" + "x" * 300, "file/run", "link"])
def test_places_that_no_run_can_have(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(WriteError) as caught:
        small_fit(tmp_path / name)
    assert len(str(caught.value)) < 400
    with pytest.raises(WriteError):
        make_folder(tmp_path / name)


def test_through_a_link_the_run_it_leads_to_is_replaced(tmp_path):
    small_fit(tmp_path / "run", seed=1, epochs=1)
    (tmp_path / "link").symlink_to("run")
    small_fit(tmp_path / "link", seed=2, epochs=1, overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert Run.open(tmp_path / "run").config()["fit"]["seed"] == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "run"]


def test_a_replacement_that_was_cut_off_between_its_renames_is_undone(tmp_path):
    small_fit(tmp_path / "run", epochs=1)
    (tmp_path / "run").rename(tmp_path / ".run.old")
    assert Run.open(tmp_path / "run").config()["fit"]["seed"] == 0
    assert not (tmp_path / ".run.old").exists()


def test_a_fit_that_fails_before_it_has_a_checkpoint_leaves_the_old_run(tmp_path):
    small_fit(tmp_path / "run", epochs=1)
    old = numbers(tmp_path / "run")
    with pytest.raises(ValueError, match="learning_rate"):
        small_fit(tmp_path / "run", overwrite=True, learning_rate=-1.0)
    with pytest.raises(ArithmeticError):
        small_fit(tmp_path / "run", overwrite=True, learning_rate=1e38)
    assert numbers(tmp_path / "run") == old
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_lost_weights_are_written_again_from_the_checkpoint(folder):
    before = (folder / "weights.safetensors").read_bytes()
    results = Run.open(folder).results()
    for damaged in (b"", before[:-1] + bytes([before[-1] ^ 1])):
        (folder / "weights.safetensors").write_bytes(damaged)
        small_fit(folder, resume=True)
        assert (folder / "weights.safetensors").read_bytes() == before
    # Of the same weights, what was measured is still good.
    assert Run.open(folder).results().identical(results)
    measure_run(Run.open(folder), num_particles=5, limit=3)
