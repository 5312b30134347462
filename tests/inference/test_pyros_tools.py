"""Pyro's own tools on the package's pairs, and Pyro's guides on the package's engine."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import (
    MCMC,
    NUTS,
    SVI,
    Importance,
    Predictive,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
)
from pyro.infer.autoguide import (
    AutoLaplaceApproximation,
    AutoMultivariateNormal,
    AutoNormal,
)
from pyro.infer.inspect import generate_graph_specification, get_model_relations
from scipy import integrate, stats
from torch import nn

from pyro_vae.errors import ProgramError
from pyro_vae.inference import certify, elbo, evaluate, fit, log_evidence, log_weights
from pyro_vae.inference.checking import posterior_samples
from pyro_vae.inference.engine import widened
from pyro_vae.inference.engine.whole import WholeRuns, layout_of_pair
from pyro_vae.inference.evidence import ais, iwae_bound, quadrature
from pyro_vae.models import VAE, HierarchicalVAE, MixtureModel
from pyro_vae.models.likelihoods import Normal
from tests.oracles import LinearGaussian
from tests.tolerances import STANDARD_ERRORS

ORACLE = LinearGaussian()
X = ORACLE.draw(6)
PAIRS = {
    "vae": VAE((5,), 2, likelihood=Normal(), encoder=(4,), decoder=(4,)),
    "hierarchical": HierarchicalVAE((5,), (3, 2), likelihood=Normal(), hidden=((4,), (4,))),
    "mixture": MixtureModel(3, Normal(), (5,)),
    "plain": ORACLE,
}
DRAWN = ["vae", "hierarchical", "plain"]


@pytest.fixture(autouse=True)
def _store_of_its_own():
    """Pyro's guides keep their parameters in the store of the process."""
    with pyro.get_param_store().scope():
        yield


def data_of(name):
    return X if name == "plain" else X.float()


class Spread:
    """r ~ LogNormal(0, 1), x | r ~ N(0, r): a latent site that is positive."""

    x = torch.tensor([0.3, -2.0, 1.1, 4.0], dtype=torch.double)

    @staticmethod
    def model(x):
        with pyro.plate("data", len(x)):
            r = pyro.sample("r", dist.LogNormal(torch.zeros((), dtype=x.dtype), 1.0))
            pyro.sample("x", dist.Normal(0.0, r), obs=x)

    @staticmethod
    def log_px(x):
        """The integral over u = log r."""

        def joint(u):
            return stats.norm.pdf(u) * stats.norm(0, math.exp(u)).pdf(x)

        return math.log(integrate.quad(joint, -9, 9, epsabs=1e-12, limit=200)[0])

    @staticmethod
    def elbo(x, loc, scale):
        """E_q[log p(u) + log p(x | u) - log q(u)] in u, whatever the Jacobian is."""
        q = stats.norm(loc, scale)

        def term(u):
            log_w = stats.norm.logpdf(u) + stats.norm(0, math.exp(u)).logpdf(x) - q.logpdf(u)
            return q.pdf(u) * log_w

        return integrate.quad(term, loc - 9 * scale, loc + 9 * scale, limit=200)[0]


class Fractions:
    """p ~ Beta(2, 3), x | p ~ Binomial(7, p): log p(x) is that of the beta-binomial."""

    x = torch.tensor([0.0, 3.0, 7.0], dtype=torch.double)

    @staticmethod
    def model(x):
        with pyro.plate("data", len(x)):
            p = pyro.sample("p", dist.Beta(torch.tensor(2.0, dtype=x.dtype), 3.0))
            pyro.sample("x", dist.Binomial(7, p), obs=x)


def automatic(model, x, family=AutoNormal, scale=0.7):
    """One of Pyro's guides with parameters of its own for every datum, all different."""
    guide = family(model, init_scale=scale)
    guide(x)
    with torch.no_grad():
        for name, part in guide.named_parameters():
            part.add_(0.3 * torch.randn(part.shape, generator=torch.manual_seed(len(name))))
    return guide


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_is_drawn_as_a_graph(name):
    x = data_of(name)
    relations = get_model_relations(PAIRS[name].model, (x,))
    drawn = generate_graph_specification(relations, render_params=True)
    assert drawn["node_data"]["x"]["is_observed"]
    assert set(drawn["plate_groups"]) == {"data", None}
    latent = next(site for site in drawn["plate_groups"]["data"] if site != "x")
    sources = {source for source, target in drawn["edge_list"] if target == "x"}
    assert latent in sources or len(drawn["plate_groups"]["data"]) > 2


@pytest.mark.parametrize("name", DRAWN)
def test_pyros_estimators_take_a_pair(name):
    pair, x = PAIRS[name], data_of(name)
    ours = float(elbo(pair.model, pair.guide, x, 400)["elbo"].sum())
    torch.manual_seed(1)
    loss = TraceGraph_ELBO(400, vectorize_particles=True, max_plate_nesting=1)
    theirs = -loss.loss(pair.model, pair.guide, x)
    # Both are means of 400 draws, independent of each other and from datum to datum.
    spread = log_weights(pair.model, pair.guide, x, 400).std(0).square().sum().sqrt()
    assert abs(ours - theirs) < STANDARD_ERRORS * float(spread) * math.sqrt(2 / 400)
    one = Importance(pair.model, pair.guide, 3).run(x)
    assert torch.isfinite(one.get_log_normalizer())


def test_a_mixture_is_summed_out_by_enumeration():
    """Its z is in no guide, so that the losses which draw it do not apply."""
    mixture, x = PAIRS["mixture"], data_of("mixture")
    loss = TraceEnum_ELBO(max_plate_nesting=1).loss(mixture.model, mixture.guide, x)
    assert -loss == pytest.approx(float(mixture.log_prob(x).sum().detach()), rel=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_predictive_draws_have_the_shape_of_the_data(name):
    pair, x = PAIRS[name], data_of(name)
    drawn = Predictive(pair.model, guide=pair.guide, num_samples=3)(x)
    assert drawn["x"].shape == (3, 6, 5)


@pytest.mark.parametrize("name", DRAWN)
def test_nuts_runs_on_a_model(name):
    x = data_of(name)
    kernel = NUTS(PAIRS[name].model, max_tree_depth=3)
    chain = MCMC(kernel, 3, 3, disable_progbar=True)
    chain.run(x)
    assert all(value.shape[:2] == (3, 6) for value in chain.get_samples().values())


def test_laplace_finds_the_posterior_of_a_normal_model():
    guide = AutoLaplaceApproximation(ORACLE.model)
    svi = SVI(ORACLE.model, guide, pyro.optim.Adam({"lr": 0.1}), Trace_ELBO())
    for _ in range(60):
        svi.step(X)
    found = guide.laplace_approximation(X)
    with pytest.raises(ProgramError, match="one draw for all the data"):
        evaluate((ORACLE.model, found), X, 10)
    covariance = found.get_posterior().covariance_matrix[:2, :2].detach().numpy()
    np.testing.assert_allclose(covariance, ORACLE.posterior_cov, rtol=1e-3)


def test_automatic_guide_has_the_elbo_of_its_normals():
    """L = log p(x) - KL(q || posterior), between two normals, of each datum its own."""
    guide = automatic(ORACLE.model, X)
    found = evaluate((ORACLE.model, guide), X, 3000, seed=2)
    loc, scale = (part.z.detach().numpy() for part in (guide.locs, guide.scales))
    precision = np.linalg.inv(ORACLE.posterior_cov)
    mean = (X.numpy() - ORACLE.m) @ ORACLE.A.T
    kl = [
        0.5
        * (
            np.trace(precision @ np.diag(s**2))
            - 2
            + (m - mu) @ precision @ (m - mu)
            - np.linalg.slogdet(precision)[1]
            - np.log(s**2).sum()
        )
        for m, s, mu in zip(loc, scale, mean, strict=True)
    ]
    z_scores = (found["elbo"] - (ORACLE.log_px(X) - kl)) / found["elbo_se"]
    assert np.abs(z_scores).max() < STANDARD_ERRORS


def test_parameters_by_position_of_a_users_own():
    locations = torch.linspace(-1, 1, len(X), dtype=X.dtype)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(locations.unsqueeze(-1).expand(-1, 2), 1.0).to_event(1))

    weights = log_weights(ORACLE.model, guide, X, 2000)
    drawn = posterior_samples(ORACLE.model, guide, X, 2000, "guide")["z"].values[0]
    np.testing.assert_allclose(drawn.mean((0, 2)), locations, atol=5 / math.sqrt(4000))
    estimate = weights.logsumexp(0) - math.log(2000)
    error = (weights - estimate).exp().std(0) / math.sqrt(2000)
    assert ((estimate - torch.tensor(ORACLE.log_px(X))).abs() < STANDARD_ERRORS * error).all()


def test_a_positive_site_has_its_jacobian():
    guide = automatic(Spread.model, Spread.x)
    found = evaluate((Spread.model, guide), Spread.x, 4000, seed=1)
    loc, scale = guide.locs.r.tolist(), guide.scales.r.tolist()
    exact = [Spread.elbo(*given) for given in zip(Spread.x.tolist(), loc, scale, strict=True)]
    assert np.abs((found["elbo"] - exact) / found["elbo_se"]).max() < STANDARD_ERRORS
    log_px = [Spread.log_px(x) for x in Spread.x.tolist()]
    # From draws of the prior the density is asked of values that the guide did not draw.
    safe = log_evidence(Spread.model, guide, Spread.x, 3000, proposal="defensive")
    z_scores = (safe["log_evidence"] - log_px) / safe["log_evidence_se"]
    assert np.abs(z_scores).max() < STANDARD_ERRORS
    grid = quadrature(Spread.model, guide, Spread.x)
    np.testing.assert_allclose(grid["log_evidence"], log_px, atol=1e-3)
    annealed = ais(
        Spread.model, guide, Spread.x, num_temperatures=15, num_chains=32, start="guide"
    )
    z_scores = (annealed["log_evidence"] - log_px) / annealed["log_evidence_se"]
    assert np.abs(z_scores).max() < STANDARD_ERRORS


def test_a_site_between_zero_and_one_has_its_jacobian():
    guide = automatic(Fractions.model, Fractions.x, scale=1.2)
    exact = stats.betabinom(7, 2, 3).logpmf(Fractions.x.numpy())
    for program in (guide, widened(guide)):
        found = log_evidence(Fractions.model, program, Fractions.x, 6000)
        z_scores = (found["log_evidence"] - exact) / found["log_evidence_se"]
        assert np.abs(z_scores).max() < STANDARD_ERRORS


def test_several_sites_are_weighed_together():
    pair = PAIRS["hierarchical"]
    x = X.float()
    guide = automatic(pair.model, x)
    ours = elbo(pair.model, guide, x, 2000)
    torch.manual_seed(3)
    theirs = Trace_ELBO(2000, vectorize_particles=True, max_plate_nesting=1)
    error = math.sqrt(2 * float((ours["elbo_se"] ** 2).sum()))
    difference = float(ours["elbo"].sum()) + theirs.loss(pair.model, guide, x)
    assert abs(difference) < STANDARD_ERRORS * error


def test_memory_moves_no_number():
    guide = automatic(ORACLE.model, X)
    whole = log_weights(ORACLE.model, guide, X, 40)
    # Less than one datum is kept: all the data are run again for each.
    small = log_weights(ORACLE.model, guide, X, 40, memory_limit=100)
    torch.testing.assert_close(small, whole, atol=1e-12, rtol=0)
    alone = log_weights(ORACLE.model, guide, X, 40, chunk_size=7)
    torch.testing.assert_close(alone, whole, atol=1e-12, rtol=0)
    assert not torch.equal(log_weights(ORACLE.model, guide, X, 40, seed=1), whole)


def test_rows_are_kept_as_memory_allows(monkeypatch):
    runs = []
    make = WholeRuns._from
    monkeypatch.setattr(WholeRuns, "_from", lambda self, row: runs.append(row) or make(self, row))
    guide = automatic(ORACLE.model, X)
    # A datum's 300 particles take 300 (2 + 3) 8 bytes, and eight chunks are kept.
    log_weights(ORACLE.model, guide, X, 300, memory_limit=300 * 5 * 8 * 2 // 8)
    assert runs == [0, 2, 4]


def test_particles_one_by_one_are_the_same_estimate():
    guide = automatic(ORACLE.model, X)
    found = log_evidence(ORACLE.model, guide, X, 100, vectorize_particles=False)
    z_scores = (found["log_evidence"] - ORACLE.log_px(X)) / found["log_evidence_se"]
    assert np.abs(z_scores).max() < STANDARD_ERRORS


def test_estimators_of_a_pair_by_position_agree():
    guide = automatic(ORACLE.model, X)
    found = certify(
        (ORACLE.model, guide), X, num_particles=500, num_temperatures=10, num_chains=16
    )
    assert set(found.estimates) == {
        *("quadrature", "importance", "widened", "defensive", "ais", "ais-from-prior")
    }
    assert found.agree, str(found)


def test_what_has_no_rows_apart_says_so():
    guide = automatic(ORACLE.model, X)
    with pytest.raises(ProgramError, match="each of 6 data, by their position, and was run on 4"):
        evaluate((ORACLE.model, guide), X[:4], 10)
    with pytest.raises(ProgramError, match="leave n_jobs out"):
        elbo(ORACLE.model, guide, X, 10, n_jobs=2)
    with pytest.raises(ProgramError, match="target_error draws more particles of one datum"):
        log_evidence(ORACLE.model, guide, X, 10, target_error=0.1)
    with pytest.raises(ProgramError, match="that was not run yet"):
        iwae_bound(ORACLE.model, AutoNormal(ORACLE.model), X)
    joint = automatic(ORACLE.model, X, AutoMultivariateNormal)
    with pytest.raises(ProgramError, match=r"one draw for all the data together.*AutoNormal"):
        elbo(ORACLE.model, joint, X, 10)


def test_fit_refuses_a_guide_by_position():
    class ByPosition(nn.Module):
        def __init__(self):
            super().__init__()
            self.guide = AutoNormal(ORACLE.model)

        def model(self, x):
            ORACLE.model(x)

    with pytest.raises(ProgramError, match=r"guide got AutoNormal.*pyro\.infer\.SVI on all"):
        fit(ByPosition(), X)


def test_a_dimension_outside_the_plates_is_no_row():
    """Five features that fit five data by accident: the shapes of all the data tell nothing."""

    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros((), dtype=x.dtype), 1.0))
            pyro.sample("x", dist.Normal(z.unsqueeze(-1), 1.0).expand((*z.shape, 5)), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x.mean(-1), 1.0))

    with pytest.raises(ValueError, match="Shape mismatch"):
        layout_of_pair(model, guide, X[:5], False, None)
