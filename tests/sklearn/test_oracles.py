"""Numbers of the estimators against scikit-learn, SciPy and quadrature, in the units of X."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from pyro_vae.inference import log_evidence
from pyro_vae.models.likelihoods import Normal
from pyro_vae.sklearn import MixtureEstimator, PPCAEstimator
from tests.cases import a_few_always
from tests.sklearn.cases import small_mixture, small_vae
from tests.tolerances import STANDARD_ERRORS

RNG = np.random.default_rng(0)
FACTORS = RNG.normal(size=(80, 2))
X = FACTORS @ RNG.normal(size=(2, 4)) + 0.3 * RNG.normal(size=(80, 4)) + [5.0, 0.0, -2.0, 100.0]
NEW = RNG.normal([5.0, 0.0, -2.0, 100.0], 1.5, size=(7, 4))


@pytest.mark.parametrize("latent_dim", [1, 2, 3])
def test_ppca_is_that_of_scikit_learn(latent_dim):
    ours = PPCAEstimator(latent_dim, random_state=0).fit(X)
    pca = PCA(latent_dim).fit(X)
    # Maximum likelihood has n in the denominator, where scikit-learn has n - 1.
    share = (len(X) - 1) / len(X)
    pca.explained_variance_ = pca.explained_variance_ * share
    pca.noise_variance_ = pca.noise_variance_ * share
    np.testing.assert_allclose(ours.score_samples(NEW), pca.score_samples(NEW), rtol=1e-9)
    assert ours.noise_variance_ == pytest.approx(pca.noise_variance_, rel=1e-9)
    assert ours.score(X) == pytest.approx(pca.score(X), rel=1e-9)


def test_ppca_is_the_maximum_of_the_likelihood():
    """Its covariance is that of the data but for the noise that is spread evenly."""
    ours = PPCAEstimator(2, random_state=0).fit(X)
    covariance = np.cov(X.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    values[:2] = values[:2].mean()
    best = stats.multivariate_normal(X.mean(0), vectors * values @ vectors.T)
    np.testing.assert_allclose(ours.score_samples(NEW), best.logpdf(NEW), rtol=1e-9)


def test_codes_of_ppca_are_means_of_the_posterior():
    ours = PPCAEstimator(2, random_state=0).fit(X)
    weight, bias = ours.model_.weight.detach().numpy(), ours.model_.bias.detach().numpy()
    joint = weight @ weight.T + ours.noise_variance_ * np.eye(4)
    codes = (NEW - bias) @ np.linalg.inv(joint) @ weight
    np.testing.assert_allclose(ours.transform(NEW), codes, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.inverse_transform(codes), codes @ weight.T + bias, rtol=1e-9)


def as_scikit_learn(ours):
    """scikit-learn's mixture with the parameters of ours, in the units of X."""
    variance = ours.model_.likelihood(ours.model_.eta).variance.detach().numpy()
    theirs = GaussianMixture(len(ours.weights_), covariance_type="diag")
    theirs.weights_, theirs.means_ = ours.weights_, ours.means_
    theirs.covariances_ = variance * ours.units_.affine.scale.numpy() ** 2
    theirs.precisions_cholesky_ = theirs.covariances_**-0.5
    return theirs


@pytest.mark.parametrize("standardise", ["auto", False])
def test_a_mixture_is_that_of_scikit_learn(standardise):
    ours = small_mixture(num_components=3, standardise=standardise).fit(X)
    theirs = as_scikit_learn(ours)
    np.testing.assert_allclose(ours.score_samples(NEW), theirs.score_samples(NEW), rtol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(NEW), theirs.predict_proba(NEW), atol=1e-9)
    assert (ours.predict(NEW) == theirs.predict(NEW)).all()
    expected = theirs.predict_proba(NEW) @ theirs.means_
    np.testing.assert_allclose(ours.inverse_transform(ours.transform(NEW)), expected, rtol=1e-9)


@pytest.mark.slow
def test_a_mixture_is_trained_to_the_likelihood_that_em_reaches():
    groups = np.concatenate([RNG.normal(m, s, (60, 2)) for m, s in ((0, 1), (9, 2), (-9, 0.5))])
    settings = {"epochs": 300, "batch_size": 180, "validation_fraction": 0}
    ours = MixtureEstimator(3, random_state=0, **settings).fit(groups)
    theirs = GaussianMixture(3, covariance_type="diag", tol=1e-8, random_state=0).fit(groups)
    assert ours.score(groups) == pytest.approx(theirs.score(groups), abs=1e-3)


def test_draws_of_a_mixture_are_in_the_units_of_x():
    ours = small_mixture(num_components=3).fit(X)
    draws, labels = ours.sample(4000)
    theirs = as_scikit_learn(ours)
    for m in range(3):
        mine = draws[labels == m]
        error = np.sqrt(theirs.covariances_[m] / len(mine))
        assert (abs(mine.mean(0) - theirs.means_[m]) < STANDARD_ERRORS * error).all()
        share = np.sqrt(2 / len(mine))
        assert (abs(mine.var(0) / theirs.covariances_[m] - 1) < STANDARD_ERRORS * share).all()
    error = np.sqrt(ours.weights_ * (1 - ours.weights_) / 4000)
    shares = np.bincount(labels, minlength=3) / 4000
    assert (abs(shares - ours.weights_) < STANDARD_ERRORS * error).all()


def test_draws_of_ppca_have_its_mean_and_covariance():
    ours = PPCAEstimator(2, random_state=0).fit(X)
    draws = ours.sample(4000)
    weight, bias = ours.model_.weight.detach().numpy(), ours.model_.bias.detach().numpy()
    covariance = weight @ weight.T + ours.noise_variance_ * np.eye(4)
    error = np.sqrt(np.diag(covariance) / 4000)
    assert (abs(draws.mean(0) - bias) < STANDARD_ERRORS * error).all()
    ratio = draws.var(0) / np.diag(covariance)
    assert (abs(ratio - 1) < STANDARD_ERRORS * np.sqrt(2 / 4000)).all()


def by_quadrature(vae, rows):
    """Log p(x) of a VAE with one latent dimension and sigma shared, in the units of X."""
    z = np.linspace(-12, 12, 4001)
    means = vae.inverse_transform(z[:, None])
    scale = float(vae.model_.likelihood.sigma(vae.model_.decoder[-1].bias).detach())
    scale = scale * vae.units_.affine.scale.numpy()
    terms = stats.norm(means, scale).logpdf(rows[:, None]).sum(-1) + stats.norm.logpdf(z)
    return logsumexp(terms, axis=1) + np.log(z[1] - z[0])


@a_few_always("standardise", ["auto", False])
def test_log_px_of_a_vae_is_that_of_quadrature(standardise):
    settings = {"epochs": 50, "learning_rate": 1e-2, "num_particles": 2000}
    vae = small_vae(standardise=standardise, **settings).fit(X - X.mean(0))
    rows = X[:4] - X.mean(0)
    programs = vae.model_.model, vae.model_.guide
    how = {"num_particles": 2000, "seed": vae.seed_}
    error = log_evidence(*programs, vae.units_.forward(rows), **how)
    error = error["log_evidence_se"].values
    assert (error < 0.1).all()
    distance = vae.score_samples(rows) - by_quadrature(vae, rows)
    assert (abs(distance) < STANDARD_ERRORS * error).all()


def test_draws_of_a_vae_have_the_moments_of_its_story():
    vae = small_vae(epochs=20).fit(X)
    draws = vae.sample(4000)
    z = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    means = vae.inverse_transform(z[:, None])
    error = draws.std(0) / np.sqrt(4000)
    assert (abs(draws.mean(0) - means.mean(0)) < STANDARD_ERRORS * error).all()


@pytest.mark.parametrize("make", [small_vae, small_mixture])
def test_units_move_log_px_by_the_jacobian_alone(make):
    rows = X[:6]
    one, other = make().fit(X), make().fit(1000 * X)
    expected = one.score_samples(rows) - X.shape[1] * np.log(1000)
    np.testing.assert_allclose(other.score_samples(1000 * rows), expected, atol=1e-4)
    np.testing.assert_allclose(other.transform(1000 * rows), one.transform(rows), atol=1e-6)
    back = [e.inverse_transform(e.transform(k * rows)) / k for e, k in ((one, 1), (other, 1000))]
    np.testing.assert_allclose(*back, rtol=1e-6)


def test_columns_of_counts_keep_their_units_beside_real_ones():
    counts = RNG.poisson(3.0, size=(80, 1))
    table = np.hstack([X[:, :1], counts, X[:, 3:] > 100])
    parts = [Normal(), "poisson", "bernoulli"]
    vae = small_vae(likelihood=parts).fit(table)
    assert vae.units_.rescaled.tolist() == [True, False, False]
    assert vae.units_.log_jacobian == pytest.approx(-np.log(X[:, 0].std()))
    draws = vae.sample(200)
    assert (draws[:, 1:] == draws[:, 1:].round()).all()
    assert set(draws[:, 2]) == {0.0, 1.0}
    assert draws[:, 0].mean() == pytest.approx(X[:, 0].mean(), abs=1.0)
    scaled = table * [10, 1, 1]
    twin = small_vae(likelihood=parts).fit(scaled)
    expected = vae.score_samples(table[:5]) - np.log(10)
    np.testing.assert_allclose(twin.score_samples(scaled[:5]), expected, atol=1e-4)


def test_equal_rows_have_equal_numbers():
    vae = small_vae().fit(X)
    twice = vae.score_samples(np.concatenate([X[:2], X[:2]]))
    np.testing.assert_array_equal(twice[:2], twice[2:])
