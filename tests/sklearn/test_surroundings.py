"""The estimators in what scikit-learn builds of estimators, and in what they are kept in."""

import pickle

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pyro_vae.data.dataset import SPLITS
from pyro_vae.inference.training.objectives import BetaELBO
from pyro_vae.models.likelihoods import Laplace, Normal, PerColumn, StudentT
from pyro_vae.models.priors import MixtureOfNormals
from pyro_vae.networks import Dense
from pyro_vae.sklearn import VAEEstimator
from tests.cases import a_few_always
from tests.sklearn.cases import ESTIMATORS, OF_OBJECTS, small_mixture, small_vae, spied_fit

IRIS = load_iris(as_frame=True)
FRAME = IRIS.data.iloc[::6]
X = FRAME.to_numpy()
each = a_few_always(
    "estimator", [*ESTIMATORS, OF_OBJECTS], ESTIMATORS, ids=lambda e: type(e).__name__
)


def numbers(estimator):
    codes = estimator.transform(X)
    draws = estimator.sample(3)
    draws = draws[0] if isinstance(draws, tuple) else draws
    back = estimator.inverse_transform(codes)
    return np.hstack([codes.ravel(), estimator.score_samples(X), draws.ravel(), back.ravel()])


@each
def test_the_same_random_state_gives_the_same_numbers_whatever_others_draw(estimator):
    found = []
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(seed)
        found.append(numbers(clone(estimator).fit(X)))
        # Nor do ours move the generators of others.
        assert np.random.random() == np.random.RandomState(seed).random()
        assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(seed))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("make", [small_vae, small_mixture])
def test_another_random_state_gives_others(make):
    one, other = (make(random_state=seed).fit(X) for seed in (0, 1))
    assert (one.score_samples(X) != other.score_samples(X)).all()
    assert not np.array_equal(one.sample(3, random_state=5)[0], one.sample(3)[0])


def test_the_random_state_of_a_mixture_is_that_of_its_clusters():
    still = {"epochs": 1, "learning_rate": 1e-9, "validation_fraction": 0}
    found = [small_mixture(num_components=5, random_state=s, **still).fit(X) for s in range(3)]
    ends = {tuple(np.sort(mixture.means_[:, 0]).round(3)) for mixture in found}
    assert len(ends) > 1


def test_rows_that_are_held_out_say_when_to_stop():
    rows = np.random.default_rng(0).normal(size=(30, 2))
    settings = {"hidden": (32,), "epochs": 200, "learning_rate": 0.02}
    stopped = small_vae(**settings, validation_fraction=0.4, patience=3).fit(rows)
    assert stopped.n_iter_ == stopped.best_epoch_ + 3 < 200
    bound = stopped.metrics_["validation_elbo"]
    assert bound.idxmax() + 1 == stopped.best_epoch_
    without = small_vae(validation_fraction=0).fit(rows)
    assert without.metrics_["validation_elbo"].isna().all()
    assert without.n_iter_ == without.best_epoch_ == 2


def test_rows_are_trained_on_or_held_out(monkeypatch):
    seen = spied_fit(monkeypatch)
    rows = np.arange(24.0)[:, None]
    small_vae(validation_fraction=0.26, standardise=False).fit(rows)
    train, validation = (set(getattr(seen[0], s).flatten().tolist()) for s in SPLITS[:2])
    assert len(validation) == 6
    assert len(train) == 18
    assert train | validation == set(rows[:, 0])


@each
def test_a_fitted_estimator_is_kept_and_brought_back(estimator, tmp_path):
    fitted = clone(estimator).fit(X)
    before = numbers(fitted)
    np.testing.assert_array_equal(numbers(pickle.loads(pickle.dumps(fitted))), before)
    joblib.dump(fitted, tmp_path / "estimator")
    np.testing.assert_array_equal(numbers(joblib.load(tmp_path / "estimator")), before)
    assert not vars(clone(fitted)).keys() - clone(fitted).get_params(deep=False).keys()


def test_a_fit_leaves_the_parts_that_it_was_given_and_shares_none():
    parts = {
        "likelihood": PerColumn([Normal(), Normal("latent"), StudentT(), "laplace"]),
        "prior": MixtureOfNormals(2),
        "guide": "full-covariance-normal",
    }
    objective = BetaELBO(schedule="linear")
    told = dict(vars(objective))
    before = {role: repr(part) for role, part in parts.items()}
    one, other = (small_vae(**parts, objective=objective).fit(X) for _ in range(2))
    assert {role: repr(part) for role, part in parts.items()} == before
    assert vars(objective) == told
    assert not parts["likelihood"].built
    assert not parts["prior"].built
    assert not list(parts["prior"].parameters())
    mine, theirs = ({id(p) for p in e.model_.parameters()} for e in (one, other))
    assert not mine & theirs
    np.testing.assert_array_equal(numbers(one), numbers(other))


def test_a_list_of_likelihoods_is_one_for_each_column():
    vae = small_vae(likelihood=[Normal(), "laplace", StudentT(), Normal("latent")]).fit(X)
    names = [column.name for column in vae.model_.likelihood.columns]
    assert names == ["normal", "laplace", "student-t", "normal"]


def test_settings_of_a_part_by_its_name():
    given = Normal()
    vae = small_vae(likelihood=given, prior=MixtureOfNormals(2), encoder=Dense((4,)))
    assert vae.get_params()["prior__num_components"] == 2
    vae.set_params(
        likelihood__scale="latent", prior__num_components=np.int64(3), encoder__activation="tanh"
    )
    assert (vae.likelihood.scale, vae.prior.num_components) == ("latent", 3)
    assert vae.encoder == Dense((4,), activation="tanh")
    assert given.scale == "shared"
    vae.set_params(likelihood=Laplace(), likelihood__scale=0.5)
    assert repr(vae.likelihood) == "Laplace(scale=0.5, min_scale=0.001)"
    vae.fit(X)
    assert vae.model_.prior.num_components == 3
    for name, words in (
        ("likelihood__scales", "no setting 'scales'"),
        ("encoder__widths", "no setting 'widths'"),
        ("guide__rank", "guide is 'mean-field-normal' and no object"),
        ("nothing__rank", "Invalid parameter 'nothing'"),
    ):
        with pytest.raises(ValueError, match=words):
            vae.set_params(**{name: 1})


@pytest.mark.slow
def test_a_grid_over_likelihoods_and_priors():
    grid = {
        "likelihood": [Normal("latent"), StudentT()],
        "prior": ["standard-normal", "mixture-of-normals(num_components=5)"],
        "latent_dim": np.arange(1, 2),
    }
    search = GridSearchCV(small_vae(epochs=1), grid, cv=2).fit(X)
    scores = search.cv_results_["mean_test_score"]
    assert len(set(scores)) == 4
    alone = clone(search.best_estimator_)
    assert cross_val_score(alone, X, cv=2).mean() == search.best_score_ == scores.max()
    within = GridSearchCV(small_vae(likelihood=Normal()), {"likelihood__scale": [0.5, "latent"]})
    within.set_params(cv=2).fit(X)
    assert within.best_estimator_.likelihood.scale in (0.5, "latent")


@pytest.mark.slow
def test_a_grid_in_two_processes_is_that_in_one():
    grid = {"likelihood": [Normal("latent"), StudentT()], "prior": ["normal", "laplace"]}
    found = [
        GridSearchCV(small_vae(epochs=1), grid, cv=2, n_jobs=jobs).fit(X).cv_results_
        for jobs in (1, 2)
    ]
    np.testing.assert_array_equal(*(results["mean_test_score"] for results in found))


@pytest.mark.parametrize("make", [small_vae, small_mixture])
def test_a_grid_in_two_threads_is_that_in_one(make):
    grid = {"learning_rate": [1e-3, 1e-2]}
    found = []
    for jobs in (1, 2):
        with joblib.parallel_config("threading", n_jobs=jobs):
            found.append(GridSearchCV(make(epochs=1), grid, cv=2).fit(X).cv_results_)
    np.testing.assert_array_equal(*(results["mean_test_score"] for results in found))


@each
def test_behind_a_scaler_in_a_pipeline(estimator):
    pipeline = make_pipeline(StandardScaler(), clone(estimator)).fit(X)
    scaled = StandardScaler().fit_transform(X)
    alone = clone(estimator).fit(scaled)
    assert pipeline.score(X) == alone.score(scaled)
    np.testing.assert_array_equal(pipeline.transform(X), alone.transform(scaled))
    np.testing.assert_allclose(
        pipeline.inverse_transform(pipeline.transform(X)),
        alone.inverse_transform(alone.transform(scaled)) * X.std(0) + X.mean(0),
    )


def test_frames_in_and_out():
    vae = small_vae(latent_dim=2).set_output(transform="pandas").fit(FRAME)
    codes = vae.transform(FRAME)
    assert list(codes.columns) == ["vaeestimator0", "vaeestimator1"]
    assert codes.index.equals(FRAME.index)
    assert list(vae.feature_names_in_) == list(FRAME.columns)
    plain = small_vae(latent_dim=2).fit(X)
    np.testing.assert_array_equal(codes.to_numpy(), plain.transform(X))
    with pytest.raises(ValueError, match="feature names should match"):
        vae.score(FRAME.rename(columns=str.upper))


def test_some_columns_of_a_table():
    columns = list(FRAME.columns)
    both = ColumnTransformer(
        [("vae", small_vae(), columns[:2]), ("mixture", small_mixture(), columns[2:])]
    ).set_output(transform="pandas")
    found = both.fit_transform(FRAME)
    names = ["vae__vaeestimator0", "mixture__mixtureestimator0", "mixture__mixtureestimator1"]
    assert list(found.columns) == names
    alone = small_vae().fit_transform(FRAME[columns[:2]])
    np.testing.assert_array_equal(found[names[:1]], alone)


def test_an_estimator_shows_what_it_was_made_of():
    vae = VAEEstimator(likelihood=StudentT(df=4), prior="laplace")
    text = repr(vae)
    assert "StudentT(df=4" in text
    assert "prior='laplace'" in text
    assert "hidden" not in text
    assert "StudentT" in vae._repr_html_()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"latent_dim": 0}, "latent_dim got 0"),
        ({"likelihood": 3}, "likelihood got 3: it must be a Likelihood object"),
        ({"likelihood": "gaussian"}, "unknown likelihood 'gaussian'"),
        ({"likelihood": ["normal"]}, "likelihood got a list of 1, and X has 4 columns"),
        ({"likelihood": "poisson(exposure=true)"}, "takes an exposure"),
        ({"likelihood": "bernoulli"}, "outside the support of the bernoulli"),
        ({"likelihood": "gamma", "standardise": True}, "standardise got True beside the gamma"),
        ({"standardise": "yes"}, "standardise got 'yes'"),
        ({"prior": Normal()}, r"prior got Normal\(.*: it must be a Prior object"),
        ({"guide": "full"}, "unknown guide 'full'"),
        ({"hidden": 8}, "hidden got 8: it must be the width of every hidden layer"),
        ({"hidden": (8, 0)}, "hidden"),
        ({"activation": "sine"}, "sine"),
        ({"decoder": (8,)}, r"decoder got \(8,\): it must be an Architecture"),
        ({"objective": "elbow"}, "unknown objective 'elbow'"),
        ({"epochs": 1.5}, "epochs got 1.5"),
        ({"batch_size": 0}, "batch_size got 0"),
        ({"learning_rate": -1.0}, "learning_rate got -1.0"),
        ({"schedule": "linear"}, "unknown schedule 'linear'"),
        ({"validation_fraction": 1.0}, "validation_fraction got 1.0"),
        ({"validation_fraction": 0.0, "patience": 3}, "patience got 3"),
        ({"num_particles": 0}, "num_particles got 0"),
        ({"random_state": "one"}, "'one' cannot be used to seed"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_a_setting_is_refused_when_it_is_fitted(settings, words):
    vae = small_vae(**settings)
    with pytest.raises(ValueError, match=words):
        vae.fit(X)


def test_data_are_refused():
    vae = small_vae().fit(X)
    with pytest.raises(ValueError, match="X has 3 columns, and a code of VAEEstimator has 1"):
        vae.inverse_transform(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="n_samples got 0"):
        vae.sample(0)
    counts = small_vae(likelihood="poisson").fit(X.round())
    assert counts.units_.log_jacobian == 0
    with pytest.raises(ValueError, match="outside the support of the poisson"):
        counts.transform(X)
    with pytest.raises(ValueError, match="a mixture of 9 components needs"):
        small_mixture(num_components=9).fit(X[:5])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        vae.score(np.full((2, 4), np.nan))


def test_counts_of_a_text_take_the_largest_of_the_data():
    counts = np.random.default_rng(0).binomial(7, 0.4, size=(60, 3))
    counts[0, 0] = 7
    vae = small_vae(likelihood="binomial").fit(counts)
    assert vae.model_.likelihood.total_count == 7
    assert vae.sample(100).max() <= 7
    by_column = small_vae(likelihood=["binomial", "poisson", "categorical"]).fit(counts)
    sizes = by_column.model_.likelihood.columns
    assert (sizes[0].total_count, sizes[2].num_classes) == (7, counts[:, 2].max() + 1)


def test_polars_frames():
    pl = pytest.importorskip("polars")
    vae = small_vae().set_output(transform="polars").fit(pl.DataFrame(FRAME.to_dict("list")))
    codes = vae.transform(pl.DataFrame(FRAME.to_dict("list")))
    assert codes.columns == ["vaeestimator0"]
