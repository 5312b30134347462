"""``impute`` against closed forms, enumeration and quadrature; missing cells have no effect."""

from typing import ClassVar

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.distributions import TorchDistribution
from scipy import special, stats

from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference import impute
from pyro_vae.inference.evidence.trust import khat_note, trusted
from pyro_vae.models import VAE, LinearVAE, MixtureModel
from pyro_vae.models.condition import Labels
from pyro_vae.models.likelihoods import (
    Bernoulli,
    Gamma,
    MultivariateNormal,
    Normal,
    PerColumn,
    Poisson,
)
from tests.tolerances import STANDARD_ERRORS

OF_CELLS = ("mean", "mean_se", "sd", "median", "lower", "upper", "mode")


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def rows(count, features, seed):
    return torch.randn(count, features, generator=seeded(seed)).double()


def holes(count, *shape, seed, share=0.4):
    """Missing completely at random, with one whole row and one empty one in front."""
    observed = torch.rand(count, *shape, generator=seeded(seed)) > share
    observed[0], observed[1] = True, False
    return observed


def given(x, observed, value=torch.nan):
    return {"x": torch.where(observed, x, value), "observed": observed}


def linear():
    """Five columns of two factors, scales of their own, and a guide that was not trained."""
    model = LinearVAE((5,), 2, scale="per-feature", missing="mask", seed=3).double()
    with torch.no_grad():
        model.weight.mul_(1.5)
        model.bias.copy_(torch.linspace(-2, 2, 5))
        model.likelihood.sigma.raw.copy_(torch.linspace(-1.0, 0.5, 5))
    return model


def law(model, x, there):
    """Mean and covariance of the missing cells of a row given the others, by NumPy."""
    weight = model.weight.detach().numpy()
    covariance = weight @ weight.T + np.diag(model.variance().detach().numpy())
    bias, mis = model.bias.detach().numpy(), ~there
    gain = covariance[np.ix_(mis, there)] @ np.linalg.inv(covariance[np.ix_(there, there)])
    mean = bias[mis] + gain @ (x[there] - bias[there])
    return mean, covariance[np.ix_(mis, mis)] - gain @ covariance[np.ix_(there, mis)]


def drawn(model, count, seed):
    with torch.no_grad():
        z = torch.randn(count, model.latent_dim, generator=seeded(seed)).double()
        torch.manual_seed(seed)
        return model.observation(z).sample().double()


def test_a_linear_model_by_closed_forms():
    """Seeds 1 of data, 2 of holes, 0 of 4000 particles and 2000 draws; half of them prior."""
    model, observed = linear(), holes(8, 5, seed=2)
    x = drawn(model, 8, 1)
    found = impute(model, given(x, observed), 4000, draws=2000, prior_share=0.5)
    assert (found.sizes["datum"], found.sizes["feature"]) == (8, 5)
    assert found["draws"].dims == ("draw", "datum", "feature")
    exact = model.log_prob(x, observed=observed).detach().numpy()
    correlated = False
    for row in range(1, 8):
        there = observed[row].numpy()
        mean, covariance = law(model, x[row].numpy(), there)
        at = found.isel(datum=row, feature=~there)
        error = at["mean_se"].values
        assert ((error > 0) & (error < 0.1)).all()
        assert (np.abs(at["mean"].values - mean) < STANDARD_ERRORS * error).all()
        worth = 1 / float(at["ess"])
        spread = np.sqrt(np.diag(covariance))
        ratio = at["sd"].values ** 2 / spread**2
        assert (np.abs(ratio - 1) < STANDARD_ERRORS * np.sqrt(2 * worth)).all()
        for name, p in (("lower", 0.05), ("median", 0.5), ("upper", 0.95)):
            below = stats.norm.cdf(at[name].values, mean, spread)
            limit = STANDARD_ERRORS * np.sqrt(p * (1 - p) * worth)
            assert (np.abs(below - p) < limit).all(), name
        # Draws that are resampled from particles worth ess of the posterior.
        worth += 1 / 2000
        centred = at["draws"].values - mean
        assert (np.abs(centred.mean(0)) < STANDARD_ERRORS * spread * np.sqrt(worth)).all()
        # Isserlis: Var(a b) = Var a Var b + Cov(a, b)^2.
        deviation = np.sqrt(np.outer(spread, spread) ** 2 + covariance**2)
        limit = STANDARD_ERRORS * deviation * np.sqrt(worth)
        assert (np.abs(centred.T @ centred / 2000 - covariance) < limit).all()
        off = ~np.eye(len(mean), dtype=bool)
        correlated |= bool((np.abs(covariance) > limit)[off].any())
        gap = abs(float(at["log_evidence"]) - exact[row])
        assert gap < STANDARD_ERRORS * float(at["log_evidence_se"]) + 1e-9
        assert float(at["mode"].isnull().mean()) == 1.0
    assert correlated


@pytest.mark.slow
def test_a_standard_error_is_the_spread_over_draws():
    """Of 250 equal rows, which have draws of their own; seed 4 of data, 0 of 200 particles."""
    model, observed = linear(), torch.tensor([[True, False, True, True, False]])
    data = given(drawn(model, 1, 4), observed)
    found = impute(model, {k: v.expand(250, -1) for k, v in data.items()}, 200, draws=0)
    values, told = (found[name].values[:, [1, 4]] for name in ("mean", "mean_se"))
    # A standard deviation of 250 has a relative error of 1 / sqrt(500), and the errors theirs.
    ratio = values.std(0, ddof=1) / np.sqrt((told**2).mean(0))
    np.testing.assert_allclose(ratio, 1, atol=STANDARD_ERRORS / np.sqrt(500))
    assert "draws" not in found


def mixture(likelihood, seed):
    model = MixtureModel(3, likelihood, (4,), missing="marginal").double()
    model.initialised = True
    with torch.no_grad():
        model.eta.copy_(2 * torch.randn(model.eta.shape, generator=seeded(seed)))
        model.logits.copy_(torch.randn(3, generator=seeded(seed + 1)))
    return model


@pytest.mark.parametrize("likelihood", [Bernoulli, lambda: Normal("latent")])
def test_a_mixture_by_enumeration(likelihood):
    """Seeds 5 to 7 of model, data and holes, 0 of 3000 particles and draws."""
    model, observed = mixture(likelihood(), 5), holes(8, 4, seed=7)
    binary = isinstance(model.likelihood, Bernoulli)
    torch.manual_seed(6)
    with torch.no_grad():
        x = model.likelihood(model.eta[torch.arange(8) % 3]).sample().double()
        eta, prior = model.eta.numpy(), special.log_softmax(model.logits.numpy())
    if binary:
        mu, variance = special.expit(eta), special.expit(eta) * special.expit(-eta)
        terms = -np.logaddexp(0, (1 - 2 * x[:, None].numpy()) * eta)
    else:
        mu, sigma = eta[:, :4], model.likelihood(model.eta).base_dist.scale.detach().numpy()
        variance, terms = sigma**2, stats.norm(mu, sigma).logpdf(x[:, None].numpy())
    found = impute(model, given(x, observed), 3000, draws=3000)
    assert found["ess"].isnull().all()
    assert trusted(found).all()
    dependent = 0
    for row in range(1, 8):
        there = observed[row].numpy()
        if there.all():
            continue
        joint = prior + terms[row][:, there].sum(-1)
        w = special.softmax(joint)
        at = found.isel(datum=row, feature=~there)
        mean = w @ mu[:, ~there]
        np.testing.assert_allclose(at["mean"], mean, rtol=1e-9)
        np.testing.assert_allclose(at["mean_se"], 0, atol=1e-9)
        np.testing.assert_allclose(at["log_evidence"], special.logsumexp(joint), atol=1e-9)
        second = np.einsum("m,mi,mj->ij", w, mu[:, ~there], mu[:, ~there])
        covariance = second + np.diag(w @ variance[:, ~there]) - np.outer(mean, mean)
        spread, draws = np.sqrt(np.diag(covariance)), at["draws"].values
        limit = STANDARD_ERRORS / np.sqrt(3000)
        assert (np.abs(draws.mean(0) - mean) < limit * spread).all()
        centred = draws - mean
        products = np.einsum("si,sj->sij", centred, centred)
        error = np.abs(products.mean(0) - covariance)
        assert (error < limit * products.std(0) + 1e-9).all()
        off = ~np.eye(len(mean), dtype=bool)
        dependent += int((np.abs(covariance) > 2 * limit * products.std(0))[off].any())
        assert (np.abs(at["sd"] ** 2 - spread**2) < limit * np.diag(products.std(0))).all()
        if binary:
            told = np.abs(mean - 0.5) > limit / 2
            assert told.any()
            assert (at["mode"].values == (mean > 0.5))[told].all()
        else:
            assert at["mode"].isnull().all()
    # Cells of a datum have one component in common.
    assert dependent


@pytest.mark.parametrize("kind", ["mixture", "vae"])
def test_cells_that_are_dependent_are_drawn_given_the_others(kind):
    """Components, and points of a line, with covariances; 4000 particles and draws, seed 0."""
    observed, x = holes(6, 4, seed=35), rows(6, 4, 36)
    if kind == "mixture":
        model = mixture(MultivariateNormal(), 37)
        prior = special.log_softmax(model.logits.detach().numpy())
        eta = model.eta.detach()
    else:
        model = curved(MultivariateNormal(), (4,))
        z = torch.linspace(-7, 7, 401).double().unsqueeze(-1)
        prior, eta = stats.norm.logpdf(z[:, 0]), model.decoder(z).detach()
    normal = model.likelihood(eta)
    loc, covariance = normal.loc.numpy(), normal.covariance_matrix.numpy()
    found = impute(model, given(x, observed), 4000, draws=4000, prior_share=0.5)
    for row in range(1, 6):
        there, value = observed[row].numpy(), x[row].numpy()
        mis = ~there
        if there.all():
            continue
        joint, means, rest = prior.copy(), loc[:, mis], covariance[:, mis][:, :, mis]
        if there.any():
            of_there = covariance[:, there][:, :, there]
            gain = covariance[:, mis][:, :, there] @ np.linalg.inv(of_there)
            means = means + np.einsum("mio,mo->mi", gain, value[there] - loc[:, there])
            rest = rest - gain @ covariance[:, there][:, :, mis]
            laws = zip(loc[:, there], of_there, strict=True)
            joint += [stats.multivariate_normal(m, c).logpdf(value[there]) for m, c in laws]
        w = special.softmax(joint)
        mean = w @ means
        second = np.einsum("m,mij->ij", w, rest + means[:, :, None] * means[:, None])
        at = found.isel(datum=row, feature=mis)
        gap = np.abs(at["mean"].values - mean)
        assert (gap < STANDARD_ERRORS * at["mean_se"].values + 1e-6).all()
        worth = 1 / 4000 + (0.0 if kind == "mixture" else 1 / float(at["ess"]))
        products = np.einsum("si,sj->sij", *[at["draws"].values - mean] * 2)
        error = np.abs(products.mean(0) - (second - np.outer(mean, mean)))
        assert (error < STANDARD_ERRORS * products.std(0) * np.sqrt(worth)).all()


def curved(likelihood=None, shape=(6,), missing="mask"):
    likelihood = Bernoulli() if likelihood is None else likelihood
    settings = {"encoder": (8,), "decoder": (8,), "seed": 2, "missing": missing}
    model = VAE(shape, 1, likelihood=likelihood, **settings).double()
    model.initialised = True
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(2.5)
    return model


def test_a_curved_decoder_by_quadrature():
    """z on a line: trapezia over nine deviations; seeds 8 and 9 of data, 0 of 5000 particles."""
    model, observed = curved(), holes(8, 6, seed=9)
    x = drawn(model, 8, 8)
    z = np.linspace(-9, 9, 4001)
    with torch.no_grad():
        eta = model.decoder(torch.as_tensor(z).unsqueeze(-1)).numpy()
    terms = -np.logaddexp(0, (1 - 2 * x[:, None].numpy()) * eta)
    found = impute(model, given(x, observed), 5000, prior_share=0.5)
    told = 0
    for row in range(1, 8):
        there = observed[row].numpy()
        if there.all():
            continue
        w = special.softmax(stats.norm.logpdf(z) + terms[row][:, there].sum(-1))
        mean = w @ special.expit(eta[:, ~there])
        at = found.isel(datum=row, feature=~there)
        limit = STANDARD_ERRORS * at["mean_se"].values
        assert ((limit > 0) & (limit < 0.1)).all()
        assert (np.abs(at["mean"].values - mean) < limit).all()
        known = np.abs(mean - 0.5) > STANDARD_ERRORS * 0.5 / np.sqrt(float(at["ess"]))
        told += int(known.sum())
        assert (at["mode"].values == (mean > 0.5))[known].all()
        sd = np.sqrt(mean * (1 - mean))
        assert np.abs(at["sd"].values - sd).max() < STANDARD_ERRORS * 0.5 / float(at["ess"]) ** 0.5
    assert told > 8
    assert set(np.unique(found["draws"])) == {0.0, 1.0}


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.9, 0.5])
def test_intervals_cover_what_was_taken_out(level):
    """Data of the model itself, seeds 10 and 11; the cells of a row are one cluster."""
    model, observed = linear(), holes(150, 5, seed=11)
    x = drawn(model, 150, 10)
    found = impute(model, given(x, observed), 400, draws=0, level=level, prior_share=0.5)
    inside = (x.numpy() >= found["lower"].values) & (x.numpy() <= found["upper"].values)
    missing = ~observed.numpy()
    share = inside[missing].mean()
    off = ((inside - share) * missing).sum(1)
    error = np.sqrt((off**2).sum()) / missing.sum()
    assert error < 0.04
    assert abs(share - level) < 3 * error


def table():
    columns = PerColumn([Normal(0.5), Bernoulli(), Gamma(2.0), "categorical(num_classes=4)"])
    return curved(columns, (4,))


def same(one, other, rows=slice(None)):
    for name in other.data_vars:
        values = one[name].isel(datum=rows)
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def alike(one, other, rows):
    """Up to the rounding of matrix products; where k-hat hangs on it, not that."""
    for name in set(other.data_vars) - {"khat", "doubt", "top_share"}:
        values = one[name].isel(datum=rows)
        np.testing.assert_allclose(values, other[name], rtol=1e-8, atol=1e-12, err_msg=name)


def test_what_stands_in_a_missing_cell_has_no_effect():
    model, observed = table(), holes(6, 4, seed=12)
    x = drawn(model, 6, 13)
    found = impute(model, given(x, observed), 60)
    for value in (float("nan"), float("inf"), -3e8, 0.5):
        same(impute(model, given(x, observed, value), 60), found)
    assert all(np.isfinite(found[name]).all() for name in ("mean", "lower", "upper", "draws"))
    # A cell that is there has one.
    x[2, int(torch.nonzero(observed[2])[0])] += 1.0
    moved = impute(model, given(x, observed), 60)
    assert (moved["mean"].values[2] != found["mean"].values[2]).any()
    assert (moved["mean"].values[3:] == found["mean"].values[3:]).all()


@pytest.mark.slow
def test_rows_are_by_themselves_and_chunks_change_nothing():
    model, observed = table(), holes(6, 4, seed=14)
    x = drawn(model, 6, 15)
    data = given(x, observed)
    found = impute(model, data, 600, draws=300)
    order = [4, 0, 5, 1, 3, 2]
    permuted = impute(model, {k: v[order] for k, v in data.items()}, 600, draws=300)
    alone = impute(model, {k: v[2:3] for k, v in data.items()}, 600, draws=300)
    pieces = impute(model, data, 600, draws=300, chunk_size=7)
    alike(found, permuted, order)
    alike(found, alone, [2])
    alike(found, pieces, slice(None))
    other = impute(model, data, 600, draws=300, seed=1)
    assert (other["mean"].values != found["mean"].values)[~observed.numpy()].any()


def test_every_row_has_draws_of_its_own():
    """Of two equal ones, too, and where all particles are alike; 2000 draws, seed 0."""
    model, x = mixture(Normal("latent"), 38), rows(2, 4, 16)[[0, 0, 1]]
    observed = torch.tensor([[True, False, False, True]]).expand(3, -1)
    drawn = impute(model, given(x, observed), 50, draws=2000)["draws"].values[..., 1]
    assert (drawn[:, 0] != drawn[:, 1]).all()
    correlation = np.corrcoef(drawn.T)[np.triu_indices(3, 1)]
    assert (np.abs(correlation) < STANDARD_ERRORS / np.sqrt(2000)).all()


def test_observed_cells_hold_their_values():
    model, observed = table(), holes(6, 4, seed=17)
    x, there = drawn(model, 6, 18), observed.numpy()
    found = impute(model, given(x, observed), 60)
    for name in ("mean", "median", "lower", "upper", "mode"):
        np.testing.assert_array_equal(found[name].values[there], x.numpy()[there])
    assert (found["draws"].values == x.numpy())[:, there].all()
    for name in ("mean_se", "sd"):
        assert (found[name].values[there] == 0).all()
        assert (found[name].values[~there] > 0).all()
    np.testing.assert_array_equal(found["observed"], there)
    assert (found["lower"] <= found["median"]).all()
    assert (found["median"] <= found["upper"]).all()
    # The columns that are discrete have a mode.
    missing = ~there.any(0) | (~there).any(0)
    assert missing.all()
    assert found["mode"].values[~there[:, 0], 0].size
    assert np.isnan(found["mode"].values[:, [0, 2]][~there[:, [0, 2]]]).all()
    assert set(found["mode"].values[:, 3]) <= {0.0, 1.0, 2.0, 3.0}
    assert set(found["mode"].values[:, 1]) <= {0.0, 1.0}


def test_a_row_without_missing_cells_costs_nothing():
    model, x = linear(), rows(3, 5, 19)

    def idle(x, observed):
        raise AssertionError("it was run")

    found = impute((idle, idle), given(x, torch.ones(3, 5).bool()))
    np.testing.assert_array_equal(found["draws"], x.expand(20, -1, -1))
    assert found["log_evidence"].isnull().all()
    assert trusted(found).all()
    assert found.attrs["note"] == ""
    calls = []
    impute(model, given(x, holes(3, 5, seed=20)), 30, progress=lambda *a: calls.append(a))
    assert calls == [(1, 2), (2, 2)]


def test_a_row_of_which_nothing_is_there_is_drawn_from_the_prior():
    model, observed = linear(), torch.zeros(1, 5).bool()
    found = impute(model, given(rows(1, 5, 21), observed), 4000, draws=4000, prior_share=0.9)
    mean, weight = model.bias.detach().numpy(), model.weight.detach().numpy()
    covariance = weight @ weight.T + np.diag(model.variance().detach().numpy())
    gap = np.abs(found["mean"].values[0] - mean)
    assert (gap < STANDARD_ERRORS * found["mean_se"].values[0]).all()
    worth = 1 / 4000 + 1 / float(found["ess"][0])
    centred = found["draws"].values[:, 0] - mean
    deviation = np.sqrt(np.outer(*[np.diag(covariance)] * 2) + covariance**2)
    limit = STANDARD_ERRORS * deviation * np.sqrt(worth)
    assert (np.abs(centred.T @ centred / 4000 - covariance) < limit).all()
    assert abs(float(found["log_evidence"][0])) < STANDARD_ERRORS * found["log_evidence_se"][0]


def test_numbers_of_one_cell_are_data_too():
    def model(x, observed):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(()).double(), 1.0))
            pyro.sample("x", dist.Normal(z + 3.0, 2.0).mask(observed), obs=x)

    observed = torch.tensor([True, False])
    found = impute((model, prior_guide), given(rows(2, 1, 41)[:, 0], observed), 2000)
    assert found["draws"].shape == (20, 2, 1)
    gap = abs(float(found["mean"][1, 0]) - 3.0)
    assert gap < STANDARD_ERRORS * float(found["mean_se"][1, 0])
    assert float(found["sd"][1, 0]) == pytest.approx(5**0.5, rel=STANDARD_ERRORS / 4000**0.5)


def test_labels_and_exposures_are_handed_on():
    """An exposure of 4 has 4 times the mean, and each class its own; seed 0."""
    model = VAE(
        (3,),
        1,
        likelihood=Poisson(exposure=True),
        condition=Labels(2),
        missing="mask",
        encoder=(4,),
        decoder=(4,),
        seed=1,
    )
    data = given(torch.zeros(3, 3), torch.zeros(3, 3).bool())
    beside = {"condition": torch.tensor([0, 0, 1]), "exposure": torch.tensor([10.0, 40.0, 10.0])}
    found = impute(model, {**data, **beside}, 2000, prior_share=0.9)
    mean, error = found["mean"].values, found["mean_se"].values
    limit = STANDARD_ERRORS * np.hypot(4 * error[0], error[1])
    assert (np.abs(4 * mean[0] - mean[1]) < limit).all()
    assert (np.abs(mean[2] - mean[0]) > STANDARD_ERRORS * np.hypot(error[0], error[2])).any()
    assert (found["draws"].values % 1 == 0).all()


def test_images_are_rows_of_their_cells():
    model, observed = curved(shape=(2, 3)), holes(4, 2, 3, seed=22)
    x = drawn(model, 4, 23)
    found = impute(model, given(x, observed), 50)
    assert found.attrs["event_shape"] == [2, 3]
    complete = found["draws"].values.reshape(20, 4, 2, 3)
    assert (complete == x.numpy())[:, observed.numpy()].all()


W = torch.tensor([1.5, -1.0, 0.5, 2.0]).double()


def masked(x, observed):
    """z ~ N(0, 1), x_d ~ N(w_d z, 0.7)."""
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(torch.zeros(()).double(), 1.0))
        law = dist.Normal(z.unsqueeze(-1) * W, 0.7)
        pyro.sample("x", law.mask(observed).to_event(1), obs=x)


def prior_guide(x, observed):
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Normal(torch.zeros(()).double(), 1.0))


def plates(x, observed):
    """The same by plates and Pyro's handler."""
    with pyro.plate("data", len(x), dim=-2):
        z = pyro.sample("z", dist.Normal(torch.zeros(()).double(), 1.0))
        with pyro.plate("columns", 4, dim=-1), poutine.mask(mask=observed):
            pyro.sample("x", dist.Normal(z * W, 0.7), obs=x)


def plates_guide(x, observed):
    with pyro.plate("data", len(x), dim=-2):
        pyro.sample("z", dist.Normal(torch.zeros(()).double(), 1.0))


def two_sites(x, observed):
    """The same, with z in two halves and x in float64."""
    with pyro.plate("data", len(x)):
        a = pyro.sample("a", dist.Normal(torch.zeros(()).double(), 0.6))
        b = pyro.sample("b", dist.Normal(a.new_zeros(()), 0.8))
        law = dist.Normal((a + b).unsqueeze(-1) * W, 0.7)
        pyro.sample("x", law.mask(observed).to_event(1), obs=x)


def two_guide(x, observed):
    with pyro.plate("data", len(x)):
        a = pyro.sample("a", dist.Normal(torch.zeros(()).double(), 0.6))
        pyro.sample("b", dist.Normal(-0.3 * a, 0.9))


@pytest.mark.parametrize(
    ("pair", "vectorize_particles"),
    [
        ((masked, prior_guide), True),
        pytest.param((masked, prior_guide), False, marks=pytest.mark.slow),
        ((plates, plates_guide), True),
        ((two_sites, two_guide), True),
    ],
)
def test_a_pair_of_programs_of_the_user(pair, vectorize_particles):
    x, observed = 2 * rows(4, 4, 24), holes(4, 4, seed=25)
    settings = {"data_plate": "data", "vectorize_particles": vectorize_particles}
    size = 3000 if vectorize_particles else 100
    found = impute(pair, given(x, observed), size, draws=200, **settings)
    w = W.numpy()
    for row in range(4):
        there = observed[row].numpy()
        precision = 1 + (w[there] ** 2).sum() / 0.49
        mean = (w[there] * x[row].numpy()[there]).sum() / 0.49 / precision
        at = found.isel(datum=row, feature=~there)
        limit = STANDARD_ERRORS * at["mean_se"].values
        assert (np.abs(at["mean"].values - w[~there] * mean) < limit).all()
        spread = np.sqrt(w[~there] ** 2 / precision + 0.49)
        worth = 1 / float(at["ess"])
        ratio = at["sd"].values ** 2 / spread**2
        assert (np.abs(ratio - 1) < STANDARD_ERRORS * np.sqrt(2 * worth)).all()
        limit = STANDARD_ERRORS * spread * np.sqrt(worth + 1 / 200)
        assert (np.abs(at["draws"].values.mean(0) - w[~there] * mean) < limit).all()


OFFSETS = torch.tensor([[-2.0, 1.0, 3.0, 0.0], [1.0, 0.0, -2.0, 2.0], [3.0, -3.0, 0.0, -1.0]])
SHARES = torch.tensor([0.5, 0.3, 0.2])


def grouped(x, observed):
    """The same about the offsets of a group c, beside a group e of which x knows nothing."""
    with pyro.plate("data", len(x)):
        c = pyro.sample("c", dist.Categorical(SHARES))
        pyro.sample("e", dist.Categorical(torch.ones(2)))
        z = pyro.sample("z", dist.Normal(torch.zeros(()).double(), 1.0))
        law = dist.Normal(z.unsqueeze(-1) * W + OFFSETS[c], 0.7)
        pyro.sample("x", law.mask(observed).to_event(1), obs=x)


def test_groups_are_drawn_given_z_and_the_observed_cells():
    """Seeds 39 of data, 0 of 4000 particles and draws: z is one way in a group, one in another."""
    x, observed = rows(5, 4, 39) + OFFSETS[torch.arange(5) % 3], holes(5, 4, seed=40)
    pair = (grouped, prior_guide)
    found = impute(pair, given(x, observed), 4000, draws=4000, enumerate_discrete=True)
    whole = np.outer(W, W) + 0.49 * np.eye(4)
    for row in range(1, 5):
        there, value = observed[row].numpy(), x[row].numpy()
        joint, means = np.log(SHARES.double().numpy()), OFFSETS.double().numpy()[:, ~there]
        rest = whole[np.ix_(~there, ~there)]
        if there.any():
            of_there = whole[np.ix_(there, there)]
            gain = whole[np.ix_(~there, there)] @ np.linalg.inv(of_there)
            off = value[there] - OFFSETS.double().numpy()[:, there]
            means, rest = means + off @ gain.T, rest - gain @ whole[np.ix_(there, ~there)]
            joint = joint + stats.multivariate_normal(cov=of_there).logpdf(off)
        w = special.softmax(joint)
        mean = w @ means
        covariance = rest + np.einsum("m,mi,mj->ij", w, means - mean, means - mean)
        at = found.isel(datum=row, feature=~there)
        error = at["mean_se"].values
        assert ((error > 0) & (error < 0.15)).all()
        assert (np.abs(at["mean"].values - mean) < STANDARD_ERRORS * error).all()
        worth = 1 / 4000 + 1 / float(at["ess"])
        products = np.einsum("si,sj->sij", *[at["draws"].values - mean] * 2)
        limit = STANDARD_ERRORS * products.std(0) * np.sqrt(worth)
        assert (np.abs(products.mean(0) - covariance) < limit).all()


class Drawn(TorchDistribution):
    """Whole data whose missing cells were drawn before, and whose others are known."""

    arg_constraints: ClassVar = {}
    support = dist.constraints.real_vector

    def __init__(self, whole, x, cells, observed):
        self.whole, self.parts = whole, (x, cells, observed)
        super().__init__(whole.batch_shape[:-1], whole.batch_shape[-1:], validate_args=False)

    def expand(self, batch_shape, _instance=None):
        return Drawn(self.whole.expand((*batch_shape, *self.event_shape)), *self.parts)

    def log_prob(self, value):
        return torch.where(self.parts[2], self.whole.log_prob(value), 0.0).sum(-1)

    @property
    def mean(self):
        x, cells, observed = self.parts
        return torch.where(observed, x, cells)

    def sample(self, sample_shape=()):
        return self.mean.expand(*sample_shape, *self.batch_shape, *self.event_shape)


def selected(x, observed):
    """A cell is missing more often where it is large: its value is a latent variable."""
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(torch.zeros(()).double(), 1.0))
        whole = dist.Normal(z.unsqueeze(-1) * W, 0.7)
        cells = pyro.sample("cells", whole.mask(~observed).to_event(1))
        pyro.sample("x", Drawn(whole, x, cells, observed), obs=x)
        there = dist.Bernoulli(logits=1.0 - 2.0 * torch.where(observed, x, cells))
        pyro.sample("observed", there.to_event(1), obs=observed.double())


def selected_guide(x, observed):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(torch.zeros(()).double(), 1.0))
        whole = dist.Normal(z.unsqueeze(-1) * W + 0.5, 1.0)
        pyro.sample("cells", whole.mask(~observed).to_event(1))


def test_a_story_of_what_is_missing_by_quadrature():
    """Two latent sites and two observed ones; one cell of each row is missing; seed 26."""
    x = 1.5 * rows(4, 4, 26)
    observed = ~torch.eye(4).bool()
    found = impute((selected, selected_guide), given(x, observed), 20000, draws=500)
    z, cell = np.linspace(-8, 8, 801)[:, None], np.linspace(-22, 22, 2201)
    w = W.numpy()
    for row in range(4):
        there = observed[row].numpy()
        joint = stats.norm.logpdf(z) + stats.norm.logpdf(cell, w[row] * z, 0.7)
        known = stats.norm.logpdf(x[row].numpy()[there], w[there] * z, 0.7).sum(-1)
        joint += known[:, None] - np.logaddexp(0, 1.0 - 2.0 * cell)
        weights = special.softmax(joint).sum(0)
        mean = weights @ cell
        sd = np.sqrt(weights @ (cell - mean) ** 2)
        at = found.isel(datum=row, feature=row)
        assert abs(float(at["mean"]) - mean) < STANDARD_ERRORS * float(at["mean_se"])
        worth = 1 / float(at["ess"])
        assert abs(float(at["sd"]) / sd - 1) < STANDARD_ERRORS * np.sqrt(worth)
        limit = STANDARD_ERRORS * sd * np.sqrt(worth + 1 / 500)
        assert abs(float(at["draws"].mean()) - mean) < limit
        # As if missing at random it would be another number.
        ignoring = special.softmax(joint + np.logaddexp(0, 1.0 - 2.0 * cell)).sum(0) @ cell
        assert abs(ignoring - mean) > 2 * STANDARD_ERRORS * float(at["mean_se"])


def whole_numbers(x, observed):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(torch.zeros(()), 1.0))
        law = dist.Poisson((z.unsqueeze(-1) + torch.tensor([1.0, 2.0])).exp())
        pyro.sample("x", law.mask(observed).to_event(1), obs=x)


def of_one_column(x, observed):
    with pyro.plate("data", len(x)):
        shown = torch.where(observed, x, 0)[:, 0]
        pyro.sample("z", dist.Normal(0.1 * shown, 1.0))


def test_whole_numbers_of_one_row_know_nothing_of_another():
    """What stands in their missing cells is not the first value of the column."""
    x = torch.tensor([[7, 3], [4, 0], [0, 9]])
    observed = torch.tensor([[True, True], [True, False], [False, True]])
    pair = (whole_numbers, of_one_column)
    found = impute(pair, {"x": x, "observed": observed}, 60)
    alone = impute(pair, {"x": x[1:], "observed": observed[1:]}, 60)
    alike(found, alone, [1, 2])
    assert (found["mode"].values % 1 == 0).all()


def test_heavy_tails_are_told():
    def narrow(x, observed):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(torch.full((), 2.0).double(), 0.1))

    found = impute((masked, narrow), given(rows(2, 4, 27), holes(2, 4, seed=28)), 500)
    assert float(found["khat"][1]) > 0.7
    assert not trusted(found)[1]
    assert found.attrs["note"].startswith("For 1 of 2 data k-hat is above 0.7: ")
    assert khat_note(found.isel(datum=[0])) == ""


def test_what_cannot_be_imputed_is_refused():
    x, observed = rows(3, 4, 29), holes(3, 4, seed=33)
    data, model = given(x, observed), curved(Normal(), (4,))
    for bare in (x, {"x": x}):
        with pytest.raises(DataError, match="x says not which cells are missing"):
            impute(model, bare)
    for draws in (-1, 2.0, True):
        with pytest.raises(ValueError, match=f"draws got {draws}"):
            impute(model, data, draws=draws)
    for level in (0, 1, 1.2, "most"):
        with pytest.raises(ValueError, match=f"level got {level!r}"):
            impute(model, data, level=level)
    with pytest.raises(ValueError, match="num_particles got 0"):
        impute(model, data, 0)
    with pytest.raises(DataError, match="made for whole data"):
        impute(curved(Normal(), (4,), missing="none"), data)
    with pytest.raises(ProgramError, match="model and a guide as two arguments"):
        impute(masked, prior_guide, data)

    def blind(x):
        pass

    with pytest.raises(ProgramError, match="guide blind takes no argument observed"):
        impute((masked, blind), data)

    def logarithm(x, observed):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(()).double(), 1.0))
            law = dist.Normal(z.unsqueeze(-1) * W, 0.7).mask(observed).to_event(1)
            pyro.sample("x", law, obs=2 * x)

    with pytest.raises(ProgramError, match="'x' observes something else than x"):
        impute((logarithm, prior_guide), data)

    def halves(x, observed):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(()).double(), 1.0))
            for name, part in (("left", x[:, 0]), ("right", x[:, 1])):
                pyro.sample(name, dist.Normal(z, 0.7), obs=part)

    with pytest.raises(ProgramError, match="observes several sites, and none is 'x'"):
        impute((halves, prior_guide), data)

    def correlated(x, observed):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(()).double(), 1.0))
            law = dist.MultivariateNormal(z.unsqueeze(-1) * W, torch.eye(4).double())
            pyro.sample("x", law, obs=x)

    with pytest.raises(ProgramError, match="not independent given z"):
        impute((correlated, prior_guide), data)


def test_names_are_those_of_the_docstring():
    found = impute(linear(), given(rows(2, 5, 31), holes(2, 5, seed=32)), 30)
    weights = ("log_evidence", "log_evidence_se", "ess", "khat", "doubt", "top_share")
    assert set(found.data_vars) == {*OF_CELLS, "draws", "observed", *weights}
    assert all(name in impute.__doc__ for name in found.data_vars)
