"""The VAE as a pair of Pyro programs."""

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Predictive, Trace_ELBO
from pyro.infer.inspect import get_model_relations
from torch import nn

from pyro_vae.errors import DataError, SupportError, UnknownNameError
from pyro_vae.models import VAE, model_from_config
from pyro_vae.models.likelihoods import Bernoulli, Binomial, Likelihood, Normal

X = (torch.arange(3 * 16) % 3 == 0).float().reshape(3, 4, 4)


def test_both_programs_have_one_plate_and_one_latent_site():
    vae = VAE((4, 4), 2)
    for program, sites in ((vae.model, {"z", "x"}), (vae.guide, {"z"})):
        trace = poutine.trace(program).get_trace(X)
        found = {
            name
            for name, site in trace.nodes.items()
            if site["type"] == "sample" and name != "data"
        }
        assert found == sites
        for name in sites:
            assert [f.name for f in trace.nodes[name]["cond_indep_stack"]] == ["data"]


def test_svi_trains_it_as_it_stands_without_the_param_store():
    vae = VAE((4, 4), 2)
    before = {key: value.clone() for key, value in vae.state_dict().items()}
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
    losses = [svi.step(X) for _ in range(200)]
    assert sum(losses[-20:]) < sum(losses[:20])
    moved = [key for key, value in vae.state_dict().items() if not torch.equal(value, before[key])]
    assert set(moved) == set(before)
    assert not list(pyro.get_param_store().keys())


def test_two_models_in_one_process_do_not_share_parameters():
    one, two = VAE((4, 4), 2, seed=1), VAE((4, 4), 2, seed=2)
    kept = {key: value.clone() for key, value in two.state_dict().items()}
    svi = SVI(one.model, one.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
    svi.step(X)
    assert all(torch.equal(value, kept[key]) for key, value in two.state_dict().items())


def test_predictive_draws_from_prior_and_posterior():
    vae = VAE((4, 4), 2, likelihood=Binomial(16))
    prior = Predictive(vae.model, num_samples=6)(num_data=5)
    assert prior["x"].shape == (6, 5, 4, 4)
    assert vae.likelihood.in_support(prior["x"]).all()
    posterior = Predictive(vae.model, guide=vae.guide, num_samples=6)(16 * X)
    assert posterior["z"].shape == (6, 3, 2)


def test_gradients_reach_every_parameter():
    for scale in (0.5, "shared", "per-feature", "latent"):
        vae = VAE((4, 4), 2, likelihood=Normal(scale))
        Trace_ELBO().differentiable_loss(vae.model, vae.guide, X).backward()
        for name, parameter in vae.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


def test_leading_dimensions_are_kept():
    vae = VAE((4, 4), 2)
    assert vae.decode(torch.zeros(7, 3, 2)).shape == (7, 3, 4, 4)
    with pyro.plate("particles", 7, dim=-2):
        assert vae.model(X).shape == (3, 4, 4)


def test_seed_decides_the_weights_and_leaves_the_global_state():
    state = torch.get_rng_state()
    one, two, other = VAE((4,), 2, seed=3), VAE((4,), 2, seed=3), VAE((4,), 2, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.encoder[0].weight, two.encoder[0].weight)
    assert not torch.equal(one.encoder[0].weight, other.encoder[0].weight)


def test_config_round_trip():
    vae = VAE((4, 4), 2, likelihood=Normal("latent", 0.01), encoder=(7, 5), activation="tanh")
    again = model_from_config(vae.config)
    again.load_state_dict(vae.state_dict())
    assert again.config == vae.config
    assert again.likelihood.min_scale == 0.01
    with pytest.raises(UnknownNameError, match="unknown model 'vea'"):
        model_from_config({"model": "vea"})


def test_own_networks_are_checked_when_the_model_is_made():
    good = nn.Linear(16, 4)
    assert VAE((4, 4), 2, encoder=good).config is None
    with pytest.raises(DataError, match=r"encoder maps \(2, 3, 16\) to \(2, 3, 5\).*\(2, 3, 4\)"):
        VAE((4, 4), 2, encoder=nn.Linear(16, 5))


def test_describe_prints_the_story(capsys):
    VAE((4, 4), 2).describe()
    text = capsys.readouterr().out
    for line in ("z ~ Normal(0, I)", "Bernoulli", "MLP 2-200-200-16", "nats", "lower bound"):
        assert line in text
    from pyro.infer import RenyiELBO

    VAE((4, 4), 2).describe(RenyiELBO(alpha=0, num_particles=5))
    assert "NOT a bound inside a subsampled plate" in capsys.readouterr().out


def test_initialise_starts_at_the_moments_of_the_data():
    vae = VAE((4, 4), 2)
    x = (torch.rand(500, 4, 4) < 0.2).float()
    vae.initialise(x)
    at_bias = torch.sigmoid(vae.decoder[-1].bias).reshape(4, 4)
    torch.testing.assert_close(at_bias, (x.sum(0) + 0.5) / 501)


@pytest.mark.parametrize("latent_dim", [0, -1, 2.5])
def test_bad_latent_dim(latent_dim):
    with pytest.raises(ValueError, match="latent_dim got"):
        VAE((4, 4), latent_dim)


def test_bad_event_shape():
    with pytest.raises(ValueError, match="event_shape got"):
        VAE((4, 0), 2)


def test_bad_data():
    vae = VAE((4, 4), 2)
    with pytest.raises(SupportError, match=r"0 and 1 only.*Binarise"):
        vae.model(torch.full((2, 4, 4), 0.5))
    with pytest.raises(DataError, match="made for data of shape"):
        vae.model(torch.zeros(2, 5))
    with pytest.raises(DataError, match="NaN or infinite values, first in row 1"):
        vae.model(torch.tensor([0.0, float("nan")]).repeat_interleave(16).reshape(2, 4, 4))
    counts = VAE((4, 4), 2, likelihood=Binomial(16))
    with pytest.raises(SupportError, match=r"17.*total_count=16"):
        counts.model(torch.full((2, 4, 4), 17.0))


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'bernoulli'"):
        Likelihood.named("bernouli")
    with pytest.raises(UnknownNameError, match="Did you mean 'latent'"):
        Normal("latnet")
    with pytest.raises(UnknownNameError, match="activation"):
        VAE((4,), 2, activation="rellu")


def test_a_users_own_likelihood_is_found_by_name():
    class Shouting(Likelihood):
        measure, support, remedy, kinds = "counting", "0 and 1", "none", ("binary",)

        def num_params(self, event_shape):
            return Bernoulli().num_params(event_shape)

        def forward(self, eta):
            inner = Bernoulli()
            inner.build(self.event_shape)
            return inner(eta)

        def in_support(self, x):
            return x == x

        def moment_eta(self, x):
            return x.flatten(1).mean(0)

        def formula(self):
            return "x!"

    try:
        vae = VAE((4, 4), 2, likelihood=Likelihood.named("shouting"))
        assert vae.model(X).shape == (3, 4, 4)
    finally:
        del Likelihood.registry["shouting"]


def test_pyro_draws_the_model_as_a_graph():
    vae = VAE((4,), 2, decoder=(3,))
    found = get_model_relations(vae.model, (torch.zeros(5, 4),))
    assert found["sample_sample"] == {"z": [], "x": ["z"]}
    assert found["observed"] == ["x"]
    assert found["plate_sample"] == {"data": ["z", "x"]}
    assert {"decoder.0.weight", "decoder.2.bias"} <= set(found["param_constraint"])
    assert set(found["param_constraint"].values()) == {"Real()"}
