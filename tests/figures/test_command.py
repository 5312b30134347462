"""``pyro-vae figure`` as a user runs it: files, list, refusals before any work."""

import json

import pytest
from pyro.infer import Trace_ELBO

from pyro_vae import data, inference
from pyro_vae.figures import FIGURES, RegisteredFigure
from pyro_vae.models import VAE
from tests.cli.test_commands import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mixture"
    run("fit", "--model", "mixture", "--components", 4, "--epochs", 1, "--run", folder)
    return folder


def stems(folder, ending):
    return sorted(path.stem for path in folder.glob(f"*.{ending}"))


def test_list_names_every_figure():
    printed = run("figure", "--list").stdout
    for entry in FIGURES.values():
        assert f" {entry.name} " in printed
    rows = json.loads(run("figure", "--list", "--json").stdout)["figures"]
    assert [row["name"] for row in rows] == list(FIGURES)
    assert all(row["shows"] and row["needs"] for row in rows)


def test_one_figure_and_all_that_a_run_allows(folder, tmp_path):
    done = run("figure", "components", folder, "--json")
    files = [str(folder / "figures" / f"components.{ending}") for ending in ("pdf", "png")]
    assert json.loads(done.stdout) == {"written": files, "left out": {}}
    printed = run("figure", "all", folder, "--out", tmp_path / "slides").stdout
    names = ["components", "samples", "training"]
    assert stems(tmp_path / "slides", "pdf") == stems(tmp_path / "slides", "png") == names
    left = [line for line in printed.splitlines() if line.startswith("left out ")]
    of_runs = {entry.name for entry in FIGURES.values() if entry.of_run}
    assert {line.split()[2].rstrip(":") for line in left} == of_runs - set(names)


def test_the_toy_needs_no_run(tmp_path):
    run("figure", "toy-densities", "--out", tmp_path)
    assert stems(tmp_path, "pdf") == stems(tmp_path, "png") == ["toy-densities"]


def test_refusals_come_before_any_work(folder, tmp_path, monkeypatch):
    def never(*_, **__):
        raise AssertionError("work was begun")

    monkeypatch.setattr(RegisteredFigure, "draw", never)
    monkeypatch.setattr(RegisteredFigure, "draw_toy", never)
    (tmp_path / "file").write_text("")
    for arguments, status, words in (
        (["manyfold", folder], 2, "Did you mean 'manifold'?"),
        ([], 2, "--list"),
        (["manifold"], 2, "pyro-vae figure manifold RUN"),
        (["toy-em", folder], 2, "takes no run"),
        (["manifold", folder], 2, "number of a component"),
        (["samples", tmp_path], 1, "is not a run"),
        (["samples", tmp_path / "nowhere"], 1, "does not exist"),
        (["samples", folder, "--out", tmp_path / "file"], 2, "--out got"),
        (["samples", folder, "--out", tmp_path / "file" / "in"], 2, "--out got"),
    ):
        assert words in run("figure", *arguments, status=status).stderr


def test_a_failure_leaves_no_half_of_a_pair(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    from pyro_vae.pages.report import save_figures

    (tmp_path / "one.pdf").write_text("before")
    figure, save = Figure(), Figure.savefig

    def broken(self, file, **settings):
        if settings["format"] == "png":
            raise OSError("no space left")
        save(self, file, **settings)

    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(OSError, match="no space left"):
        save_figures(figure, tmp_path, "one")
    assert [path.name for path in tmp_path.iterdir()] == ["one.pdf"]
    assert (tmp_path / "one.pdf").read_text() == "before"


def test_a_run_of_an_objective_and_a_schedule_of_ones_own(tmp_path):
    class Own(Trace_ELBO):
        """Known to nobody by its name."""

    digits = data.load("digits", binarisation="threshold")
    vae = VAE((8, 8), 2, encoder=(8,), decoder=(8,))
    inference.fit(vae, digits, Own(), epochs=1, schedule=lambda share: 1 - share, run=tmp_path)
    run("figure", "training", tmp_path)
    assert stems(tmp_path / "figures", "png") == ["training"]
    refused = run("fit", "--run", tmp_path, "--resume", status=1)
    assert "schedule made in Python" in refused.stderr
