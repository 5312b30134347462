"""Autoencoders against PCA, the Wiener filter, and their objectives written out."""

import json

import numpy as np
import pytest
import torch
from pyro.infer import Trace_ELBO
from scipy import stats
from scipy.linalg import subspace_angles
from sklearn import decomposition

from pyro_vae.errors import ProgramError, UnknownNameError
from pyro_vae.inference import evaluate, fit, reconstruct
from pyro_vae.inference.engine.weights import log_weights
from pyro_vae.inference.latents import reconstruction_error
from pyro_vae.inference.training import objective_named
from pyro_vae.models import (
    PCA,
    VAE,
    Autoencoder,
    DenoisingAutoencoder,
    PoorMansVAE,
    model_from_config,
)
from pyro_vae.models.autoencoders import (
    Corruption,
    GaussianNoise,
    MaskingNoise,
    SaltAndPepperNoise,
)
from pyro_vae.models.likelihoods import Bernoulli, Binomial, Normal, Poisson
from pyro_vae.networks import Convolutional, Dense
from pyro_vae.pictures.decoded import draw_samples
from pyro_vae.stored.measured import measure_split
from tests.cases import a_few_always
from tests.tolerances import STANDARD_ERRORS


def correlated(n, size=6, seed=1):
    """Gaussian data with standard deviations 3, 2, 1, and 0.3 along rotated axes."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(size, size)))[0]
    scales = np.array([3.0, 2.0, 1.0, 0.3, 0.3, 0.3])
    x = rng.normal(size=(n, size)) * scales @ axes.T + 1.0
    return torch.tensor(x, dtype=torch.float32), (axes * scales**2) @ axes.T


MODELS = {
    "autoencoder": lambda **s: Autoencoder((5, 4), 3, encoder=(6,), decoder=(6,), **s),
    "convolutional": lambda **s: Autoencoder(
        *((5, 4), 3), encoder=Convolutional((2,), (4,)), decoder=Convolutional((2,), (4,)), **s
    ),
    "batch-norm": lambda **s: Autoencoder(
        *((5, 4), 3), encoder=Dense((6, 6), batch_norm=True), decoder=(6,), **s
    ),
    "denoising": lambda **s: DenoisingAutoencoder((5, 4), 3, corruption=MaskingNoise(0.5), **s),
    "poor-mans": lambda **s: PoorMansVAE((5, 4), 3, penalty="half-squared-norm", weight=2.0, **s),
}


@pytest.mark.parametrize("name", MODELS)
def test_config_brings_the_model_back(name):
    model = MODELS[name]()
    again = model_from_config(json.loads(json.dumps(model.config)))
    assert again.config == model.config
    assert type(again) is type(model)
    again.load_state_dict(model.state_dict())
    x = torch.rand(7, 5, 4).round()
    torch.testing.assert_close(again.eval().code(x), model.eval().code(x))


@pytest.mark.parametrize("likelihood", [Bernoulli(), Normal(0.5), Normal("latent")])
def test_objective_is_the_log_likelihood_at_the_code(likelihood):
    model = Autoencoder((5, 4), 3, likelihood=likelihood, encoder=(6,), decoder=(6,))
    x = torch.rand(7, 5, 4).round()
    loss = Trace_ELBO().differentiable_loss(model.model, model.guide, x)
    by_hand = -model.observation(model.code(x)).log_prob(x).sum()
    torch.testing.assert_close(loss, by_hand)
    loss.backward()
    assert all(bool((p.grad != 0).any()) for p in model.encoder.parameters())


def test_squared_error_and_cross_entropy_are_the_likelihoods_that_they_are():
    x = torch.rand(7, 20).round()
    squared = Autoencoder((20,), 3, likelihood=Normal(0.5**0.5))
    loss = Trace_ELBO().loss(squared.model, squared.guide, x)
    error = (x - squared.decode(squared.code(x))).square().sum().item()
    constant = 7 * 20 * 0.5 * np.log(2 * np.pi * 0.5)
    assert loss == pytest.approx(error + constant, rel=1e-5)
    crossed = Autoencoder((20,), 3)
    loss = Trace_ELBO().loss(crossed.model, crossed.guide, x)
    mean = crossed.decode(crossed.code(x)).detach()
    entropy = torch.nn.functional.binary_cross_entropy(mean, x, reduction="sum").item()
    assert loss == pytest.approx(entropy, rel=1e-5)


@pytest.mark.slow
def test_linear_autoencoder_spans_the_principal_subspace():
    x, _ = correlated(1000)
    linear = Autoencoder((6,), 2, likelihood=Normal(1.0), encoder=(), decoder=())
    fit(linear, x, epochs=60, batch_size=100, learning_rate=0.02, schedule="cosine")
    pca = decomposition.PCA(2).fit(x.numpy())
    weight = linear.decoder.output.weight.detach().numpy()
    assert np.degrees(subspace_angles(weight, pca.components_.T)).max() < 1.5
    ours = float(reconstruction_error(linear, x)["squared_error"].mean())
    best = np.square(x.numpy() - pca.inverse_transform(pca.transform(x.numpy()))).mean()
    assert best <= ours < 1.01 * best


@pytest.mark.slow
def test_linear_denoiser_of_gaussian_data_is_the_wiener_filter():
    """E[x | x~] = b + C (C + s^2 I)^-1 (x~ - b); the filter's error is fitted to 1%."""
    x, covariance = correlated(20000)
    linear = DenoisingAutoencoder(
        *((6,), 6),
        corruption=GaussianNoise(1.0),
        likelihood=Normal(1.0),
        encoder=(),
        decoder=(),
    )
    fit(linear, x, epochs=15, batch_size=200, learning_rate=0.01, schedule="cosine")
    filtered = covariance @ np.linalg.inv(covariance + np.eye(6))
    with torch.no_grad():
        zero = linear.decode(linear.code(torch.zeros(1, 6)))
        ours = (linear.decode(linear.code(torch.eye(6))) - zero).numpy().T
    np.testing.assert_allclose(ours, filtered, atol=0.03)
    assert np.abs(filtered - np.eye(6)).max() > 0.3  # the identity would fail


@pytest.mark.parametrize("name", ["autoencoder", "denoising", "poor-mans"])
def test_what_has_no_prior_has_no_log_px(name):
    model = MODELS[name]()
    x = torch.rand(4, 5, 4).round()
    for ask in (
        lambda: evaluate(model, x, 10),
        lambda: evaluate((model.model, model.guide), x, 10),
        lambda: log_weights(model.model, model.guide, x, 10),
    ):
        with pytest.raises(ProgramError, match="'z' has a flat, improper prior"):
            ask()
    if name == "poor-mans":  # drawn from the model that it is measured as
        assert draw_samples(model, 3).shape == (3, 5, 4)
        return
    with pytest.raises(ProgramError, match="has no prior, so there is nothing to draw x from"):
        model.model()


def test_draws_of_the_poor_mans_vae_are_those_of_the_vae_that_it_stands_for():
    model = MODELS["poor-mans"]()
    torch.testing.assert_close(draw_samples(model, 3), draw_samples(model.as_vae(), 3))
    with pytest.raises(ProgramError, match="has no prior"):
        draw_samples(MODELS["denoising"](), 3)


def test_point_mass_guide_of_a_continuous_site_is_refused():
    import pyro
    import pyro.distributions as dist

    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Delta(x / 2))

    with pytest.raises(ProgramError, match="guide of latent site 'z' is a point mass"):
        evaluate((model, guide), torch.randn(5), 10)


NOISES = [GaussianNoise(0.5), MaskingNoise(0.2), SaltAndPepperNoise(0.3)]


@pytest.mark.parametrize("noise", NOISES, ids=lambda n: n.name)
def test_noise_has_the_moments_that_it_says(noise):
    """Mean and mean square of 40,000 spoilt features each, seed 20140501."""
    assert {type(n).name for n in NOISES} == set(Corruption.registry)
    x = torch.tensor([0.2, 0.9]).expand(40000, 2)
    spoilt = noise(x)
    for power in (1, 2):
        draws = spoilt**power
        clean = x[0] ** power
        expected = {
            "gaussian-noise": clean + (0.25 if power == 2 else 0.0),
            "masking-noise": 0.8 * clean,
            "salt-and-pepper-noise": 0.7 * clean + 0.15,
        }[noise.name]
        error = draws.std(0) / len(draws) ** 0.5
        assert ((draws.mean(0) - expected).abs() < STANDARD_ERRORS * error).all()
    # Every feature is struck for itself: no covariance.
    product = (spoilt - spoilt.mean(0)).prod(1)
    assert abs(product.mean()) < STANDARD_ERRORS * product.std() / len(product) ** 0.5
    assert type(noise).from_config(noise.to_config()).to_config() == noise.to_config()


@pytest.mark.parametrize("share", [0.0, -0.1, 1.2])
def test_share_of_struck_features_is_checked(share):
    with pytest.raises(ValueError, match="share got"):
        MaskingNoise(share)


def test_denoiser_is_trained_on_spoilt_data_and_codes_clean_ones():
    model = DenoisingAutoencoder((6,), 2, corruption=GaussianNoise(5.0))
    x = torch.rand(30, 6).round()
    torch.testing.assert_close(model.code(x), model.encoder(x))
    for mode in (True, False):  # in validation too
        model.train(mode)
        first, second = (Trace_ELBO().loss(model.model, model.guide, x) for _ in range(2))
        assert first != second


@pytest.mark.parametrize("penalty", ["norm", "half-squared-norm"])
def test_poor_mans_objective_written_out(penalty):
    """The loss of 20,000 copies of three data against draws made by hand; seed 20140501."""
    model = PoorMansVAE((6,), 2, penalty=penalty, weight=1.5, encoder=(4,), decoder=(4,))
    x = torch.randn(3, 6)
    copies = 20000
    loss = Trace_ELBO().loss(model.model, model.guide, x.repeat(copies, 1)) / copies
    with torch.no_grad():
        m = model.code(x)
        mean = model.decode(m + torch.randn(copies, 3, 2))
    error = (x - mean).square().sum((1, 2)) + 9 * np.log(np.pi)
    norm = m.norm(dim=1) if penalty == "norm" else 0.5 * m.square().sum(1)
    by_hand = error + 1.5 * norm.sum()
    spread = float((2 * by_hand.var() / copies) ** 0.5)
    assert abs(loss - float(by_hand.mean())) < STANDARD_ERRORS * spread
    assert float(norm.sum()) > 2 * STANDARD_ERRORS * spread


def test_reconstruction_and_penalty_train_the_poor_mans_encoder():
    """The gradient of both, against the noise of the same draws put on the code by hand."""
    model = PoorMansVAE((6,), 2, penalty="half-squared-norm", encoder=(4,), decoder=(4,))
    x, weights = torch.randn(5, 6), list(model.encoder.parameters())
    torch.manual_seed(7)
    noise = (model.guide(x) - model.code(x)).detach()
    torch.manual_seed(7)
    loss = Trace_ELBO().differentiable_loss(model.model, model.guide, x)
    m = model.code(x)
    by_hand = 0.5 * m.square().sum() - model.observation(m + noise).log_prob(x).sum()
    expected = torch.autograd.grad(by_hand, weights)
    for ours, theirs in zip(torch.autograd.grad(loss, weights), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_norm_is_a_lower_bound_as_long_as_codes_are_no_longer_than_two():
    """The objective against the ELBO of the model that it approximates, in closed form."""
    model = PoorMansVAE((6,), 2)
    for length, below in ((0.5, True), (1.99, True), (2.01, False), (6.0, False)):
        code = length * torch.tensor([0.6, 0.8])
        kl = 0.5 * float(code.square().sum())
        assert (float(model.norm(code)) >= kl) is below


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "at most the ELBO where ||code(x)|| <= 2, NOT a bound further out"),
        ({"weight": 3.0}, "at most the ELBO where ||code(x)|| <= 6, NOT a bound further out"),
        ({"penalty": "half-squared-norm"}, "the ELBO;"),
        ({"penalty": "half-squared-norm", "weight": 2.0}, "at most the ELBO;"),
        ({"penalty": "half-squared-norm", "weight": 0.5}, "NOT a bound: it is above the ELBO;"),
    ],
)
def test_the_poor_man_says_when_it_is_a_bound(settings, said):
    model = PoorMansVAE((6,), 2, **settings)
    assert f"\n             {said}" in model.description()
    assert "there is no log p(x)" not in model.description()
    reach = 2 * model.weight
    for length in (0.99 * reach, 1.01 * reach):
        penalty = model.weight * float(model.norm(torch.tensor([length, 0.0])))
        below = penalty >= length**2 / 2 - 1e-6  # the KL of N(m, I) to N(0, I)
        if model.penalty == "norm":
            assert below is (length < reach)
        else:
            assert below is (model.weight >= 1)


def test_the_model_that_the_poor_man_approximates_shares_its_networks():
    """Half the squared norm is its KL: objective and ELBO agree; seed 20140501."""
    model = PoorMansVAE((6,), 2, likelihood=Normal("shared"), penalty="half-squared-norm")
    x = torch.randn(5, 6)
    model.initialise(x)
    vae = model.as_vae()
    assert vae.decoder is model.decoder
    assert vae.likelihood is model.likelihood
    results = evaluate((vae.model, vae.guide), x, 4000)
    ours = -Trace_ELBO().loss(model.model, model.guide, x.repeat(4000, 1)) / 4000
    total, error = float(results["elbo"].sum()), float((results["elbo_se"] ** 2).sum() ** 0.5)
    # The other has the noise of the reconstruction alone, which is less than the ELBO's.
    assert abs(ours - total) < STANDARD_ERRORS * 2**0.5 * error
    assert error < 0.1
    with torch.no_grad():
        code = model.code(x)
        kl = 0.5 * code.square().sum(1).numpy()
    far = np.abs(results["kl_to_prior"].values - kl) / results["kl_to_prior_se"].values
    assert far.max() < STANDARD_ERRORS


def test_poor_mans_settings_are_checked():
    with pytest.raises(UnknownNameError, match="penalty 'l1'"):
        PoorMansVAE((4,), 2, penalty="l1")
    with pytest.raises(ValueError, match="weight got 0"):
        PoorMansVAE((4,), 2, weight=0)


def test_split_is_measured_with_the_model_that_the_poor_man_approximates():
    from pyro_vae.data import Dataset

    x = torch.randn(20, 6)
    data = Dataset.from_tensors(x, x, x)
    results = measure_split(PoorMansVAE((6,), 2), data, num_particles=20)
    assert np.isfinite(results["log_evidence"].values).all()


@pytest.mark.slow
def test_without_the_kl_the_scale_of_the_guide_goes_to_zero_and_a_vae_is_an_autoencoder():
    """beta = 0: the noise only hurts the reconstruction, so sigma shrinks; beta = 1 keeps it."""
    x, _ = correlated(500)
    scales = {}
    for beta, epochs in ((0, 10), (0, 40), (1, 40)):
        vae = VAE((6,), 2, likelihood=Normal(0.5), encoder=(), decoder=(), seed=1)
        objective = objective_named(f"beta-elbo(beta={beta})")
        fit(vae, x, objective, epochs=epochs, batch_size=50, learning_rate=0.02)
        with torch.no_grad():
            q = vae.posterior(x)
            # In units of the spread of the codes, which the decoder could rescale.
            scales[beta, epochs] = float((q.base_dist.scale.mean(0) / q.mean.std(0)).max())
    assert scales[0, 40] < scales[0, 10] / 2
    assert scales[0, 40] < scales[1, 40] / 5


@a_few_always("shape", [(6,), (2, 3)])
def test_pca_is_scikit_learns(shape):
    x, _ = correlated(400)
    data, held_out = x[:300].reshape(-1, *shape), x[300:].reshape(-1, *shape)
    model = PCA(shape, 2)
    result = fit(model, data, epochs=50)
    assert len(result.metrics) == 1
    reference = decomposition.PCA(2).fit(x[:300].double().numpy())
    flat = x[300:].double().numpy()
    back = reference.inverse_transform(reference.transform(flat))
    with torch.no_grad():
        ours = model.decode(model.code(held_out)).flatten(1).numpy()
    np.testing.assert_allclose(ours, back, atol=2e-4)
    # scikit-learn's eigenvalues have n - 1 where maximum likelihood has n.
    share = 299 / 300
    variances = reference.explained_variance_ * share
    noise = reference.noise_variance_ * share
    axes = reference.components_.T
    covariance = (axes * (variances - noise)) @ axes.T + noise * np.eye(6)
    expected = stats.multivariate_normal(reference.mean_, covariance).logpdf(flat)
    with torch.no_grad():
        np.testing.assert_allclose(model.log_prob(held_out).numpy(), expected, atol=2e-3)
    results = evaluate((model.model, model.guide), held_out, 20)
    np.testing.assert_allclose(results["elbo"].values, expected, atol=2e-3)
    codes = model.code(data)
    np.testing.assert_allclose(codes.mean(0).detach().numpy(), 0, atol=1e-3)


def test_pca_settings_are_checked_and_kept():
    with pytest.raises(ValueError, match="latent_dim got 7: PCA has at most"):
        PCA((6,), 7)
    with pytest.raises(ValueError, match="x has 3 rows: PCA with latent_dim=5"):
        PCA((6,), 5).initialise(torch.randn(3, 6))
    model = PCA((6,), 2)
    model.initialise(torch.randn(50, 6))
    again = model_from_config(json.loads(json.dumps(model.config)))
    again.load_state_dict(model.state_dict())
    x = torch.randn(5, 6)
    torch.testing.assert_close(again.code(x), model.code(x))


def test_pca_has_the_solver_draw_with_its_seed():
    """501 data of 60 features: scikit-learn takes the randomised solver for them."""
    x = torch.randn(501, 60)
    weights = []
    for seed in (4, 4, 5):
        model = PCA((60,), 3, seed=seed)
        model.initialise(x)
        weights.append(model.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_training_that_goes_on_does_not_start_from_the_data_again():
    model = Autoencoder((6,), 2, encoder=(), decoder=())
    x = torch.rand(20, 6).round()
    fit(model, x, epochs=1, batch_size=20)
    assert model.initialised
    with torch.no_grad():
        model.decoder.output.bias.fill_(3.0)
    fit(model, x, epochs=1, batch_size=20)  # one step of 0.001
    assert (model.decoder.output.bias - 3).abs().max() < 0.01


def test_reconstruction_error_is_on_the_scale_that_was_asked_for():
    model = Autoencoder((6,), 2, likelihood=Binomial(16))
    x = torch.randint(0, 17, (10, 6)).float()
    with torch.no_grad():
        by_hand = ((x - model.decode(model.code(x))) / 16).square().mean(1).numpy()
    for chunk_size in (3, 100):
        results = reconstruction_error(model, x, scale=1 / 16, chunk_size=chunk_size)
        np.testing.assert_allclose(results["squared_error"].values, by_hand, rtol=1e-5)


def test_reconstructions_hear_an_exposure_in_the_decoder_alone():
    model = VAE((6,), 2, likelihood=Poisson(exposure=True), encoder=(4,), decoder=(4,))
    x, exposure = torch.randint(0, 9, (5, 6)).float(), torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    with torch.no_grad():
        back = model.decode(model.code(x), exposure=exposure)
    given = {"x": x, "exposure": exposure}
    torch.testing.assert_close(reconstruct(model, given), back)
    results = reconstruction_error(model, given, chunk_size=2)
    by_hand = (x - back).square().mean(1)
    np.testing.assert_allclose(results["squared_error"].values, by_hand, rtol=1e-5)
