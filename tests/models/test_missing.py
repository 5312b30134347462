"""Missing cells: log p(x) is that of the observed cells, and nothing else of x has an effect."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from pyro import poutine
from scipy import special, stats

from pyro_vae.data import Dataset
from pyro_vae.errors import DataError, ProgramError, UnknownNameError
from pyro_vae.inference import evaluate, fit
from pyro_vae.inference.engine import log_weights
from pyro_vae.inference.evidence import quadrature
from pyro_vae.marginals import column_log_prob
from pyro_vae.models import PCA, VAE, VQVAE, LinearVAE, MixtureModel
from pyro_vae.models.condition import Labels
from pyro_vae.models.likelihoods import (
    Beta,
    Gamma,
    Likelihood,
    MultivariateNormal,
    Normal,
    PerColumn,
)
from pyro_vae.models.missing import completed
from pyro_vae.models.priors import VampPrior
from tests.cases import a_few_always
from tests.models.likelihoods.cases import CASES, built, scipy_log_prob, score
from tests.tolerances import STANDARD_ERRORS


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def holes(rows, features, share=0.4, seed=0):
    """A mask with a whole row and an empty one among others."""
    observed = torch.rand(rows, features, generator=seed_of(seed)) > share
    observed[0], observed[1] = True, False
    return observed


def seed_of(seed):
    return torch.Generator().manual_seed(seed + 100)


def nan_in_holes(x, observed, value=float("nan")):
    return torch.where(observed, x, value)


# Likelihoods


@pytest.mark.parametrize("name", CASES)
def test_a_likelihood_scores_the_observed_cells_alone(name):
    likelihood = built(name, 2)
    generator = seeded(1)
    eta = torch.randn(3, 1, likelihood.num_params((2,)), generator=generator).double()
    x = likelihood(eta).sample()[0]
    for pattern in itertools.product([True, False], repeat=2):
        observed = torch.tensor([pattern])
        found = likelihood(eta, observed=observed).log_prob(likelihood.filled(x, observed))
        assert found.dtype == torch.float64
        assert found.shape == (3, 1)
        for k in range(3):
            wanted = one_by_one(name, eta[k, 0].detach(), x[0], pattern)
            assert found[k, 0].item() == pytest.approx(wanted, rel=1e-6, abs=1e-10)


def one_by_one(name, eta, x, pattern):
    """Log p of the observed cells in SciPy."""
    if all(pattern):
        return scipy_log_prob(name, eta, x)
    eta, x = eta.numpy(), x.numpy()
    if name == "multivariate-normal":
        scale = 0.05 + np.logaddexp(0, eta[2:4])
        variances = scale[0] ** 2, scale[1] ** 2 + eta[4] ** 2
        laws = [stats.norm(eta[d], variances[d] ** 0.5) for d in range(2)]
    elif name == "per-column":
        table = np.log(special.softmax(eta[2:]))
        first = stats.laplace(eta[0], 1e-3 + np.logaddexp(0, eta[1])).logpdf(x[0])
        return sum(t for t, there in zip((first, table[int(x[1])]), pattern, strict=True) if there)
    else:
        blocks = eta.reshape(-1, 2)
        laws = [CASES[name].feature(*blocks[:, d]) for d in range(2)]
    parts = zip(laws, x, pattern, strict=True)
    return sum(float(score(law, value)) for law, value, there in parts if there)


@pytest.mark.parametrize("name", CASES)
def test_what_stands_in_a_missing_cell_is_legal_and_has_no_effect(name):
    likelihood = built(name, 4 if name not in ("per-column",) else 2)
    features = likelihood.event_shape[0]
    eta = torch.randn(1, likelihood.num_params(likelihood.event_shape), generator=seeded(2))
    x, observed = likelihood(eta.double().expand(5, -1)).sample(), holes(5, features)
    found = []
    for value in (float("nan"), 1e30, -7.3):
        leaf = eta.double().requires_grad_()
        filled = likelihood.filled(nan_in_holes(x, observed, value), observed)
        likelihood.check(filled)
        log_prob = likelihood(leaf, observed=observed).log_prob(filled)
        found.append((log_prob, *torch.autograd.grad(log_prob.sum(), leaf)))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
    assert all(torch.isfinite(part).all() for part in found[0])
    assert found[0][0][1].item() == 0.0


@pytest.mark.parametrize("name", [name for name in CASES if name != "multivariate-normal"])
def test_columns_that_are_missing_add_nothing(name):
    likelihood = built(name, 2)
    eta = torch.randn(1, likelihood.num_params((2,)), generator=seeded(3)).double()
    x, observed = likelihood(eta).sample(), torch.tensor([[True, False]])
    whole = column_log_prob(likelihood(eta), x)
    terms = column_log_prob(likelihood(eta, observed=observed), x)
    assert terms.tolist() == [[whole[0, 0].item(), 0.0]]


def test_a_multivariate_normal_of_a_table_has_its_marginals_and_of_an_image_not():
    likelihood = MultivariateNormal().double()
    likelihood.build((4,))
    eta = torch.randn(2, likelihood.num_params((4,)), generator=seeded(4)).double()
    x, observed = torch.randn(6, 1, 4, generator=seeded(5)).double(), holes(6, 4).unsqueeze(1)
    found = likelihood(eta, observed=observed).log_prob(x)
    normal = likelihood(eta)
    for row, m in itertools.product(range(6), range(2)):
        there = observed[row, 0].numpy()
        mean, covariance = normal.loc[m].numpy(), normal.covariance_matrix[m].numpy()
        wanted = 0.0
        if there.any():
            law = stats.multivariate_normal(mean[there], covariance[np.ix_(there, there)])
            wanted = law.logpdf(x[row, 0].numpy()[there])
        assert float(found[row, m]) == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    image = MultivariateNormal()
    image.build((2, 2))
    law = image(torch.zeros(14), observed=torch.tensor([[True, False], [True, True]]))
    with pytest.raises(ProgramError, match="flatten the data for MultivariateNormal"):
        law.log_prob(torch.zeros(2, 2))


# Linear-Gaussian models: everything is known


def linear(missing="mask", scale="per-feature", seed=3):
    model = LinearVAE((5,), 2, scale=scale, missing=missing, seed=seed).double()
    with torch.no_grad():
        model.bias.copy_(torch.randn(5, generator=seeded(seed)))
        if scale == "per-feature":
            model.likelihood.sigma.raw.copy_(torch.linspace(-1.0, 1.0, 5))
    return model


def joint_of(model):
    """Mean and covariance of x, by NumPy."""
    weight = model.weight.detach().numpy()
    covariance = weight @ weight.T + np.diag(model.variance().detach().numpy())
    return model.bias.detach().numpy(), covariance


X = torch.randn(30, 5, generator=seeded(6)).double()
OBSERVED = holes(30, 5)


def log_prob_by_scipy(model, x, observed):
    mean, covariance = joint_of(model)
    found = []
    for row, there in zip(x.numpy(), observed.numpy(), strict=True):
        value = 0.0
        if there.any():
            law = stats.multivariate_normal(mean[there], covariance[np.ix_(there, there)])
            value = float(law.logpdf(row[there]))
        found.append(value)
    return np.array(found)


@pytest.mark.parametrize("scale", ["shared", "per-feature", 0.01])
def test_linear_log_prob_is_the_marginal_of_the_pattern(scale):
    model = linear(scale=scale)
    found = model.log_prob(nan_in_holes(X, OBSERVED), observed=OBSERVED).detach().numpy()
    np.testing.assert_allclose(found, log_prob_by_scipy(model, X, OBSERVED), rtol=1e-9, atol=1e-9)
    assert found[1] == 0.0
    whole = model.log_prob(X, observed=torch.ones_like(OBSERVED))
    torch.testing.assert_close(whole, model.log_prob(X), rtol=1e-10, atol=1e-10)


def test_linear_posterior_given_the_observed_cells():
    model = linear()
    found = model.exact_posterior(nan_in_holes(X, OBSERVED), observed=OBSERVED)
    weight, noise = model.weight.detach().numpy(), np.diag(model.variance().detach().numpy())
    mean, _ = joint_of(model)
    for row, there in enumerate(OBSERVED.numpy()):
        w, s = weight[there], noise[np.ix_(there, there)]
        gain = w.T @ np.linalg.inv(w @ w.T + s)
        loc = gain @ (X[row].numpy() - mean)[there]
        np.testing.assert_allclose(found.mean[row].detach(), loc, atol=1e-10)
        covariance = found.covariance_matrix[row].detach()
        np.testing.assert_allclose(covariance, np.eye(2) - gain @ w, atol=1e-10)
    whole, known = model.exact_posterior(X, torch.ones_like(OBSERVED)), model.exact_posterior(X)
    torch.testing.assert_close(whole.mean, known.mean)
    torch.testing.assert_close(whole.covariance_matrix, known.covariance_matrix)


@a_few_always("missing", ["zeros", "mask"], ["mask"])
def test_importance_sampling_finds_log_p_of_the_observed_cells(missing):
    model = linear(missing, scale="shared")
    data = {"x": nan_in_holes(X, OBSERVED), "observed": OBSERVED}
    found = evaluate((model.model, model.guide), data, 4000, prior_share=0.5, seed=1)
    wanted = log_prob_by_scipy(model, X, OBSERVED)
    error = found["log_evidence"].values - wanted
    assert (np.abs(error) <= STANDARD_ERRORS * found["log_evidence_se"].values + 1e-9).all()
    assert (found["elbo"].values <= wanted + STANDARD_ERRORS * found["elbo_se"].values).all()
    exact = evaluate(model, data, 50)
    np.testing.assert_allclose(exact["log_evidence"], wanted, rtol=1e-9, atol=1e-9)


def test_pca_knows_log_p_of_the_observed_cells_and_is_not_fitted_with_holes():
    model = PCA((5,), 2)
    model.initialise(X)
    found = model.log_prob(X.float(), observed=OBSERVED).numpy()
    np.testing.assert_allclose(found, log_prob_by_scipy(model, X.float(), OBSERVED), rtol=1e-5)
    with pytest.raises(DataError, match="PCA has no closed form"):
        model.initialise(X, observed=OBSERVED)
    with pytest.raises(DataError, match="PCA was made for whole data"):
        evaluate(model, {"x": X, "observed": OBSERVED}, 10)


# VAEs


def curved(likelihood, features=4, missing="mask", **settings):
    model = VAE(
        (features,),
        1,
        likelihood=likelihood,
        missing=missing,
        encoder=(6,),
        decoder=(6,),
        seed=2,
        **settings,
    ).double()
    model.initialised = True
    return model


def table():
    return PerColumn([Normal(), Gamma(), "bernoulli", "categorical(num_classes=3)"])


def drawn(model, rows=6):
    with torch.no_grad():
        z = torch.randn(rows, model.latent_dim, generator=seeded(7)).double()
        return model.observation(z).sample().double()


@a_few_always("likelihood", [lambda: Normal("latent"), table, MultivariateNormal], 2)
def test_quadrature_of_a_curved_decoder_by_numpy(likelihood):
    """The integral of the product of the observed cells' densities times the prior."""
    model = curved(likelihood())
    x, observed = drawn(model), holes(6, 4, seed=3)
    z = torch.linspace(-9, 9, 2001).double().unsqueeze(-1)
    with torch.no_grad():
        law = model.observation(z.unsqueeze(1))
        if isinstance(model.likelihood, MultivariateNormal):
            log_joint = torch.tensor(
                [[marginal(law, k, x, observed, row) for row in range(6)] for k in range(2001)]
            )
        else:
            terms = column_log_prob(law, x)
            log_joint = (terms * observed).sum(-1)
    log_joint = log_joint.numpy() + stats.norm.logpdf(z.numpy())
    wanted = special.logsumexp(log_joint, axis=0) + np.log(18 / 2000)
    data = {"x": nan_in_holes(x, observed), "observed": observed}
    found = quadrature(model.model, model.guide, data)["log_evidence"].values
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    sampled = evaluate(model, data, 3000, prior_share=0.5)
    error = np.abs(sampled["log_evidence"].values - wanted)
    assert (error <= STANDARD_ERRORS * sampled["log_evidence_se"].values + 1e-9).all()


def marginal(law, k, x, observed, row):
    there = observed[row].numpy()
    if not there.any():
        return 0.0
    mean, covariance = law.loc[k, 0].numpy(), law.covariance_matrix[k, 0].numpy()
    chosen = stats.multivariate_normal(mean[there], covariance[np.ix_(there, there)])
    return float(chosen.logpdf(x[row].numpy()[there]))


@pytest.mark.parametrize("missing", ["zeros", "mask"])
@a_few_always("likelihood", [Normal, table, Gamma, Beta], 2)
def test_a_missing_cell_has_no_effect(likelihood, missing):
    """On the loss, its gradients, the weights of a training, or a measurement: to the bit."""
    observed = holes(12, 4, seed=5)
    whole = drawn(curved(likelihood()), 12)
    found = []
    for value in (float("nan"), 3e8, -0.25, 0.75):
        model = curved(likelihood(), missing=missing)
        model.initialised = False
        x = nan_in_holes(whole, observed, value)
        model.initialise(x, observed=observed)
        torch.manual_seed(0)
        guided = poutine.trace(model.guide).get_trace(x, observed=observed)
        traced = poutine.trace(poutine.replay(model.model, trace=guided))
        loss = guided.log_prob_sum() - traced.get_trace(x, observed=observed).log_prob_sum()
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        data = {"x": x, "observed": observed}
        measured = evaluate(model, data, 20)
        numbers = [measured[name].values for name in ("elbo", "log_evidence", "khat")]
        weights = list(model.state_dict().values())
        code = model.code(x, observed=observed)
        found.append([loss, *gradients, *weights, code, *map(torch.as_tensor, numbers)])
    for part in found[0][:-1]:
        assert torch.isfinite(part).all()
    for other in found[1:]:
        for ours, theirs in zip(found[0], other, strict=True):
            assert np.array_equal(ours.detach(), theirs.detach(), equal_nan=True)


def test_a_model_of_whole_data_gives_the_numbers_of_one_whose_cells_are_all_there():
    """With zeros the encoder is the same, so that the numbers are."""
    whole, holed = curved(table(), missing="none"), curved(table(), missing="zeros")
    x = drawn(whole)
    ones = torch.ones(x.shape, dtype=torch.bool)
    torch.manual_seed(0)
    a = log_weights(whole.model, whole.guide, x, 50, seed=1)
    b = log_weights(holed.model, holed.guide, x, 50, seed=1)
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert torch.equal(whole.code(x), holed.code(x, observed=ones))
    assert torch.equal(whole.code(x), holed.code(x))


def test_the_encoder_sees_zeros_and_the_mask_if_it_is_to():
    observed = torch.tensor([[True, False, True, False]])
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]]).double()
    zeros, mask = curved(Normal(), missing="zeros"), curved(Normal(), missing="mask")
    assert zeros._features(x, None, observed).tolist() == [[1, 0, 3, 0]]
    assert mask._features(x, None, observed).tolist() == [[1, 0, 3, 0, 1, 0, 1, 0]]
    # What stands in for a missing share is a half, and a half is not shown.
    shares = curved(Beta(), missing="zeros")._features(x / 5, None, observed)
    torch.testing.assert_close(shares, torch.tensor([[0.2, 0, 0.6, 0]]).double())
    assert (zeros.num_features, mask.num_features) == (4, 8)
    assert zeros.inputs == mask.inputs == ("observed",)
    assert curved(Normal(), missing="none").inputs == ()
    conditional = curved(Normal(), condition=Labels(3))
    assert conditional.inputs == ("labels", "observed")
    shown = conditional._features(x, torch.tensor([2]), observed)
    assert shown.tolist() == [[1, 0, 3, 0, 1, 0, 1, 0, 0, 0, 1]]


def test_a_zero_that_is_there_and_one_that_is_not_have_parameters_of_their_own():
    x, observed = torch.zeros(2, 4).double(), torch.tensor([[True] * 4, [True, False, True, True]])
    for missing, rows in (("zeros", 2), ("mask", 2)):
        model = curved(Normal(), missing=missing)
        twin = model.unamortised(x, observed=observed)
        assert twin.encoder.num_rows == rows
        start = twin.posterior(x, observed=observed).mean
        assert torch.equal(start, model.posterior(x, observed=observed).mean)


def test_a_prior_made_of_the_guide_takes_masks():
    model = curved(Normal(), prior=VampPrior(3))
    x, observed = drawn(curved(Normal())), holes(6, 4)
    model.initialise(x, observed=observed)
    found = evaluate(model, {"x": nan_in_holes(x, observed), "observed": observed}, 20)
    assert np.isfinite(found["log_evidence"]).all()


def test_the_setting_is_kept_and_misspelt_ones_are_refused():
    for model in (curved(Normal()), linear(), LinearVAE((3,), 1, missing="zeros")):
        again = type(model).from_config(model.config)
        assert again.missing == model.missing
        assert again.num_features == model.num_features
    assert "missing" not in curved(Normal(), missing="none").config
    mixture = MixtureModel(2, Normal(), (3,), missing="marginal")
    assert MixtureModel.from_config(mixture.config).missing == "marginal"
    with pytest.raises(UnknownNameError, match="mask"):
        VAE((3,), 1, missing="masks")
    with pytest.raises(UnknownNameError, match="marginal"):
        MixtureModel(2, Normal(), missing="zeros")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x, o: m.model(x, observed=o[:3]), r"observed has shape \(3, 4\)"),
        (lambda m, x, o: evaluate(m, {"x": x, "observed": o[:, :2]}, 5), r"observed has shape"),
        (lambda m, x, o: evaluate(m, {"x": x, "observed": 2 * o.long()}, 5), "observed has 2 in"),
        (
            lambda m, x, o: evaluate(m, {"x": nan_in_holes(x, o), "observed": ~o}, 5),
            "NaN or infinite",
        ),
        (lambda m, x, o: curved(Normal(), missing="none").code(x, observed=o), "whole data"),
        (lambda m, x, o: curved(Normal(), missing="none").model(x, observed=o), "whole data"),
        (
            lambda m, x, o: evaluate(curved(Normal(), missing="none"), {"x": x, "observed": o}, 5),
            "VAE was made for whole data",
        ),
        (
            lambda m, x, o: evaluate(VQVAE((4,), 2, 4), {"x": 0 * x.float(), "observed": o}, 5),
            "VQVAE was made for whole data",
        ),
    ],
)
def test_refusals(call, message):
    model = curved(Normal())
    with pytest.raises(DataError, match=message):
        call(model, drawn(model), holes(6, 4))


def test_a_mask_may_be_numbers_or_a_frame():
    pandas = pytest.importorskip("pandas")
    model = curved(Normal())
    x, observed = drawn(model), holes(6, 4)
    wanted = evaluate(model, {"x": x, "observed": observed}, 20)["elbo"].values
    frame = pandas.DataFrame(nan_in_holes(x, observed).numpy())
    for given in (observed.long(), observed.numpy(), frame.notna()):
        found = evaluate(model, {"x": frame, "observed": given}, 20)["elbo"].values
        assert np.array_equal(found, wanted)


def test_a_column_of_which_nothing_is_there_is_legal():
    model = curved(Gamma())
    x, observed = drawn(model), torch.tensor([[True, False, True, True]]).expand(6, -1)
    found = evaluate(model, {"x": nan_in_holes(x, observed), "observed": observed}, 20)
    assert np.isfinite(found["log_evidence"]).all()


# Mixtures, by enumeration


@pytest.mark.parametrize("likelihood", [lambda: Normal("latent"), table, MultivariateNormal])
def test_a_mixture_sums_over_its_components(likelihood):
    generator = seeded(8)
    model = MixtureModel(3, likelihood(), (4,), missing="marginal").double()
    model.initialised = True
    with torch.no_grad():
        model.eta.copy_(torch.randn(model.eta.shape, generator=generator))
        model.logits.copy_(torch.randn(3, generator=generator))
        x = model.likelihood(model.eta[torch.arange(6) % 3]).sample().double()
    observed = holes(6, 4, seed=9)
    shares = special.log_softmax(model.logits.detach().numpy())
    wanted = np.empty((6, 3))
    for row, m in itertools.product(range(6), range(3)):
        law = model.likelihood(model.eta[m].detach())
        if isinstance(model.likelihood, MultivariateNormal):
            value = marginal(expanded(law), 0, x, observed, row)
        else:
            value = (column_log_prob(law, x[row]) * observed[row]).sum().item()
        wanted[row, m] = shares[m] + value
    given = nan_in_holes(x, observed)
    log_p = special.logsumexp(wanted, axis=1)
    with torch.no_grad():
        np.testing.assert_allclose(model.log_prob(given, observed), log_p, atol=1e-10)
        parts = model.log_prob(given, observed=observed, chunk_size=4)
        np.testing.assert_allclose(parts, log_p, atol=1e-10)
        found = model.responsibilities(given, observed=observed)
        np.testing.assert_allclose(found, special.softmax(wanted, axis=1), atol=1e-10)
    measured = evaluate(model, {"x": given, "observed": observed}, 5)
    np.testing.assert_allclose(measured["log_evidence"], log_p, atol=1e-10)
    np.testing.assert_allclose(measured["elbo"], log_p, atol=1e-10)


def expanded(law):
    return law.expand((1, 1))


def test_a_mixture_starts_from_the_observed_cells_alone():
    generator = seeded(10)
    x = torch.cat([torch.randn(200, 2, generator=generator) + c for c in (-8.0, 8.0)])
    observed = torch.rand(400, 2, generator=generator) > 0.3
    found = []
    for value in (float("nan"), 1e6):
        model = MixtureModel(2, Normal("latent"), missing="marginal")
        model.initialise(nan_in_holes(x, observed, value), observed=observed)
        found.append(model.eta.detach())
    assert torch.equal(*found)
    # Rows with both cells missing are anywhere: clusters are near, not at, the truth.
    means = model.component_means()[:, 0].sort().values
    assert (means - torch.tensor([-8.0, 8.0])).abs().max() < 3.0


# Starting from data


def test_columns_are_completed_with_their_own_values():
    x, observed = torch.randn(200, 3, generator=seeded(11)), holes(200, 3)
    observed[:, 2] = False
    filled = nan_in_holes(x, observed, 7.0)
    found = completed(filled, observed)
    assert torch.equal(found[observed], x[observed])
    for d in range(2):
        seen = x[observed[:, d], d]
        assert set(found[:, d].tolist()) == set(seen.tolist())
        assert abs(float(found[:, d].mean() - seen.mean())) < 0.02
        assert abs(float(found[:, d].std() - seen.std())) < 0.05
    assert (found[:, 2] == 7.0).all()
    assert completed(x, None) is x


@pytest.mark.parametrize("name", ["normal", "gamma", "bernoulli", "ordinal", "student-t"])
def test_a_decoder_starts_at_the_moments_of_the_observed_cells(name):
    settings = {"num_classes": 4} if name == "ordinal" else {}
    likelihood = Likelihood.named(name, **settings)
    likelihood.build((2,))
    eta = torch.randn(1, likelihood.num_params((2,)), generator=seeded(12))
    torch.manual_seed(1)
    x = likelihood(eta.expand(3000, -1)).sample()
    observed = torch.rand(3000, 2, generator=seeded(13)) > 0.5
    model = VAE((2,), 1, likelihood=likelihood, missing="zeros", decoder=(), encoder=(3,))
    model.initialise(nan_in_holes(x, observed), observed=observed)
    means = likelihood(model.decoder.output.bias).mean.detach()
    for d in range(2):
        seen = x[observed[:, d], d]
        assert abs(float(means[d] - seen.mean())) < 0.15 * float(seen.std())


# Training


@pytest.mark.slow
def test_a_linear_model_trains_with_holes_towards_the_likelihood():
    """Log p of held-out observed cells comes near that of the factor model that made them.

    Not to it: the guide has one covariance for all patterns of holes, and the ELBO is maximised.
    """
    truth = linear(seed=5)
    with torch.no_grad():
        truth.weight.mul_(3.0)
        z = torch.randn(1200, 2, generator=seeded(14)).double()
        torch.manual_seed(2)
        x = truth.observation(z).sample()
    observed = torch.rand(x.shape, generator=seeded(15)) > 0.3
    data = Dataset.from_tensors(
        nan_in_holes(x[:1000], observed[:1000]), observed=observed[:1000], kind="real"
    )
    model = LinearVAE((5,), 2, scale="per-feature", missing="mask", seed=1)
    held_out = {"x": x[1000:].float(), "observed": observed[1000:]}
    model.initialise(data.train, observed=observed[:1000])
    before = float(model.log_prob(**held_out).detach().mean())
    fit(model, data, epochs=60, batch_size=50, learning_rate=0.02)
    after = float(model.log_prob(**held_out).detach().mean())
    best = float(truth.log_prob(x[1000:], observed=observed[1000:]).detach().mean())
    assert before < after - 0.3
    assert best - 0.6 < after < best + 0.1


def test_nan_is_missing_for_a_model_that_takes_holes():
    """A NaN and a mask say the same, to the bit, to methods and to functions."""
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    observed = torch.rand(20, 4, generator=torch.Generator().manual_seed(1)) > 0.3
    holed = x.where(observed, torch.nan)
    model = LinearVAE((4,), 1, missing="mask")
    assert torch.equal(model.log_prob(holed), model.log_prob(x, observed=observed))
    assert torch.equal(model.code(holed), model.code(x, observed=observed))
    table = pd.DataFrame(holed.numpy())
    told = [
        evaluate(model, given, 50)["log_evidence"].values
        for given in ({"x": x, "observed": observed}, holed, {"x": holed}, table)
    ]
    for values in told[1:]:
        assert np.array_equal(values, told[0])
    with pytest.raises(DataError, match=r"NaN .*drop or impute those rows, or say with observed="):
        evaluate(LinearVAE((4,), 1), holed, 50)
