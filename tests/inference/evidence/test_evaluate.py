"""``evaluate`` of models that know themselves: closed forms, and NaN where there is no number."""

import inspect
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from pyro_vae.errors import ProgramError
from pyro_vae.inference import evaluate
from pyro_vae.inference.training import fit_guide
from pyro_vae.models import PCA, VAE, LinearVAE, MixtureModel
from pyro_vae.models.likelihoods import Normal
from pyro_vae.networks import Unamortised
from tests.tolerances import STANDARD_ERRORS


def test_gap_and_error_of_an_exact_model():
    """The gap by SciPy's normals; seed 20140501."""
    vae, x = LinearVAE((4,), 2, seed=1).double(), torch.randn(6, 4, dtype=torch.double)
    found = evaluate(vae, x, 2000)
    with torch.no_grad():
        w, b, q = vae.weight.numpy(), vae.bias.numpy(), vae.posterior(x)
        covariance = w @ w.T + np.diag(vae.variance().numpy())
        kl = torch.distributions.kl_divergence(q, vae.exact_posterior(x)).numpy()
    exact = stats.multivariate_normal(b, covariance).logpdf(x.numpy())
    np.testing.assert_allclose(found["log_evidence"], exact, rtol=1e-9)
    assert (found["log_evidence_se"] == 0).all()
    error = found["gap_se"].values
    np.testing.assert_array_equal(error, found["elbo_se"])
    assert (error > 0).all()
    assert (abs(found["gap"].values - kl) < STANDARD_ERRORS * error).all()
    assert (kl > 2 * STANDARD_ERRORS * error).all()
    assert np.isnan(found["khat"]).all()
    assert found.attrs["bound"] == "log_evidence is exact"
    assert (found.attrs["exact"], found.attrs["num_features"], found.attrs["latent_dim"]) == (
        1,
        4,
        2,
    )


def test_a_sum_over_z_has_no_parts_and_no_effective_draws():
    mixture, x = MixtureModel(3, Normal("latent"), (2,)), torch.randn(30, 2)
    mixture.initialise(x)
    found = evaluate(mixture, x)
    for name in ("reconstruction", "kl_to_prior", "ess"):
        assert np.isnan(found[name]).all()
    np.testing.assert_allclose(found["elbo"], mixture.log_prob(x).detach(), rtol=1e-5)


def test_parameters_are_those_that_are_trained():
    pca, x = PCA((4,), 2), torch.randn(30, 4)
    pca.initialise(x)
    assert evaluate(pca, x, 10).attrs["num_parameters"] == 0
    linear = LinearVAE((4,), 2)
    # W, b and sigma; the encoder's mean with its bias, and a lower triangle.
    assert evaluate(linear, x, 10).attrs["num_parameters"] == 8 + 4 + 1 + (8 + 2) + 3


def test_a_guide_per_datum_is_fitted_with_the_seed_that_was_given(monkeypatch):
    # As many steps as there are, the seed decides.
    monkeypatch.setitem(inspect.unwrap(fit_guide).__kwdefaults__, "steps", 100)
    vae, x = VAE((4,), 1, likelihood=Normal(0.5), encoder=Unamortised(3)), torch.randn(2, 4)
    local = vae.unamortised(x)
    fit_guide(local, x, seed=5)
    by_hand = evaluate((local.model, local.guide), x, 200, seed=5)["elbo"].values
    assert evaluate(vae, x, 200, seed=5)["elbo"].values == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.slow
def test_a_pair_is_weighed_whatever_its_module_knows():
    linear, x = LinearVAE((4,), 2, seed=1), torch.randn(5, 4)
    module, pair = evaluate(linear, x, 50), evaluate((linear.model, linear.guide), x, 50)
    np.testing.assert_array_equal(module["elbo"], pair["elbo"])
    assert (module["log_evidence_se"] == 0).all()
    assert (pair["log_evidence_se"] > 0).all()
    assert "exact" not in pair.attrs
    vae = VAE((4,), 1, likelihood=Normal(0.5))
    weighed = evaluate((vae.model, vae.guide), x, 50)
    assert all((evaluate(vae, x, 50)[name] == weighed[name]).all() for name in weighed)


def test_a_discrete_z_is_summed_out_unless_said_otherwise():
    mixture, x = MixtureModel(3, Normal("latent"), (2,)), torch.randn(30, 2)
    mixture.initialise(x)
    for summed in (evaluate(mixture, x, 5), evaluate(mixture, x, 5, enumerate_discrete=True)):
        np.testing.assert_allclose(summed["elbo"], mixture.log_prob(x).detach(), rtol=1e-5)
    for ask in (
        lambda: evaluate(mixture, x, 5, enumerate_discrete=False),
        lambda: evaluate((mixture.model, mixture.guide), x, 5),
    ):
        with pytest.raises(ProgramError, match="enumerate_discrete=True"):
            ask()


def test_two_arguments_for_a_pair_are_refused_with_what_to_write():
    vae, x = VAE((4,), 1), torch.ones(2, 4)
    for ask in (
        lambda: evaluate(vae.model, vae.guide, x),
        lambda: evaluate(vae.model, vae.guide, x, 50, seed=1),
        lambda: evaluate(vae.model, vae.guide, x=x, num_particles=50),
        lambda: evaluate(model=vae.model, guide=vae.guide, x=x),
    ):
        with pytest.raises(ProgramError, match=r"two arguments.*evaluate\(\(model, guide\), x\)"):
            ask()


@pytest.mark.parametrize(
    ("model", "got"),
    [
        (VAE((4,), 1).model, "got model"),
        (torch.nn.Linear(4, 1), "got Linear"),
        ((VAE((4,), 1).model,), "got tuple"),
        ((VAE((4,), 1).model, None), "got tuple"),
    ],
)
def test_what_is_no_module_and_no_pair_is_refused(model, got):
    with pytest.raises(ProgramError, match=rf"{got}.*as a pair, \(model, guide\)"):
        evaluate(model, torch.ones(2, 4))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read as Linux has it")
def test_memory_does_not_grow_with_the_data():
    """What is kept of a datum, a few numbers, once held a megabyte of the heap in place."""
    vae = VAE((784,), 50, encoder=(200, 200), decoder=(200, 200))
    x = (torch.rand(130, 784) < 0.3).float()
    resident = []

    def look(done, total):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(pages * resource.getpagesize() / 2**20)

    evaluate(vae, x, 5000, progress=look)
    assert resident[-1] - resident[30] < 20
