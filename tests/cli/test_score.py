"""``pyro-vae score``: rows by log p(x) in the table's units, and by columns."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from pyro_vae import evaluate, inference, load_data, load_model
from tests.cli.test_commands import run
from tests.data.tables import mixed

COLUMNS = (
    "id=drop, grade=ordinal(levels=[low,mid,high]), centre=drop, at=drop, site=drop, change=drop"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("scored")
    mixed(40).to_csv(place / "patients.csv", index=False)
    run(
        *("fit", "--run", place / "run", "--data", place / "patients.csv", "--columns", COLUMNS),
        *("--latent-dim", 1, "--hidden", 4, "--epochs", 2, "--batch-size", 28, "--drop-empty"),
    )
    return place


def test_scores_are_those_of_the_functions_in_the_table_units(folder):
    out = run("score", folder / "run", "--particles", 20, "--top", 3)
    written = pd.read_csv(folder / "run" / "scores.csv", index_col="row")
    model, data = load_model(folder / "run"), load_data(folder / "run")
    found = evaluate(model, data.test, 20, iwae=(1,))
    np.testing.assert_allclose(
        written["log_evidence"], found["log_evidence"] + data.log_jacobian, rtol=1e-12
    )
    terms = written.filter(like="log p(")
    assert list(terms.columns) == [f"log p({name} | z)" for name in data.schema.names]
    # The parts add up to the whole, each in its own units.
    whole = found["reconstruction"] + data.log_jacobian
    np.testing.assert_allclose(terms.sum(axis=1), whole, rtol=1e-6)
    known = evaluate(model, data.train, 20, iwae=(1,))["log_evidence"].values
    below = [(known <= v).mean() * 100 for v in found["log_evidence"].values]
    np.testing.assert_allclose(written["percentile"], below, atol=1e-9)
    lowest = written["log_evidence"].nsmallest(3)
    printed = re.findall(r"^ +(\d+) ", out.stdout, re.MULTILINE)
    assert list(map(int, printed)) == list(lowest.index)
    assert (folder / "run" / "figures" / "outliers.png").is_file()


@pytest.mark.slow
def test_rows_of_another_file_keep_their_numbers(folder, tmp_path):
    rows = mixed(12, seed=4)
    rows.loc[3, "age"] = np.nan
    rows.loc[7, "age"] = 9000.0
    rows.to_csv(tmp_path / "new.csv", index=False)
    where = ("--particles", 20, "--out", tmp_path / "s.csv", "--json")
    found = json.loads(run("score", folder / "run", tmp_path / "new.csv", *where).stdout)
    assert found["lowest"][0]["row"] == 7
    written = pd.read_csv(tmp_path / "s.csv", index_col="row")
    assert list(written.index) == [i for i in range(12) if i != 3]
    age = written["log p(age | z)"]
    assert age[7] < age.median() - 5
    assert written.loc[7, "percentile"] == 0


def test_columns_are_scored_given_others(folder, tmp_path):
    where = ("--particles", 30, "--out", tmp_path / "s.csv")
    out = run("score", folder / "run", *where, "--given", "age,stage")
    assert "log p(others | age,stage)" in out.stdout
    written = pd.read_csv(tmp_path / "s.csv", index_col="row")
    model, data = load_model(folder / "run"), load_data(folder / "run")
    names = list(data.schema.names)
    of = [d for d, name in enumerate(names) if name not in ("age", "stage")]
    fill = data.train[:, of].median(0).values.tolist()
    found = inference.conditional(model, data.test, of, 30, fill=fill)
    shift = -sum(np.log(c.scale) for c in data.schema.data if c.name not in ("age", "stage"))
    np.testing.assert_allclose(
        written["log_conditional"], found["log_conditional"] + shift, rtol=1e-12
    )
    for given, message in (("nobody", "given names 'nobody'"), (",".join(names), "every column")):
        assert message in run("score", folder / "run", "--given", given, status=2).stderr


def test_a_model_without_a_prior_cannot_score(folder, tmp_path):
    run(
        *(
            "fit",
            "--run",
            tmp_path / "ae",
            "--data",
            folder / "patients.csv",
            "--columns",
            COLUMNS,
        ),
        *("--model", "autoencoder", "--hidden", 4, "--epochs", 1, "--batch-size", 28),
    )
    assert "without a prior" in run("score", tmp_path / "ae", status=2).stderr
