"""In which units a table's numbers are printed, and what is said of scales and bounds."""

import json

import numpy as np
import pytest
import torch

from pyro_vae import VAE, data, fit
from pyro_vae.models.likelihoods import Normal
from tests.cli.test_commands import run

SMALL = ("--data", "wine", "--hidden", "16", "--latent-dim", "2", "--epochs", "40")


def test_draws_of_a_standardised_table_are_in_the_units_of_the_table(tmp_path):
    """Proline is near 750 with a standard deviation of 310, standardised it is near 0."""
    run("fit", "--run", tmp_path / "run", *SMALL, "--standardise")
    out = tmp_path / "drawn.npy"
    done = run("sample", tmp_path / "run", "--count", 4000, "--out", out, "--json")
    assert json.loads(done.stdout)["units"] == "original"
    drawn, raw = np.load(out), data.load("wine").train.double().numpy()
    spread = raw.std(0)
    assert (np.abs(drawn.mean(0) - raw.mean(0)) < 0.5 * spread).all()
    assert ((drawn.std(0) > 0.5 * spread) & (drawn.std(0) < 2 * spread)).all()
    said = run("sample", tmp_path / "run", "--count", 5, "--out", out).stdout
    assert "in the units that the data had before they were standardised" in " ".join(said.split())


def test_columns_whose_scales_are_far_apart_are_said(tmp_path):
    done = run("fit", "--run", tmp_path / "run", *SMALL[:-1], "1", "--scale", "per-feature")
    said = " ".join((done.stdout + done.stderr).split())
    assert "the standard deviations of the columns of wine go from 0." in said
    assert "--standardise" in said
    standardised = run("fit", "--run", tmp_path / "other", *SMALL[:-1], "1", "--standardise")
    assert "standard deviations" not in standardised.stdout + standardised.stderr


def test_a_scale_at_its_bound_is_said():
    """Of a column that is constant the scale goes to min_scale, and log p(x) with it."""
    x = torch.stack([torch.zeros(200), torch.linspace(-1, 1, 200)], dim=1)
    vae = VAE((2,), 1, likelihood=Normal("per-feature", min_scale=0.2), encoder=(8,), decoder=(8,))
    assert vae.bounds_reached(x) == []
    with torch.no_grad():
        vae.likelihood.sigma.raw[0] = -12.0
    with pytest.warns(UserWarning, match="at its lower bound min_scale=0.2 for 50% of its values"):
        fit(vae, x, epochs=1, learning_rate=1e-4, progress=False)


def test_dates_are_drawn_with_their_digits(tmp_path):
    """200 Unix times within ten minutes: float32 would have them on six values."""
    rng = np.random.default_rng(5)
    times = 1.7e9 + rng.uniform(0, 600, (200, 1))
    own = data.Dataset.from_tensors(times).standardised()
    drawn = own.in_original_units(torch.randn(1000, 1))
    assert drawn.dtype == torch.float64
    assert len(drawn.unique()) > 990
