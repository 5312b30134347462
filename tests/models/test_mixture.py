"""The mixture against scikit-learn, and its exact quantities against enumeration."""

import numpy as np
import pyro
import pytest
import torch
from pyro.infer import SVI, TraceEnum_ELBO
from scipy import stats
from sklearn.datasets import load_iris, load_wine
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference import fit
from pyro_vae.models import MixtureModel
from pyro_vae.models.likelihoods import Bernoulli, Binomial, MultivariateNormal, Normal
from tests.cases import a_few_always

IRIS = load_iris().data
WINE = StandardScaler().fit_transform(load_wine().data)


@pytest.mark.parametrize("covariance", ["diag", "full"])
@pytest.mark.parametrize("table", [IRIS, WINE], ids=["iris", "wine"])
def test_scikit_learns_fit_scores_the_same_here(covariance, table):
    reference = GaussianMixture(3, covariance_type=covariance, random_state=0).fit(table)
    mixture = MixtureModel.from_sklearn(reference)
    x = torch.as_tensor(table)
    np.testing.assert_allclose(
        mixture.log_prob(x).detach(), reference.score_samples(table), atol=1e-4
    )
    np.testing.assert_allclose(
        mixture.responsibilities(x).detach(), reference.predict_proba(table), atol=1e-4
    )


@a_few_always("covariance", ["diag", "full"], ["diag"])
def test_own_fit_comes_within_a_percent_of_scikit_learns(covariance):
    reference = GaussianMixture(3, covariance_type=covariance, n_init=5, random_state=0).fit(IRIS)
    likelihood = Normal("latent") if covariance == "diag" else MultivariateNormal()
    mixture = MixtureModel(3, likelihood)
    x = torch.as_tensor(IRIS, dtype=torch.float32)
    fit(mixture, x, epochs=100, batch_size=150, learning_rate=0.1, schedule="cosine")
    ours, theirs = float(mixture.log_prob(x).detach().mean()), reference.score(IRIS)
    assert ours > theirs - 0.01 * abs(theirs)


def test_log_prob_and_responsibilities_by_hand():
    mixture = MixtureModel(2, Bernoulli(), (3,))
    with torch.no_grad():
        mixture.logits.copy_(torch.tensor([0.3, 0.7]).log())
        probs = torch.tensor([[0.1, 0.5, 0.9], [0.6, 0.2, 0.3]])
        mixture.eta.copy_(torch.logit(probs))
    x = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    joint = np.array([0.3, 0.7]) * np.stack(
        [stats.bernoulli(p).pmf(x.numpy()).prod(1) for p in probs.numpy()], axis=1
    )
    np.testing.assert_allclose(mixture.log_prob(x).detach(), np.log(joint.sum(1)), atol=1e-5)
    np.testing.assert_allclose(
        mixture.responsibilities(x).detach(), joint / joint.sum(1, keepdims=True), atol=1e-5
    )
    torch.testing.assert_close(mixture.log_prob(x, chunk_size=1), mixture.log_prob(x))


def test_trace_enum_elbo_is_log_px():
    mixture = MixtureModel(4, Binomial(3), (5,))
    x = torch.randint(0, 4, (30, 5)).float()
    mixture.initialise(x)
    svi = SVI(
        mixture.model,
        mixture.guide,
        pyro.optim.Adam({"lr": 0.01}),
        TraceEnum_ELBO(max_plate_nesting=1),
    )
    assert -svi.evaluate_loss(x) == pytest.approx(
        float(mixture.log_prob(x).detach().sum()), rel=1e-5
    )
    before = float(mixture.log_prob(x).detach().sum())
    for _ in range(50):
        svi.step(x)
    assert float(mixture.log_prob(x).detach().sum()) > before


def test_initialise_finds_separate_clusters():
    centres = torch.tensor([[-5.0, 0.0], [5.0, 0.0], [0.0, 8.0]])
    x = centres.repeat_interleave(100, 0) + 0.3 * torch.randn(300, 2)
    mixture = MixtureModel(3, Normal("latent"))
    mixture.initialise(x, seed=1)
    found = mixture.component_means().detach()
    distance = torch.cdist(centres, found).min(1).values
    assert (distance < 0.2).all()


def test_samples_come_from_the_mixture():
    mixture = MixtureModel(2, Normal(0.1), (1,))
    with torch.no_grad():
        mixture.eta.copy_(torch.tensor([[-1.0], [1.0]]))
        mixture.logits.copy_(torch.tensor([0.2, 0.8]).log())
    draws = mixture.model(num_data=4000)
    share = float((draws > 0).float().mean())
    assert abs(share - 0.8) < 5 * (0.8 * 0.2 / 4000) ** 0.5


def test_bad_input():
    with pytest.raises(ValueError, match="num_components got 0"):
        MixtureModel(0, Bernoulli())
    with pytest.raises(ProgramError, match="initialise"):
        MixtureModel(3, Bernoulli()).log_prob(torch.zeros(2, 3))
    with pytest.raises(DataError, match="2 rows"):
        MixtureModel(3, Bernoulli()).initialise(torch.zeros(2, 3))
    spherical = GaussianMixture(2, covariance_type="spherical").fit(IRIS)
    with pytest.raises(ValueError, match="'diag' or 'full'"):
        MixtureModel.from_sklearn(spherical)


def test_a_mixture_that_learns_its_shape_from_the_data_resumes(tmp_path):
    x = torch.as_tensor(IRIS, dtype=torch.float32)
    settings = {"epochs": 3, "batch_size": 50, "run": tmp_path / "run"}
    first, again = (MixtureModel(3, Normal("latent")) for _ in range(2))
    assert len(fit(first, x, **settings).metrics) == 3
    assert len(fit(again, x, **settings, resume=True).metrics) == 3
    torch.testing.assert_close(again.eta, first.eta, atol=0, rtol=0)
