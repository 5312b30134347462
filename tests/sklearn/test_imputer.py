"""Cells that are filled in, against enumeration and closed forms, and within scikit-learn."""

import copy
import functools
import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import softmax
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline

from pyro_vae.inference import impute
from pyro_vae.sklearn import ModelImputer, PPCAEstimator, VAEEstimator
from tests.sklearn.cases import small_imputer, small_mixture, small_vae
from tests.tolerances import STANDARD_ERRORS

pd = pytest.importorskip("pandas")

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(60, 1))
X = [5.0, 100.0, -2.0] + Z * [2.0, -30.0, 0.4] + RNG.normal(size=(60, 3)) * [0.3, 5.0, 0.05]
HOLES = RNG.random(X.shape) < 0.25
HOLES[:2] = [[True] * 3, [False] * 3]
HOLED = np.where(HOLES, np.nan, X)
#: Some rows: what is filled in takes time.
SOME, SOME_HOLES = HOLED[:12], HOLES[:12]
FRAME = pd.DataFrame(HOLED, columns=["a", "b", "c"], index=range(100, 160))

STRATEGIES = ["mean", "median", "most_frequent", "draw"]


@functools.cache
def fitted(make=small_mixture, **settings):
    return small_imputer(make(epochs=1), **settings).fit(HOLED)


def clone_as(imputer, **settings):
    """A fitted imputer with other settings."""
    return copy.copy(imputer).set_params(**settings)


def told_of(imputer, rows, num_particles):
    """What ``impute`` says of rows by the same particles."""
    units = imputer.estimator_.units_
    told = {"x": units.rounded(units.forward(rows)), "observed": ~np.isnan(rows)}
    model = imputer.estimator_.model_
    return impute(model, told, num_particles, draws=0, seed=imputer.seed_)


def wide_mixture():
    """Components enough for the line that X is about."""
    return small_mixture(num_components=6, epochs=5)


# What is filled in


def test_the_mean_of_a_mixture_is_that_of_enumeration():
    imputer = small_imputer(wide_mixture()).fit(HOLED)
    mixture = imputer.estimator_
    variance = mixture.model_.likelihood(mixture.model_.eta).variance.detach().numpy()
    scale = variance**0.5 * mixture.units_.affine.scale.numpy()
    terms = stats.norm(mixture.means_, scale).logpdf(X[:12, None]) * ~SOME_HOLES[:, None]
    shares = softmax(np.log(mixture.weights_) + terms.sum(-1), axis=1)
    expected = np.where(SOME_HOLES, shares @ mixture.means_, X[:12])
    found = imputer.transform(SOME)
    # Rows are rounded to float32 before.
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # All is missing: the mean of the model.
    np.testing.assert_allclose(found[0], mixture.weights_ @ mixture.means_, rtol=1e-12)


def test_a_linear_vae_fills_in_what_the_normal_distribution_says():
    """Decoder without hidden layer: x is normal, and so is x_mis given x_obs, in closed form."""
    vae = small_vae(hidden=(), epochs=20, learning_rate=0.05, batch_size=20)
    imputer = ModelImputer(vae, num_particles=1000, random_state=1).fit(HOLED)
    vae = imputer.estimator_
    bias = vae.inverse_transform([[0.0]])[0]
    weight = vae.inverse_transform([[1.0]])[0] - bias
    sigma = vae.model_.likelihood.sigma(vae.model_.decoder[-1].bias).detach().numpy()
    scale = vae.units_.affine.scale.numpy()
    covariance = np.outer(weight, weight) + np.diag((sigma * scale) ** 2)
    results = told_of(imputer, HOLED[:20], 1000)
    some = HOLES[:20].any(1) & ~HOLES[:20].all(1) & (results["khat"].values < 0.5)
    rows = np.flatnonzero(some)[:6]
    assert len(rows) == 6
    found = imputer.transform(HOLED[rows])
    median = clone_as(imputer, strategy="median").transform(HOLED[rows])
    draws = imputer.draws(HOLED[rows], 400)
    for place, row in enumerate(rows):
        there, gone = ~HOLES[row], HOLES[row]
        gain = covariance[np.ix_(gone, there)] @ np.linalg.inv(covariance[np.ix_(there, there)])
        mean = bias[gone] + gain @ (X[row] - bias)[there]
        variance = np.diag(covariance[np.ix_(gone, gone)] - gain @ covariance[np.ix_(there, gone)])
        sd, size = np.sqrt(variance), float(results["ess"][row])
        error = (results["mean_se"].values[row] * scale)[gone]
        assert (abs(found[place, gone] - mean) < STANDARD_ERRORS * error).all()
        # Of a median of n draws, sqrt(pi / 2) sd / sqrt(n), with n their effective number.
        error = np.sqrt(np.pi / 2 / size) * sd
        assert (abs(median[place, gone] - mean) < STANDARD_ERRORS * error).all()
        drawn, share = draws[:, place][:, gone], 1 / 400 + 1 / size
        assert (abs(drawn.mean(0) - mean) < STANDARD_ERRORS * np.sqrt(share) * sd).all()
        assert (abs(drawn.var(0) / variance - 1) < STANDARD_ERRORS * np.sqrt(2 * share)).all()


def test_it_is_nearer_than_the_mean_of_the_column():
    """Columns have correlations of 0.98: the error is below a half of that of SimpleImputer."""
    ours = small_imputer(wide_mixture()).fit_transform(HOLED)
    theirs = SimpleImputer().fit_transform(HOLED)
    # Nothing is known of the row without any observed cell.
    cells = HOLES & ~HOLES.all(1, keepdims=True)
    for column in range(3):
        error = [
            np.sqrt(((t - X)[:, column][cells[:, column]] ** 2).mean()) for t in (ours, theirs)
        ]
        assert error[0] < 0.5 * error[1]


def test_discrete_cells_are_values_of_their_columns():
    counts = RNG.poisson(np.exp(Z + 1.0))
    table = np.column_stack([HOLED[:, 0], counts, counts > 2])
    table[5:15, 1], table[10:20, 2] = np.nan, np.nan
    parts = ["normal", "poisson", "bernoulli"]
    imputer = small_imputer(small_mixture(likelihood=parts)).fit(table)
    filled = {
        strategy: clone_as(imputer, strategy=strategy).transform(table[:20])
        for strategy in ("mean", "most_frequent", "draw")
    }
    for strategy in ("most_frequent", "draw"):
        assert set(filled[strategy][:, 2]) == {0.0, 1.0}
        np.testing.assert_array_equal(filled[strategy][:, 1], filled[strategy][:, 1].round())
        assert np.isfinite(filled[strategy]).all()
    assert (0 < filled["mean"][10:20, 2]).all()
    assert (filled["mean"][10:20, 2] < 1).all()


def test_draws_are_tables_with_the_observed_cells():
    imputer = fitted()
    tables = imputer.draws(SOME, 7)
    assert tables.shape == (7, 12, 3)
    assert (tables[:, ~SOME_HOLES] == SOME[~SOME_HOLES]).all()
    assert (tables[:, SOME_HOLES].std(0) > 0).all()
    np.testing.assert_array_equal(imputer.draws(SOME, 7), tables)
    one = small_imputer(small_mixture(epochs=1), strategy="draw").fit(HOLED).transform(SOME)
    np.testing.assert_array_equal(one, imputer.draws(SOME, 1)[0])
    # Equal rows have draws of their own, but one mean.
    twice = np.repeat(HOLED[:1], 2, axis=0)
    assert (imputer.draws(twice, 1)[0, 0] != imputer.draws(twice, 1)[0, 1]).all()
    np.testing.assert_array_equal(*imputer.transform(twice))
    with pytest.raises(ValueError, match="n_draws got 0"):
        imputer.draws(SOME, 0)


# What has no effect


@pytest.mark.parametrize("make", [small_vae, small_mixture])
def test_what_stands_in_a_missing_cell_has_no_effect(make):
    codes = small_imputer(make(epochs=1), missing_values=-1).fit(np.where(HOLES, -1, X))
    found = codes.transform(np.where(SOME_HOLES, -1, SOME))
    np.testing.assert_array_equal(found, fitted(make).transform(SOME))
    with pytest.raises(ValueError, match="contains NaN"):
        codes.transform(SOME)


@pytest.mark.parametrize("make", [small_vae, small_mixture])
def test_a_row_is_filled_in_without_a_look_at_the_others(make):
    imputer = fitted(make)
    whole = imputer.transform(SOME)
    rows = np.random.default_rng(1).permutation(12)[:5]
    np.testing.assert_allclose(imputer.transform(SOME[rows]), whole[rows], rtol=1e-9)
    np.testing.assert_allclose(
        imputer.draws(SOME[rows], 2), imputer.draws(SOME, 2)[:, rows], rtol=1e-9
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_observed_cells_come_back_to_the_bit(strategy):
    odd = HOLED.copy()
    odd[1] = [np.nextafter(5.0, 6.0), 1e-300, -0.0]
    found = small_imputer(small_mixture(epochs=1), strategy=strategy).fit(odd).transform(odd[:12])
    np.testing.assert_array_equal(
        found[~SOME_HOLES].view(np.int64), odd[:12][~SOME_HOLES].view(np.int64)
    )
    assert np.isfinite(found).all()


@pytest.mark.parametrize("make", [small_vae, small_mixture])
def test_units_move_what_is_filled_in_by_themselves_alone(make):
    metres = fitted(make).transform(SOME)
    millimetres = small_imputer(make(epochs=1)).fit(1000 * HOLED).transform(1000 * SOME)
    np.testing.assert_allclose(millimetres / 1000, metres, rtol=1e-6)


def test_nothing_is_kept_of_what_was_transformed():
    imputer = fitted()
    before = pickle.dumps(vars(imputer))
    imputer.transform(HOLED[:5])
    imputer.draws(HOLED[:5], 2)
    assert pickle.dumps(vars(imputer)) == before


@pytest.mark.slow
def test_the_random_state():
    settings = {"strategy": "draw", "num_particles": 20}
    by_seed = [
        ModelImputer(small_vae(epochs=1, random_state=None), random_state=s, **settings).fit(HOLED)
        for s in (0, 0, 1)
    ]
    tables = [imputer.transform(SOME) for imputer in by_seed]
    np.testing.assert_array_equal(tables[0], tables[1])
    assert (tables[0] != tables[2])[SOME_HOLES].all()
    assert by_seed[0].estimator_.random_state == by_seed[0].seed_
    # An estimator's own seed stays, and it is not trained itself.
    given = small_mixture(epochs=1)
    other = ModelImputer(given, random_state=3, num_particles=20).fit(HOLED)
    assert other.estimator_.random_state == given.random_state == 0
    np.testing.assert_array_equal(other.transform(SOME), fitted().transform(SOME))
    assert not hasattr(given, "model_")
    assert given.missing == "auto"


# Columns and rows that are empty


def test_columns_that_are_empty():
    table = np.insert(HOLED, 1, np.nan, axis=1)
    without, kept = (
        small_imputer(small_mixture(epochs=1), keep_empty_features=keep).fit(table)
        for keep in (False, True)
    )
    expected = fitted().transform(SOME)
    np.testing.assert_array_equal(without.transform(table[:12]), expected)
    assert list(without.get_feature_names_out()) == ["x0", "x2", "x3"]
    assert list(without.empty_features_) == [1]
    assert without.draws(table[:12], 2).shape == (2, 12, 3)
    later = table[:12].copy()
    later[4, 1] = 7.0
    found = kept.transform(later)
    np.testing.assert_array_equal(np.delete(found, 1, axis=1), expected)
    assert found[4, 1] == 7.0
    assert (np.delete(found[:, 1], 4) == 0).all()
    theirs = SimpleImputer(keep_empty_features=True).fit(table)
    assert list(kept.get_feature_names_out()) == list(theirs.get_feature_names_out())
    with pytest.raises(ValueError, match="X has no observed cell: each is nan"):
        small_imputer().fit(np.full((4, 2), np.nan))


def test_a_column_whose_cells_are_missing_later():
    for make in (small_mixture, small_vae):
        imputer = small_imputer(make(epochs=1)).fit(X)
        rows = X[:5].copy()
        rows[:, 1] = np.nan
        found = imputer.transform(rows)
        np.testing.assert_array_equal(np.delete(found, 1, 1), np.delete(X[:5], 1, 1))
        assert (abs(found[:, 1] - X[:, 1].mean()) < 5 * X[:, 1].std()).all()
        np.testing.assert_array_equal(imputer.transform(X), X)


@pytest.mark.slow
def test_rows_that_are_not_to_be_relied_on_are_warned_of():
    imputer = small_imputer(small_vae(epochs=1, hidden=()), num_particles=50).fit(HOLED)
    # Particles that are closer together than what they stand for.
    imputer.estimator_.model_.encoder[-1].bias.data[1] -= 2.0
    rows = HOLED[HOLES.any(1)][:10]
    khat = told_of(imputer, rows, 50)["khat"]
    above = int((khat > 0.7).sum())
    assert 0 < above < 10
    words = rf"k-hat is above 0\.7 for {above} of 10 rows with missing cells"
    for method in (imputer.transform, imputer.draws):
        with pytest.warns(UserWarning, match=words) as caught:
            method(np.concatenate([rows, X[:3]]))
        assert [warning.filename for warning in caught] == [__file__]


# Within scikit-learn


@pytest.mark.slow
def test_in_front_of_a_classifier():
    y = (Z[:, 0] > 0).astype(int)
    pipeline = make_pipeline(small_imputer(), LogisticRegression())
    scores = cross_val_score(pipeline, HOLED, y, cv=2, error_score="raise")
    assert scores.mean() > 0.8


@pytest.mark.slow
def test_a_grid_over_a_setting_of_the_model():
    y = (Z[:, 0] > 0).astype(int)
    pipeline = Pipeline(
        [("imputer", small_imputer(small_vae(epochs=1))), ("classifier", LogisticRegression())]
    )
    grid = {"imputer__estimator__latent_dim": [1, 2]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(HOLED[:24], y[:24])
    best = search.best_estimator_["imputer"]
    assert best.estimator_.model_.latent_dim == best.estimator.latent_dim in (1, 2)
    assert pipeline["imputer"].estimator.latent_dim == 1


def test_some_columns_of_a_frame():
    both = ColumnTransformer(
        [("ours", small_imputer(), ["a", "c"]), ("theirs", SimpleImputer(), ["b"])]
    ).set_output(transform="pandas")
    found = both.fit_transform(FRAME[:24])
    assert list(found.columns) == ["ours__a", "ours__c", "theirs__b"]
    assert found.index.equals(FRAME.index[:24])
    alone = small_imputer().fit_transform(FRAME[:24][["a", "c"]])
    np.testing.assert_array_equal(found.iloc[:, :2], alone)


def test_frames_in_and_out():
    imputer = small_imputer(add_indicator=True).set_output(transform="pandas").fit(FRAME)
    found = imputer.transform(FRAME[:12])
    names = ["a", "b", "c", "missingindicator_a", "missingindicator_b", "missingindicator_c"]
    assert list(found.columns) == list(imputer.get_feature_names_out()) == names
    assert found.index.equals(FRAME.index[:12])
    np.testing.assert_allclose(found.iloc[:, :3], fitted().transform(SOME), rtol=1e-6)
    nullable = FRAME[:12].convert_dtypes()
    np.testing.assert_allclose(imputer.transform(nullable), found, rtol=1e-6)
    with pytest.raises(ValueError, match="feature names should match"):
        imputer.transform(FRAME.rename(columns=str.upper))


def test_the_indicator_is_that_of_scikit_learn():
    table = HOLED.copy()
    table[:, 2] = X[:, 2]
    imputer = small_imputer(add_indicator=True).fit(table)
    theirs = MissingIndicator(error_on_new=False).fit(table)
    found = imputer.transform(SOME)
    assert found.shape == (12, 5)
    np.testing.assert_array_equal(found[:, 3:], theirs.transform(SOME))
    simple = SimpleImputer(add_indicator=True).fit(table)
    assert list(imputer.get_feature_names_out()) == list(simple.get_feature_names_out())
    np.testing.assert_array_equal(found[:, 3:], simple.transform(SOME)[:, 3:])


def test_it_is_cloned_kept_and_brought_back(tmp_path):
    imputer = fitted()
    again = pickle.loads(pickle.dumps(imputer))
    np.testing.assert_array_equal(again.transform(SOME), imputer.transform(SOME))
    twin = clone(imputer)
    assert not hasattr(twin, "estimator_")
    np.testing.assert_array_equal(twin.fit(HOLED).transform(SOME), imputer.transform(SOME))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strategy": "mode"}, "strategy got 'mode': it must be one of 'mean', 'median'"),
        ({"missing_values": "?"}, r"missing_values got '\?': it must be a number"),
        ({"num_particles": 0}, "num_particles got 0"),
        ({"estimator": PPCAEstimator()}, r"estimator got PPCAEstimator\(\): it must be a VAEEst"),
        ({"estimator": small_vae(missing="none")}, "missing='none', which refuses missing cells"),
    ],
    ids=["strategy", "code", "particles", "pca", "whole"],
)
def test_settings_are_refused(settings, words, monkeypatch):
    monkeypatch.setattr("pyro_vae.sklearn.base.fit", None)  # before any training
    with pytest.raises(ValueError, match=words):
        small_imputer(**settings).fit(HOLED)


def test_the_default_is_a_vae_for_missing_cells():
    imputer = ModelImputer(random_state=0).fit(X[:4])
    assert isinstance(imputer.estimator_, VAEEstimator)
    assert imputer.estimator_.model_.missing == "mask"
    assert imputer.estimator is None


def test_one_full_covariance_gives_the_conditional_mean():
    """That of the fitted normal, exactly, in the units of X."""
    mixture = small_mixture(num_components=1, likelihood="multivariate-normal")
    imputer = small_imputer(estimator=mixture).fit(HOLED)
    model, units = imputer.estimator_.model_, imputer.estimator_.units_
    with torch.no_grad():
        law = model.likelihood(model.eta)
        scale = units.affine.scale.numpy()
        mean = units.inverse(law.mean)[0]
        covariance = law.covariance_matrix[0].numpy() * np.outer(scale, scale)
    filled = imputer.transform(HOLED)
    for row, given in zip(filled, np.asarray(HOLED), strict=True):
        there = ~np.isnan(given)
        if there.all() or not there.any():
            continue
        inverse = np.linalg.inv(covariance[np.ix_(there, there)])
        expected = mean[~there] + covariance[np.ix_(~there, there)] @ inverse @ (
            given[there] - mean[there]
        )
        np.testing.assert_allclose(row[~there], expected, rtol=1e-6, atol=1e-8)
