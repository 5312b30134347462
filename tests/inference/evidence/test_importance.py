"""Proposals and corrections of importance sampling against closed forms."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from torch.distributions.transforms import ExpTransform

from pyro_vae.errors import ProgramError, UnknownNameError
from pyro_vae.inference import log_evidence, log_weights
from pyro_vae.inference.engine import widened
from pyro_vae.inference.engine.bounds import jackknife_of, log_evidence_of, renyi_of
from pyro_vae.inference.engine.diagnostics import KHAT_LIMIT, pareto_smoothed
from pyro_vae.inference.engine.sampling import Sampling
from pyro_vae.inference.engine.weights import stream_draws, stream_log_weights
from pyro_vae.inference.evidence import iwae_bound
from tests.cases import a_few_always
from tests.oracles import LinearGaussian
from tests.tolerances import STANDARD_ERRORS

ORACLE = LinearGaussian()
X = ORACLE.draw(12)


def log_normal(sd, particles, runs, seed):
    """Log-weights with E[w] = 1, so that log p(x) = 0."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(particles, runs, generator=generator, dtype=torch.double)
    return sd * z - sd**2 / 2


def two_sites_model(x):
    with pyro.plate("data", len(x)):
        a = pyro.sample("a", dist.Normal(0.0, 1.0))
        b = pyro.sample("b", dist.Normal(a, 1.0))
        pyro.sample("x", dist.Normal(b, 0.5), obs=x)


def two_sites_guide(x):
    with pyro.plate("data", len(x)):
        b = pyro.sample("b", dist.Normal(0.8 * x, 0.6))
        pyro.sample("a", dist.Normal(b / 2, 0.8))


def agree(results, exact):
    z_scores = (results["log_evidence"].values - exact) / results["log_evidence_se"].values
    assert np.abs(z_scores).max() < STANDARD_ERRORS


@pytest.mark.parametrize("proposal", ["guide", "widened", "defensive"])
@pytest.mark.parametrize("smooth", [False, True])
def test_every_proposal_gives_the_same_log_evidence(proposal, smooth):
    results = log_evidence(
        ORACLE.model, ORACLE.guide, X, 4000, proposal=proposal, smooth=smooth, seed=1
    )
    agree(results, ORACLE.log_px(X))
    assert results.attrs["estimator"].startswith(f"importance sampling, proposal {proposal}")
    assert results.attrs["bound"] == ("neither" if smooth else "lower")


@a_few_always("settings", [{}, {"chunk_size": 7}, {"vectorize_particles": False}], 2, ids=str)
def test_defensive_mixture_is_over_the_sites_together(settings):
    """With one particle of the mixture drawn, q and p are those of both sites at once."""
    x = torch.tensor([0.4, -1.0, 2.5])
    stream = stream_log_weights(
        two_sites_model, two_sites_guide, x, 100, prior_share=0.4, **settings
    )
    terms = [torch.cat(parts, 1) for parts in zip(*stream, strict=True)]
    log_likelihood, log_prior, log_guide = terms
    weights = log_likelihood + log_prior - log_guide
    exact = torch.tensor(stats.norm(0, 1.5).pdf(x.numpy()))
    z_scores = (weights.exp().mean(0) - exact) / (weights.exp().std(0) / 10)
    assert z_scores.abs().max() < STANDARD_ERRORS
    # w = p(x|z) p(z) / [(1 - a) q + a p(z)] <= p(x|z) / a, whatever z.
    assert (weights <= log_likelihood - math.log(0.4) + 1e-6).all()
    assert (log_guide >= math.log(0.4) + log_prior - 1e-6).all()


def test_the_guide_is_weighed_at_the_values_that_were_drawn():
    """q(a | b) of a particle from the prior has that particle's b, not the guide's own."""
    runs = []

    def recorded(x):
        with pyro.plate("data", len(x)):
            b = pyro.sample("b", dist.Normal(0.8 * x, 0.6))
            runs.append((pyro.sample("a", dist.Normal(b / 2, 0.8)), b))

    x = torch.tensor([0.4])
    (terms,) = stream_log_weights(two_sites_model, recorded, x, 50, prior_share=0.4)
    a, b = runs[-1]
    log_guide = dist.Normal(0.8 * x, 0.6).log_prob(b) + dist.Normal(b / 2, 0.8).log_prob(a)
    log_prior = dist.Normal(0.0, 1.0).log_prob(a) + dist.Normal(a, 1.0).log_prob(b)
    mixture = torch.logaddexp(math.log(0.6) + log_guide, math.log(0.4) + log_prior)
    torch.testing.assert_close(terms.log_prior, log_prior.double())
    torch.testing.assert_close(terms.log_guide, mixture.double())


def test_share_of_prior_draws():
    """Draws that only the prior can have made come as often as they should."""

    def far_guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("b", dist.Normal(30.0, 0.1))
            pyro.sample("a", dist.Normal(30.0, 0.1))

    (terms,) = stream_log_weights(
        two_sites_model, far_guide, torch.zeros(1), 4000, prior_share=0.2
    )
    from_prior = (terms.log_prior > -40).double()
    error = math.sqrt(0.2 * 0.8 / 4000)
    assert abs(float(from_prior.mean()) - 0.2) < STANDARD_ERRORS * error
    # E_p[log p(a, b)] = -log(2 pi) - 1: draws of the prior's sites belong together.
    log_prior = terms.log_prior[from_prior.bool()]
    z = (log_prior.mean() + math.log(2 * math.pi) + 1) / (log_prior.std() / len(log_prior) ** 0.5)
    assert abs(float(z)) < STANDARD_ERRORS


@a_few_always("chunk_size", [1, 7, 60], [7, 60])
def test_defensive_weights_do_not_depend_on_chunks_or_order(chunk_size):
    whole = log_weights(ORACLE.model, ORACLE.guide, X, 60, seed=2, prior_share=0.3)
    chunked = log_weights(
        ORACLE.model, ORACLE.guide, X.flip(0), 60, chunk_size, seed=2, prior_share=0.3
    )
    torch.testing.assert_close(chunked.flip(1), whole, atol=1e-9, rtol=0)


def bimodal_model(x):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(z**2, 0.3), obs=x)


def one_mode_guide(x):
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Normal(x.sqrt(), 0.15 / x.sqrt()))


def test_defensive_mixture_finds_the_mode_that_the_guide_misses():
    """x = z^2 + noise: the posterior has modes at +sqrt(x) and -sqrt(x), the guide one."""
    x = torch.tensor([1.0, 1.5, 2.0])
    grid = np.linspace(-8, 8, 20001)
    joint = stats.norm.pdf(grid) * stats.norm.pdf(x.numpy()[:, None], grid**2, 0.3)
    exact = np.log(joint.sum(1) * (grid[1] - grid[0]))
    alone = log_evidence(bimodal_model, one_mode_guide, x, 4000)
    # Half of the evidence is missed, and the draws of one mode cannot tell.
    assert (alone["khat"] < KHAT_LIMIT).any()
    assert np.abs(alone["log_evidence"] - exact + math.log(2)).max() < 0.1
    defended = log_evidence(bimodal_model, one_mode_guide, x, 4000, proposal="defensive")
    agree(defended, exact)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_widened_normals_are_normals(factor):
    def guide():
        loc, scale = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])
        with pyro.plate("data", 3):
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))
            pyro.sample("y", dist.MultivariateNormal(loc, torch.eye(2) + 0.5))

    trace = pyro.poutine.trace(widened(guide, factor)).get_trace()
    loc, scale = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])
    wide = dist.Normal(loc, factor * scale).to_event(1)
    full = dist.MultivariateNormal(loc, factor**2 * (torch.eye(2) + 0.5))
    for name, expected in (("z", wide), ("y", full)):
        site = trace.nodes[name]
        found = site["fn"].log_prob(site["value"])
        assert found.shape == (3,)
        torch.testing.assert_close(found, expected.log_prob(site["value"]))


def test_widening_the_guide_of_dependent_sites_stays_exact():
    x = torch.tensor([0.4, -1.0, 2.5])
    results = log_evidence(two_sites_model, widened(two_sites_guide, 1.5), x, 4000)
    agree(results, stats.norm(0, 1.5).logpdf(x.numpy()))


@pytest.mark.parametrize(
    "fn",
    [
        dist.LogNormal(0.0, 1.0),
        dist.Bernoulli(0.5),
        dist.Delta(torch.tensor(1.0)),
        dist.TransformedDistribution(dist.Normal(0.0, 1.0), [ExpTransform().inv]),
    ],
    ids=["bounded", "discrete", "degenerate", "mean unknown"],
)
def test_sites_that_cannot_be_widened_are_refused(fn):
    with pytest.raises(ProgramError, match=r"guide site 'z' .* cannot be widened"):
        widened(lambda: pyro.sample("z", fn))()


def test_default_is_the_last_of_the_iwae_bounds_to_the_bit():
    plain = log_evidence(ORACLE.model, ORACLE.guide, X, 64, seed=4)
    ladder = iwae_bound(ORACLE.model, ORACLE.guide, X, [1, 64], seed=4)
    assert (ladder["iwae"].sel(num_particles=64).values == plain["log_evidence"].values).all()
    assert plain["log_evidence"].attrs["units"] == "nats"
    assert plain.attrs["particles"] == 64
    assert plain.attrs["seconds"] > 0


def test_jackknife_takes_off_the_bias_of_first_order():
    """Bias of log mean(w) is about -Var(w) / (2 K) = -(e - 1) / 20 at K = 10."""
    weights = log_normal(1.0, 10, 20000, seed=0)
    plain, corrected = log_evidence_of(weights).value, jackknife_of(weights).value
    error = float(corrected.std()) / math.sqrt(20000)
    assert float(plain.mean()) < -0.05
    assert abs(float(corrected.mean())) < abs(float(plain.mean())) / 2 - STANDARD_ERRORS * error


def test_jackknife_by_leaving_out_each_in_turn():
    weights = log_normal(2.0, 9, 4, seed=1)
    weights[0, 0] += 60  # one weight above all others
    full = weights.logsumexp(0) - math.log(9)
    without = torch.stack(
        [torch.cat([weights[:i], weights[i + 1 :]]).logsumexp(0) - math.log(8) for i in range(9)]
    )
    value, error = jackknife_of(weights)
    torch.testing.assert_close(value, 9 * full - 8 * without.mean(0))
    torch.testing.assert_close(error, (8 * without.var(0, correction=0)).sqrt())


def test_smoothing_lowers_the_error_of_heavy_tails():
    """Posterior N(0, 1), guide N(0, 0.6^2): P(w > u) ~ u^(-1 / k) with k = 1 - 0.36."""
    generator = torch.Generator().manual_seed(3)
    z = 0.6 * torch.randn(500, 1000, generator=generator, dtype=torch.double)
    weights = -(z**2) / 2 + z**2 / (2 * 0.36) + math.log(0.6)
    smoothed, khat = pareto_smoothed(weights)
    plain, smooth = log_evidence_of(weights).value, log_evidence_of(smoothed).value
    assert abs(np.median(khat) - 0.64) < 0.1
    assert float((smooth**2).mean()) < 0.8 * float((plain**2).mean())


def test_renyi_bounds_of_log_normal_weights():
    """log E[w^b] = b (b - 1) s^2 / 2, so L_a = -a s^2 / 2."""
    weights = log_normal(0.4, 40000, 1, seed=5)
    for alpha in (-1.0, 0.0, 0.25, 0.5, 0.75, 1.0):
        value, error = renyi_of(weights, alpha)
        assert abs(float(value) + alpha * 0.16 / 2) < STANDARD_ERRORS * float(error), alpha
        value, error = renyi_of(weights.reshape(100, 400), alpha)
        # A standard deviation of 400 runs is known to 1 / sqrt(800).
        assert abs(float(value.std() / error.mean()) - 1) < STANDARD_ERRORS / math.sqrt(800), alpha


def test_particles_are_added_until_the_error_is_small_enough():
    results = log_evidence(ORACLE.model, ORACLE.guide, X, 100, target_error=0.012, seed=6)
    drawn = results["particles"].values
    assert (results["log_evidence_se"] <= 0.012).all()
    assert set(np.log2(drawn / 100) % 1) == {0.0}
    assert len(set(drawn)) > 1
    agree(results, ORACLE.log_px(X))
    # A datum's draws are its own, whatever company it is measured in.
    alone = log_evidence(ORACLE.model, ORACLE.guide, X[4:5], 100, target_error=0.012, seed=6)
    assert float(alone["log_evidence"][0]) == pytest.approx(float(results["log_evidence"][4]))
    capped = log_evidence(ORACLE.model, ORACLE.guide, X, 100, target_error=1e-9, max_particles=250)
    assert (capped["particles"] == 250).all()


def test_added_particles_are_new_ones():
    (drawn,) = stream_draws(
        ORACLE.model,
        ORACLE.guide,
        X[:1],
        50,
        Sampling(),
        more=lambda terms: 50 if len(terms.log_prior) < 150 else 0,
    )
    assert len(torch.unique(drawn.terms.log_prior)) == 150


def test_bad_settings_are_refused():
    def ask(**settings):
        return log_evidence(ORACLE.model, ORACLE.guide, X, 10, **settings)

    with pytest.raises(UnknownNameError, match="defensive"):
        ask(proposal="defensiv")
    with pytest.raises(ValueError, match="exclude each other"):
        ask(smooth=True, jackknife=True)
    with pytest.raises(
        ValueError, match=r"target_error got 0.1 with max_particles 5$|max_particles 5:"
    ):
        ask(target_error=0.1, max_particles=5)
    with pytest.raises(ValueError, match=r"prior_share got 1\.0"):
        ask(prior_share=1.0)
    with pytest.raises(ValueError, match="factor got 0"):
        widened(ORACLE.guide, 0)
