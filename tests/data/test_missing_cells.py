"""Data sets that say which of their cells are there."""

import numpy as np
import pytest
import torch

from pyro_vae.data import Dataset
from pyro_vae.data.affine import Affine
from pyro_vae.errors import ComparisonError, DataError, UnknownNameError
from pyro_vae.inference import compare, evaluate, fit, score
from pyro_vae.inference.evidence import ais, certify, conditional, gap_parts
from pyro_vae.inference.latents import reconstruction_error
from pyro_vae.inference.training import objective_named
from pyro_vae.models import PCA, VAE, LinearVAE, MixtureModel
from pyro_vae.models.likelihoods import Gamma, Normal, PerColumn, Poisson
from tests.cases import a_few_always
from tests.tolerances import STANDARD_ERRORS

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(60, 4, generator=GENERATOR) * torch.tensor([1.0, 2.0, 0.5, 1.0]) + 3.0
OBSERVED = torch.rand(60, 4, generator=GENERATOR) > 0.3


def holed(x=X, observed=OBSERVED, value=float("nan"), **settings):
    """Training rows 0 to 39, and 20 test rows."""
    x = torch.where(observed, x, value)
    masks = {"train": observed[:40], "test": observed[40:]}
    return Dataset.from_tensors(x[:40], test=x[40:], observed=masks, **settings)


def test_cells_that_are_missing_have_what_is_usual():
    data = holed()
    for d in range(4):
        mean = X[:40, d][OBSERVED[:40, d]].double().mean()
        for split, mask in (("train", OBSERVED[:40]), ("test", OBSERVED[40:])):
            filled = getattr(data, split)[~mask[:, d], d]
            assert torch.allclose(filled.double(), mean, rtol=1e-6)
    assert torch.equal(data.train[OBSERVED[:40]], X[:40][OBSERVED[:40]])
    share = 1 - OBSERVED.double().mean().item()
    assert f"{share:.1%} of the cells missing" in repr(data)
    counts = holed(torch.poisson(X.abs(), generator=GENERATOR), kind="counts")
    assert torch.equal(counts.train, counts.train.round())
    frame = data.to_frame("train")
    assert np.array_equal(frame.notna().to_numpy(), OBSERVED[:40].numpy())


def test_what_stood_there_has_no_effect():
    for settings in ({}, {"kind": "real"}):
        a, b = holed(**settings), holed(value=-1e9, **settings)
        assert torch.equal(a.train, b.train)
        assert torch.equal(a.standardised().test, b.standardised().test)
    binary = (X > 3).float()
    assert holed(binary).kind == holed(binary, value=2.0).kind == "binary"


def test_moments_are_those_of_the_observed_cells():
    data = holed().standardised()
    train = torch.where(OBSERVED[:40], X[:40].double(), float("nan")).numpy()
    np.testing.assert_allclose(data.affine.location, np.nanmean(train, 0), rtol=1e-6)
    np.testing.assert_allclose(data.affine.scale, np.nanstd(train, 0), rtol=1e-6)
    assert data.observed is not None
    assert data.original("train") is not None
    assert float(data.train[~OBSERVED[:40]].abs().max()) < 1e-6
    junk = torch.where(OBSERVED[:40], X[:40], -77.0)
    alone = Affine.standardising(junk, OBSERVED[:40])
    np.testing.assert_allclose(alone.location, np.nanmean(train, 0), rtol=1e-6)
    np.testing.assert_allclose(alone.scale, np.nanstd(train, 0), rtol=1e-6)
    x = X.clone()
    x[:, 1], x[:, 2] = 5.0, 7.0
    none = OBSERVED.clone()
    none[:, 2] = False
    scaled = holed(x, none).standardised()
    assert scaled.affine.scale[1:3].tolist() == [1.0, 1.0]


def test_digits_are_judged_by_the_observed_cells():
    offset = X.double() * 1e-3 + 1e6
    whole = Dataset.from_tensors(offset)
    assert holed(offset).train.dtype == whole.train.dtype == torch.float64


def test_inputs_name_the_mask():
    data = holed()
    given = data.inputs("test", ("observed",))
    assert torch.equal(given["observed"], OBSERVED[40:])
    with pytest.raises(DataError, match="missing cells, and the model is one of whole data"):
        data.inputs("test")
    whole = Dataset.from_tensors(X)
    assert whole.inputs("train", ("observed",))["observed"].all()
    all_there = Dataset.from_tensors(X, observed=torch.ones_like(OBSERVED))
    assert all_there.observed is None


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"observed": OBSERVED[:3]}, DataError, r"observed of train has shape \(3, 4\)"),
        ({"observed": 2.0 * OBSERVED}, DataError, "must be true and false"),
        ({"observed": {"train": OBSERVED, "tests": OBSERVED}}, UnknownNameError, "tests"),
        ({"test": torch.full((2, 4), torch.nan), "observed": OBSERVED}, DataError, "test has NaN"),
    ],
)
def test_refusals(settings, error, message):
    with pytest.raises(error, match=message):
        Dataset.from_tensors(X, **settings)


@pytest.mark.parametrize("model", [LinearVAE((4,), 1), PCA((4,), 1), MixtureModel(2, Normal())])
def test_a_model_of_whole_data_is_not_given_them(model):
    with pytest.raises(DataError, match="missing cells, and the model is one of whole data"):
        fit(model, holed(), epochs=1, batch_size=20)
    with pytest.raises(DataError, match="missing cells, and the model is one of whole data"):
        compare({"a": model}, holed(), num_particles=5)


def small(likelihood=None, **settings):
    likelihood = likelihood or Normal("per-feature")
    settings = {"missing": "mask", "encoder": (5,), "decoder": (5,), **settings}
    return VAE((4,), 1, likelihood=likelihood, **settings)


MODELS = {
    "vae": small,
    "zeros": lambda: small(missing="zeros"),
    "gamma": lambda: small(Gamma()),
    "table": lambda: small(PerColumn([Normal(), Gamma(), Gamma(), Normal()])),
    "linear": lambda: LinearVAE((4,), 2, missing="mask"),
    "mixture": lambda: MixtureModel(2, Normal("latent"), missing="marginal"),
}
#: Of positive numbers.
DATA = X.abs() + 0.1


@a_few_always("name", MODELS, ["vae", "mixture"])
def test_training_by_a_graph_and_through_handlers_is_the_same_to_the_bit(name):
    found = []
    for mode, value in (("off", float("nan")), ("graph", -7e7)):
        model = MODELS[name]()
        result = fit(model, holed(DATA, value=value), epochs=4, batch_size=16, compile=mode)
        found.append((result, model))
    (a, one), (b, other) = found
    assert a.compiled == "off"
    assert b.compiled == "graph" or name == "mixture"
    for key, weights in one.state_dict().items():
        assert torch.equal(weights, other.state_dict()[key]), key
        assert torch.isfinite(weights).all()


@pytest.mark.parametrize("objective", ["elbo", "iwae", "dreg", "renyi"])
def test_objectives_take_masks(objective):
    try:
        made = objective_named(objective)
    except UnknownNameError:
        pytest.skip(f"there is no {objective}")
    result = fit(small(), holed(), objective=made, epochs=2, batch_size=16)
    assert np.isfinite(result.metrics["train_elbo"]).all()


def test_comparisons_are_of_one_mask():
    models = {"a": small(), "b": LinearVAE((4,), 1, missing="zeros")}
    table = compare(models, holed(), num_particles=50).table
    assert len(table) == 2
    other = OBSERVED.clone()
    other[45, 1] = ~other[45, 1]
    # The cell that differs holds the value that stands in for it, so that x is the same.
    x = X.clone()
    x[45, 1] = holed().test[5, 1] if not OBSERVED[45, 1] else x[45, 1]
    with pytest.raises(ComparisonError, match="other missing cells"):
        compare(models, {"a": holed(), "b": holed(x, other)}, num_particles=20)


def test_columns_that_are_missing_have_no_contribution():
    model = small()
    fit(model, holed(), epochs=1, batch_size=20)
    data = holed().inputs("test", ("observed",))
    found = score(model, data, 200)
    assert np.array_equal(np.isnan(found["contribution"].values), ~OBSERVED[40:].numpy())
    measured = evaluate(model, data, 200)
    np.testing.assert_allclose(
        found["contribution"].sum("feature"), measured["reconstruction"], rtol=1e-6
    )


def linear_with_holes():
    """A model, four data with holes, and log p of what is there in closed form."""
    model = LinearVAE((4,), 1, missing="mask", scale=3.0).double()
    model.initialise(X, observed=OBSERVED)
    data = {"x": X[:4].double(), "observed": OBSERVED[:4]}
    return model, data, model.log_prob(**data).detach().numpy()


def test_annealing_from_the_prior_finds_log_p_of_the_observed_cells():
    """Within 5 standard errors, seed 1. From the guide, which is far, the way is longer."""
    model, data, exact = linear_with_holes()
    few = {"num_temperatures": 20, "num_leapfrog": 3}
    found = ais(model.model, model.guide, data, start="prior", seed=1, **few)
    error = found["log_evidence_se"].values
    assert (error < 0.02).all()
    assert (np.abs(found["log_evidence"].values - exact) < STANDARD_ERRORS * error).all()


@pytest.mark.slow
def test_other_estimators_find_log_p_of_the_observed_cells():
    model, data, exact = linear_with_holes()
    found = ais(model.model, model.guide, data, seed=1)
    np.testing.assert_allclose(found["log_evidence"], exact, atol=0.1)
    held = certify(model, data)
    assert held is not None


def test_a_conditional_leaves_missing_cells_out():
    """Of a given column that is missing, and of one asked for: by normal marginals."""
    model = LinearVAE((4,), 1, missing="mask", scale=3.0).double()
    model.initialise(X, observed=OBSERVED)
    observed = torch.tensor([[True, True, False, True], [True, False, True, True]])
    x = X[:2].double()
    found = conditional(model, {"x": x, "observed": observed}, [0, 1], 20000)
    rest = observed.clone()
    rest[:, :2] = False
    exact = model.log_prob(x, observed=observed) - model.log_prob(x, observed=rest)
    np.testing.assert_allclose(found["log_conditional"], exact.detach(), atol=0.02)


def test_reconstruction_is_of_the_observed_cells():
    model = small()
    found = reconstruction_error(model, {"x": X, "observed": OBSERVED}, scale=2.0)
    with torch.no_grad():
        decoded = model.decode(model.code(X, observed=OBSERVED))
    square = torch.where(OBSERVED, 2.0 * (X - decoded), float("nan")).double().square()
    np.testing.assert_allclose(found["squared_error"], square.nanmean(1), rtol=1e-6)


@pytest.mark.slow
def test_gaps_are_taken_apart_with_masks():
    model = LinearVAE((4,), 1, missing="zeros", scale=3.0)
    model.initialise(X, observed=OBSERVED)
    data = {"x": X[:6], "observed": OBSERVED[:6]}
    found = gap_parts(model, data, num_particles=400)
    exact = model.log_prob(**data).detach().numpy()
    np.testing.assert_allclose(found["log_evidence"], exact, atol=1e-4)
    # The normal family holds the posterior of every pattern of holes.
    assert float(abs(found["approximation_gap"]).max()) < 0.05


def test_counts_with_exposure_and_holes():
    counts = torch.poisson(2 * torch.ones(40, 4), generator=GENERATOR)
    data = Dataset.from_tensors(
        torch.where(OBSERVED[:40], counts, -1.0),
        kind="counts",
        exposure=torch.rand(40, generator=GENERATOR) + 0.5,
        observed=OBSERVED[:40],
    )
    model = small(Poisson(exposure=True))
    assert model.inputs == ("exposure", "observed")
    fit(model, data, epochs=1, batch_size=20)
