"""``conditional`` against closed forms and quadrature; no value of y enters but its own."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import special, stats

from pyro_vae.errors import DataError, ProgramError, SupportError
from pyro_vae.inference import conditional
from pyro_vae.models import VAE, LinearVAE, MixtureModel
from pyro_vae.models.likelihoods import Bernoulli, Gamma, MultivariateNormal, Normal, PerColumn
from pyro_vae.models.priors import CategoricalNormal
from tests.tolerances import STANDARD_ERRORS


def rows(count, features, seed):
    return torch.randn(count, features, generator=torch.Generator().manual_seed(seed))


def linear(seed=3):
    """Five columns of two factors, a guide that is near the posterior, as after training."""
    model = LinearVAE((5,), 2, scale=0.6, seed=seed)
    with torch.no_grad():
        model.weight.mul_(1.5)
        exact = model.exact_posterior(torch.eye(5))
        origin = model.exact_posterior(torch.zeros(1, 5))
        model.encoder.mean.weight.copy_((exact.mean - origin.mean).T)
        model.encoder.mean.bias.copy_(origin.mean[0])
    return model


def conditional_law(model, x, of):
    """Mean ``(n, len(of))`` and covariance of y given the other columns, by Schur complement."""
    w, b = model.weight.detach().double().numpy(), model.bias.detach().double().numpy()
    covariance = w @ w.T + np.diag(model.variance().detach().numpy())
    given = [d for d in range(len(b)) if d not in of]
    gain = covariance[np.ix_(of, given)] @ np.linalg.inv(covariance[np.ix_(given, given)])
    mean = b[of] + (x.double().numpy()[:, given] - b[given]) @ gain.T
    return mean, covariance[np.ix_(of, of)] - gain @ covariance[np.ix_(given, of)]


@pytest.mark.parametrize("settings", [{}, {"prior_share": 0.9}, {"fill": [2.0, -1.0, 0.5]}])
@pytest.mark.parametrize("of", [[1], [4, 0, 2]])
def test_a_linear_model_by_closed_forms(of, settings):
    """Seed 20260601 of the data, 0 of 4000 particles and 2000 draws."""
    if "fill" in settings and len(of) == 1:
        settings = {"fill": 2.0}
    model, x = linear(), rows(6, 5, 20260601)
    found = conditional(model, x, of, 4000, draws=2000, **settings)
    mean, covariance = conditional_law(model, x, of)
    y = x.double().numpy()[:, of]
    expected = [stats.multivariate_normal(m, covariance).logpdf(v) for m, v in zip(mean, y)]  # noqa: B905
    error = found["log_conditional_se"].values
    assert (error > 0).all()
    assert (error < 0.1).all()
    assert (np.abs(found["log_conditional"].values - expected) < STANDARD_ERRORS * error).all()
    # S draws, resampled from particles that are worth ess of the posterior.
    draws = found["draws"].values
    assert draws.shape == (6, 2000, len(of))
    assert found["draws"].coords["feature"].values.tolist() == of
    worth = 1 / 2000 + 1 / found["ess"].values[:, None]
    spread = np.sqrt(np.diag(covariance))
    assert (np.abs(draws.mean(1) - mean) < STANDARD_ERRORS * spread * np.sqrt(worth)).all()
    ratio = draws.var(1, ddof=1) / spread**2
    assert (np.abs(ratio - 1) < STANDARD_ERRORS * np.sqrt(2 * worth)).all()
    centred = draws - mean[:, None]
    products = np.einsum("nsi,nsj->nij", centred, centred) / 2000
    # Isserlis: Var(a b) = Var a Var b + Cov(a, b)^2.
    deviation = np.sqrt(np.outer(spread, spread) ** 2 + covariance**2)
    limit = STANDARD_ERRORS * deviation * np.sqrt(worth)[..., None]
    assert (np.abs(products - covariance) < limit).all()
    off = ~np.eye(len(of), dtype=bool)
    assert len(of) == 1 or (np.abs(covariance - np.zeros_like(limit)) > limit)[:, off].any()


@pytest.mark.slow
def test_a_standard_error_is_the_spread_over_seeds():
    model, x = linear(), rows(1, 5, 20260602)
    found = [conditional(model, x, [2], 200, seed=seed) for seed in range(200)]
    values = np.array([float(part["log_conditional"][0]) for part in found])
    told = np.mean([float(part["log_conditional_se"][0]) ** 2 for part in found]) ** 0.5
    # A standard deviation of 200 has a relative error of 1 / sqrt(400).
    assert values.std(ddof=1) / told == pytest.approx(1, abs=STANDARD_ERRORS / 20)


def table():
    columns = [Normal(0.5), Bernoulli(), Gamma(2.0), Bernoulli()]
    model = VAE((4,), 1, likelihood=PerColumn(columns), encoder=(8,), decoder=(8,), seed=2)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(2)
    return model


def test_a_table_of_mixed_columns_by_quadrature():
    """z on a line: trapezia over nine deviations; seed 0 of 4000 particles, 4000 draws."""
    model, of = table(), [1, 2]
    x = rows(5, 4, 20260603)
    x = torch.stack([x[:, 0], (x[:, 1] > 0).float(), x[:, 2].exp(), (x[:, 3] > 0).float()], 1)
    z = np.linspace(-9, 9, 4001)
    with torch.no_grad():
        eta = model.decoder(torch.as_tensor(z).float().unsqueeze(-1)).double().numpy()
    mean = 1e-6 + np.logaddexp(0, eta[:, 2])
    given = np.stack(
        [
            stats.norm(eta[:, 0], 0.5).logpdf(r[0]) - np.logaddexp(0, (1 - 2 * r[3]) * eta[:, 3])
            for r in x.double().numpy()
        ]
    )
    y = np.stack(
        [
            stats.gamma(2, scale=mean / 2).logpdf(r[2])
            - np.logaddexp(0, (1 - 2 * r[1]) * eta[:, 1])
            for r in x.double().numpy()
        ]
    )
    joint = stats.norm.logpdf(z) + given
    expected = special.logsumexp(joint + y, axis=1) - special.logsumexp(joint, axis=1)
    found = conditional(model, x, of, 4000, fill=[0.0, 1.0], draws=4000)
    error = found["log_conditional_se"].values
    assert (np.abs(found["log_conditional"].values - expected) < STANDARD_ERRORS * error).all()
    weights = special.softmax(joint, axis=1)
    draws, worth = found["draws"].values, 1 / 4000 + 1 / found["ess"].values
    p, m = weights @ special.expit(eta[:, 1]), weights @ mean
    assert (
        np.abs(draws[..., 0].mean(1) - p) < STANDARD_ERRORS * np.sqrt(p * (1 - p) * worth)
    ).all()
    # Var x = E[mu^2] 3 / 2 - (E mu)^2 of a gamma of shape 2 and mean mu.
    spread = np.sqrt(1.5 * (weights @ mean**2) - m**2)
    assert (np.abs(draws[..., 1].mean(1) - m) < STANDARD_ERRORS * spread * np.sqrt(worth)).all()
    assert set(np.unique(draws[..., 0])) == {0.0, 1.0}


def test_a_mixture_is_exact_and_draws_its_components():
    x = torch.cat([rows(40, 2, 20260604) - 2, rows(40, 2, 20260605) + 2])
    model = MixtureModel(2, Normal("latent"), (2,))
    model.initialise(x)
    at = torch.tensor([[-2.0, 3.0], [0.0, 0.5], [2.0, 0.0]])
    found = conditional(model, at, [1], 50, draws=3000)
    with torch.no_grad():
        law = model.likelihood(model.eta).drawn.base_dist
        pi = model.logits.double().softmax(0).numpy()
    loc, scale = (part.detach().double().numpy() for part in (law.loc, law.scale))
    terms = stats.norm(loc, scale).logpdf(at[:, None].double().numpy())
    joint = np.log(pi) + terms[..., 0]
    expected = special.logsumexp(joint + terms[..., 1], axis=1) - special.logsumexp(joint, axis=1)
    np.testing.assert_allclose(found["log_conditional"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["log_conditional_se"], 0, atol=1e-9)
    shares = special.softmax(joint, axis=1)
    mean = shares @ loc[:, 1]
    spread = np.sqrt(shares @ (scale[:, 1] ** 2 + loc[:, 1] ** 2) - mean**2)
    gap = np.abs(found["draws"].values[..., 0].mean(1) - mean)
    assert (gap < STANDARD_ERRORS * spread / 3000**0.5).all()
    assert shares.max(1).min() < 0.99


def test_groups_in_the_prior_are_summed_out():
    """The same numbers as with the mixture of normals that the prior is, by many particles."""
    model = VAE((3,), 1, likelihood=Normal(0.7), prior=CategoricalNormal(3), decoder=(), seed=1)
    x = rows(4, 3, 20260606)
    found = conditional(model, x, [0], 6000, draws=10)
    z = np.linspace(-12, 12, 6001)
    with torch.no_grad():
        grid = torch.as_tensor(z).float().unsqueeze(-1)
        prior = pyro.poutine.trace(model.prior.sample).get_trace()
        eta = model.decoder(grid).double().numpy()
        log_prior = _log_density(model.prior, grid)
    assert "c" in prior.nodes
    terms = stats.norm(eta[None], 0.7).logpdf(x[:, None].double().numpy())
    joint = log_prior + terms[..., 1:].sum(-1)
    expected = special.logsumexp(joint + terms[..., 0], axis=1) - special.logsumexp(joint, axis=1)
    error = found["log_conditional_se"].values
    assert (np.abs(found["log_conditional"].values - expected) < STANDARD_ERRORS * error).all()


def _log_density(prior, z):
    """Log p(z) of the mixture that a prior with a group is, in NumPy."""
    law = prior()
    return law.log_prob(z).double().numpy()


def test_no_value_of_y_moves_anything_but_its_own_log_probability():
    model, x, of = linear(), rows(5, 5, 20260607), [1, 3]
    other = x.clone()
    other[:, of] = 7.0 + rows(5, 2, 1)
    found, moved = (conditional(model, data, of, 300, draws=20) for data in (x, other))
    for name in ("draws", "ess", "khat"):
        np.testing.assert_array_equal(moved[name], found[name], err_msg=name)
    assert (moved["log_conditional"] < found["log_conditional"]).all()
    # And one column of the others moves all.
    other = x.clone()
    other[:, 0] += 0.5
    moved = conditional(model, other, of, 300, draws=20)
    assert (moved["draws"] != found["draws"]).any()


@pytest.mark.slow
def test_rows_are_by_themselves_and_chunks_change_nothing():
    model, x, of = table(), torch.rand(6, 4, generator=torch.Generator().manual_seed(1)), [0]
    x[:, [1, 3]] = x[:, [1, 3]].round()
    found = conditional(model, x, of, 100, draws=300)
    order = [4, 0, 5, 1, 3, 2]
    permuted = conditional(model, x[order], of, 100, draws=300)
    alone = conditional(model, x[2:3], of, 100, draws=300)
    pieces = conditional(model, x, of, 100, draws=300, chunk_size=7)
    for name in ("log_conditional", "log_conditional_se", "ess", "draws"):
        values = found[name].values
        np.testing.assert_allclose(permuted[name], values[order], rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(alone[name], values[2:3], rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(pieces[name], values, rtol=1e-5, err_msg=name)


def test_the_fill_decides_the_error_alone():
    model, x = linear(), rows(3, 5, 20260608)
    far, near = (conditional(model, x, [1], 3000, fill=fill) for fill in (30.0, 0.0))
    error = np.hypot(far["log_conditional_se"], near["log_conditional_se"])
    gap = np.abs(far["log_conditional"] - near["log_conditional"])
    assert (gap < STANDARD_ERRORS * error).all()


def test_a_pair_is_as_good_as_a_module():
    model, x = linear(), rows(3, 5, 20260609)
    pair = conditional((model.model, model.guide), x, [1], 100, draws=5)
    module = conditional(model, x, [1], 100, draws=5)
    for name in module.data_vars:
        np.testing.assert_array_equal(pair[name], module[name])
    named = conditional((model.model, model.guide), {"x": x}, [1], 100, draws=5)
    np.testing.assert_array_equal(named["log_conditional"], module["log_conditional"])


def test_what_cannot_be_asked_is_refused():
    model, x = linear(), rows(3, 5, 1)
    for of in ([], [5], [-1], [1, 1], [0.5], range(5), ["a"], 1):
        with pytest.raises(DataError, match="of got"):
            conditional(model, x, of, 5)
    with pytest.raises(DataError, match="fill has shape"):
        conditional(model, x, [1], 5, fill=[1.0, 2.0])
    with pytest.raises(ValueError, match="draws got -1"):
        conditional(model, x, [1], 5, draws=-1)
    with pytest.raises(ProgramError, match="not independent given z"):
        conditional(VAE((3,), 1, likelihood=MultivariateNormal()), x[:, :3], [1], 5)
    with pytest.raises(DataError, match="columns are those of a table"):
        conditional(VAE((2, 2), 1), torch.ones(3, 2, 2), [1], 5)
    mixed = table()
    row = torch.tensor([[0.0, 1.0, 2.0, 1.0]])
    with pytest.raises(SupportError, match=r"fill got 0\.0, which x cannot be: column 2"):
        conditional(mixed, row, [2], 5)
    row[0, 2] = -1.0
    with pytest.raises(SupportError, match="column 2"):
        conditional(mixed, row, [2], 5, fill=1.0)

    def pixels(x):
        with pyro.plate("data", len(x), dim=-2), pyro.plate("pixels", 5, dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(()), 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-2), pyro.plate("pixels", 5, dim=-1):
            pyro.sample("z", dist.Normal(x / 2, 1.0))

    with pytest.raises(ProgramError, match=r"event shape \(\), and a datum 5 columns"):
        conditional((pixels, guide), x, [1], 5, data_plate="data")
