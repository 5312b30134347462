"""Draws, predictions and calibration against the closed-form posterior."""

import math

import arviz as az
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
import xarray as xr
from pyro.infer import MCMC, NUTS
from pyro.infer.autoguide.initialization import init_to_sample
from scipy import stats
from torch import nn

from pyro_vae import plots
from pyro_vae.errors import DataError, ProgramError, UnknownNameError
from pyro_vae.inference import latent_report, posterior_samples, sbc_ranks, simulator
from pyro_vae.inference.checking import (
    calibration_sentences,
    log_likelihood,
    posterior_predictive,
    predictive_p_values,
    to_inference_data,
)
from pyro_vae.inference.checking.calibration import uniformity
from pyro_vae.models import VAE, HierarchicalVAE
from pyro_vae.models.likelihoods import Bernoulli
from pyro_vae.recording import repeated
from tests.cases import a_few_always
from tests.oracles import LinearGaussian
from tests.recordings import recorded
from tests.tolerances import STANDARD_ERRORS

ORACLE = LinearGaussian()
X = ORACLE.draw(6)
MEAN = (X.numpy() - ORACLE.m) @ ORACLE.A.T


def scaled_guide(scale, shift=0.0):
    """The exact posterior, its standard deviations multiplied and its mean moved."""
    tril = torch.linalg.cholesky(torch.tensor(ORACLE.posterior_cov)) * scale

    def guide(x):
        mean = (x - torch.tensor(ORACLE.m)) @ torch.tensor(ORACLE.A).T + shift
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.MultivariateNormal(mean, scale_tril=tril))

    return guide


def z_scores_of_moments(draws, size):
    """Means and variances of draws ``(S, B, L)`` against the posterior's, ``size`` of them."""
    variance = np.diag(ORACLE.posterior_cov)
    yield (draws.mean(0) - MEAN) / np.sqrt(variance / size)
    yield (draws.var(0) - variance) / (variance * np.sqrt(2 / size))
    cross = ((draws - MEAN)[..., 0] * (draws - MEAN)[..., 1]).mean(0)
    covariance = ORACLE.posterior_cov[0, 1]
    yield (cross - covariance) / np.sqrt((variance.prod() + covariance**2) / size)


def test_importance_resamples_have_the_posteriors_moments():
    samples = posterior_samples(ORACLE.model, ORACLE.guide, X, 2000, num_particles=20000)
    assert samples["z"].dims == ("chain", "draw", "datum", "latent")
    for scores in z_scores_of_moments(samples["z"].values[0], 2000):
        assert np.abs(scores).max() < STANDARD_ERRORS
    assert (samples["khat"] < 0.7).all()
    assert ((samples["ess"] > 10000) & (samples["ess"] < 20000)).all()
    # The guide's own draws have another covariance: the comparison can fail.
    own = posterior_samples(ORACLE.model, ORACLE.guide, X, 2000, "guide")["z"].values[0]
    assert max(np.abs(scores).max() for scores in z_scores_of_moments(own, 2000)) > 8


def test_log_weights_belong_to_their_draws():
    samples = posterior_samples(ORACLE.model, ORACLE.guide, X, 50, num_particles=500)
    z = samples["z"].values[0]
    prior = stats.norm.logpdf(z).sum(-1)
    likelihood = stats.norm(z @ ORACLE.W.T + ORACLE.m, ORACLE.s).logpdf(X.numpy()).sum(-1)
    guide = stats.norm(MEAN, ORACLE.t).logpdf(z).sum(-1)
    np.testing.assert_allclose(samples["lp"][0], prior + likelihood, atol=1e-9)
    np.testing.assert_allclose(samples["log_guide"][0], guide, atol=1e-9)
    np.testing.assert_allclose(samples["log_weights"][0], prior + likelihood - guide, atol=1e-9)
    at_draws = log_likelihood(ORACLE.model, ORACLE.guide, X, samples)["x"]
    np.testing.assert_allclose(at_draws[0], likelihood, atol=1e-9)


@pytest.mark.slow
def test_nuts_has_the_posteriors_moments():
    x = X[:3]
    settings = {"num_chains": 2, "warmup_steps": 60, "seed": 1}
    samples = posterior_samples(ORACLE.model, ORACLE.guide, x, 150, "hmc", **settings)
    assert samples.sizes["chain"] == 2
    assert (samples["z_rhat"] < 1.05).all()
    assert not samples["diverging"].any()
    error = np.sqrt(np.diag(ORACLE.posterior_cov) / samples["z_ess"].values)
    z_scores = (samples["z"].mean(("chain", "draw")).values - MEAN[:3]) / error
    assert np.abs(z_scores).max() < STANDARD_ERRORS
    pooled = (samples["z"].values - MEAN[:3]).reshape(-1, 2)
    assert np.abs(np.cov(pooled.T) - ORACLE.posterior_cov).max() < 0.06


class Float32Pair(nn.Module):
    """A user's network in float32 under a likelihood of ours, whose log p(x | z) is float64."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Linear(2, 3)
        self.likelihood = Bernoulli()
        self.likelihood.build((3,))

    def model(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", self.likelihood(self.network(z)), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: VAE((3,), 2, encoder=(4,), decoder=(4,)),
        lambda: HierarchicalVAE((3,), (2, 2), hidden=((4,), (4,))),
        Float32Pair,
    ],
)
def test_nuts_runs_on_networks_in_float32(make):
    pair = make()
    x = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    settings = {"num_chains": 1, "warmup_steps": 5}
    samples = posterior_samples(pair.model, pair.guide, x, 5, "hmc", **settings)
    assert all(np.isfinite(samples[name].values).all() for name in samples.attrs["latent_sites"])


class ScalePair:
    """A latent scale, which NUTS moves on the logarithm, above the latents of the data."""

    def model(self, x):
        with pyro.plate("data", len(x)):
            scale = pyro.sample("scale", dist.LogNormal(0.0, 0.5))
            z = pyro.sample("z", dist.Normal(0.0, scale))
            pyro.sample("x", dist.Normal(z, 0.5), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("scale", dist.LogNormal(0.0, 0.5))
            pyro.sample("z", dist.Normal(x, 0.5))


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (lambda: VAE((3,), 2, encoder=(4,), decoder=(4,)), torch.eye(3)[:2]),
        (ScalePair, torch.tensor([0.3, -1.2])),
    ],
    ids=["vae", "scale"],
)
def test_nuts_moves_as_pyros_does_to_the_bit_by_handlers_and_by_a_graph(make, x, monkeypatch):
    torch.manual_seed(0)
    pair, found, graphs = make(), {}, recorded(monkeypatch)
    for name, worth in (("handlers", math.inf), ("graph", 0.0)):
        monkeypatch.setattr(repeated, "WORTH_RECORDING", worth)
        found[name] = posterior_samples(
            pair.model, pair.guide, x, 6, "hmc", num_chains=2, warmup_steps=6, seed=3
        )
    assert len(graphs) == 2  # one for each chain
    xr.testing.assert_equal(found["graph"], found["handlers"])
    for chain in range(2):
        pyro.set_rng_seed(3 * 2 + chain)
        kernel = NUTS(pair.model, init_strategy=init_to_sample(), max_plate_nesting=1)
        mcmc = MCMC(kernel, 6, 6, disable_progbar=True)
        mcmc.run(x)
        for name, drawn in mcmc.get_samples().items():
            ours = found["graph"][name].values[chain]
            np.testing.assert_array_equal(ours, drawn.numpy())


def test_pyros_own_nuts_runs_on_a_vae_in_float32():
    vae = VAE((3,), 2, encoder=(4,), decoder=(4,))
    mcmc = MCMC(NUTS(vae.model), 3, 2, disable_progbar=True)
    mcmc.run(torch.ones(2, 3))
    assert mcmc.get_samples()["z"].shape == (3, 2, 2)


def plated_model(k, x):
    with pyro.plate("data", len(x), dim=-2):
        a = pyro.sample("a", dist.Normal(k.unsqueeze(-1), 1.0))
        with pyro.plate("features", 3, dim=-1):
            b = pyro.sample("b", dist.Normal(a, 1.0))
            pyro.sample("x", dist.Normal(b, 0.5), obs=x)


def plated_guide(k, x):
    with pyro.plate("data", len(x), dim=-2):
        a = pyro.sample("a", dist.Normal(x.mean(-1, keepdim=True), 0.7))
        with pyro.plate("features", 3, dim=-1):
            pyro.sample("b", dist.Normal(0.8 * x + 0.2 * a, 0.6))


def test_several_sites_in_nested_plates_with_named_inputs():
    x = {"k": torch.tensor([0.0, 2.0]), "x": torch.tensor([[0.5, -1.0, 0.2], [3.0, 2.0, 2.5]])}
    settings = {"data_plate": "data"}
    samples = posterior_samples(
        plated_model, plated_guide, x, 4000, num_particles=40000, **settings
    )
    assert samples["a"].dims == ("chain", "draw", "datum")
    assert samples["b"].shape == (1, 4000, 2, 3)
    # a ~ N(k, 1), x_j | a ~ N(a, 1.25) with b out: precision 1 + 3 / 1.25.
    precision = 1 + 3 / 1.25
    mean = (x["k"] + x["x"].sum(-1) / 1.25) / precision
    z_scores = (samples["a"].mean(("chain", "draw")) - mean.numpy()) * math.sqrt(4000 * precision)
    assert np.abs(z_scores).max() < STANDARD_ERRORS
    # b_j | a, x_j has precision 1 + 4 and mean (a + 4 x_j) / 5.
    expected = (samples["a"].values[..., None] + 4 * x["x"].numpy()) / 5
    assert abs((samples["b"].values - expected).mean()) < STANDARD_ERRORS * 0.2**0.5 / 4000**0.5
    both = to_inference_data(plated_model, plated_guide, x, samples=samples, **settings)
    assert both.constant_data["k"].dims == ("datum",)
    assert both.posterior_predictive["x"].shape == (1, 4000, 2, 3)
    # Without data, x_j ~ N(k, 1 + 1.25), whatever was observed.
    drawn = both.prior_predictive["x"].values[0]
    assert np.abs((drawn.mean(0).T - x["k"].numpy()) / math.sqrt(2.25 / 4000)).max() < 5
    hmc = posterior_samples(
        plated_model, plated_guide, x, 4, "hmc", num_chains=1, warmup_steps=4, **settings
    )
    assert hmc["b"].shape == (1, 4, 2, 3)
    assert "b_ess" in hmc
    assert "b_rhat" not in hmc  # it compares chains, and there is one


def test_draws_find_their_way_back_from_plates_in_any_order():
    """Data in the last dimension, inner plates two and three to its left."""

    def model(x):
        with pyro.plate("data", x.shape[0], dim=-1):
            with pyro.plate("rows", 2, dim=-3):
                b = pyro.sample("b", dist.Normal(0.0, 1.0))
            with pyro.plate("columns", 4, dim=-2):
                c = pyro.sample("c", dist.Normal(0.0, 1.0))
            pyro.sample(
                "x", dist.Normal(b.sum(-3, keepdim=True) + c.sum(-2, keepdim=True), 1.0), obs=x
            )

    def guide(x):
        with pyro.plate("data", x.shape[0], dim=-1):
            with pyro.plate("rows", 2, dim=-3):
                pyro.sample("b", dist.Normal(0.0, 1.0))
            with pyro.plate("columns", 4, dim=-2):
                pyro.sample("c", dist.Normal(0.0, 1.0))

    x = torch.tensor([0.5, -1.0, 2.0])
    samples = posterior_samples(model, guide, x, 7, num_particles=50)
    assert samples["b"].shape == (1, 7, 3, 2)
    assert samples["c"].shape == (1, 7, 3, 4)
    mean = samples["b"].sum("b_latent_0") + samples["c"].sum("c_latent_0")
    expected = stats.norm(mean.values, 1).logpdf(x.numpy())
    got = log_likelihood(model, guide, x, samples)["x"]
    np.testing.assert_allclose(got, expected, atol=1e-5)
    np.testing.assert_allclose(samples["log_weights"], expected, atol=1e-5)


def test_inference_data_has_its_groups_and_names():
    idata = to_inference_data(ORACLE.model, ORACLE.guide, X, 40, num_particles=400)
    # A DataTree of ArviZ 1.x, or an InferenceData, which needs its methods called.
    groups = set(idata.children) if isinstance(idata, xr.DataTree) else set(idata.groups())
    assert isinstance(idata, xr.DataTree) == (int(az.__version__.partition(".")[0]) >= 1)
    assert groups == {
        "posterior",
        "posterior_predictive",
        "log_likelihood",
        "sample_stats",
        "prior",
        "prior_predictive",
        "observed_data",
    }
    assert dict(idata.posterior.sizes) == {"chain": 1, "draw": 40, "datum": 6, "latent": 2}
    assert idata.prior["z"].shape == (1, 40, 6, 2)
    assert idata.posterior_predictive["x"].dims == ("chain", "draw", "datum", "features")
    assert idata.log_likelihood["x"].dims == ("chain", "draw", "datum")
    np.testing.assert_array_equal(idata.observed_data["x"], X.numpy())
    assert {"log_weights", "ess", "khat"} <= set(idata.sample_stats.data_vars)
    assert "rhat" not in " ".join(map(str, idata.sample_stats.data_vars))
    assert "not a Markov chain" in idata.posterior.attrs["mcmc_diagnostics"]


def test_replicates_have_the_posterior_predictive_moments_and_p_values():
    samples = posterior_samples(ORACLE.model, ORACLE.exact_guide, X, 3000, "guide")
    replicates = posterior_predictive(ORACLE.model, ORACLE.exact_guide, X, samples)["x"]
    cov = ORACLE.W @ ORACLE.posterior_cov @ ORACLE.W.T + ORACLE.s**2 * np.eye(5)
    mean = MEAN @ ORACLE.W.T + ORACLE.m
    z_scores = (replicates.values[0].mean(0) - mean) / np.sqrt(np.diag(cov) / 3000)
    assert np.abs(z_scores).max() < STANDARD_ERRORS
    checks = predictive_p_values(X, replicates, {"mean": np.mean, "ties": lambda part: len(part)})
    # The mean of x_rep is normal: P(T(x_rep) > T(x)) in closed form.
    error = math.sqrt(cov.sum() / 25 / 6)
    exact = stats.norm(mean.mean(), error).sf(float(X.mean()))
    got = checks.sel(statistic="mean")
    assert abs(got["p_value"] - exact) < STANDARD_ERRORS * got["p_value_se"]
    assert checks["p_value"].sel(statistic="ties") == 0.5
    assert len(plots.posterior_predictive_checks(checks).axes) == 2
    with pytest.raises(DataError, match="replicates are of data"):
        predictive_p_values(X[:2], replicates, {"mean": np.mean})
    with pytest.raises(DataError, match="samples are of 6 data"):
        posterior_predictive(ORACLE.model, ORACLE.guide, X[:2], samples)


def ranks_of(guide, **settings):
    simulate = simulator(ORACLE.model, ORACLE.exact_guide, X)
    return sbc_ranks(ORACLE.model, guide, 400, simulate=simulate, seed=2, **settings)


def test_calibration_of_the_exact_posterior_is_uniform():
    ranks = ranks_of(ORACLE.exact_guide)
    assert ranks["rank"].dims == ("source", "simulation", "latent")
    assert ranks["rank"].values.min() >= 0
    assert ranks["rank"].values.max() <= 99
    assert (ranks["p_value"] > 1e-4).all()
    assert (np.abs(ranks["shift"]) < STANDARD_ERRORS).all()
    assert (np.abs(ranks["spread"]) < STANDARD_ERRORS).all()
    assert "no latent's ranks differ" in calibration_sentences(ranks)[0]


@a_few_always(
    ("scale", "shift", "variable", "sign", "word"),
    [
        (0.6, 0.0, "spread", 1, "too narrow"),
        (1.6, 0.0, "spread", -1, "too wide"),
        (1.0, 0.4, "shift", -1, "too high"),
    ],
)
def test_calibration_names_the_fault_and_resampling_repairs_it(scale, shift, variable, sign, word):
    ranks = ranks_of(scaled_guide(scale, shift), resample=True, num_particles=500)
    assert (sign * ranks[variable].sel(source="guide") > STANDARD_ERRORS).all()
    assert (ranks["p_holm"].sel(source="guide") < 1e-6).all()
    assert calibration_sentences(ranks)[0].count(word) == 2
    if scale >= 1:  # particles too narrow leave weights without a variance
        assert (ranks["p_value"].sel(source="resampled") > 1e-4).all()
        assert (np.abs(ranks["shift"].sel(source="resampled")) < STANDARD_ERRORS).all()
        assert (ranks["khat"] < 0.7).mean() > 0.95
    figure = plots.sbc_histograms(ranks)
    assert len(figure.axes) == 4
    heights = [patch.get_height() for patch in figure.axes[0].containers[0]]
    assert sum(heights) == 400


def test_uniformity_has_its_false_alarm_rate():
    """Uniform ranks in 300 latents: p-values uniform, scores standard normal."""
    rng = np.random.default_rng(0)
    rank = (("source", "simulation", "latent"), rng.integers(0, 100, (1, 600, 300)))
    checked = uniformity(xr.Dataset({"rank": rank}, attrs={"num_draws": 99}))
    assert stats.kstest(checked["p_value"].values[0], "uniform").pvalue > 1e-4
    for name in ("shift", "spread"):
        assert stats.kstest(checked[name].values[0], "norm").pvalue > 1e-4, name


def test_models_of_the_package_simulate_themselves():
    vae = VAE((3, 4), 2)
    ranks = sbc_ranks(vae.model, vae.guide, 50, 19)
    assert list(ranks["latent"].values) == ["z[0]", "z[1]"]
    with pytest.raises(ProgramError, match=r"simulate=simulator\(model, guide, x\)"):
        sbc_ranks(ORACLE.model, ORACLE.guide, 50, 19)


def test_kl_per_unit_sums_to_the_kl_of_a_mean_field_guide():
    report = latent_report(ORACLE.model, ORACLE.guide, X)
    assert report.attrs["kl_method"] == "closed form"
    assert float(report["kl"].sum()) == pytest.approx(ORACLE.kl_to_prior(X).mean(), rel=1e-9)
    np.testing.assert_allclose(report["mean_variance"], MEAN.var(0, ddof=1), rtol=1e-9)
    assert "No posterior collapse" in report.attrs["conclusion"]


def test_kl_from_draws_agrees_with_the_closed_form():
    wide = {"loc": 1.2, "scale": 0.5}

    def model(x):
        with pyro.plate("data", len(x)):
            u = pyro.sample("u", dist.Normal(0.0, 1.0))
            v = pyro.sample("v", dist.Normal(0.0, 2.0))
            pyro.sample("x", dist.Normal(u + v, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("u", dist.Normal(**wide))
            pyro.sample("v", dist.Normal(x, 1.0))

    x = torch.tensor([0.5, -2.0, 1.0])
    report = latent_report(model, guide, x, 20000)
    assert "lower bound" in report.attrs["kl_method"]
    of_u = 0.5 * (0.5**2 + 1.2**2 - 1 - math.log(0.5**2))
    of_v = np.mean(0.5 * (1 / 4 + x.numpy() ** 2 / 4 - 1 - math.log(1 / 4)))
    np.testing.assert_allclose(report["kl"], [of_u, of_v], atol=0.02)
    assert list(report["active"].values) == [False, True]
    assert "1 of 2 latent units (u) are inactive" in report.attrs["conclusion"]


def test_two_layers_are_reported_from_draws():
    vae = HierarchicalVAE((4,), (2, 1))
    x = (torch.rand(3, 4) < 0.5).float()
    report = latent_report(vae.model, vae.guide, x, 2000)
    assert report.sizes["latent"] == 3
    assert (report["kl"] > -0.05).all()


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(UnknownNameError, match="'nuts': it must be one of"):
        posterior_samples(ORACLE.model, ORACLE.guide, X, method="nuts")

    def model(x):
        with pyro.plate("data", len(x)):
            k = pyro.sample("k", dist.Bernoulli(0.5))
            pyro.sample("x", dist.Normal(k, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("k", dist.Bernoulli(0.5))

    with pytest.raises(ProgramError, match="'k' is discrete, and NUTS needs gradients"):
        posterior_samples(model, guide, torch.zeros(2), 5, "hmc")
