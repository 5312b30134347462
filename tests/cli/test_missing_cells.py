"""Commands on a table with empty cells: fit, evaluate, score, compare, report, sample."""

import json

import numpy as np
import pandas as pd
import pytest

from pyro_vae import evaluate, load_data, load_model
from pyro_vae.disk.runs import Run
from pyro_vae.errors import DataError
from tests.cli.test_commands import run
from tests.cli.test_impute import COLUMNS, FIT, holed
from tests.data.tables import mixed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("holed")
    holed(60).to_csv(place / "patients.csv", index=False)
    holed(15, seed=1).to_csv(place / "new.csv", index=False)
    data = ("--data", place / "patients.csv", "--columns", COLUMNS)
    run("fit", "--run", place / "vae", *data, *FIT, "--objective", "iwae-3")
    run(
        "fit", "--run", place / "mixture", *data, "--model", "mixture", "--components", 2, *FIT[4:]
    )
    return place


def test_evaluation_is_of_the_observed_cells_in_the_units_of_the_table(folder):
    said = run("evaluate", folder / "vae", "--particles", 20, "--on", folder / "new.csv").stdout
    model, data = load_model(folder / "vae"), load_data(folder / "vae", on=folder / "new.csv")
    found = evaluate(model, data.inputs("test", model.inputs), 20)
    kept = Run.open(folder / "vae").results()
    np.testing.assert_array_equal(kept["log_evidence"], found["log_evidence"])
    np.testing.assert_allclose(kept["log_jacobian"], data.log_jacobians("test"), rtol=1e-12)
    scales = data.affine.scale.log().numpy() * data.observed["test"].numpy()
    np.testing.assert_allclose(kept["log_jacobian"], -scales.sum(1), rtol=1e-12)
    cells = data.observed["test"].sum().item() / 15
    assert f"{cells:.4g} of the {data.num_features} of a datum on average" in said
    assert f"{float(kept['log_jacobian'].mean()):+.3f} nats from these on average" in said


def test_runs_are_compared_on_their_mask(folder):
    two = (folder / "vae", folder / "mixture")
    said = json.loads(run("compare", *two, "--particles", 20, "--json").stdout)
    model, data = load_model(two[1]), load_data(two[1])
    exact = evaluate(model, data.inputs("test", model.inputs), 2)["log_evidence"].values
    expected = (exact + data.log_jacobians("test").numpy()).mean()
    assert said["table"]["mixture"]["log_evidence"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
def test_scores_leave_missing_cells_empty(folder, tmp_path):
    out = tmp_path / "s.csv"
    how = ("--particles", 20, "--reference", 10, "--out", out)
    said = run("score", folder / "vae", folder / "new.csv", *how).stdout
    assert "log p(x) is that of the cells that are there" in said
    scores = pd.read_csv(out, index_col="row")
    data = load_data(folder / "vae", on=folder / "new.csv")
    terms = scores.filter(like="log p(")
    assert np.array_equal(terms.isna(), ~data.observed["test"].numpy())
    given = ("--given", "age,smoker", "--particles", 20, "--out", out)
    run("score", folder / "mixture", folder / "new.csv", *given)
    model, x = load_model(folder / "mixture"), data.inputs("test", ["observed"])
    whole = model.log_prob(**x).detach().numpy() + data.log_jacobians("test").numpy()
    known = [data.columns.index(name) for name in ("age", "smoker")]
    part = x["observed"].clone()
    part[:, [d for d in range(len(data.columns)) if d not in known]] = False
    alone = model.log_prob(x["x"], observed=part).detach().numpy()
    alone += data.affine.log_jacobian_of(part).numpy()
    np.testing.assert_allclose(pd.read_csv(out)["log_conditional"], whole - alone, atol=1e-6)


@pytest.mark.slow
def test_report_and_sample(folder):
    run("evaluate", folder / "vae", "--particles", 20)
    run("report", folder / "vae")
    page = (folder / "vae" / "report.html").read_text()
    for words in ("What is missing where", "Draws for the missing cells", "IWAE_3"):
        assert words in page
    run("sample", folder / "vae", "--count", 7)
    assert not pd.read_csv(folder / "vae" / "samples.csv").isna().to_numpy().any()


def test_a_mechanism_is_named_by_its_columns(folder, tmp_path):
    data = ("--data", folder / "patients.csv", "--columns", COLUMNS, *FIT)
    said = ("--mechanism", "self-masking(columns=[age, crp], slope=-1)")
    run("fit", "--run", tmp_path / "run", *data, *said)
    model, names = load_model(tmp_path / "run"), load_data(tmp_path / "run").columns
    assert model.mechanism.columns == [names.index("age"), names.index("crp")]
    done = run("evaluate", tmp_path / "run", "--particles", 20).stdout
    assert "which are data too: log p(x, m)" in done
    run("impute", tmp_path / "run", folder / "new.csv", "--particles", 20, "--draws", 2)
    for column, words in (("aged", "the column 'aged'"), ("colour", "without gradients")):
        no = ("--mechanism", f"self-masking(columns=[{column}])")
        wrong = run("fit", "--run", tmp_path / "no", *data, *no, status=2)
        assert words in " ".join(wrong.stderr.split())
    wrong = run("compare", tmp_path / "run", folder / "vae", "--particles", 20, status=1)
    assert "mechanisms for the same columns" in " ".join(wrong.stderr.split())


def test_a_model_of_whole_data_is_not_given_holes(folder, tmp_path):
    mixed(60).to_csv(tmp_path / "whole.csv", index=False)
    run(
        "fit",
        "--run",
        tmp_path / "run",
        "--data",
        tmp_path / "whole.csv",
        "--columns",
        COLUMNS,
        *FIT,
    )
    for command in (("evaluate",), ("score", "--reference", 5)):
        where = () if command[0] == "score" else ("--on",)
        words = (command[0], tmp_path / "run", *where, folder / "new.csv", *command[1:])
        wrong = run(*words, "--particles", 20, status=1)
        assert "missing cells, and the model is one of whole data" in " ".join(
            wrong.stderr.split()
        )
    # One that is made for them may be fitted to whole data.
    masked = ("--missing", "mask", "--run", tmp_path / "masked")
    run("fit", *masked, "--data", tmp_path / "whole.csv", "--columns", COLUMNS, *FIT)
    run("evaluate", tmp_path / "masked", "--on", folder / "new.csv", "--particles", 20)


@pytest.mark.slow
def test_a_file_may_have_a_column_without_a_value_and_few_particles_have_no_khat(folder, tmp_path):
    rows = holed(15, seed=1).head(4)
    for name in rows.columns[rows.columns != "patient"]:
        rows.assign(**{name: None}).to_csv(tmp_path / "empty.csv", index=False)
        load_data(folder / "vae", on=tmp_path / "empty.csv")
    how = ("--particles", 20, "--draws", 2, "--out", tmp_path / "o.csv")
    said = run("impute", folder / "vae", tmp_path / "empty.csv", *how).stdout
    assert "k-hat is not known for 4 of them: more --particles would tell" in said


def test_errors_of_another_file_name_it(folder, tmp_path):
    file = tmp_path / "less.csv"
    holed(15, seed=1).drop(columns=load_data(folder / "vae").columns[0]).to_csv(file, index=False)
    with pytest.raises(DataError, match=r"less\.csv has no column"):
        load_data(folder / "vae", on=file)


def test_imputations_are_not_made_for_a_folder_that_is_not_there(folder, tmp_path):
    out = tmp_path / "no" / "o.csv"
    failed = run("impute", folder / "vae", folder / "new.csv", "--out", out, status=2)
    assert "there is no folder" in failed.stderr


def test_one_row_is_imputed_without_a_figure(folder, tmp_path):
    rows = holed(15, seed=1)
    rows.assign(age=None).head(1).to_csv(tmp_path / "one.csv", index=False)
    how = ("--particles", 20, "--draws", 2, "--out", tmp_path / "o.csv")
    assert (
        "imputations.png" not in run("impute", folder / "vae", tmp_path / "one.csv", *how).stdout
    )
