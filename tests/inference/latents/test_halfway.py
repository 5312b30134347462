"""Mid-points against a family of true data: where the middle is known, and where it is none."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from pyro_vae import data, fit
from pyro_vae.errors import DataError
from pyro_vae.inference.latents import halfway_summary, halfway_test
from pyro_vae.inference.latents.halfway import nearest_member
from pyro_vae.models import VAE, Autoencoder
from pyro_vae.models.likelihoods import Normal
from tests.tolerances import STANDARD_ERRORS

FAMILY, LIT = data.every_moon()
GAIN = (0.8, 1.0)

#: A model whose code is the lit fraction itself, of moons in one place, and decodes it rightly.
PERFECT = SimpleNamespace(
    code=lambda x: x.sum((1, 2), keepdim=True)[:, 0] / data.moon(1.0).sum(),
    decode=lambda z: data.moon(z[:, 0].clamp(0, 1)),
)
#: One that decodes the average of the pair: its code is the picture.
AVERAGE = SimpleNamespace(code=lambda x: x.flatten(1), decode=lambda z: z.unflatten(1, (16, 16)))


def ends():
    """Pairs of a half and a full moon, and of a crescent and a three-quarter moon."""
    return data.moon(torch.tensor([0.5, 0.25])), data.moon(torch.tensor([1.0, 0.75]))


def judged(model, first, second, **settings):
    settings = {"family": FAMILY, "state": LIT, "gain": GAIN, **settings}
    return halfway_test(model, first, second, **settings)


def test_a_moon_of_any_phase_is_recognised():
    """Off the grid by half a step each way: a phase to the grid, at next to no distance."""
    lit = torch.tensor([0.2625, 0.6125, 0.7625, 0.9125])
    distance, which = nearest_member(0.9 * data.moon(lit, 5.45, (7.9, 8.05)), FAMILY, gain=GAIN)
    assert np.abs(LIT.numpy()[which] - lit.numpy()).max() <= 0.025
    assert distance.max() < 0.025


def test_the_nearest_is_that_of_every_gain_tried():
    rng = np.random.default_rng(0)
    rows, known = rng.random((7, 5)), rng.random((11, 5))
    distance, which = nearest_member(rows, known, gain=(0.5, 1.2))
    gains = np.linspace(0.5, 1.2, 1401)[:, None, None]
    tried = np.stack([np.sqrt(((row - gains * known) ** 2).mean(-1)).min(0) for row in rows])
    assert np.array_equal(which, tried.argmin(1))
    assert np.allclose(distance, tried.min(1), atol=1e-6)


def test_distance_is_that_of_a_search_without_a_grid():
    """SciPy's minimiser over phase, radius, centre and brightness, from the grid's best phase."""
    pictures = sum(ends()) / 2
    distances, which = nearest_member(pictures, FAMILY, gain=GAIN)
    bounds = [(0, 1), (5, 6), (7.5, 8.5), (7.5, 8.5), (0.8, 1)]
    for picture, distance, lit in zip(pictures, distances, LIT.numpy()[which], strict=True):

        def loss(place, picture=picture):
            phase, radius, x, y, brightness = (float(part) for part in place)
            moon = brightness * data.moon(phase, radius, (x, y))
            return float((picture - moon).double().square().mean()) ** 0.5

        start = [float(lit), 5.5, 8, 8, 0.9]
        best = minimize(loss, start, bounds=bounds, method="Nelder-Mead").fun
        assert best - 1e-4 <= distance <= best + 5e-3


def test_a_perfect_code_reaches_half_way_and_an_average_does_not():
    found = judged(PERFECT, *ends())
    assert np.abs(found["halfway"].values - [0.75, 0.5]).max() < 0.013
    assert np.abs(found["midpoint_state"].values - [0.75, 0.5]).max() <= 0.025
    assert found["midpoint_distance"].max() < 0.035
    assert found["reached"].all()
    found = judged(AVERAGE, *ends())
    assert not found["reached"].any()
    assert np.allclose(found["midpoint_distance"], found["average_distance"])
    assert found["midpoint_distance"].min() > 0.1


def test_another_phase_than_half_way_is_not_reached():
    """A decoder that shows a true moon, yet always the half moon."""
    stuck = SimpleNamespace(
        code=PERFECT.code, decode=lambda z: data.moon(torch.full((len(z),), 0.5))
    )
    found = judged(stuck, *ends())
    assert found["reached"].values.tolist() == [False, True]
    assert judged(stuck, *ends(), tolerance=0.3)["reached"].all()


def test_the_summary_has_means_and_their_errors():
    found = judged(PERFECT, *ends())
    table = halfway_summary(found)
    values = found["midpoint_distance"].values
    assert table.loc["midpoint distance", "mean"] == pytest.approx(values.mean())
    error = abs(values[0] - values[1]) / 2
    assert table.loc["midpoint distance", "se"] == pytest.approx(error)
    assert table.loc["reached"].tolist() == [1, 0]
    off = np.abs(found["midpoint_state"] - found["halfway"]).values.mean()
    assert table.loc["off half-way", "mean"] == pytest.approx(off)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all-moon-phases", "moon-phases"])
def test_the_vae_reaches_three_quarters_where_training_had_them(name):
    """Seed 0, 25 epochs. With all phases in training the VAE has them, and more than the
    autoencoder; with three of them neither has one, and the VAE is nearer to a moon."""
    moons, pairs = data.load(name), data.load("moon-phases")
    half, full = (pairs.test[pairs.labels["test"] == label] for label in (1, 2))
    found = {}
    for make in (Autoencoder, VAE):
        model = make(
            (16, 16), 2, likelihood=Normal(0.5**0.5), encoder=(128, 64), decoder=(64, 128)
        )
        training = {"epochs": 25, "batch_size": 64, "learning_rate": 2e-3, "schedule": "cosine"}
        fit(model, moons, **training, progress=False)
        found[make] = judged(model, half, full)
    apart = found[Autoencoder]["midpoint_distance"] - found[VAE]["midpoint_distance"]
    error = float(apart.std(ddof=1)) / len(apart) ** 0.5
    assert float(apart.mean()) > STANDARD_ERRORS * error
    share = {make: float(results["reached"].mean()) for make, results in found.items()}
    if name == "moon-phases":
        assert max(share.values()) < 0.05
    else:
        assert share[VAE] > 0.7
        assert share[Autoencoder] < 0.5


REFUSED = {
    "no pairs": (lambda a, b: judged(AVERAGE, a, b[:1]), DataError, "two data of each pair"),
    "another family": (
        lambda a, b: judged(AVERAGE, a, b, family=FAMILY[:, :8]),
        DataError,
        "family and state",
    ),
    "a state too few": (
        lambda a, b: judged(AVERAGE, a, b, state=LIT[1:]),
        DataError,
        "one number for each",
    ),
    "no gain": (lambda a, b: judged(AVERAGE, a, b, gain=(0.0, 1.0)), ValueError, "gain got"),
}


@pytest.mark.parametrize(("call", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_judged_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call(*ends())
