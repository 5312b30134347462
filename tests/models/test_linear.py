"""The linear-Gaussian VAE against probabilistic PCA, factor analysis and closed forms."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.linalg import subspace_angles
from sklearn import datasets
from sklearn.decomposition import PCA, FactorAnalysis

from pyro_vae.errors import DataError
from pyro_vae.inference import fit, log_weights
from pyro_vae.inference.engine.diagnostics import active_directions, active_units
from pyro_vae.models import LinearVAE, model_from_config
from pyro_vae.models.guides import FullCovarianceNormal, LowRankNormal, MeanFieldNormal


def standardised(name):
    x = getattr(datasets, f"load_{name}")().data
    return torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32)


def train(vae, x, epochs=200, learning_rate=0.1):
    fit(
        *(vae, x),
        **{
            "epochs": epochs,
            "batch_size": len(x),
            "learning_rate": learning_rate,
            "schedule": "cosine",
        },
        progress=False,
    )
    return vae


@pytest.mark.parametrize(
    ("name", "latent_dim", "published", "guide"),
    [
        ("iris", 2, -3.686, FullCovarianceNormal),
        pytest.param("wine", 2, -16.155, MeanFieldNormal, marks=pytest.mark.slow),
        pytest.param("wine", 2, -16.155, FullCovarianceNormal, marks=pytest.mark.slow),
        pytest.param("breast_cancer", 5, -24.625, FullCovarianceNormal, marks=pytest.mark.slow),
    ],
)
def test_svi_reaches_probabilistic_pca(name, latent_dim, published, guide):
    x = standardised(name)
    pca = PCA(latent_dim).fit(x)
    vae = train(LinearVAE((x.shape[1],), latent_dim, guide=guide(), seed=1), x)
    with torch.no_grad():
        log_px = float(vae.log_prob(x).mean())
    assert log_px == pytest.approx(pca.score(x), abs=0.02)
    assert log_px == pytest.approx(published, abs=0.02)
    elbo = float(log_weights(vae.model, vae.guide, x, 200).mean())
    assert abs(log_px - elbo) < 0.01
    angles = subspace_angles(vae.weight.detach().numpy(), pca.components_.T)
    assert np.degrees(angles).max() < 5
    codes = vae.code(x)
    assert active_directions(codes) == vae.supported_units(x) == latent_dim
    assert active_units(codes) == latent_dim


@pytest.mark.parametrize(
    ("variance", "supported"),
    [
        pytest.param(0.5, 6, marks=pytest.mark.slow),
        pytest.param(1.0, 3, marks=pytest.mark.slow),
        pytest.param(2.0, 2, marks=pytest.mark.slow),
        pytest.param(4.5, 1, marks=pytest.mark.slow),
    ],
)
def test_the_likelihood_decides_how_many_units_collapse(variance, supported):
    """Eigenvalues of the standardised wine data: 4.7, 2.5, 1.4, 0.92, 0.85, 0.64, 0.55, ..."""
    x = standardised("wine")
    vae = LinearVAE((13,), 6, scale=variance**0.5, guide=MeanFieldNormal(), seed=2)
    # The one unit of 4.5 is weak, and turns to an axis slowly.
    train(vae, x, *((800, 0.03) if supported == 1 else (200, 0.1)))
    assert vae.supported_units(x) == supported
    assert active_units(vae.code(x)) == supported


def test_supported_units_count_the_eigenvalues_of_maximum_likelihood():
    """Cov(x) = diag(4, 1) with n = 4 in the denominator, 4/3 of it with n - 1."""
    x = torch.tensor([[2.0, 1.0], [2.0, -1.0], [-2.0, 1.0], [-2.0, -1.0]]) + 3
    for variance, supported in ((0.9, 2), (1.1, 1), (3.9, 1), (4.1, 0)):
        assert LinearVAE((2,), 2, scale=variance**0.5).supported_units(x) == supported


def test_exact_log_prob_and_posterior():
    x = standardised("iris")[:20].double()
    vae = LinearVAE((4,), 2, scale="per-feature").double()
    with torch.no_grad():
        vae.likelihood.sigma.raw.copy_(torch.tensor([-1.0, 0.0, 0.5, 1.0]))
    W, b = vae.weight.detach().numpy(), vae.bias.detach().numpy()
    psi = vae.variance().detach().numpy()
    marginal = stats.multivariate_normal(b, W @ W.T + np.diag(psi))
    np.testing.assert_allclose(vae.log_prob(x).detach(), marginal.logpdf(x), rtol=1e-9)
    z = torch.randn(20, 2, dtype=torch.double)
    # Bayes: log p(z | x) = log p(z) + log p(x | z) - log p(x).
    joint = vae.prior().log_prob(z) + vae.observation(z).log_prob(x) - vae.log_prob(x)
    torch.testing.assert_close(vae.exact_posterior(x).log_prob(z), joint)


def test_weights_of_pca_are_the_maximum():
    x = standardised("wine")
    pca = PCA(3).fit(x)
    vae = LinearVAE((13,), 3).take_pca(pca)
    best = float(vae.log_prob(x).detach().mean())
    # scikit-learn divides by n - 1: its score is a little below the maximum.
    assert 0 <= best - pca.score(x) < 1e-3
    (gradient,) = torch.autograd.grad(vae.log_prob(x).mean(), vae.weight)
    assert gradient.abs().max() < 1e-4


def test_per_feature_scale_is_factor_analysis():
    x = standardised("wine")
    best = FactorAnalysis(2, tol=1e-6, max_iter=5000).fit(x).score(x)
    vae = train(LinearVAE((13,), 2, scale="per-feature", seed=1), x)
    assert float(vae.log_prob(x).detach().mean()) == pytest.approx(best, abs=0.02)


def test_config_round_trip():
    vae = LinearVAE((4,), 2, scale="per-feature", guide=MeanFieldNormal(), seed=3)
    again = model_from_config(vae.config)
    again.load_state_dict(vae.state_dict())
    assert type(again) is LinearVAE
    assert again.config == vae.config


def test_bad_settings():
    with pytest.raises(ValueError, match="scale got 'latent'"):
        LinearVAE((4,), 2, scale="latent")
    with pytest.raises(ValueError, match="guide got low-rank-normal"):
        LinearVAE((4,), 2, guide=LowRankNormal(1))
    pca = PCA(3).fit(standardised("iris"))
    with pytest.raises(DataError, match=r"components of shape \(3, 4\)"):
        LinearVAE((4,), 2).take_pca(pca)
    with pytest.raises(ValueError, match="scale='shared'"):
        LinearVAE((4,), 3, scale="per-feature").take_pca(pca)


def test_log_px_keeps_its_digits_where_sigma_is_small():
    """W W^T + sigma^2 I with a condition of 1e8: SciPy in float64 from the same numbers."""
    torch.manual_seed(20140501)
    vae = LinearVAE((30,), 25, scale=1e-3)
    with torch.no_grad():
        vae.weight.copy_(torch.randn(30, 25))
        x = torch.randn(6, 25) @ vae.weight.T + 1e-3 * torch.randn(6, 30)
        w, b = vae.weight.double().numpy(), vae.bias.double().numpy()
        covariance = w @ w.T + np.diag(vae.variance().double().numpy())
        theirs = stats.multivariate_normal(b, covariance).logpdf(x.double().numpy())
        np.testing.assert_allclose(vae.log_prob(x), theirs, atol=2e-3)


def test_describe_names_the_model_and_no_class_of_ours():
    text = LinearVAE((6,), 2).description()
    assert text.startswith("Linear VAE")
    assert "linear mean 6-2, covariance the same for every x" in text
    assert "_Constant" not in text


@pytest.mark.parametrize(("n", "latent_dim"), [(12, 3), (60, 3), (12, 11), (60, 30)])
def test_sigma_is_the_mean_of_all_the_eigenvalues_left_out(n, latent_dim):
    """D = 30 features, with fewer data than that or more: NumPy's eigenvalues of Cov(x)."""
    x = np.random.default_rng(20140501).normal(size=(n, 30)) * np.linspace(0.2, 3, 30)
    vae = LinearVAE((30,), latent_dim, min_scale=1e-6).double()
    vae.take_pca(PCA(latent_dim, svd_solver="full").fit(x))
    left_out = np.linalg.eigvalsh(np.cov(x.T, bias=True))[: 30 - latent_dim]
    expected = left_out.mean() if len(left_out) else 0.0
    np.testing.assert_allclose(vae.variance().detach(), expected, rtol=1e-4, atol=1e-10)
    if latent_dim == 3:
        # It is the maximum: any other sigma, with its own W, has less likelihood.
        best = float(vae.log_prob(torch.as_tensor(x)).mean().detach())
        eigenvalues, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
        for factor in (0.9, 1.1):
            noise = factor * expected
            w = vectors[:, -3:] * np.sqrt(eigenvalues[-3:] - noise)
            other = stats.multivariate_normal(x.mean(0), w @ w.T + noise * np.eye(30))
            assert other.logpdf(x).mean() < best
