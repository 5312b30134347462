"""The engine against closed forms, quadrature, enumeration and Pyro's own losses."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
import xarray as xr
from pyro import poutine
from pyro.infer import RenyiELBO, Trace_ELBO
from scipy import integrate, stats

from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference import evaluate, log_evidence, log_weights, summary
from pyro_vae.inference.engine.weights import sample_log_weights, stream_log_weights
from pyro_vae.inference.evidence import iwae_bound
from pyro_vae.inference.evidence.checkpoint import Checkpoint
from pyro_vae.models import VAE, MixtureModel
from pyro_vae.models.likelihoods import Bernoulli, Normal
from tests.cases import a_few_always
from tests.oracles import LinearGaussian
from tests.tolerances import STANDARD_ERRORS


def toy_model(x):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(z, 1.0), obs=x)


def toy_guide(x):
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Normal(0.3 * x, 0.9))


def test_all_quantities_of_the_linear_gaussian_model():
    oracle = LinearGaussian()
    x = oracle.draw(40)
    results = evaluate((oracle.model, oracle.guide), x, 4000, seed=3)
    exact = {
        "log_evidence": oracle.log_px(x),
        "elbo": oracle.log_px(x) - oracle.gap(),
        "gap": np.full(len(x), oracle.gap()),
        "reconstruction": oracle.reconstruction(x),
        "kl_to_prior": oracle.kl_to_prior(x),
    }
    for name, expected in exact.items():
        z_scores = (results[name].values - expected) / results[f"{name}_se"].values
        # log of a mean is biased by -se^2 / 2, which is far below the error here.
        assert np.abs(z_scores).max() < STANDARD_ERRORS, name
        assert abs(z_scores.mean()) * math.sqrt(len(x)) < STANDARD_ERRORS, name
        # The standard errors are neither too wide nor too narrow: chi-square on 40 degrees.
        assert stats.chi2(len(x)).sf((z_scores**2).sum()) > 1e-6, name
        assert stats.chi2(len(x)).cdf((z_scores**2).sum()) > 1e-6, name


def test_exact_guide_has_constant_weights_and_no_gap():
    oracle = LinearGaussian()
    x = oracle.draw(6)
    results = evaluate((oracle.model, oracle.exact_guide), x, 200)
    np.testing.assert_allclose(results["log_evidence"], oracle.log_px(x), atol=1e-9)
    np.testing.assert_allclose(results["elbo"], oracle.log_px(x), atol=1e-9)
    np.testing.assert_allclose(results["ess"], 200, rtol=1e-9)
    assert np.isnan(results["khat"]).all()


def test_elbo_identities_hold_to_rounding():
    oracle = LinearGaussian()
    results = evaluate((oracle.model, oracle.guide), oracle.draw(5), 500, iwae=[1, 7, 500])
    assert (results["iwae"].sel(num_particles=1) == results["elbo"]).all()
    parts = results["reconstruction"] - results["kl_to_prior"]
    np.testing.assert_allclose(parts, results["elbo"], atol=1e-10)
    np.testing.assert_allclose(
        results["log_evidence"] - results["elbo"], results["gap"], atol=1e-12
    )
    np.testing.assert_allclose(
        results["iwae"].sel(num_particles=500), results["log_evidence"], atol=1e-12
    )


@a_few_always("chunk_size", [1, 7, 100], [7, 100])
def test_result_does_not_depend_on_chunks_batches_or_order(chunk_size):
    vae = VAE((4, 4), 3, seed=1)
    x = (torch.rand(9, 4, 4) < 0.4).float()
    whole = log_weights(vae.model, vae.guide, x, 100, seed=5)
    chunked = log_weights(vae.model, vae.guide, x, 100, chunk_size, seed=5)
    torch.testing.assert_close(chunked, whole, atol=1e-5, rtol=0)
    order = torch.randperm(9)
    shuffled = log_weights(vae.model, vae.guide, x[order], 100, seed=5)
    torch.testing.assert_close(shuffled, whole[:, order], atol=1e-5, rtol=0)
    parts = [log_weights(vae.model, vae.guide, part, 100, seed=5) for part in x.split(4)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)
    assert not torch.equal(log_weights(vae.model, vae.guide, x, 100, seed=6), whole)


def test_equal_data_have_draws_of_their_own():
    weights = log_weights(toy_model, toy_guide, torch.tensor([0.5, 0.5]), 10)
    assert not torch.equal(weights[:, 0], weights[:, 1])


def test_random_state_is_left_alone():
    state = torch.get_rng_state()
    log_weights(toy_model, toy_guide, torch.tensor([0.5, 1.0]), 10)
    assert torch.equal(torch.get_rng_state(), state)


def test_gradients_stay_on_for_whoever_consumes_the_stream():
    stream = stream_log_weights(toy_model, toy_guide, torch.tensor([0.5, 1.0]), 4)
    assert not next(stream).log_weights.requires_grad
    assert torch.is_grad_enabled()


def test_mean_log_weight_is_minus_pyros_loss():
    """Same pair, same data: the ELBO agrees with ``Trace_ELBO`` within standard errors."""
    oracle = LinearGaussian(seed=2)
    x = oracle.draw(30)
    ours = summary(evaluate((oracle.model, oracle.guide), x, 2000, seed=1)).loc["elbo"]
    torch.manual_seed(11)
    losses = torch.tensor(
        [Trace_ELBO().loss(oracle.model, oracle.guide, x) / len(x) for _ in range(400)]
    )
    error = math.hypot(ours["mc_se"], float(losses.std()) / 20)
    assert abs(ours["mean"] + float(losses.mean())) < STANDARD_ERRORS * error


def test_one_particle_equals_pyros_loss_under_the_same_seed():
    oracle = LinearGaussian()
    x = oracle.draw(7)
    torch.manual_seed(4)
    expected = -Trace_ELBO().loss(oracle.model, oracle.guide, x)
    torch.manual_seed(4)
    # The structure is read off in a first run, whose draws must not shift the others.
    terms, _ = sample_log_weights(oracle.model, oracle.guide, x, 1)
    assert float(terms.log_weights.sum()) == pytest.approx(expected, rel=1e-12)


def test_plate_scale_stays_outside_the_log_sum_exp():
    """Under a subsampled plate IWAE stays below log p(x); Pyro's RenyiELBO does not."""
    full = torch.linspace(-2.5, 2.5, 200)
    exact = stats.norm(0, math.sqrt(2)).logpdf(full.numpy()).mean()

    def subsampled(program_guide):
        def program(x):
            with pyro.plate("data", 200, subsample=torch.arange(len(x))):
                if program_guide:
                    pyro.sample("z", dist.Normal(0.3 * x, 0.9))
                else:
                    z = pyro.sample("z", dist.Normal(0.0, 1.0))
                    pyro.sample("x", dist.Normal(z, 1.0), obs=x)

        return program

    model, guide = subsampled(False), subsampled(True)
    ours = summary(iwae_bound(model, guide, full, [5], seed=2, chunk_size=5))
    reference = summary(iwae_bound(toy_model, toy_guide, full, [5], seed=2))
    assert ours.loc["iwae_5", "mean"] == pytest.approx(reference.loc["iwae_5", "mean"], abs=1e-6)
    # The fault that this guards against is real: ten data of two hundred, scale 20.
    renyi = RenyiELBO(alpha=0, num_particles=5, vectorize_particles=True, max_plate_nesting=1)
    losses = [renyi.loss(model, guide, full[torch.randperm(200)[:10]]) / 200 for _ in range(400)]
    mean, error = -np.mean(losses), np.std(losses) / 20
    assert mean - exact > STANDARD_ERRORS * error


def test_annealing_weight_is_ignored():
    x = torch.tensor([0.1, -1.2])
    annealed = poutine.scale(toy_model, scale=0.1), poutine.scale(toy_guide, scale=0.1)
    torch.testing.assert_close(
        log_weights(*annealed, x, 20), log_weights(toy_model, toy_guide, x, 20)
    )


def test_mask_is_respected():
    def masked(program):
        def with_mask(x):
            with poutine.mask(mask=x > 0):
                program(x)

        return with_mask

    x = torch.tensor([1.0, -1.0])
    weights = log_weights(masked(toy_model), masked(toy_guide), x, 8)
    expected = log_weights(toy_model, toy_guide, x, 8)
    torch.testing.assert_close(weights[:, 0], expected[:, 0])
    assert weights[:, 1].abs().max() == 0


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_neural_decoder_against_quadrature(latent_dim):
    """log p(x) of a VAE in one and two latent dimensions, integrated on a grid."""
    vae = VAE(
        (3,), latent_dim, likelihood=Normal(0.5), encoder=(8,), decoder=(8,), seed=2
    ).double()
    x = torch.tensor([[0.3, -0.2, 0.8], [1.0, 0.0, -0.5]], dtype=torch.double)
    results = log_evidence(vae.model, vae.guide, x, 20000, seed=1)
    nodes = torch.linspace(-7, 7, 401, dtype=torch.double)
    grid = torch.cartesian_prod(*[nodes] * latent_dim).reshape(-1, latent_dim)
    with torch.no_grad():
        log_prior = vae.prior().log_prob(grid)
        log_likelihood = vae.likelihood(vae.decoder(grid)).log_prob(x.unsqueeze(1))
    density = (log_prior + log_likelihood).exp().numpy().reshape(2, *[401] * latent_dim)
    for _ in range(latent_dim):
        density = integrate.simpson(density, x=nodes.numpy(), axis=-1)
    z_scores = (results["log_evidence"] - np.log(density)) / results["log_evidence_se"]
    assert np.abs(z_scores).max() < STANDARD_ERRORS


def test_mixture_by_enumeration():
    mixture = MixtureModel(4, Bernoulli(), (6,))
    x = (torch.rand(50, 6) < 0.5).float()
    mixture.initialise(x)
    weights = log_weights(mixture.model, mixture.guide, x, 3, enumerate_discrete=True)
    expected = mixture.log_prob(x).double().detach()
    torch.testing.assert_close(weights, expected.expand(3, -1), atol=1e-5, rtol=0)


def test_several_sites_one_enumerated_one_in_an_inner_plate():
    """p(x) of a program with two continuous sites, a discrete one, and a plate of features."""
    means = torch.tensor([-1.0, 0.5, 2.0])

    def model(x):
        with pyro.plate("data", len(x), dim=-2):
            k = pyro.sample("k", dist.Categorical(torch.tensor([0.2, 0.5, 0.3])))
            a = pyro.sample("a", dist.Normal(means[k], 0.5))
            with pyro.plate("features", 3, dim=-1):
                pyro.sample("x", dist.Normal(a, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-2):
            pyro.sample("a", dist.Normal(x.mean(-1, keepdim=True), 0.8))

    x = torch.tensor([[0.1, 0.3, -0.4], [2.0, 1.0, 1.5]])
    results = log_evidence(model, guide, x, 20000, enumerate_discrete=True, data_plate="data")
    cov = np.eye(3) + 0.25
    expected = np.log(
        sum(
            share * stats.multivariate_normal(np.full(3, mean), cov).pdf(x.numpy())
            for share, mean in zip([0.2, 0.5, 0.3], means.tolist(), strict=True)
        )
    )
    z_scores = (results["log_evidence"] - expected) / results["log_evidence_se"]
    assert np.abs(z_scores).max() < STANDARD_ERRORS


def test_a_program_that_does_not_broadcast():
    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            assert z.shape == x.shape, "particles are to the left"
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    x = torch.tensor([0.3, -1.0])
    results = log_evidence(model, toy_guide, x, 300, vectorize_particles=False)
    exact = stats.norm(0, math.sqrt(2)).logpdf(x.numpy())
    z_scores = (results["log_evidence"] - exact) / results["log_evidence_se"]
    assert np.abs(z_scores).max() < STANDARD_ERRORS


def test_khat_of_a_row_does_not_change_with_its_batch_mates():
    x = torch.linspace(-2, 2, 12)
    together = log_evidence(toy_model, toy_guide, x, 400)["khat"].values
    alone = log_evidence(toy_model, toy_guide, x[3:4], 400)["khat"].values
    np.testing.assert_allclose(together[3], alone[0], atol=1e-6)


def test_khat_tells_a_narrow_guide_from_a_wide_one():
    def narrow(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x / 2, 0.1))

    x = torch.zeros(5)
    assert (log_evidence(toy_model, narrow, x, 5000)["khat"] > 0.7).all()
    assert (log_evidence(toy_model, toy_guide, x, 5000)["khat"] < 0.7).all()


def test_memory_cap_bounds_the_largest_tensor():
    from torch.overrides import TorchFunctionMode

    class Largest(TorchFunctionMode):
        size = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.size = max(self.size, out.nbytes)
            return out

    vae = VAE((28, 28), 5)
    x = (torch.rand(2, 28, 28) < 0.3).float()
    cap = 2**21
    with Largest() as largest:
        capped = log_weights(vae.model, vae.guide, x, 3000, memory_limit=cap)
    assert largest.size <= cap
    assert 3000 * 784 * 4 > cap  # one shot would have broken it
    torch.testing.assert_close(
        capped, log_weights(vae.model, vae.guide, x, 3000), atol=1e-3, rtol=0
    )


def test_latent_site_outside_the_plate_is_refused():
    def model(x):
        mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(mu, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        pyro.sample("mu", dist.Normal(0.0, 1.0))
        toy_guide(x)

    with pytest.raises(ProgramError, match="'mu' is outside the data plate"):
        log_weights(model, guide, torch.zeros(3), 2)


def test_sites_in_one_program_only_are_refused():
    def empty(x):
        pass

    with pytest.raises(ProgramError, match="'z' is in the model but not in the guide"):
        log_weights(toy_model, empty, torch.zeros(3), 2)
    with pytest.raises(ProgramError, match="enumerate_discrete"):
        log_weights(toy_model, empty, torch.zeros(3), 2, enumerate_discrete=True)


def test_bad_sizes_are_refused():
    with pytest.raises(DataError, match="empty"):
        log_weights(toy_model, toy_guide, torch.zeros(0), 2)
    with pytest.raises(ValueError, match="num_particles got 0"):
        log_weights(toy_model, toy_guide, torch.zeros(2), 0)


def test_summary_divides_sums_by_their_number():
    x = torch.linspace(-2, 2, 7)
    results = evaluate((toy_model, toy_guide), x, 50, iwae=[1, 5])
    table = summary(results)
    values, errors = results["elbo"].values, results["elbo_se"].values
    assert table.loc["elbo", "mean"] == pytest.approx(values.sum() / 7)
    assert table.loc["elbo", "mc_se"] == pytest.approx(np.sqrt((errors**2).sum()) / 7)
    assert table.loc["elbo", "sampling_se"] == pytest.approx(values.std(ddof=1) / np.sqrt(7))


def test_an_interrupted_evaluation_goes_on_where_it_was(tmp_path):
    oracle = LinearGaussian()
    # Two equal data, each with draws of its own, on either side of the interruption.
    x = oracle.draw(12)
    x[9] = x[2]
    whole = evaluate((oracle.model, oracle.guide), x, 60, iwae=(1, 5))
    seen = []

    def stop(done, total):
        seen.append(done)
        if done == 5:
            raise KeyboardInterrupt

    checkpoint = Checkpoint(tmp_path / "partial.nc", "this", interval=1e9)
    with pytest.raises(KeyboardInterrupt):
        evaluate(
            (oracle.model, oracle.guide), x, 60, iwae=(1, 5), progress=stop, checkpoint=checkpoint
        )
    seen.clear()
    again = evaluate(
        *((oracle.model, oracle.guide), x, 60),
        iwae=(1, 5),
        progress=lambda done, total: seen.append(done),
        checkpoint=checkpoint,
    )
    assert seen == list(range(6, 13))
    xr.testing.assert_identical(again, whole)
    # Another key is another measurement, and a broken file is none.
    assert Checkpoint(checkpoint.path, "other").load() == {}
    checkpoint.path.write_bytes(b"broken")
    assert checkpoint.load() == {}
