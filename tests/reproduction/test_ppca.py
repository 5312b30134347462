"""Probabilistic PCA: the closed form beside ours is that of scikit-learn, and ours reaches it."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from pyro_vae.reproduction import EXPERIMENTS, Plan, reproduce
from pyro_vae.reproduction.experiments.ppca import _best_of

RNG = np.random.default_rng(19990101)
X = RNG.normal(size=(60, 5)) @ RNG.normal(size=(5, 5)) + 3.0


@pytest.mark.parametrize("latent_dim", [1, 2, 4])
def test_the_closed_form_is_the_highest_likelihood(latent_dim):
    """scikit-learn divides the covariance by n - 1: brought to n, its score is the same."""
    fitted = PCA(latent_dim).fit(X)
    fitted.explained_variance_ *= 59 / 60
    fitted.noise_variance_ *= 59 / 60
    assert _best_of(X, latent_dim) == pytest.approx(fitted.score_samples(X))
    # No higher one: every other noise and every other scale of the axes is worse.
    best = fitted.score(X)
    for factor in (0.9, 1.1):
        fitted.noise_variance_ *= factor
        assert fitted.score(X) < best
        fitted.noise_variance_ /= factor


@pytest.mark.slow
def test_the_linear_vae_comes_close_in_few_epochs(tmp_path):
    settings = {"epochs": 60, "num_particles": 20, "num_annealed": 0, "progress": False}
    card = reproduce("ppca", tmp_path, parts=["linear-vae-2"], **settings)
    rows = {row.label: row for row in card.rows}
    row, gap = rows["log p(x), q = 2"], rows["gap, q = 2"]
    assert row.source.startswith("closed form")
    # From below: nothing is above the highest likelihood but rounding.
    assert -0.2 < row.ours.value - row.published < 1e-4
    assert 0 < gap.ours.value < 0.2
    data = EXPERIMENTS["ppca"].load(Plan(**card.plan), None)
    assert row.published == pytest.approx(_best_of(data.train.double().numpy(), 2).mean())
