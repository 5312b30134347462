"""The hierarchical VAE: sites, bounds, and log p(x) by quadrature over both layers."""

import itertools

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Predictive, Trace_ELBO

from pyro_vae.inference import evaluate
from pyro_vae.models import HierarchicalVAE, model_from_config
from pyro_vae.models.likelihoods import Binomial
from tests.tolerances import STANDARD_ERRORS

X = (torch.arange(80) % 7 < 3).float().reshape(5, 4, 4)


def make(latent_dims=(3, 2), **settings):
    return HierarchicalVAE((4, 4), latent_dims, hidden=((8,), (6,)), **settings)


def test_sites_lie_in_one_plate():
    vae = make()
    for program, sites in ((vae.model, ["z2", "z1", "x"]), (vae.guide, ["z1", "z2"])):
        trace = poutine.trace(program).get_trace(X)
        found = [n for n, s in trace.nodes.items() if s["type"] == "sample" and n != "data"]
        assert found == sites
        for name in sites:
            assert [f.name for f in trace.nodes[name]["cond_indep_stack"]] == ["data"]


def test_log_px_is_that_of_quadrature():
    """Layers of one dimension each: log p(x) = log of a double integral over (z_1, z_2)."""
    torch.manual_seed(3)
    vae = make((1, 1)).double()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.mul_(0.7)
        for encoder in vae.encoders:
            # A guide wider than the posterior of any datum, so that the weights are bounded.
            encoder.output.weight.zero_()
            encoder.output.bias.copy_(torch.tensor([0.0, 2.0]))
    x = X.double()
    grid = torch.linspace(-9, 9, 1201, dtype=torch.double)
    z2, z1 = (g.reshape(-1, 1) for g in torch.meshgrid(grid[::4], grid, indexing="ij"))
    with torch.no_grad():
        log_joint = vae.prior().log_prob(z2) + vae.layer_priors[0](vae.decoders[1](z2)).log_prob(
            z1
        )
        log_likelihood = vae.observation(z1.unsqueeze(1)).log_prob(x)
        cell = (grid[1] - grid[0]) * (grid[4] - grid[0])
        exact = (log_joint.unsqueeze(1) + log_likelihood).logsumexp(0) + cell.log()
        results = evaluate((vae.model, vae.guide), x, 4000, seed=1)
    error = results["log_evidence_se"].values
    difference = results["log_evidence"].values - exact.numpy()
    assert (results["khat"] < 0.7).all()
    assert (abs(difference) < STANDARD_ERRORS * error).all()


@pytest.mark.slow
def test_svi_trains_every_parameter():
    vae = make(likelihood=Binomial(1))
    before = {key: value.clone() for key, value in vae.state_dict().items()}
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
    losses = [svi.step(X) for _ in range(200)]
    assert sum(losses[-20:]) < sum(losses[:20])
    assert all(not torch.equal(v, before[k]) for k, v in vae.state_dict().items())
    assert Predictive(vae.model, num_samples=3)(num_data=4)["x"].shape == (3, 4, 4, 4)


@pytest.mark.parametrize("depth", [2, 3])
def test_shapes_of_codes(depth):
    vae = HierarchicalVAE((4, 4), range(depth, 0, -1), hidden=[(5,)] * depth)
    assert [tuple(code.shape) for code in vae.codes(X)] == [(5, n) for n in range(depth, 0, -1)]
    assert vae.decode(vae.code(X)).shape == (5, 4, 4)
    assert vae.latent_dim == sum(range(1, depth + 1))
    assert f"z{depth} ~" in vae.description()
    with pyro.plate("particles", 6, dim=-2):
        assert vae.guide(X).shape == (6, 5, 1)


def test_config_round_trip():
    vae = make(likelihood=Binomial(4))
    again = model_from_config(vae.config)
    again.load_state_dict(vae.state_dict())
    assert again.config == vae.config


def test_initialise_starts_at_the_moments_of_the_data():
    vae = make()
    vae.initialise(X)
    bias = torch.sigmoid(vae.decoders[0].output.bias).reshape(4, 4)
    torch.testing.assert_close(bias, (X.sum(0) + 0.5) / 6)


def test_bad_layers():
    for dims, hidden in itertools.product([(3,), (3, 2, 1)], [((8,), (6,))]):
        with pytest.raises(ValueError, match="two layers or more"):
            HierarchicalVAE((4, 4), dims, hidden=hidden)
    with pytest.raises(ValueError, match="latent_dims got 0"):
        make((3, 0))
