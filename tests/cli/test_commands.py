"""The command line as a user runs it: output, files, exit status."""

import contextlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import xarray as xr

from pyro_vae import load_data
from pyro_vae.cli import main
from pyro_vae.disk.runs import Run


def run(*arguments, status=0):
    """Run ``pyro-vae`` in this process; its output, after a look at its exit status."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["pyro-vae", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(action="default"),
        pytest.raises(SystemExit) as exited,
    ):
        main()
    assert (exited.value.code or 0) == status, err.getvalue() + out.getvalue()
    return SimpleNamespace(stdout=out.getvalue(), stderr=err.getvalue())


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "counts"
    out = run("fit", "--run", folder, "--epochs", 3, "--latent-dim", 2, "--hidden", "32")
    assert "Binomial(16" in out.stdout
    assert "validation" in out.stdout
    return folder


def test_the_number_of_validation_data_is_part_of_a_run(tmp_path):
    fit = ("fit", "--latent-dim", 2, "--hidden", 8, "--epochs", 1)
    run(*fit, "--run", tmp_path / "run", "--num-validation", 37)
    assert Run.open(tmp_path / "run").config()["data"]["num_validation"] == 37
    assert len(load_data(tmp_path / "run").validation) == 37
    (tmp_path / "own.csv").write_text("a,b\n" + "1.5,2.5\n2.5,1.5\n" * 20)
    fit = (*fit, "--run", tmp_path / "own", "--data", tmp_path / "own.csv")
    refused = run(*fit, "--num-validation", 5, status=2)
    assert "--num-validation got 5 for a file" in refused.stderr


def test_evaluate_then_report_then_sample(fitted):
    done = run("evaluate", fitted, "--particles", 50, "--limit", 20, "--json")
    printed = json.loads(done.stdout)["summary"]
    results = Run.open(fitted).results()
    assert isinstance(results, xr.Dataset)
    assert results.sizes["datum"] == 20
    assert printed["elbo"]["mean"] == pytest.approx(float(results["elbo"].mean()))
    bits = -float(results["log_evidence"].mean()) / (64 * np.log(2))
    assert printed["bits_per_dim"]["mean"] == pytest.approx(bits)
    table = run("evaluate", fitted, "--particles", 50, "--limit", 20).stdout
    for label in ("log p(x)", "E_q[log p(x|z)]", "gap = KL(q || posterior)", "IWAE_50"):
        assert label in table
    run("report", fitted)
    html = (fitted / "report.html").read_text()
    figures = sorted(path.stem for path in (fitted / "figures").glob("*.png"))
    assert figures == [
        "gap",
        "interpolation",
        "iwae",
        "latent",
        "manifold",
        "reconstructions",
        "samples",
        "training",
    ]
    assert html.count("data:image/png;base64,") == len(figures)
    assert "http" not in html.replace("http-equiv", "")
    run("sample", fitted, "--count", 12)
    samples = np.load(fitted / "samples.npy")
    assert samples.shape == (12, 8, 8)
    assert samples.min() >= 0
    assert samples.max() <= 16


def test_ctrl_c_is_said(fitted, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pyro_vae.cli.evaluate.measure_run", stopped)
    assert "interrupted" in run("evaluate", fitted, "--limit", 3, status=130).stderr


#: A path that a shell reads as something else, unless it is quoted.
AWKWARD = Path("it's $HOME [bold]:smile: `id`") / "run 1"


def next_line(folder):
    """The command that a fit into ``folder`` says comes next."""
    said = run("fit", "--run", folder, "--model", "mixture", "--components", 2, "--epochs", 1)
    (line,) = re.findall(r"^next: (.*)$", said.stdout, re.MULTILINE)
    return line


def test_the_next_line_is_read_by_a_shell_as_it_is_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = next_line(AWKWARD)
    done = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True
    )
    program, *arguments = done.stdout.splitlines()
    assert program == "pyro-vae"
    assert str(AWKWARD) in arguments
    run(*arguments, "--limit", 2)
    assert Run.open(AWKWARD).results().sizes["datum"] == 2


@pytest.mark.slow
def test_the_next_line_runs_in_a_shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = AWKWARD
    line = next_line(folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["sh", "-c", f"{line} --limit 2"], env={**os.environ, "PATH": path}, check=True)
    assert Run.open(folder).results().sizes["datum"] == 2


def test_mixture_is_exact(tmp_path):
    folder = tmp_path / "mixture"
    run("fit", "--model", "mixture", "--components", 5, "--epochs", 3, "--run", folder)
    printed = json.loads(run("evaluate", folder, "--limit", 10, "--json").stdout)
    assert printed["exact"] == 1
    assert printed["summary"]["gap"]["mean"] == pytest.approx(0, abs=1e-5)


@pytest.mark.slow
def test_normal_likelihood_on_the_plane(tmp_path):
    folder = tmp_path / "moons"
    run(
        *("fit", "--data", "moons", "--scale", "latent", "--latent-dim", 1),
        *("--epochs", 2, "--run", folder),
    )
    printed = json.loads(
        run("evaluate", folder, "--particles", 50, "--limit", 40, "--json").stdout
    )
    assert "bits_per_dim" not in printed["summary"]
    assert printed["base_measure"] == "lebesgue"
    run("report", folder)


def test_data_lists_what_there_is():
    listed = json.loads(run("data", "--json").stdout)["data"]
    names = [entry["name"] for entry in listed]
    assert names[0] == "digits"
    assert {"mnist", "fashion-mnist", "kmnist", "frey-faces", "pinwheel", "moons"} < set(names)
    assert "handwritten" in run("data").stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("fit", "--run", "{tmp}/r", "--likelihood", "bernouli"), 2, "bernoulli"),
        (("fit", "--run", "{tmp}/r", "--data", "digitz"), 2, "digits"),
        (("fit", "--run", "{tmp}/r", "--likelihood", "bernoulli"), 2, "Binarise"),
        (("fit", "--run", "{tmp}/r", "--latent-dim", "0"), 2, "latent_dim got 0"),
        (("fit", "--run", "{tmp}/r", "--hidden", "20,x"), 2, "--hidden got"),
        (("fit", "--run", "{tmp}/r", "--epochs", "many"), 2, "epochs"),
        (("fit", "--run", "{tmp}/r", "--epochs", "0"), 2, "epochs got 0"),
        (("fit",), 2, "run"),
        (("fit", "--run", "{tmp}/file/r", "--epochs", "1"), 1, "cannot be written"),
        (("evaluate", "{tmp}/nothing"), 1, "does not exist"),
        (("evaluate", "{tmp}"), 1, "not a run"),
        (("fit", "--run", "{tmp}/r", "--data", "mnist", "--data-root", "{tmp}"), 1, "expected"),
        (("fit", "--run", "{tmp}/r", "--data-root", "{tmp}/no", "--data", "mnist"), 1, "does not"),
    ],
)
def test_bad_arguments(tmp_path, arguments, status, message):
    (tmp_path / "file").write_text("")
    done = run(*(a.format(tmp=tmp_path) for a in arguments), status=status)
    assert message in done.stderr
    assert not (tmp_path / "r" / "config.json").exists()


def test_existing_run_is_refused_and_kept(fitted):
    before = (fitted / "weights.safetensors").read_bytes()
    done = run("fit", "--run", fitted, "--epochs", 1, status=1)
    assert "--overwrite" in done.stderr
    assert (fitted / "weights.safetensors").read_bytes() == before


@pytest.mark.slow
def test_demo(tmp_path, monkeypatch):
    module = importlib.import_module("pyro_vae.cli.demo")
    monkeypatch.setattr(module, "measure_run", partial(module.measure_run, limit=40))
    arguments = ("demo", "--out", tmp_path / "demo", "--epochs", 2, "--particles", 60)
    out = run(*arguments).stdout
    for word in ("ELBO", "IWAE_50", "log p(x)", "gap", "its error", "exact", "report.html"):
        assert word in out
    html = (tmp_path / "demo" / "report.html").read_text()
    assert html.count("data:image/png;base64,") == 2 * 8 + 2 * 3
    run(*arguments, status=1)


def test_steps_by_a_graph_give_the_same_numbers(tmp_path):
    shared = ("--epochs", 2, "--hidden", 16, "--latent-dim", 2, "--batch-size", 500)
    found = {}
    for mode in ("off", "graph"):
        folder = tmp_path / mode
        printed = run("fit", "--run", folder, *shared, "--compile", mode, "--json").stdout
        found[mode] = json.loads(printed)
        assert found[mode]["compiled"] == mode
    for name in ("train_elbo", "validation_elbo"):
        assert found["off"][name] == found["graph"][name]
    resumed = run("fit", "--run", tmp_path / "graph", "--resume", "--json").stdout
    assert json.loads(resumed)["train_elbo"] == found["graph"]["train_elbo"]
    refused = run("fit", "--run", tmp_path / "new", *shared, "--compile", "grpah", status=2)
    assert "Did you mean 'graph'?" in refused.stderr
