"""What the page is given of a run: weights, moments of q(z | x), and refusals."""

import base64
import json

import numpy as np
import pytest
import torch
from scipy import special

from pyro_vae.errors import DataError, ProgramError
from pyro_vae.lecture import describe_decoder, describe_run
from pyro_vae.lecture.panels.decoder import posterior_moments
from pyro_vae.models import VAE, HierarchicalVAE, Labels, LinearVAE, MixtureModel
from pyro_vae.models.guides import (
    FullCovarianceNormal,
    InverseAutoregressiveFlow,
    LowRankNormal,
    MixtureOfNormals,
)
from pyro_vae.models.likelihoods import (
    Bernoulli,
    Binomial,
    ContinuousBernoulli,
    Gamma,
    Laplace,
    Normal,
    Poisson,
)
from pyro_vae.models.priors import MixtureOfNormals as MixturePrior
from pyro_vae.networks import Convolutional, Dense, Unamortised
from tests.lecture.models import SHAPE, counts, roughened, small_vae
from tests.tolerances import STANDARD_ERRORS

LIKELIHOODS = [
    Bernoulli(),
    Binomial(16),
    ContinuousBernoulli(),
    Laplace("shared"),
    Normal(0.3),
    Normal("shared"),
    Normal("per-feature"),
    Normal("latent"),
    Poisson(),
    Poisson(min_mean=0.5),
]
NETWORKS = [
    Dense((9,), "relu"),
    Dense((), "relu"),
    Dense((5, 6), "tanh"),
    Dense((6, 6, 5), "elu", residual=True),
    Dense((6, 6), "silu", residual=True),
    Dense((8, 4), "softplus"),
]


def array(text):
    return np.frombuffer(base64.b64decode(text), "<f4").astype(float)


def apply(layer, h):
    """One layer of the document, by NumPy."""
    kind = layer["kind"]
    if kind == "linear":
        weight = array(layer["weight"]).reshape(layer["rows"], layer["columns"])
        return h @ weight.T + array(layer["bias"])
    if kind == "residual":
        skipped = h if layer["skip"] is None else apply(layer["skip"], h)
        return skipped + apply(layer["layer"], apply(layer["activation"], h))
    return {
        "elu": lambda u: np.where(u > 0, u, np.expm1(np.minimum(u, 0))),
        "relu": lambda u: np.maximum(u, 0),
        "silu": lambda u: u * special.expit(u),
        "softplus": lambda u: np.logaddexp(0, u),
        "tanh": np.tanh,
    }[kind](h)


def mean_of(about, eta):
    """Mean of p(x | z), by NumPy and SciPy."""
    name = about["name"]
    if name in ("normal", "laplace"):
        return eta if about["scale"] else np.split(eta, 2, axis=-1)[0]
    return {
        "bernoulli": lambda: special.expit(eta),
        "binomial": lambda: about["total"] * special.expit(eta),
        "poisson": lambda: about["minimum"] + np.logaddexp(0, eta),
        "continuous-bernoulli": lambda: 1 - 1 / eta + 1 / np.expm1(eta),
    }[name]()


def numpy_decode(document, z):
    h = z
    for layer in document["layers"]:
        h = apply(layer, h)
    return mean_of(document["likelihood"], h).reshape(*z.shape[:-1], *SHAPE)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_exported_likelihoods_decode_as_the_model(likelihood):
    model = small_vae(3, likelihood)
    document = json.loads(json.dumps(describe_decoder(model)))
    z = torch.randn(20, 3)
    with torch.no_grad():
        np.testing.assert_allclose(
            numpy_decode(document, z.double().numpy()), model.decode(z), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("network", NETWORKS, ids=repr)
def test_exported_networks_decode_as_the_model(network):
    model = small_vae(2, decoder=network)
    document = describe_decoder(model)
    z = torch.randn(20, 2)
    with torch.no_grad():
        np.testing.assert_allclose(
            numpy_decode(document, z.double().numpy()), model.decode(z), rtol=1e-5, atol=1e-5
        )


def test_a_linear_vae_is_shown():
    model = roughened(LinearVAE(SHAPE, 2, scale="per-feature"))
    document = describe_decoder(model)
    z = torch.randn(5, 2)
    expected = (z @ model.weight.T + model.bias).detach().reshape(5, *SHAPE)
    np.testing.assert_allclose(numpy_decode(document, z.double().numpy()), expected, atol=1e-5)
    np.testing.assert_allclose(
        array(document["likelihood"]["scale"]) ** 2, model.variance().detach(), rtol=1e-5
    )


def test_moments_of_normal_guides_are_theirs():
    x = counts().test
    model = small_vae(3)
    features = model.likelihood.standardise(x).flatten(1)
    loc, raw = model.encoder(features).detach().double().chunk(2, dim=-1)
    mean, covariance, exact = posterior_moments(model, x, seed=0)
    assert exact
    np.testing.assert_allclose(mean, loc, rtol=1e-5, atol=1e-6)
    deviations = 1e-6 + np.logaddexp(0, raw.numpy())
    np.testing.assert_allclose(
        covariance, deviations[..., None] ** 2 * np.eye(3), rtol=1e-5, atol=1e-9
    )
    for guide in (FullCovarianceNormal(), LowRankNormal(1)):
        model = small_vae(3, guide=guide)
        q = model.posterior(x)
        mean, covariance, exact = posterior_moments(model, x, seed=0)
        assert exact
        np.testing.assert_allclose(mean, q.mean.detach(), rtol=1e-6)
        tril = q.scale_tril.detach()
        np.testing.assert_allclose(covariance, tril @ tril.mT, rtol=1e-4, atol=1e-5)


def test_moments_of_other_guides_are_estimated():
    x = counts().test[:6]
    model = small_vae(2, guide=MixtureOfNormals(3))
    mean, covariance, exact = posterior_moments(model, x, seed=4)
    assert not exact
    q = model.posterior(x)
    weights = q.mixture_distribution.probs.detach()
    normal = q.component_distribution.base_dist
    loc, scale = normal.loc.detach(), normal.scale.detach()
    # The law of total covariance.
    centre = torch.einsum("bc,bci->bi", weights, loc)
    away = loc - centre.unsqueeze(1)
    within = torch.diag_embed(torch.einsum("bc,bci->bi", weights, scale.square()))
    total = within + torch.einsum("bc,bci,bcj->bij", weights, away, away)
    variance = total.diagonal(dim1=-2, dim2=-1)
    error = (variance / 4096).sqrt()
    assert bool(((mean - centre).abs() < STANDARD_ERRORS * error).all())
    # A fourth moment of a mixture is at most some times that of a normal, 3 variance^2.
    bound = STANDARD_ERRORS * 3 * variance.max(-1).values[:, None, None] / 64
    assert bool(((covariance - total).abs() < bound).all())
    again, *_ = posterior_moments(model, x, seed=4)
    assert torch.equal(mean, again)


def test_a_run_shows_classes_in_turn_and_the_axes_that_move():
    data = counts()
    model = small_vae(5)
    with torch.no_grad():
        model.encoder[-1].weight[:5] *= torch.tensor([0.01, 3.0, 0.01, 0.01, 9.0])[:, None]
    document = describe_run(model, data, name="run", images=8)
    assert document["axes"] == [1, 4]
    assert document["images"]["labels"] == [0, 1, 2, 3, 0, 1, 2, 3]
    rows = document["images"]["rows"]
    assert document["images"]["labels"] == data.labels["test"][rows].tolist()
    np.testing.assert_array_equal(
        array(document["images"]["values"]).reshape(8, *SHAPE), data.test[rows]
    )
    codes = model.code(data.test).detach()
    np.testing.assert_array_equal(
        array(document["codes"]).reshape(-1, 2), codes[:, [1, 4]].numpy().astype(float)
    )
    means = model.posterior(data.test[rows]).mean.detach()[:, [1, 4]]
    np.testing.assert_allclose(array(document["images"]["means"]).reshape(8, 2), means, rtol=1e-5)
    scale = model.posterior(data.test[rows]).base_dist.scale.detach()[:, [1, 4]]
    covariances = array(document["images"]["covariances"]).reshape(8, 2, 2)
    np.testing.assert_allclose(covariances, torch.diag_embed(scale.square()), rtol=1e-5)
    assert document["draws"] is None
    assert document["standardNormal"]
    assert (document["low"], document["high"]) == (0, 16)


def test_a_flow_says_how_many_draws_and_a_prior_what_it_is():
    guide = InverseAutoregressiveFlow(1, hidden=4, context_dim=2)
    model = small_vae(2, guide=guide, prior=MixturePrior(2))
    document = describe_run(model, counts(), name="run")
    assert document["draws"] == 4096
    rows = document["images"]["rows"]
    codes = array(document["images"]["codes"]).reshape(-1, 2)
    np.testing.assert_allclose(codes, model.code(counts().test[rows]).detach(), rtol=1e-6)
    # A flow's code is not its mean: that is estimated.
    assert (codes != array(document["images"]["means"]).reshape(-1, 2)).any()
    assert not document["standardNormal"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: MixtureModel(3, Binomial(16), SHAPE), "MixtureModel"),
        (lambda: HierarchicalVAE((8, 8), (2, 4), likelihood=Binomial(16)), "HierarchicalVAE"),
        (lambda: small_vae(condition=Labels(4)), "takes labels"),
        (lambda: small_vae(likelihood=Poisson(exposure=True)), "takes exposure"),
        (
            lambda: VAE((8, 8), 2, decoder=Convolutional((4, 8), (8,))),
            "decoder got ConvDecoder",
        ),
        (lambda: small_vae(likelihood=Gamma()), "likelihood got gamma.*bernoulli, binomial"),
        (lambda: small_vae(encoder=Unamortised(4)), "free parameters"),
        (lambda: small_vae(1), "latent_dim got 1"),
        (lambda: VAE((5,), 2), r"event_shape got \(5,\)"),
    ],
)
def test_what_cannot_be_shown_is_refused(make, says):
    with pytest.raises(ProgramError, match=says) as refused:
        describe_decoder(make())
    assert "without a run" in str(refused.value)


def test_no_test_data_is_refused():
    data = counts()
    empty = type(data).from_tensors(data.train, kind="counts", maximum=16)
    with pytest.raises(DataError, match="no test data"):
        describe_run(small_vae(), empty, name="run")
