"""Tables with missing cells: log p of the observed ones, in the units of X, and nothing else."""

import functools

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp, softmax
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from pyro_vae.inference import log_evidence
from pyro_vae.models.likelihoods import Normal
from pyro_vae.sklearn import PPCAEstimator
from tests.cases import a_few_always
from tests.sklearn.cases import small_mixture, small_vae, spied_fit
from tests.tolerances import STANDARD_ERRORS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 2)) @ RNG.normal(size=(2, 4)) + 0.3 * RNG.normal(size=(80, 4))
X = X * [1.0, 20.0, 0.1, 1.0] + [5.0, 0.0, -2.0, 100.0]
HOLES = RNG.random(X.shape) < 0.25
HOLES[3] = True
HOLED = np.where(HOLES, np.nan, X)

each = a_few_always("make", [small_vae, small_mixture], [small_mixture])


@functools.cache
def of_holes(make):
    return make(epochs=1).fit(HOLED)


@functools.cache
def of_whole(make):
    return make(epochs=1).fit(X)


def diagonal(mixture):
    """Shares, means and variances of a mixture of diagonal normals in the units of X."""
    variance = mixture.model_.likelihood(mixture.model_.eta).variance.detach().numpy()
    return mixture.weights_, mixture.means_, variance * mixture.units_.affine.scale.numpy() ** 2


def test_a_mixture_scores_the_observed_cells():
    ours = small_mixture(num_components=3).fit(HOLED)
    shares, means, variances = diagonal(ours)
    terms = stats.norm(means, variances**0.5).logpdf(X[:, None])
    joint = np.log(shares) + (terms * ~HOLES[:, None]).sum(-1)
    np.testing.assert_allclose(ours.score_samples(HOLED), logsumexp(joint, 1), atol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(HOLED), softmax(joint, 1), atol=1e-9)
    assert (ours.predict(HOLED) == joint.argmax(1)).all()
    assert ours.score_samples(HOLED)[3] == pytest.approx(0.0, abs=1e-9)


def test_a_vae_scores_the_observed_cells():
    rows, holed = X - X.mean(0), HOLED - X.mean(0)
    vae = small_vae(epochs=20, learning_rate=1e-2, num_particles=2000).fit(holed)
    assert vae.model_.missing == "mask"
    z = np.linspace(-12, 12, 4001)
    scale = float(vae.model_.likelihood.sigma(vae.model_.decoder[-1].bias).detach())
    scale = scale * vae.units_.affine.scale.numpy()
    terms = stats.norm(vae.inverse_transform(z[:, None]), scale).logpdf(rows[:6, None])
    terms = (terms * ~HOLES[:6, None]).sum(-1) + stats.norm.logpdf(z)
    expected = logsumexp(terms, axis=1) + np.log(z[1] - z[0])
    told = {"x": vae.units_.forward(holed[:6]), "observed": ~HOLES[:6]}
    error = log_evidence(vae.model_.model, vae.model_.guide, told, 2000, seed=vae.seed_)
    error = error["log_evidence_se"].values
    assert (error < 0.1).all()
    distance = abs(vae.score_samples(holed[:6]) - expected)
    assert (distance < STANDARD_ERRORS * error + 1e-6).all()


@each
def test_units_are_of_the_observed_cells(make):
    one, other = of_holes(make), make(epochs=1).fit(1000 * HOLED)
    np.testing.assert_allclose(one.units_.affine.location, np.nanmean(HOLED, 0))
    np.testing.assert_allclose(one.units_.affine.scale, np.nanstd(HOLED, 0))
    expected = one.score_samples(HOLED) - np.log(1000) * (~HOLES).sum(1)
    np.testing.assert_allclose(other.score_samples(1000 * HOLED), expected, atol=1e-4)


@each
def test_a_table_without_holes_is_fitted_as_if_there_were_no_such_argument(make):
    auto, none = of_whole(make), make(epochs=1, missing="none").fit(X)
    assert auto.model_.missing == "none"
    np.testing.assert_array_equal(auto.score_samples(X), none.score_samples(X))
    np.testing.assert_array_equal(auto.transform(X), none.transform(X))


@each
def test_a_row_has_the_same_numbers_beside_whatever_rows(make):
    fitted = of_holes(make)
    order = np.random.default_rng(1).permutation(len(X))[:20]
    both = np.concatenate([HOLED[order], X[:3], HOLED[order]])
    scores, codes = fitted.score_samples(both), fitted.transform(both)
    np.testing.assert_array_equal(scores[:20], scores[23:])
    np.testing.assert_allclose(scores[:20], fitted.score_samples(HOLED)[order], atol=1e-9)
    np.testing.assert_allclose(codes[:20], fitted.transform(HOLED)[order], atol=1e-9)
    # Whole rows among holed ones are as they are alone.
    np.testing.assert_allclose(scores[20:23], fitted.score_samples(X[:3]), atol=1e-9)


@each
def test_no_nan_says_anything_but_that_it_is_one(make):
    """Other bits of a NaN, and pandas' NA, give the same fit and the same numbers."""
    pd = pytest.importorskip("pandas")
    other = HOLED.copy()
    other.view(np.int64)[HOLES] = np.array(-np.nan).view(np.int64) | 77
    scores = of_holes(make).score_samples(HOLED)
    np.testing.assert_array_equal(make(epochs=1).fit(other).score_samples(other), scores)
    frame = pd.DataFrame(HOLED, columns=list("abcd")).convert_dtypes()
    assert frame.iloc[3, 0] is pd.NA
    found = make(epochs=1).fit(frame).score_samples(frame)
    np.testing.assert_allclose(found, scores, atol=1e-6)


def test_ways_with_missing_cells():
    masked, zeros = (small_vae(epochs=1, missing=way).fit(HOLED) for way in ("mask", "zeros"))
    assert (masked.model_.missing, zeros.model_.missing) == ("mask", "zeros")
    assert (masked.score_samples(HOLED)[:3] != zeros.score_samples(HOLED)[:3]).all()
    # Told so, a model of a whole table takes rows with holes.
    later = small_mixture(epochs=1, missing="marginal").fit(X).score_samples(HOLED)
    assert np.isfinite(later).all()


def test_a_fold_of_a_table_with_holes():
    estimator = small_mixture(epochs=1)
    scores = cross_val_score(estimator, HOLED, cv=2, error_score="raise")
    half = len(X) // 2
    alone = clone(estimator).fit(HOLED[half:]).score(HOLED[:half])
    assert scores[0] == pytest.approx(alone, abs=1e-9)
    assert np.isfinite(scores).all()


def test_columns_of_other_kinds():
    generator = np.random.default_rng(2)
    rate = generator.gamma(2.0, 1.0, size=80)
    table = np.column_stack(
        [X[:, 0], generator.poisson(rate), rate > 2.0, generator.binomial(7, 0.5, 80), rate]
    )
    table[HOLES.any(1)[:, None] & (generator.random(table.shape) < 0.4)] = np.nan
    parts = [Normal(), "poisson", "bernoulli", "binomial", "gamma"]
    vae = small_vae(epochs=1, likelihood=parts).fit(table)
    assert vae.model_.likelihood.columns[3].total_count == np.nanmax(table[:, 3])
    assert np.isfinite(vae.score_samples(table)).all()
    # The code is of the observed cells alone.
    assert np.isfinite(vae.transform(table)).all()
    assert not np.isnan(vae.inverse_transform(vae.transform(table))).any()
    with pytest.raises(ValueError, match="outside the support of the poisson"):
        vae.score(np.where(np.isnan(table), np.nan, -1.0))


@each
def test_what_is_refused(make):
    whole = of_whole(make)
    way = "mask" if make is small_vae else "marginal"
    name = type(whole).__name__
    words = rf"NaN \(row 0, column \d\), and {name} was fitted as a model of whole .*'{way}'"
    for method in (whole.score, whole.score_samples, whole.transform):
        with pytest.raises(ValueError, match=words):
            method(HOLED)
    infinite = HOLED.copy()
    infinite[1, 1] = np.inf
    for call in (make().fit, of_holes(make).score):
        with pytest.raises(ValueError, match="contains infinity"):
            call(infinite)
    with pytest.raises(ValueError, match=rf"missing got 'none', .*: take '{way}'"):
        make(missing="none").fit(HOLED)
    with pytest.raises(ValueError, match="missing got 'drop': it must be one of 'auto', 'none'"):
        make(missing="drop").fit(X)
    empty = HOLED.copy()
    empty[:, 2] = np.nan
    with pytest.raises(ValueError, match="column 2 of X has no observed cell"):
        make().fit(empty)
    assert make().__sklearn_tags__().input_tags.allow_nan
    assert not make(missing="none").__sklearn_tags__().input_tags.allow_nan


def test_pca_takes_no_missing_cells():
    with pytest.raises(ValueError, match="Input X contains NaN"):
        PPCAEstimator(1).fit(HOLED)
    assert not PPCAEstimator().__sklearn_tags__().input_tags.allow_nan


def test_training_is_told_of_every_hole_in_both_splits(monkeypatch):
    seen = spied_fit(monkeypatch)
    small_vae(epochs=1, validation_fraction=0.25).fit(HOLED)
    observed = torch.cat([seen[0].observed[split] for split in ("train", "validation")])
    assert int(observed.sum()) == int((~HOLES).sum())
    assert len(seen[0].validation) == 20
