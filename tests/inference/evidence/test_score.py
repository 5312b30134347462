"""``score`` against closed forms, quadrature and SciPy; what it must not depend on."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference import evaluate, score
from pyro_vae.inference.training import fit_guide
from pyro_vae.models import VAE, HierarchicalVAE, LinearVAE, MixtureModel
from pyro_vae.models.likelihoods import (
    Bernoulli,
    Categorical,
    MultivariateNormal,
    Normal,
    Ordinal,
    PerColumn,
    StudentT,
)
from pyro_vae.models.priors import CategoricalNormal
from pyro_vae.networks import Unamortised
from tests.cases import a_few_always
from tests.oracles import LinearGaussian
from tests.tolerances import STANDARD_ERRORS


def rows(count, features, seed):
    return torch.randn(count, features, generator=torch.Generator().manual_seed(seed))


def linear_terms(model, x):
    """E_q and standard deviation of log N(x_d; w_d z + b_d, s_d^2), z ~ N(m, S), by hand."""
    with torch.no_grad():
        w, b, q = model.weight.double().numpy(), model.bias.double().numpy(), model.posterior(x)
        s2, mean = model.variance().numpy(), q.mean.double().numpy()
        covariance = q.covariance_matrix.double().numpy()
    residual = x.double().numpy() - b - mean @ w.T
    v = np.einsum("di,nij,dj->nd", w, covariance, w)
    value = -0.5 * np.log(2 * np.pi * s2) - (residual**2 + v) / (2 * s2)
    return value, np.sqrt(4 * residual**2 * v + 2 * v**2) / (2 * s2)


def test_a_linear_model_by_closed_forms():
    """Seed 20260501 of the data, 0 of 4000 draws."""
    model, x = LinearVAE((5,), 2, scale="per-feature", seed=3), rows(6, 5, 20260501)
    found = score(model, x, 4000)
    w, b = model.weight.detach().numpy(), model.bias.detach().numpy()
    law = stats.multivariate_normal(b, w @ w.T + np.diag(model.variance().detach().numpy()))
    np.testing.assert_allclose(found["log_evidence"], law.logpdf(x.numpy()), rtol=1e-5)
    assert (found["log_evidence_se"] == 0).all()
    assert (found["doubt"] == 0).all()
    value, deviation = linear_terms(model, x)
    assert found["contribution"].dims == ("datum", "feature")
    error = deviation / 4000**0.5
    assert (np.abs(found["contribution"].values - value) < STANDARD_ERRORS * error).all()
    assert (np.abs(value) > 3 * STANDARD_ERRORS * error).any()
    assert found["contribution"].attrs["units"] == "nats"


def test_a_bent_model_by_quadrature():
    """Bernoulli through a network, z on a line: trapezia over nine deviations; 4000 draws."""
    x = (rows(5, 6, 20260502) > 0).float()
    model = VAE((6,), 1, encoder=(8,), decoder=(8,), seed=5)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(4)
        q = model.posterior(x)
        nodes = np.linspace(-9, 9, 4001)  # the network has kinks
        z = q.mean + q.stddev * torch.as_tensor(nodes).float()
        logits = model.decoder(z.T.unsqueeze(-1)).double().numpy()
        terms = -np.logaddexp(0, (1 - 2 * x.numpy()) * logits)
    weights = stats.norm.pdf(nodes) / stats.norm.pdf(nodes).sum()
    value = np.einsum("k,kbd->bd", weights, terms)
    error = np.sqrt(np.einsum("k,kbd->bd", weights, (terms - value) ** 2) / 4000)
    found = score(model, x, 4000)["contribution"].values
    assert (np.abs(found - value) < STANDARD_ERRORS * error).all()
    assert (np.ptp(value, axis=0) > STANDARD_ERRORS * error.max(0)).all()


class Images(LinearGaussian):
    """Three by two: its likelihood has the event shape of an image."""

    def model(self, x):
        W, m = torch.tensor(self.W), torch.tensor(self.m)
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2).double(), 1.0).to_event(1))
            mean = (z @ W.T + m).reshape(*z.shape[:-1], 3, 2)
            pyro.sample("x", dist.Normal(mean, self.s).to_event(2), obs=x.reshape(-1, 3, 2))


MIXED = [Normal(), Bernoulli(), Categorical(3), Ordinal(3)]
MODELS = {
    "normal": lambda: VAE((4,), 2, likelihood=Normal("latent")),
    "binary": lambda: VAE((4,), 2),
    "student": lambda: VAE((4,), 2, likelihood=StudentT()),
    "ordinal": lambda: VAE((4,), 2, likelihood=Ordinal(3)),
    "table": lambda: VAE((4,), 2, likelihood=PerColumn([type(part)(*size) for part, size in zip(
        MIXED, ((), (), (3,), (3,)), strict=True)])),
    "two layers": lambda: HierarchicalVAE((4,), (2, 1), hidden=((4,), (4,)), likelihood=Normal()),
    "groups in the prior": lambda: VAE(
        (4,), 2, likelihood=Normal(), prior=CategoricalNormal(3)
    ),
}  # fmt: skip


@a_few_always("settings", [{}, {"chunk_size": 7}, {"prior_share": 0.3}])
@pytest.mark.parametrize("name", MODELS)
def test_contributions_add_up_to_the_reconstruction(name, settings):
    model = MODELS[name]()
    x = (rows(4, 4, 20260503) > 0).float() if name in ("binary", "ordinal", "table") else rows(
        4, 4, 20260503
    )  # fmt: skip
    found = score(model, x, 60, seed=4, **settings)
    known = evaluate(model, x, 60, seed=4, **settings)
    np.testing.assert_allclose(
        found["contribution"].sum("feature"), known["reconstruction"], rtol=1e-6, atol=1e-9
    )
    for key in ("log_evidence", "log_evidence_se", "khat", "doubt"):
        np.testing.assert_array_equal(found[key], known[key])


def test_an_image_has_an_element_for_every_pixel():
    pair = Images(features=6)
    x = pair.draw(3)
    flat, image = LinearGaussian(features=6), (pair.model, pair.guide)
    found = score(image, x, 50)["contribution"]
    assert found.shape == (3, 6)
    np.testing.assert_allclose(found, score((flat.model, flat.guide), x, 50)["contribution"])


def test_particles_one_at_a_time_give_the_same():
    pair = LinearGaussian()
    x = pair.draw(2)
    one, many = (
        score((pair.model, pair.guide), x, 20, chunk_size=size)["contribution"] for size in (1, 20)
    )
    np.testing.assert_allclose(one, many, rtol=1e-12)
    alone = score((pair.model, pair.guide), x, 20, vectorize_particles=False)
    known = evaluate((pair.model, pair.guide), x, 20, vectorize_particles=False)
    total = alone["contribution"].sum("feature")
    np.testing.assert_allclose(total, known["reconstruction"], rtol=1e-12)


@pytest.mark.parametrize("data_dim", [-1, -2])
def test_what_lies_in_a_plate_within_a_datum_is_added_up(data_dim):
    def plates(x):
        inner = pyro.plate("parts", 2, dim=-3 - data_dim)
        return pyro.plate("data", len(x), dim=data_dim), inner

    def model(x):
        data, parts = plates(x)
        with data, parts:
            z = pyro.sample("z", dist.Normal(torch.zeros(()), 1.0))
            seen = x.transpose(0, 1) if data_dim == -1 else x
            law = dist.Normal(z.unsqueeze(-1) * torch.arange(3.0), 1.0).to_event(1)
            pyro.sample("x", law, obs=seen)

    def guide(x):
        data, parts = plates(x)
        with data, parts:
            pyro.sample("z", dist.Normal(torch.zeros(()), 0.5))

    x = rows(4, 6, 20260510).reshape(4, 2, 3)
    found = score((model, guide), x, 40, data_plate="data")["contribution"]
    known = evaluate((model, guide), x, 40, data_plate="data")["reconstruction"]
    assert found.shape == (4, 3)
    np.testing.assert_allclose(found.sum("feature"), known, rtol=1e-5)


def test_a_mixture_is_averaged_over_its_components():
    x = rows(60, 3, 20260504)
    mixture = MixtureModel(3, Normal("latent"), (3,))
    mixture.initialise(x)
    found = score(mixture, x[:8])
    with torch.no_grad():
        shares = mixture.responsibilities(x[:8]).double().numpy()
        law = mixture.likelihood(mixture.eta)
        loc, scale = law.drawn.base_dist.loc.numpy(), law.drawn.base_dist.scale.numpy()
    terms = stats.norm(loc, scale).logpdf(x[:8, None].numpy())
    expected = np.einsum("bm,bmd->bd", shares, terms)
    np.testing.assert_allclose(found["contribution"], expected, rtol=1e-4, atol=1e-5)
    assert shares.max(1).min() < 0.99


def test_percentiles_are_scipys():
    model, x = LinearVAE((3,), 1), rows(20, 3, 20260505)
    own = score(model, x, 10)["log_evidence"].values
    # Ties with what is scored, and values beyond both ends.
    reference = np.concatenate([own[:10], own[:5], rows(50, 1, 1).numpy()[:, 0] * 3 - 4])
    found = score(model, x, 10, reference=reference)["percentile"]
    expected = [stats.percentileofscore(reference, value, kind="weak") for value in own]
    np.testing.assert_allclose(found, expected)
    assert found.attrs["units"] == "percent"
    again = score(model, x, 10, reference=evaluate(model, x, 10))["percentile"]
    np.testing.assert_allclose(again, 100 * (stats.rankdata(own) / 20))
    assert "percentile" not in score(model, x, 10)


def test_rows_are_scored_by_themselves():
    model, x = VAE((4,), 2, likelihood=Normal(), seed=2), rows(9, 4, 20260506)
    order = [3, 8, 0, 1, 7, 2, 6, 5, 4]
    found = score(model, x, 40, reference=[-9.0, -6.0, -3.0])
    permuted = score(model, x[order], 40, reference=[-9.0, -6.0, -3.0])
    alone = score(model, x[5:6], 40, reference=[-9.0, -6.0, -3.0])
    for name in ("log_evidence", "log_evidence_se", "contribution", "percentile", "doubt"):
        values = found[name].values
        np.testing.assert_allclose(permuted[name], values[order], rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(alone[name], values[5:6], rtol=1e-6, err_msg=name)


def test_columns_in_another_order_are_scored_in_that_order():
    model, x, order = LinearVAE((4,), 2, seed=4), rows(5, 4, 20260507), [2, 0, 3, 1]
    other = LinearVAE((4,), 2, seed=4)
    with torch.no_grad():
        other.weight.copy_(model.weight[order])
        other.bias.copy_(model.bias[order])
        other.encoder.mean.weight.copy_(model.encoder.mean.weight[:, order])
    found = score(model, x, 2000, columns=list("abcd"))
    moved = score(other, x[:, order], 2000, columns=list("cadb"))
    np.testing.assert_allclose(moved["log_evidence"], found["log_evidence"], rtol=1e-5)
    error = 2**0.5 * linear_terms(model, x)[1] / 2000**0.5
    gap = moved["contribution"].sel(feature=list("abcd")) - found["contribution"]
    assert (np.abs(gap.values) < STANDARD_ERRORS * error).all()


def test_the_column_that_is_odd_is_the_one_that_is_low():
    model, x = LinearVAE((4,), 1, seed=1), 0.1 * rows(5, 4, 20260508)
    x[2, 1] = 8.0
    found = score(model, x, 200)
    assert found["log_evidence"].values.argmin() == 2
    assert found["contribution"].values[2].argmin() == 1


def test_where_columns_are_not_independent_there_is_no_contribution():
    model = VAE((3,), 1, likelihood=MultivariateNormal())
    calls = []
    found = score(model, rows(3, 3, 1), 30, progress=lambda *at: calls.append(at))
    assert "contribution" not in found
    assert "not independent given z (MultivariateNormal)" in found.attrs["no_contribution"]
    assert calls[-1] == (6, 6)

    def two(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(()), 1.0))
            pyro.sample("a", dist.Normal(z, 1.0), obs=x[:, 0])
            pyro.sample("b", dist.Normal(z, 1.0), obs=x[:, 1])

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x.mean(1), 1.0))

    found = score((two, guide), rows(3, 2, 1), 30)
    assert "several sites (a, b)" in found.attrs["no_contribution"]


def test_what_is_masked_adds_nothing():
    def model(x):
        with pyro.plate("data", len(x)), pyro.poutine.mask(mask=x[:, 0] > 0):
            z = pyro.sample("z", dist.Normal(torch.zeros(()), 1.0))
            pyro.sample("x", dist.Normal(z.unsqueeze(-1), torch.ones(2)).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x.mean(1), 1.0))

    x = torch.tensor([[1.0, 2.0], [-1.0, 2.0]])
    found = score((model, guide), x, 30)["contribution"].values
    known = evaluate((model, guide), x, 30)["reconstruction"].values
    np.testing.assert_allclose(found.sum(1), known, rtol=1e-6)
    assert (found[1] == 0).all()
    assert (found[0] != 0).all()


@pytest.mark.slow
def test_a_guide_without_encoder_is_fitted_first():
    model = VAE((3,), 1, likelihood=Normal(), encoder=Unamortised(3))
    x = rows(3, 3, 20260509)
    found = score(model, x, 30)
    local = model.unamortised(x)
    fit_guide(local, x)
    known = evaluate((local.model, local.guide), x, 30, enumerate_discrete=True)
    np.testing.assert_allclose(found["contribution"].sum("feature"), known["reconstruction"])


def test_what_cannot_be_scored_against_is_refused():
    model, x = LinearVAE((3,), 1), rows(3, 3, 1)
    for bad in ([], [1.0, float("nan")], [[1.0]]):
        with pytest.raises(DataError, match="reference got values of shape"):
            score(model, x, 5, reference=bad)
    found = evaluate(model, x, 5)
    with pytest.raises(DataError, match="no log_evidence"):
        score(model, x, 5, reference=found[["elbo"]])
    masses = evaluate(VAE((3,), 1), (x > 0).float(), 5)
    with pytest.raises(DataError, match="base measure counting, and x lebesgue"):
        score(model, x, 5, reference=masses)
    for names in (["a", "b"], ["a", "b", "a"]):
        with pytest.raises(DataError, match="columns got"):
            score(model, x, 5, columns=names)
    with pytest.raises(ProgramError, match="they are one"):
        score(model.model, model.guide, x)


def test_progress_counts_both_passes():
    calls = []
    model = LinearVAE((3,), 1)
    score(model, rows(3, 3, 1), 5, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(k, 6) for k in range(1, 7)]
