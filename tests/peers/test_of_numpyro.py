"""Programs of NumPyro as pairs, against NumPyro's own densities and losses."""

from functools import partial

import numpy as np
import pytest
import torch

pytest.importorskip("numpyro")

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.example_libraries import stax
from numpyro import handlers
from numpyro.contrib.module import flax_module
from numpyro.infer import Trace_ELBO
from numpyro.infer.util import log_density
from scipy import stats

from pyro_vae import evaluate
from pyro_vae.errors import ProgramError, SupportError
from pyro_vae.inference import certify
from pyro_vae.pairs import from_numpyro
from tests.peers.story import log_mean_exp, log_weights
from tests.tolerances import STANDARD_ERRORS

CELLS, LATENT, HIDDEN = 9, 2, 7
X = torch.rand(6, CELLS, generator=torch.Generator().manual_seed(1)).round()


def decoded_by_stax(z):
    _, decode = stax.serial(stax.Dense(HIDDEN), stax.Relu, stax.Dense(CELLS))
    net = numpyro.module("decoder", (_, decode), (1, LATENT))
    return net(z)


def model(x, num_data=None):
    # The size of the plate scales the densities of training, and is no part of the model.
    with numpyro.plate("data", num_data or len(x), subsample_size=len(x)):
        z = numpyro.sample("z", dist.Normal(jnp.zeros(LATENT), 1.0).to_event(1))
        numpyro.sample("x", dist.Bernoulli(logits=decoded_by_stax(z)).to_event(1), obs=x)


def with_flax(x):
    import flax.linen as nn

    decode = flax_module("flax", nn.Dense(CELLS), input_shape=(1, LATENT))
    with numpyro.plate("data", len(x)):
        z = numpyro.sample("z", dist.Normal(jnp.zeros(LATENT), 1.0).to_event(1))
        numpyro.sample("x", dist.Bernoulli(logits=decode(z)).to_event(1), obs=x)


def guide(x, num_data=None):
    loc = numpyro.param("slope", 0.1 * jnp.ones((CELLS, LATENT)))
    with numpyro.plate("data", num_data or len(x), subsample_size=len(x)):
        numpyro.sample("z", dist.Normal((x - 0.5) @ loc, 0.9).to_event(1))


def parameters(model, guide, x):
    """What `svi.init` starts at."""
    x = jnp.asarray(x)
    found = {}
    for program in (model, guide):
        trace = handlers.trace(handlers.seed(program, jax.random.key(2))).get_trace(x)
        found |= {n: s["value"] for n, s in trace.items() if s["type"] == "param"}
    return found


def at_own_draws(model, guide, params, x, k):
    """Draws of the guide, and NumPyro's log p(x, z) - log q(z | x) of all data together."""
    x, zs, sums = jnp.asarray(x), [], []
    for key in jax.random.split(jax.random.key(4), k):
        seeded = handlers.seed(handlers.substitute(guide, params), key)
        z = handlers.trace(seeded).get_trace(x)["z"]["value"]
        joint = log_density(model, (x,), {}, {**params, "z": z})[0]
        sums.append(joint - log_density(guide, (x,), {}, {**params, "z": z})[0])
        zs.append(np.array(z))
    return torch.tensor(np.stack(zs)), np.array(sums)


@pytest.mark.parametrize("story", [model, with_flax], ids=["stax", "flax"])
def test_weights_are_those_of_log_density_at_the_same_z(story):
    params = parameters(story, guide, X.numpy())
    z, sums = at_own_draws(story, guide, params, X.numpy(), 5)
    ours = log_weights(from_numpyro(story, guide, params, X), X, z)
    assert ours.sum(1).numpy() == pytest.approx(sums, rel=1e-5)


def test_the_bound_is_minus_the_loss_of_numpyro():
    params = parameters(model, guide, X.numpy())
    found = evaluate(from_numpyro(model, guide, params, X), X, 2000)
    loss = Trace_ELBO(num_particles=2000).loss(
        jax.random.key(0), params, model, guide, jnp.asarray(X.numpy())
    )
    error = float(np.sqrt(2 * (found["elbo_se"] ** 2).sum()))
    assert error < 0.2
    assert float(found["elbo"].sum()) == pytest.approx(-float(loss), abs=STANDARD_ERRORS * error)


def test_the_scale_of_a_plate_is_left_out():
    """A plate of 600 with 6 of them multiplies every density of the loss by 100."""
    params = parameters(model, guide, X.numpy())
    z = torch.zeros(1, 6, LATENT)
    whole = log_weights(from_numpyro(model, guide, params, X), X, z)
    scaled = partial(model, num_data=600), partial(guide, num_data=600)
    assert torch.equal(log_weights(from_numpyro(*scaled, params, X), X, z), whole)
    args = (jnp.asarray(X.numpy()),), {}, {**params, "z": jnp.zeros((6, LATENT))}
    assert float(log_density(handlers.seed(scaled[0], 0), *args)[0]) == pytest.approx(
        100 * float(log_density(model, *args)[0]), rel=1e-5
    )


def test_a_positive_z_goes_by_its_bijection():
    """x ~ Poisson(z), z ~ Gamma(2, 1): log p(x) is that of a negative binomial."""

    def counts(x):
        with numpyro.plate("data", len(x)):
            rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
            numpyro.sample("x", dist.Poisson(rate), obs=x)

    def gamma(x):
        with numpyro.plate("data", len(x)):
            numpyro.sample("rate", dist.Gamma(1.5 + x, 1.7))

    x = torch.tensor([0.0, 1.0, 4.0, 9.0])
    pair = from_numpyro(counts, gamma, {}, x)
    assert pair.measure == "counting"
    exact = torch.distributions.NegativeBinomial(2.0, probs=torch.tensor(0.5)).log_prob(x)
    found = evaluate(pair, x, 4000)
    away = np.abs(found["log_evidence"].values - exact.numpy())
    assert (away < STANDARD_ERRORS * found["log_evidence_se"].values).all()
    assert float(found["log_evidence_se"].max()) < 0.02


def test_it_is_annealed_by_jax_gradients_and_simulated_by_numpyro():
    params = parameters(model, guide, X.numpy())
    pair = from_numpyro(model, guide, params, X)
    assert "p(x | z) adds up to one over x" in pair.checked[-1]
    table = certify(pair, X[:2], estimators=["importance", "ais"], num_temperatures=20).table
    assert table.loc["ais", "log_evidence"] == pytest.approx(
        table.loc["importance", "log_evidence"], abs=STANDARD_ERRORS * table.loc["ais", "mc_se"]
    )
    z = torch.zeros(4000, LATENT)
    drawn = pair.form.likelihood(z, {}).sample()
    params = {"decoder$params": params["decoder$params"]}
    seeded = handlers.substitute(decoded_by_stax, params)
    wanted = np.array(jax.nn.sigmoid(seeded(jnp.zeros((1, LATENT)))))[0]
    error = np.sqrt(wanted * (1 - wanted) / 4000)
    assert (np.abs(drawn.mean(0).numpy() - wanted) < STANDARD_ERRORS * error).all()


def a_global(x):
    scale = numpyro.sample("scale", dist.Normal(0.0, 1.0))
    guide(x)
    return scale


def a_discrete(x):
    with numpyro.plate("data", len(x)):
        numpyro.sample("z", dist.Categorical(jnp.ones(3) / 3))


def another(x):
    with numpyro.plate("data", len(x)):
        numpyro.sample("other", dist.Normal(jnp.zeros(LATENT), 0.9).to_event(1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (a_global, r"'scale' has batch shape \(\) for one datum: every latent site must be in"),
        (a_discrete, "'z' is discrete, and z is taken as numbers of the line"),
        (another, "latent site other, z is in one of model and guide only"),
    ],
)
def test_what_cannot_be_a_pair_is_refused(wrong, message):
    params = parameters(model, guide, X.numpy())
    with pytest.raises(ProgramError, match=message):
        from_numpyro(model, wrong, params, X)


def test_a_model_without_data_is_refused():
    def unobserved(x):
        with numpyro.plate("data", len(x)):
            numpyro.sample("z", dist.Normal(jnp.zeros(LATENT), 1.0).to_event(1))

    with pytest.raises(ProgramError, match=r"must have one observed site.*and has none"):
        from_numpyro(unobserved, guide, parameters(model, guide, X.numpy()), X)


def test_grey_cells_are_refused():
    with pytest.raises(SupportError):
        from_numpyro(model, guide, parameters(model, guide, X.numpy()), X / 2)


def test_log_px_is_the_same_from_any_form_of_weights():
    """The bound by K draws of NumPyro's own: log-mean-exp of what `log_density` gives a row."""
    params = parameters(model, guide, X.numpy())
    z, sums = at_own_draws(model, guide, params, X[:1].numpy(), 50)
    ours = log_mean_exp(log_weights(from_numpyro(model, guide, params, X), X[:1], z))
    assert ours.item() == pytest.approx(float(np.logaddexp.reduce(sums) - np.log(50)), abs=1e-5)


def test_a_positive_site_has_its_jacobian_in_both_densities():
    """On the line u = log z both densities have du / dz = 1 / z; in the weights it cancels."""

    def model(x):
        with numpyro.plate("data", len(x)):
            z = numpyro.sample("z", dist.Exponential(1.0))
            numpyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        with numpyro.plate("data", len(x)):
            numpyro.sample("z", dist.Gamma(2.0, jnp.ones(len(x))))

    x = torch.tensor([0.5, 1.5])
    pair = from_numpyro(model, guide, {}, x)
    u = torch.tensor([[-0.7], [0.4]])
    z = u.exp()[:, 0].double().numpy()
    log_joint = stats.expon.logpdf(z) + stats.norm.logpdf(x.numpy(), z) + u[:, 0].numpy()
    log_guide = stats.gamma(2.0).logpdf(z) + u[:, 0].numpy()
    for name, wanted in (("log_joint", log_joint), ("log_guide", log_guide)):
        found = pair.form.of_rows(name, x, u, {}).numpy()
        assert found == pytest.approx(wanted, abs=1e-5)
