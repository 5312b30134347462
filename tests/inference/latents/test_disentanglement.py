"""The mutual information gap: constructed codes, quadrature, and enumeration in SciPy."""

import math

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import integrate, special, stats

from pyro_vae.data import SPRITE_FACTORS, load
from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference.latents import mutual_information_gap
from pyro_vae.models import VAE
from pyro_vae.models.guides import FullCovarianceNormal
from pyro_vae.plots import mutual_information_matrix
from tests.tolerances import STANDARD_ERRORS


class Codes:
    """q(z | x) = N(x, scale^2): the data are the means of their codes."""

    def __init__(self, scale):
        self.scale = scale

    def posterior(self, x):
        return dist.Normal(x, self.scale).to_event(1)


def design():
    """Two independent factors of 3 and 4 classes, 60 data."""
    a, b = torch.cartesian_prod(torch.arange(3), torch.arange(4)).repeat(5, 1).T
    return {"a": a, "b": b}


def test_a_dimension_for_each_factor_has_a_gap_of_one():
    factors = design()
    x = torch.stack([torch.zeros(60), factors["b"], factors["a"]], 1)
    found = mutual_information_gap(Codes(1e-3), x, factors)
    information = found["mutual_information"]
    np.testing.assert_allclose(found["entropy"], [math.log(3), math.log(4)], rtol=1e-12)
    assert list(found["best"].values) == ["z[2]", "z[1]"]
    np.testing.assert_allclose(information.sel(latent="z[2]"), [math.log(3), 0], atol=1e-9)
    np.testing.assert_allclose(information.sel(latent="z[1]"), [0, math.log(4)], atol=1e-9)
    np.testing.assert_allclose(information.sel(latent="z[0]"), 0, atol=1e-9)
    np.testing.assert_allclose(found["gap"], 1, atol=1e-9)
    assert float(found["mig"]) == pytest.approx(1)


def test_duplicated_and_rotated_codes_have_no_gap():
    factors = design()
    a, b = factors["a"] - 1.0, factors["b"] - 1.5
    twice = mutual_information_gap(Codes(1e-3), torch.stack([a, a, b, b], 1), factors)
    np.testing.assert_allclose(twice["gap"], 0, atol=1e-9)
    # Both classes of factors of the same number, turned by 45 degrees: no dimension is above
    # the other one.
    u, v = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0)).T
    turned = torch.stack([u - v, u + v], 1)
    found = mutual_information_gap(Codes(1e-3), turned, {"u": u, "v": v}, num_draws=50)
    # u + v tells of u what its distribution given u leaves: H(u + v) - H(v).
    shares = np.array([1, 2, 3, 2, 1]) / 9
    exact = -(shares * np.log(shares)).sum() - math.log(3)
    np.testing.assert_allclose(found["mutual_information"], exact, atol=1e-9)
    assert float(found["mig"]) == pytest.approx(0, abs=1e-9)


def test_information_of_overlapping_codes_is_that_of_quadrature():
    """Four normals of widths of their own, in two classes of one and three data."""
    means, scales = np.array([-1.0, 0.0, 0.6, 2.0]), np.array([0.5, 0.8, 0.3, 1.0])
    classes = np.array([0, 1, 1, 1])

    def integrand(z):
        each = stats.norm.pdf(z, means, scales)
        given = np.array([each[classes == c].mean() for c in (0, 1)])
        joint = given * np.array([0.25, 0.75])
        return special.rel_entr(joint, each.mean() * np.array([0.25, 0.75])).sum()

    exact, _ = integrate.quad(integrand, -12, 12, limit=500)
    x = torch.stack([torch.tensor(means), torch.zeros(4).double()], 1)
    scale = torch.stack([torch.tensor(scales), torch.ones(4).double()], 1)
    settings = {"num_draws": 20_000, "seed": 3}
    found = mutual_information_gap(Codes(scale), x, {"v": torch.tensor(classes)}, **settings)
    value = float(found["mutual_information"].sel(latent="z[0]", factor="v"))
    error = float(found["mutual_information_se"].sel(latent="z[0]", factor="v"))
    assert error < 0.003
    assert abs(value - exact) < STANDARD_ERRORS * error
    entropy = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert float(found["gap"][0]) == pytest.approx(value / entropy, rel=1e-9)


@pytest.mark.slow
def test_standard_errors_are_the_spread_over_seeds():
    factors = design()
    x = torch.stack([factors["a"] + 0.3 * factors["b"], factors["b"] - 0.4 * factors["a"]], 1)
    runs = [
        mutual_information_gap(Codes(0.6), x, factors, num_draws=6, seed=seed)
        for seed in range(300)
    ]
    for name in ("mutual_information", "gap", "mig"):
        values = np.array([run[name].values for run in runs])
        stated = np.mean([run[f"{name}_se"].values ** 2 for run in runs], axis=0) ** 0.5
        # A standard deviation over 300 runs has a relative error of 1 / sqrt(600).
        assert (np.abs(values.std(0, ddof=1) / stated - 1) < STANDARD_ERRORS / 600**0.5).all()


def test_it_is_the_same_in_parts_and_by_the_seed(monkeypatch):
    factors, x = design(), torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    whole = mutual_information_gap(Codes(0.5), x, factors, seed=4)
    monkeypatch.setattr("pyro_vae.inference.latents.disentanglement._CELLS", 700)
    parts = mutual_information_gap(Codes(0.5), x, factors, seed=4)
    np.testing.assert_allclose(parts["mutual_information"], whole["mutual_information"])
    other = mutual_information_gap(Codes(0.5), x, factors, seed=5)
    assert float(other["mig"]) != float(whole["mig"])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("guide", [None, FullCovarianceNormal()])
def test_a_vae_of_sprites(guide):
    data = load("sprites", values="unit-interval")
    factors = dict(zip(SPRITE_FACTORS, data.covariates["test"].T, strict=True))
    vae = VAE((16, 16), 4, encoder=(8,), decoder=(8,), guide=guide)
    found = mutual_information_gap(vae, data.test, factors, num_draws=2)
    assert found["mutual_information"].sizes == {"latent": 4, "factor": 4}
    assert -0.05 < float(found["mig"]) < 0.2
    (ax, bar) = mutual_information_matrix(found).axes
    labels = [text.get_text().split("\n")[0] for text in ax.get_xticklabels()]
    assert labels == list(SPRITE_FACTORS)
    numbers = [float(text.get_text()) for text in ax.texts]
    expected = found["mutual_information"].values.clip(0).ravel()
    np.testing.assert_allclose(numbers, expected, atol=0.0051)
    assert "nats" in bar.get_ylabel()


def test_what_it_cannot_take_is_refused():
    x, v = torch.randn(6, 2), torch.arange(6) % 2

    def measure(factors, x=x, model=None, **settings):
        return mutual_information_gap(model or Codes(0.5), x, factors, **settings)

    class Heavy:
        def posterior(self, x):
            return dist.StudentT(3.0, x, 1.0).to_event(1)

    for make, message in (
        (lambda: measure({}), "factors is empty"),
        (lambda: measure({"v": v[:5]}), r"factor 'v' has shape \(5,\) for 6 data"),
        (lambda: measure({"v": v + 0.5}), "not whole numbers"),
        (lambda: measure({"v": 0 * v}), "the same for all the data"),
        (lambda: measure({"v": v}, x=x[:0]), "x is empty"),
    ):
        with pytest.raises(DataError, match=message):
            make()
    for model, data, message in (
        (dict, x, "no posterior"),
        (Heavy(), x, "must be normal"),
        (Codes(0.5), x[:, :1], "a gap needs two dimensions"),
    ):
        with pytest.raises(ProgramError, match=message):
            measure({"v": v}, x=data, model=model)
    with pytest.raises(ValueError, match="num_draws got 1"):
        measure({"v": v}, num_draws=1)
