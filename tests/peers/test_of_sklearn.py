"""Estimators of scikit-learn as pairs, against scikit-learn's own scores."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.decomposition import NMF, PCA, FactorAnalysis
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from pyro_vae import evaluate
from pyro_vae.errors import ProgramError
from pyro_vae.inference import certify
from pyro_vae.pairs import from_sklearn

X = load_iris().data
ESTIMATORS = {
    "factors": FactorAnalysis(2),
    "principal components": PCA(2),
    **{
        f"mixture, {kind}": GaussianMixture(3, covariance_type=kind, random_state=0)
        for kind in ("full", "tied", "diag", "spherical")
    },
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_log_px_and_the_bound_are_scikit_learns_scores(name):
    estimator = ESTIMATORS[name].fit(X)
    pair, theirs = from_sklearn(estimator, X), estimator.score_samples(X)
    assert pair.log_prob(torch.tensor(X)).numpy() == pytest.approx(theirs, abs=1e-6)
    found = evaluate(pair, torch.tensor(X), 5)
    # The guide is the posterior: each weight is log p(x).
    assert found["log_evidence"].values == pytest.approx(theirs, abs=1e-6)
    assert found["elbo"].values == pytest.approx(theirs, abs=1e-6)


def test_draws_of_the_story_have_the_covariance_of_the_estimator():
    pair = from_sklearn(FactorAnalysis(2).fit(X), X)
    z = pair.form.prior().sample((200_000,))
    drawn = pair.form.likelihood(z, {}).sample().numpy()
    wanted = FactorAnalysis(2).fit(X).get_covariance()
    # The sample covariance of N normal draws has the variance (s_ii s_jj + s_ij^2) / N.
    error = np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / len(z))
    assert (np.abs(np.cov(drawn.T) - wanted) < 5 * error).all()


def test_the_score_of_a_whitened_pca_is_not_that_of_the_same_story():
    """Whitening is of the codes: the density of x is the same, and ours is; see the page."""
    plain, whitened = PCA(2).fit(X), PCA(2, whiten=True).fit(X)
    ours = from_sklearn(whitened, X).log_prob(torch.tensor(X)).numpy()
    assert ours == pytest.approx(plain.score_samples(X), abs=1e-6)
    assert whitened.score(X) != pytest.approx(plain.score(X), abs=0.1)
    # Which of both is right: the covariance of a PCA has the trace of that of the data.
    assert np.trace(plain.get_covariance()) == pytest.approx(np.trace(np.cov(X.T)))
    assert np.trace(whitened.get_covariance()) > 2 * np.trace(np.cov(X.T))


def test_it_is_certified_as_exact():
    pair = from_sklearn(FactorAnalysis(2).fit(X), X)
    table = certify(pair, torch.tensor(X[:3]), estimators=["exact", "importance"]).table
    assert table.loc["importance", "log_evidence"] == pytest.approx(
        table.loc["exact", "log_evidence"], abs=1e-6
    )


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (NMF(2), "from_sklearn got NMF: FactorAnalysis, PCA and"),
        (BayesianGaussianMixture(), "got BayesianGaussianMixture: FactorAnalysis"),
        (PCA().fit(X), "PCA has no noise in some columns, so that p.x . z. has no density"),
        (FactorAnalysis(2), "got FactorAnalysis without parameters: call its fit first"),
    ],
)
def test_others_are_refused(estimator, message):
    with pytest.raises(ProgramError, match=message):
        from_sklearn(estimator, X)
