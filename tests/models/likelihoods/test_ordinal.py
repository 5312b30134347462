"""The ordinal likelihood: masses, far tails, cut-points and how they start and are learned."""

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats

from pyro_vae import fit
from pyro_vae.models import VAE, MixtureModel
from pyro_vae.models.likelihoods import Bernoulli, Normal, Ordinal, PerColumn
from pyro_vae.models.softplus import inverse_softplus
from tests.tolerances import STANDARD_ERRORS

CUTS = np.array([[-2.0, -1.9, 0.3, 4.0], [0.5, 1.5, 1.6, 9.0]])


def with_cuts(cuts):
    """A likelihood of D features with these cut-points ``(D, C - 1)``."""
    cuts = torch.as_tensor(cuts, dtype=torch.double)
    likelihood = Ordinal(cuts.shape[1] + 1)
    likelihood.build((len(cuts),))
    likelihood.double()
    with torch.no_grad():
        likelihood.raw.copy_(torch.cat([cuts[:, :1], inverse_softplus(cuts.diff(dim=1))], 1))
    return likelihood


def masses(likelihood, eta):
    """Mass of every class, ``(C, ..., D)``, each feature alone."""
    classes = torch.arange(likelihood.top + 1.0, dtype=torch.double)
    base = likelihood(eta).base_dist
    shape = (-1, *(1,) * eta.dim())
    return base.log_prob(classes.reshape(shape).expand(-1, *eta.shape)).exp().detach()


@pytest.mark.parametrize("size", [1e-12, 1e-3, 1.0, 30.0, 1e3])
def test_masses_sum_to_one(size):
    likelihood = with_cuts(size * CUTS)
    eta = size * torch.linspace(-12, 12, 41, dtype=torch.double).unsqueeze(-1).expand(-1, 2)
    total = masses(likelihood, eta).sum(0)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-12, rtol=0)


def test_masses_are_differences_of_scipys_logistic():
    eta = torch.tensor([[-1.0, 2.0], [0.1, 0.4]], dtype=torch.double)
    for row, found in zip(eta, masses(with_cuts(CUTS), eta).unbind(1), strict=True):
        cdf = stats.logistic(row.numpy()[:, None]).cdf(CUTS)
        expected = np.diff(np.pad(cdf, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1))))
        np.testing.assert_allclose(found.T.numpy(), expected, rtol=1e-12)


def test_log_masses_are_those_of_statsmodels():
    """Its log-likelihood at our cut-points, which it takes as a first and logs of distances."""
    ordinal_model = pytest.importorskip("statsmodels.miscmodels.ordinal_model")
    rng = np.random.default_rng(20260401)
    covariate, slope, cuts = rng.standard_normal(200), 0.7, np.array([-1.2, 0.1, 0.4, 2.5])
    classes = np.tile(np.arange(5), 40)
    other = ordinal_model.OrderedModel(classes, covariate[:, None], distr="logit")
    parameters = np.concatenate([[slope, cuts[0]], np.log(np.diff(cuts))])
    eta = torch.as_tensor(slope * covariate).unsqueeze(-1)
    found = with_cuts(cuts[None])(eta).log_prob(torch.as_tensor(classes).unsqueeze(-1))
    np.testing.assert_allclose(found.detach().numpy(), other.loglikeobs(parameters), rtol=1e-10)
    assert found.sum().item() == pytest.approx(other.loglike(parameters), rel=1e-12)


def test_two_classes_are_a_bernoulli():
    theta = torch.tensor([0.7, -3.0], dtype=torch.double)
    ordinal, bernoulli = with_cuts(theta.unsqueeze(-1)), Bernoulli()
    bernoulli.build((2,))
    eta = 20 * torch.randn(50, 2, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    for x in torch.cartesian_prod(torch.arange(2.0), torch.arange(2.0)):
        same = bernoulli(eta - theta).log_prob(x)
        torch.testing.assert_close(ordinal(eta).log_prob(x), same, rtol=1e-13, atol=0)
    torch.testing.assert_close(ordinal(eta).mean, bernoulli(eta - theta).mean)


@pytest.mark.parametrize("eta", [-1e8, -800.0, -30.0, 0.11, 700.0, 1e8])
@pytest.mark.parametrize("gap", [1e-280, 1e-9, 0.5, 900.0])
def test_no_digit_is_lost_between_near_cut_points_and_far_from_them(eta, gap):
    likelihood = Ordinal(4)
    likelihood.build((1,))
    likelihood.double()
    with torch.no_grad():
        likelihood.raw[0, 0] = 0.1
        likelihood.raw[0, 1:] = inverse_softplus(torch.tensor([gap, 2.0], dtype=torch.double))
    at = torch.tensor([eta], dtype=torch.double, requires_grad=True)
    with mpmath.workdps(1000):
        first, *raw = map(mpmath.mpf, likelihood.raw[0].tolist())
        theta = [first]
        for r in raw:
            theta.append(theta[-1] + mpmath.log1p(mpmath.exp(r)))
        # log sigmoid(b) + log sigmoid(-a) + log(1 - e^-(b - a)), with digits for all of them.
        for c in range(4):
            exact = mpmath.mpf(0)
            if c < 3:
                exact -= mpmath.log1p(mpmath.exp(eta - theta[c]))
            if c > 0:
                exact -= mpmath.log1p(mpmath.exp(theta[c - 1] - eta))
            if 0 < c < 3:
                exact += mpmath.log(-mpmath.expm1(theta[c - 1] - theta[c]))
            found = likelihood(at).log_prob(torch.tensor([float(c)]))
            assert found.item() == pytest.approx(float(exact), rel=1e-12, abs=1e-300)
            for gradient in torch.autograd.grad(found, [at, likelihood.raw]):
                assert torch.isfinite(gradient).all()


def test_gradients_are_those_of_finite_differences():
    likelihood = with_cuts(CUTS)
    eta = torch.tensor([[0.2, -1.0], [1.0, 2.0], [0.0, 9.0]], dtype=torch.double)
    x = torch.tensor([[0.0, 4.0], [3.0, 2.0], [1.0, 3.0]])

    def log_p(eta, raw):
        return torch.func.functional_call(likelihood, {"raw": raw}, (eta,)).log_prob(x)

    inputs = (eta.requires_grad_(), likelihood.raw.detach().clone().requires_grad_())
    assert torch.autograd.gradcheck(log_p, inputs)


def classes_of(shares, size, seed):
    rng = np.random.default_rng(seed)
    columns = [rng.choice(len(share), size, p=share) for share in shares]
    return torch.as_tensor(np.stack(columns, 1)).float()


def test_cut_points_start_at_the_shares_of_the_classes():
    shares = [[0.1, 0.6, 0.05, 0.25], [0.0, 0.5, 0.0, 0.5]]
    x = classes_of(shares, 2000, 20260402)
    vae = VAE((2,), 1, likelihood=Ordinal(4), encoder=(4,), decoder=(4,))
    vae.initialise(x)
    assert float(vae.likelihood.moment_eta(x).abs().max()) < 1e-5
    counts = np.stack([np.bincount(x[:, d].int().numpy(), minlength=4) for d in range(2)])
    with torch.no_grad():
        found = masses(vae.likelihood, torch.zeros(2))
    np.testing.assert_allclose(found.T.numpy(), (counts + 0.5) / 2002, rtol=1e-5)


def test_a_table_and_a_mixture_start_them_too():
    x = classes_of([[0.1, 0.6, 0.3]], 500, 20260403)
    table = PerColumn([Normal(), Ordinal(3)])
    vae = VAE((2,), 1, likelihood=table, encoder=(4,), decoder=(4,))
    vae.initialise(torch.cat([torch.randn(500, 1), x], 1))
    mixture = MixtureModel(2, Ordinal(3))
    mixture.initialise(x)
    alone = Ordinal(3)
    alone.build((1,))
    alone.initialise(x)
    for started in (table.columns[1], mixture.likelihood):
        torch.testing.assert_close(started.raw, alone.raw, rtol=0, atol=0)


@pytest.mark.slow
def test_cut_points_are_learned():
    """One covariate-free feature: the fit must come back to the shares from a wrong start."""
    shares = [0.5, 0.1, 0.3, 0.1]
    x = classes_of([shares], 4000, 20260404)
    vae = VAE((1,), 1, likelihood=Ordinal(4), encoder=(4,), decoder=(4,), seed=1)
    vae.initialised = True  # the start is that of equal shares
    fit(vae, x, epochs=15, batch_size=100, learning_rate=0.01, seed=2, progress=False)
    with torch.no_grad():
        drawn = vae.model(num_data=20_000)
    found = np.bincount(drawn.int().flatten().numpy(), minlength=4) / 20_000
    error = np.sqrt(np.array(shares) * (1 - np.array(shares)) * (1 / 4000 + 1 / 20_000))
    # The last steps of training are beside the optimum by about as much again.
    assert (np.abs(found - shares) < 2 * STANDARD_ERRORS * error).all()


def test_a_number_of_classes_that_cannot_be_is_refused():
    for size in (1, 2.0, "3"):
        with pytest.raises(ValueError, match="num_classes got"):
            Ordinal(size)
