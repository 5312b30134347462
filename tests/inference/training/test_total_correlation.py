"""Beta-TC-ELBO: the parts that cancel, the estimator written out, and Gaussian closed forms."""

from unittest import mock

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import special, stats
from torch import nn

from pyro_vae.data import Dataset
from pyro_vae.errors import ProgramError, SettingError, UnknownNameError
from pyro_vae.inference import fit
from pyro_vae.inference.training.objectives import (
    BetaELBO,
    BetaTCELBO,
    objective_name,
    objective_named,
)
from pyro_vae.models import VAE, HierarchicalVAE
from pyro_vae.models.guides import FullCovarianceNormal
from pyro_vae.models.priors import MixtureOfNormals, StudentT
from tests.cases import a_few_always
from tests.oracles import LinearGaussian
from tests.tolerances import STANDARD_ERRORS


class Pair(nn.Module):
    """z ~ N(0, I_2), x | z ~ N(z W', 0.7^2); guide N(x A', diag t^2)."""

    W = torch.tensor([[1.0, 0.4], [-0.3, 0.8], [0.5, 0.5]], dtype=torch.double)

    def __init__(self):
        super().__init__()
        start = torch.tensor([[0.5, -0.2, 0.3], [0.1, 0.6, 0.2]], dtype=torch.double)
        self.A = nn.Parameter(start)
        self.t = nn.Parameter(torch.tensor([0.6, 0.4], dtype=torch.double))

    def model(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2).double(), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z @ self.W.T, 0.7).to_event(1), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x @ self.A.T, self.t).to_event(1))


def written_out(matrix, t, x, noise, num_data, weights, sampling):
    """The objective summed over x, equations (4) and S3 of Chen et al. (2018), in loops."""
    alpha, beta, gamma = weights
    size, total = len(x), 0.0
    means = x @ matrix.T
    for draws in noise:
        for b, z in enumerate(means + t * draws):
            each = stats.norm.logpdf(z, means, t)
            share = np.full((size, 1), 1 / (num_data * size))
            if sampling == "stratified":
                share[:] = (num_data - 1) / (num_data * (size - 1))
                share[b] = 1 / num_data
            log_qz = special.logsumexp(each.sum(1), b=share[:, 0])
            log_product = special.logsumexp(each, axis=0, b=share).sum()
            total += stats.norm.logpdf(x[b], Pair.W.numpy() @ z, 0.7).sum()
            total -= alpha * (each[b].sum() - log_qz)
            total -= beta * (log_qz - log_product)
            total -= gamma * (log_product - stats.norm.logpdf(z).sum())
    return total / len(noise)


@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize("sampling", ["weighted", "stratified"])
def test_value_and_gradient_are_those_of_the_estimator_written_out(particles, sampling):
    pair = Pair()
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()
    weights = {"alpha": 0.5, "beta": 4.0, "gamma": 2.0}
    objective = BetaTCELBO(particles, sampling=sampling, **weights)
    objective.of(40)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    loss = objective.differentiable_loss(pair.model, pair.guide, x)
    gradients = torch.autograd.grad(loss, [pair.A, pair.t])
    torch.set_rng_state(state)
    noise = torch.normal(torch.zeros(particles, 5, 2).double(), 1.0).numpy()
    start, t = pair.A.detach().numpy(), pair.t.detach().numpy()

    def value(matrix, t):
        return -written_out(matrix, t, x.numpy(), noise, 40, weights.values(), sampling)

    assert loss.item() == pytest.approx(value(start, t), rel=1e-10)
    step = 1e-5
    for place in np.ndindex(start.shape):
        shift = np.zeros_like(start)
        shift[place] = step
        slope = (value(start + shift, t) - value(start - shift, t)) / (2 * step)
        assert float(gradients[0][place]) == pytest.approx(slope, rel=1e-5, abs=1e-5)
    for place in range(2):
        shift = step * np.eye(2)[place]
        slope = (value(start, t + shift) - value(start, t - shift)) / (2 * step)
        assert float(gradients[1][place]) == pytest.approx(slope, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("sampling", ["weighted", "stratified"])
@pytest.mark.parametrize("num_data", [None, 9, 500])
def test_with_weights_of_one_the_estimates_cancel(sampling, num_data):
    pair, x = Pair(), torch.randn(9, 3, generator=torch.Generator().manual_seed(0)).double()
    ours = BetaTCELBO(2, beta=1.0, sampling=sampling)
    if num_data:
        ours.of(num_data)
    found = []
    for objective in (ours, BetaELBO(2, beta=1.0)):
        torch.manual_seed(2)
        loss = objective.differentiable_loss(pair.model, pair.guide, x)
        found.append([loss, *torch.autograd.grad(loss, [pair.A, pair.t])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def parts(model, guide, x, sampling, seed):
    """Index-code information, total correlation and KL of the dimensions, in nats per datum."""
    values = []
    for alpha, beta, gamma in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        objective = BetaTCELBO(alpha=alpha, beta=beta, gamma=gamma, sampling=sampling)
        torch.manual_seed(seed)
        values.append(-objective.loss(model, guide, x) / len(x))
    return values[0] - np.array(values[1:])


def test_the_parts_of_a_gaussian_are_its_closed_forms():
    """x ~ N(m, W W' + s^2 I) and q(z|x) = N(A (x - m), diag t^2) give q(z) = N(0, C).

    Twelve data sets of 700, each a full batch; the finite mixture's bias is of the order of
    exp(I) / 700, below a standard error.
    """
    oracle = LinearGaussian()
    oracle.A[1] += oracle.A[0]  # codes that are correlated
    cov = oracle.A @ (oracle.W @ oracle.W.T + oracle.s**2 * np.eye(5)) @ oracle.A.T
    cov += np.diag(oracle.t**2)
    variances = np.diag(cov)
    log_det = np.linalg.slogdet(cov)[1]
    exact = [
        0.5 * (log_det - np.log(oracle.t**2).sum()),
        0.5 * (np.log(variances).sum() - log_det),
        0.5 * (variances - 1 - np.log(variances)).sum(),
    ]
    assert exact[1] > 0.1
    found = np.array(
        [
            parts(oracle.model, oracle.guide, oracle.draw(700, seed), "stratified", seed)
            for seed in range(12)
        ]
    )
    error = found.std(0, ddof=1) / 12**0.5
    assert (error < [0.03, 0.02, 0.06]).all()
    assert (np.abs(found.mean(0) - exact) < STANDARD_ERRORS * error).all()


def test_on_a_full_batch_the_weighted_estimate_is_off_by_log_n():
    oracle = LinearGaussian()
    x = oracle.draw(64)
    exact = parts(oracle.model, oracle.guide, x, "stratified", 0)
    weighted = parts(oracle.model, oracle.guide, x, "weighted", 0)
    shift = np.log(64) * np.array([1, 1, -2])  # of log q(z) by -log N, of two marginals each
    np.testing.assert_allclose(weighted - exact, shift, rtol=1e-9)


def test_stratified_batches_are_unbiased_for_the_aggregate_posterior():
    """exp of the estimate of log q(z) over all the batches of 3 out of 5 that hold a datum."""
    means = np.array([-1.0, -0.2, 0.1, 0.9, 2.0])
    z, size, num_data = 0.3, 3, 5
    objective = BetaTCELBO(sampling="stratified")
    objective.of(num_data)
    share = objective._log_share(size, 1.0).exp().numpy()
    density = stats.norm.pdf(z, means, 0.5)
    estimates = [share[0] @ density[[0, i, j]] for i in range(1, 5) for j in range(1, 5) if i != j]
    assert np.mean(estimates) == pytest.approx(density.mean(), rel=1e-6)


def test_a_subsampled_plate_scales_it_and_gives_the_number_of_data():
    pair, x = Pair(), torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double()

    def model(batch):
        with pyro.plate("data", 60, subsample=batch, dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2).double(), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z @ pair.W.T, 0.7).to_event(1), obs=batch)

    def guide(batch):
        with pyro.plate("data", 60, subsample=batch, dim=-1):
            pyro.sample("z", dist.Normal(batch @ pair.A.T, pair.t).to_event(1))

    torch.manual_seed(3)
    scaled = BetaTCELBO().loss(model, guide, x)
    plain = BetaTCELBO()
    plain.of(60)
    torch.manual_seed(3)
    assert scaled == pytest.approx(10 * plain.loss(pair.model, pair.guide, x), rel=1e-9)


def test_fit_says_of_how_many_data_and_validates_by_the_elbo():
    x = (torch.arange(160) % 3 == 0).float().reshape(40, 4)
    data = Dataset.from_tensors(x[:24], x[24:])
    bounds = []
    for name in ("beta-tc-elbo(beta=6)", "elbo"):
        vae = VAE((4,), 2, encoder=(6,), decoder=(6,))
        settings = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-9, "progress": False}
        with mock.patch.object(BetaTCELBO, "of", autospec=True, side_effect=BetaTCELBO.of) as of:
            bounds.append(fit(vae, data, name, **settings).metrics["validation_elbo"])
        assert [call.args[1] for call in of.mock_calls] == ([24] if "tc" in name else [])
    assert list(bounds[0]) == pytest.approx(list(bounds[1]), rel=1e-6)


@a_few_always(
    "name",
    [
        "beta-tc-elbo(beta=6.0)",
        "beta-tc-elbo(num_particles=2, beta=3.0, alpha=0.0, gamma=2.0, sampling=stratified)",
    ],
    ["beta-tc-elbo(beta=6.0)"],
)
def test_it_trains_by_its_name(name):
    objective = objective_named(name)
    assert objective_name(objective) == name
    x = (torch.arange(160) % 3 == 0).float().reshape(40, 4)
    vae = VAE((4,), 2, encoder=(6,), decoder=(6,), prior=StudentT(4.0))
    # The last batch has one datum alone.
    metrics = fit(vae, x, name, epochs=20, batch_size=13, learning_rate=1e-2, progress=False)
    assert metrics.metrics["train_elbo"].iloc[-1] > metrics.metrics["train_elbo"].iloc[0]


def test_what_it_says_of_itself():
    bounds = [
        BetaTCELBO(**weights).formula.bound.split(":")[0]
        for weights in ({"beta": 1.0}, {"beta": 6.0}, {"beta": 6.0, "alpha": 0.0})
    ]
    assert bounds[0] == "a lower bound on log p(x)"
    assert bounds[1].startswith("at most the mean ELBO")
    assert bounds[2].startswith("NOT a bound")
    assert "6 TC(q(z))" in BetaTCELBO().formula.formula


def test_what_it_cannot_take_is_refused():
    x = (torch.arange(40) % 3 == 0).float().reshape(10, 4)
    small = {"encoder": (6,), "decoder": (6,)}
    for model, message in (
        (VAE((4,), 2, guide=FullCovarianceNormal(), **small), "guide of independent normals"),
        (VAE((4,), 2, prior=MixtureOfNormals(3), **small), "prior that is independent over"),
        (HierarchicalVAE((4,), (3, 2), hidden=((6,), (6,))), "one latent site"),
    ):
        with pytest.raises(ProgramError, match=message):
            BetaTCELBO().loss(model.model, model.guide, x)
    with pytest.raises(SettingError, match="discrete site"):
        objective_named("beta-tc-elbo", enumerate_discrete=True)
    for make, message in (
        (lambda: BetaTCELBO(beta=-1.0), "beta got -1"),
        (lambda: BetaTCELBO(gamma=float("inf")), "gamma got inf"),
        (lambda: BetaTCELBO().of(0), "num_data got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(UnknownNameError, match="Did you mean 'stratified'"):
        BetaTCELBO(sampling="stratifed")
    objective, model = BetaTCELBO(), VAE((4,), 2, **small)
    objective.of(5)
    with pytest.raises(ValueError, match="batch of 10 data is more than the num_data=5"):
        objective.loss(model.model, model.guide, x)
