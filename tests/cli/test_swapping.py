"""Swapping parts, comparing runs and fitting grids from the command line."""

import inspect
import json
from pathlib import Path

import pytest

from pyro_vae.disk.runs import Run
from pyro_vae.models.likelihoods import Likelihood
from pyro_vae.models.priors import Prior
from pyro_vae.stored.measured import gap_of_run
from tests.cases import a_few_always
from tests.cli.test_commands import run

SMALL = ("--epochs", 2, "--latent-dim", 2, "--hidden", "16", "--activation", "tanh")
EXAMPLE = Path(__file__).parents[2] / "examples" / "own_parts.py"


#: Parts that are fitted fast; the others are slow.
ALWAYS = [
    ("--model", "hierarchical-vae"),
    (
        *("--data", "iris", "--likelihood"),
        "per-column(columns=[normal, student-t(df=4, scale=latent), laplace, gamma])",
    ),
]


@a_few_always(
    "arguments",
    [
        ("--likelihood", "negative-binomial(dispersion=shared)", "--prior", "laplace"),
        ("--likelihood", "poisson(exposure=true)", "--total-exposure"),
        ("--likelihood", "categorical", "--network", "convolutional(channels=[4,8],hidden=[16])"),
        ("--values", "unit-interval", "--likelihood", "student-t(df=4, scale=latent)"),
        ("--values", "dequantised", "--standardise", "--guide", "full-covariance-normal"),
        ("--binarisation", "dynamic", "--condition", "labels", "--objective", "iwae-3"),
        ("--prior", "categorical-normal(num_components=3)", "--objective", "iwae-3"),
        ("--prior", "vamp-prior(num_components=5)", "--guide", "inverse-autoregressive-flow"),
        *ALWAYS,
        ("--model", "linear-vae", "--values", "unit-interval", "--likelihood", "normal"),
        ("--network", "dense(residual=true)", "--unamortised"),
    ],
    ALWAYS,
    ids=lambda arguments: "+".join(map(str, arguments)).replace("--", ""),
)
def test_fit_evaluate_report_and_sample(tmp_path, arguments):
    folder = tmp_path / "run"
    described = run("fit", "--run", folder, *SMALL, *arguments).stdout
    assert "nats per datum" in described
    done = run("evaluate", folder, "--particles", 30, "--limit", 6, "--json")
    printed = json.loads(done.stdout)
    summary = printed["summary"]
    assert summary["log_evidence"]["mean"] == pytest.approx(
        summary["elbo"]["mean"] + summary["gap"]["mean"], abs=1e-3
    )
    assert printed["exact"] == int("linear-vae" in arguments)
    if "--data" in arguments:
        assert printed["base_measure"] == "lebesgue"
    if "--unamortised" not in arguments:
        run("sample", folder, "--count", 3)
    run("report", folder)
    assert (folder / "report.html").is_file()
    # Resuming a run that is done gives its model back without training.
    again = json.loads(run("fit", "--run", folder, "--resume", "--json").stdout)
    assert again["epochs"] == 2


def test_compare_ranks_runs_and_remembers_what_it_measured(tmp_path):
    folders = [tmp_path / name for name in ("one", "two", "mixture")]
    run("fit", "--run", folders[0], *SMALL)
    run("fit", "--run", folders[1], *SMALL, "--prior", "student-t")
    run("fit", "--run", folders[2], "--model", "mixture", "--components", 3, "--epochs", 2)
    arguments = (
        "compare",
        *folders,
        "--particles",
        20,
        "--limit",
        12,
        "--out",
        tmp_path / "c.png",
    )
    printed = run(*arguments).stdout
    assert "exact" in printed
    assert (tmp_path / "c.png").is_file()
    before = [(folder / "evidence.nc").stat().st_mtime_ns for folder in folders]
    table = json.loads(run(*arguments, "--json").stdout)["table"]
    assert [(folder / "evidence.nc").stat().st_mtime_ns for folder in folders] == before
    assert {row["rank"] for row in table.values()} == {1, 2, 3}
    evidence = [row["log_evidence"] for row in table.values()]
    assert evidence == sorted(evidence, reverse=True)
    run("compare", *folders, "--particles", 25, "--limit", 12)
    after = [(folder / "evidence.nc").stat().st_mtime_ns for folder in folders]
    assert all(a > b for a, b in zip(after, before, strict=True))


def test_compare_refuses_what_cannot_be_ranked(tmp_path):
    mass, density, other = (tmp_path / name for name in ("mass", "density", "other"))
    run("fit", "--run", mass, *SMALL)
    run("fit", "--run", density, *SMALL, "--values", "unit-interval")
    run("fit", "--run", other, *SMALL, "--binarisation", "stochastic")
    seeded = tmp_path / "seeded"
    run("fit", "--run", seeded, *SMALL, "--binarisation", "stochastic", "--seed", 1)
    few = ("--particles", 5, "--limit", 5)
    assert "counting measure" in run("compare", mass, density, *few, status=1).stderr
    assert "same form of the data" in run("compare", mass, other, *few, status=1).stderr
    assert "different test data" in run("compare", other, seeded, *few, status=1).stderr
    assert "given twice" in run("compare", mass, mass, *few, status=2).stderr
    assert "two runs" in run("compare", mass, *few, status=2).stderr


def test_grid_lists_what_cannot_be_and_goes_on_where_it_stopped(tmp_path):
    arguments = (
        *("grid", "--out", tmp_path / "grid", *SMALL, "--particles", 20, "--limit", 8),
        *("--likelihood", "binomial,bernoulli", "--prior", "standard-normal,laplace"),
    )
    first = run(*arguments, "--json")
    document = json.loads(first.stdout)
    assert set(document["left out"]) == {"bernoulli-standard-normal", "bernoulli-laplace"}
    assert "Binarise" in document["left out"]["bernoulli-laplace"]
    assert set(document["comparisons"]["counting"]["table"]) == {
        *("binomial-standard-normal", "binomial-laplace"),
    }
    assert (tmp_path / "grid" / "comparison-counting.png").is_file()

    # One cell is lost: only that one is fitted again.
    folder = tmp_path / "grid" / "binomial-laplace"
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()
    kept = tmp_path / "grid" / "binomial-standard-normal" / "weights.safetensors"
    before = kept.stat().st_mtime_ns
    again = json.loads(run(*arguments, "--json").stdout)
    assert kept.stat().st_mtime_ns == before
    tables = [d["comparisons"]["counting"]["table"] for d in (document, again)]
    for name, row in tables[0].items():
        assert tables[1][name]["log_evidence"] == pytest.approx(row["log_evidence"], abs=1e-5)

    refused = run(*arguments, "--batch-size", 64, status=1).stderr
    assert "other data, networks or training" in refused
    run(*arguments, "--batch-size", 64, "--overwrite")
    assert Run.open(folder).config()["fit"]["batch_size"] == 64


def test_grid_with_masses_and_densities_has_two_rankings(tmp_path):
    done = run(
        *("grid", "--out", tmp_path / "grid", *SMALL, "--particles", 20, "--limit", 8),
        *("--likelihood", "normal,continuous-bernoulli", "--values", "unit-interval", "--json"),
    )
    document = json.loads(done.stdout)
    assert list(document["comparisons"]) == ["lebesgue"]
    assert len(document["comparisons"]["lebesgue"]["table"]) == 2
    nothing = run(
        *("grid", "--out", tmp_path / "none", *SMALL, "--likelihood", "bernoulli"), status=1
    )
    assert "no combination can be fitted" in nothing.stderr


def test_parts_of_ones_own_by_import(tmp_path):
    folder = tmp_path / "own"
    own = ("--import", EXAMPLE)
    try:
        run(
            *(*own, "fit", "--run", folder, *SMALL, "--data", "wine", "--standardise"),
            *("--likelihood", "cauchy", "--prior", "logistic"),
        )
        run(*own, "evaluate", folder, "--particles", 20)
    finally:
        Likelihood.registry.pop("cauchy", None)
        Prior.registry.pop("logistic", None)
    # Without the import the run says what it lacks.
    lacking = run("evaluate", folder, status=1).stderr
    assert "unknown prior 'logistic'" in lacking
    assert "--import" in lacking
    assert "no such file" in run("--import", tmp_path / "no.py", "data", status=2).stderr
    assert "no such module" in run("--import", "no_such_module", "data", status=2).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--likelihood", "student-t(degrees=4)"), "no setting 'degrees'"),
        (("--likelihood", "normal(", "--values", "unit-interval"), "cannot be read"),
        (("--prior", "vamp"), "Did you mean 'vamp-prior'"),
        (("--prior", "categorical-normal", "--objective", "mean-field-elbo"), "closed form"),
        (("--objective", "iwea-5"), "Did you mean 'iwae'"),
        (("--scale", "latent"), "binomial has no setting 'scale'"),
        (
            ("--values", "unit-interval", "--scale", "0.1", "--likelihood", "student-t(df=4)"),
            "all its settings in brackets",
        ),
        (("--model", "linear-vae"), "normal likelihood, not binomial"),
        (("--unamortised", "--prior", "vamp-prior"), "made of the guide"),
        (("--network", "convolutional", "--data", "wine", "--standardise"), "convolutions need"),
        (("--condition", "covariates"), "no covariates"),
        (("--values", "levls"), "Did you mean 'levels'"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(tmp_path, arguments, message):
    done = run(
        "fit",
        "--run",
        tmp_path / "r",
        *SMALL,
        *arguments,
        status=2 if "--condition" not in arguments else 1,
    )
    assert message in done.stderr
    assert not (tmp_path / "r").exists()


def every_estimator(folder, monkeypatch):
    """The arguments that evaluate a new run in ``folder`` in every way, with few steps."""
    monkeypatch.setitem(inspect.unwrap(gap_of_run).__kwdefaults__, "steps", 60)
    run("fit", "--run", folder, *SMALL)
    return (
        *("evaluate", folder, "--num-particles", 60, "--limit", 3, "--gap"),
        *("--estimator", "importance,defensive,ais,quadrature,exact"),
        *("--temperatures", 6, "--chains", 4),
    )


def test_other_estimators_and_the_parts_of_the_gap(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    arguments = every_estimator(folder, monkeypatch)
    printed = json.loads(run(*arguments, "--json").stdout)
    assert set(printed["estimators"]) == {"importance", "defensive", "ais", "quadrature"}
    assert "log_prob" in printed["left out"]["exact"]
    parts = printed["gap parts"]
    assert parts["gap"] == pytest.approx(parts["approximation_gap"] + parts["amortisation_gap"])
    kept = sorted(path.name for path in folder.glob("*.nc"))
    assert kept == [
        *("evidence-ais.nc", "evidence-defensive.nc", "evidence-importance.nc"),
        *("evidence-quadrature.nc", "evidence.nc", "gap.nc"),
    ]
    text = run(*arguments).stdout
    assert "amortisation gap" in text
    assert "left out exact" in text
    assert "Did you mean 'ais'" in run("evaluate", folder, "--estimator", "aiss", status=2).stderr


@pytest.mark.slow
def test_a_report_has_other_estimators_and_the_parts_of_the_gap(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    run(*every_estimator(folder, monkeypatch))
    run("report", folder)
    html = (folder / "report.html").read_text()
    assert "amortisation gap" in html
    assert "quadrature" in html
