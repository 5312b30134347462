"""Models of pythae as pairs, at the z that pythae draws, against its own sums."""

import math

import numpy as np
import pytest
import torch

pytest.importorskip("pythae")

from pythae.data.datasets import DatasetOutput
from pythae.models import (
    AE,
    IWAE,
    VAE,
    VAE_IAF,
    VAMP,
    AEConfig,
    IWAEConfig,
    VAE_IAF_Config,
    VAEConfig,
    VAMPConfig,
)

from pyro_vae import evaluate
from pyro_vae.errors import ProgramError, SupportError
from pyro_vae.pairs import from_pythae
from tests.peers.story import log_mean_exp, log_weights
from tests.tolerances import STANDARD_ERRORS

CELLS, LATENT = (1, 4, 3), 2
MODELS = {
    "VAE": (VAE, VAEConfig, {}),
    "IWAE": (IWAE, IWAEConfig, {"number_samples": 5}),
    "VAMP": (VAMP, VAMPConfig, {"number_components": 7}),
    "VAE_IAF": (VAE_IAF, VAE_IAF_Config, {"n_made_blocks": 2}),
}
CASES = [(name, loss) for name in MODELS for loss in ("bce", "mse")]


def made(name, loss):
    kind, config, settings = MODELS[name]
    torch.manual_seed(7)
    model = kind(config(input_dim=CELLS, latent_dim=LATENT, reconstruction_loss=loss, **settings))
    return in_double(model)


def in_double(model):
    if isinstance(model, VAMP):
        model.idle_input = model.idle_input.double()  # no buffer
    return model.double().eval()


def data(loss, count=6):
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(count, *CELLS, generator=generator, dtype=torch.double)
    return x.round() if loss == "bce" else x


@pytest.fixture
def drawn(monkeypatch):
    """Every normal z that pythae draws, in order."""
    found = []
    for kind in (VAE, IWAE, VAMP, VAE_IAF):
        draw = kind._sample_gauss

        def recorded(self, mean, scale, draw=draw):
            z, noise = draw(self, mean, scale)
            found.append(z.detach())
            return z, noise

        monkeypatch.setattr(kind, "_sample_gauss", recorded)
    return found


@pytest.mark.parametrize(("name", "loss"), CASES)
def test_weights_are_those_of_get_nll_at_its_own_draws(name, loss, drawn, capsys):
    """What is called get_nll is the mean of log p(x), of the positive sign."""
    model, x = made(name, loss), data(loss)
    with torch.no_grad():
        theirs = model.get_nll(x, n_samples=50, batch_size=50)
        z = torch.stack([part for part in drawn if len(part) == 50], 1)
        if name == "VAE_IAF":
            z = model.iaf_flow.inverse(z.reshape(-1, LATENT)).out.reshape(z.shape)
    ours = log_mean_exp(log_weights(from_pythae(model, x), x, z)).mean().item()
    assert ours == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize(("name", "loss"), [case for case in CASES if case[0] != "IWAE"])
def test_the_bound_is_minus_the_loss(name, loss, drawn):
    """But for the constant of the normal likelihood, which the loss leaves out."""
    model, x = made(name, loss), data(loss, 4000)
    with torch.no_grad():
        out = model(DatasetOutput(data=x))
    constant = 0.5 * math.prod(CELLS) * math.log(2 * math.pi) if loss == "mse" else 0.0
    weights = log_weights(from_pythae(model, x), x, out.z.unsqueeze(0))[0]
    # The loss of VAE and VAE_IAF has KL or its draw: one z a datum, so that means differ by noise.
    error = weights.std() / math.sqrt(len(x))
    exact = name in ("VAMP", "VAE_IAF")
    allowed = 1e-5 if exact else STANDARD_ERRORS * error.item()
    assert weights.mean().item() == pytest.approx(-out.loss.item() - constant, abs=allowed)


def test_the_loss_of_iwae_is_above_its_bound_by_an_entropy(drawn):
    """With s the shares of the weights it is -sum_k s_k log w_k: by log K less their entropy."""
    model, x = made("IWAE", "bce"), data("bce", 50)
    model.encoder.log_var.weight.data *= 6.0
    with torch.no_grad():
        out = model(DatasetOutput(data=x))
    weights = log_weights(from_pythae(model, x), x, drawn[0].transpose(0, 1))
    bound, shares = log_mean_exp(weights).mean(), weights.softmax(0)
    entropy = -(shares * shares.log()).sum(0).mean()
    assert -out.loss.item() == pytest.approx((bound + math.log(5) - entropy).item(), abs=1e-5)
    assert -out.loss.item() > bound.item() + 0.01


@pytest.mark.parametrize("name", MODELS)
def test_log_px_is_that_of_a_sum_over_a_grid(name):
    """The integral over z of p(x, z), and of q(z | x), by the trapezium rule in the plane."""
    kind, config, settings = MODELS[name]
    torch.manual_seed(1)
    model = kind(config(input_dim=(3,), latent_dim=2, reconstruction_loss="mse", **settings))
    model, x = in_double(model), torch.tensor([[0.1, 0.9, 0.4], [1.0, 0.2, 0.7]]).double()
    pair = from_pythae(model, x)
    line = torch.linspace(-8, 8, 241, dtype=torch.double)
    grid = torch.cartesian_prod(line, line).unsqueeze(1).expand(-1, 2, 2)
    with torch.no_grad():
        joint = pair.form.prior().log_prob(grid) + pair.form.likelihood(grid, {}).log_prob(x)
        guide = pair.form.posterior(x, {}).log_prob(grid)
    step = 2 * math.log(16 / 240)
    assert (guide.logsumexp(0) + step).numpy() == pytest.approx(0.0, abs=1e-4)
    exact = (joint.logsumexp(0) + step).numpy()
    found = evaluate(pair, x, 4000)
    error = found["log_evidence_se"].values
    assert (error < 0.05).all()
    assert (np.abs(found["log_evidence"].values - exact) < STANDARD_ERRORS * error).all()


def test_grey_cells_under_binary_cross_entropy_are_refused():
    with pytest.raises(SupportError, match="as a density of grey values it integrates to exp"):
        from_pythae(made("VAE", "bce"), data("mse"))


def test_a_probability_that_is_rounded_to_one_is_kept_off_it():
    """Binary cross-entropy stops at -100 nats there; ours is that of 2e-16 from one."""
    model, x = made("VAE", "bce"), data("bce")
    model.decoder.layers[-1][0].bias.data += 200.0
    weights = log_weights(from_pythae(model, x), x, torch.zeros(1, 6, LATENT).double())
    assert bool(weights.isfinite().all())


def test_another_model_is_refused():
    with pytest.raises(ProgramError, match="from_pythae got AE: it takes VAE, IWAE, VAMP and"):
        from_pythae(AE(AEConfig(input_dim=CELLS, latent_dim=LATENT)), data("mse"))
