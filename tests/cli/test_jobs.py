"""``--jobs``: the same numbers from several processes as from one."""

import json
from pathlib import Path

import pandas as pd
import pytest

from pyro_vae.models.likelihoods import Likelihood
from pyro_vae.models.priors import Prior
from tests.cli.test_commands import run

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_parts.py"
SMALL = ("--latent-dim", 2, "--hidden", "16", "--epochs", 1)


def without_seconds(document):
    """The numbers of a comparison, of which the time that a fit took is none."""
    tables = [found["table"] for found in document["comparisons"].values()]
    return [
        {name: {k: v for k, v in row.items() if k != "seconds"} for name, row in table.items()}
        for table in tables
    ]


def test_a_run_is_measured(tmp_path):
    run("fit", "--run", tmp_path / "r", *SMALL)
    arguments = ("evaluate", tmp_path / "r", "--limit", 20, "--particles", 50, "--gap", "--json")
    more = ("--estimator", "widened,ais", "--temperatures", 3)
    one, two = (json.loads(run(*arguments, *more, "--jobs", n).stdout) for n in (1, 2))
    for each in (one, two):
        for row in each["estimators"].values():
            row.pop("seconds")
    assert two == one


@pytest.fixture
def registries():
    yield
    Likelihood.registry.pop("cauchy", None)
    Prior.registry.pop("logistic", None)


def test_a_grid_of_parts_of_a_file(tmp_path, registries):
    found = []
    for jobs in (1, 2):
        done = run(
            *("--import", EXAMPLE, "grid", "--out", tmp_path / f"grid-{jobs}", *SMALL),
            *("--prior", "standard-normal,logistic", "--particles", 20, "--limit", 8),
            *("--jobs", jobs, "--json"),
        )
        found.append(without_seconds(json.loads(done.stdout)))
    assert found[1] == found[0]
    assert len(found[0][0]) == 2


def test_a_tour_in_which_one_stop_follows_another(tmp_path):
    tables = []
    for jobs in (1, 2):
        out = tmp_path / f"tour-{jobs}"
        run(
            *("tour", "--out", out, *SMALL, "--stops", "pca,vq-vae-prior", "--particles", 20),
            *("--limit", 8, "--jobs", jobs),
        )
        tables.append(pd.read_csv(out / "tour.csv"))
    pd.testing.assert_frame_equal(*tables)
    assert len(tables[0]) == 3
