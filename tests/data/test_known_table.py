"""A table from a known story: what is fitted to it is held against the truth, in its own units."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from examples.make_patients import patients
from pyro_vae import VAE, data, evaluate, fit
from pyro_vae.models.likelihoods import PerColumn
from tests.tolerances import STANDARD_ERRORS

COLUMNS = "patient=drop, severity=ordinal(levels=[none, mild, moderate, severe])"
LEVELS = {
    "ward": ["general", "geriatric", "infectious"],
    "severity": ["none", "mild", "moderate", "severe"],
}


def true_log_density(table):
    """log p(x) of each row under the story of the example, by quadrature over z."""
    nodes, weights = special.roots_hermitenorm(80)
    frailty, inflammation = (g.ravel() for g in np.meshgrid(nodes, nodes, indexing="ij"))
    log_weights = np.log(np.outer(weights, weights).ravel() / (2 * np.pi))
    days = (pd.to_datetime(table["admitted"]) - pd.Timestamp("2023-01-01")).dt.days.to_numpy()
    ward = np.stack([0 * frailty, 1.2 * frailty, 1.2 * inflammation - 0.5])
    cuts = special.expit(np.subtract.outer([-1.2, 0.6, 2.2], 1.8 * frailty))
    severity = np.diff(np.vstack([0 * frailty, cuts, 0 * frailty + 1]), axis=0)
    mean = special.expit(2.5 - 0.8 * inflammation)
    smokes = special.expit(1.5 * inflammation - 1.5)
    total = []
    for i, (_, row) in enumerate(table.iterrows()):
        terms = [
            stats.norm(420 + 160 * frailty, 60).logpdf(days[i]),
            stats.norm(66 + 8 * frailty, 5).logpdf(row["age"]),
            np.full_like(frailty, np.log(0.5)),  # the sex
            special.log_softmax(ward, axis=0)[LEVELS["ward"].index(row["ward"])],
            np.log(severity[LEVELS["severity"].index(row["severity"])]),
            stats.poisson(np.exp(-0.4 + 0.7 * frailty)).logpmf(row["falls"]),
            stats.norm(1.6 + 0.9 * inflammation, 0.4).logpdf(np.log(row["crp"]))
            - np.log(row["crp"]),
            stats.beta(40 * mean, 40 * (1 - mean)).logpdf(row["oxygen"]),
            np.log(np.where(row["smoker"] == "yes", smokes, 1 - smokes)),
        ]
        total.append(special.logsumexp(log_weights + np.sum(terms, axis=0)))
    return np.array(total)


def test_the_file_is_what_the_story_makes():
    path = Path(__file__).parents[2] / "examples" / "patients.csv"
    made = patients(400, seed=0)[0]
    pd.testing.assert_frame_equal(
        pd.read_csv(path, parse_dates=["admitted"]), made, check_dtype=False, rtol=1e-6
    )


@pytest.mark.slow
def test_a_fitted_model_comes_near_the_truth_and_not_above_it():
    """2,000 training rows and 400 others: the units, the Jacobian and every likelihood at once.

    The mean over rows of log p(x) under the truth minus that under the model is the KL between
    them: not negative, and small for a model that can nearly be the truth.
    """
    train, test = patients(2500, seed=1)[0], patients(400, seed=2)[0]
    test["patient"] += "b"
    found = data.read(train, columns=COLUMNS, test=test, shares=(0.8, 0.2, 0), seed=0)
    model = VAE(
        found.event_shape,
        2,
        likelihood=PerColumn(found.schema.likelihoods),
        encoder=(64,),
        decoder=(64,),
    )
    how = {"batch_size": 100, "learning_rate": 3e-3, "schedule": "cosine", "progress": False}
    fit(model, found, epochs=150, **how)
    ours = evaluate(model, found.test, 500, iwae=(1,))["log_evidence"].values + found.log_jacobian
    difference = true_log_density(found.to_frame("test")) - ours
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    assert difference.mean() > -STANDARD_ERRORS * error
    assert difference.mean() < 0.25 + STANDARD_ERRORS * error
