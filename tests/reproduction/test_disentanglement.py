"""beta-VAE against beta-TCVAE: objectives, the gap over all the pictures, and the card."""

import numpy as np
import pytest
import torch

from pyro_vae import data
from pyro_vae.cards.card import write_card
from pyro_vae.data.sprites import SPRITE_FACTORS
from pyro_vae.inference.latents import mutual_information_gap
from pyro_vae.inference.training.objectives import objective_named
from pyro_vae.reproduction import check, reproduce
from pyro_vae.reproduction.experiments import disentanglement
from pyro_vae.reproduction.experiments.disentanglement import (
    DISENTANGLEMENT,
    pictures_and_factors,
)
from pyro_vae.stored.loading import load_model

SHORT = {"epochs": 1, "num_particles": 20, "limit": 10, "num_annealed": 0}


@pytest.fixture(scope="module", autouse=True)
def two_draws():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disentanglement, "_DRAWS", 2)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("disentanglement")
    card = reproduce("disentanglement", out, parts=["beta-tcvae-4"], progress=False, **SHORT)
    return out, card


def test_objectives_are_of_both_families_at_the_same_weights():
    made = {part.name: objective_named(part.objective) for part in DISENTANGLEMENT.parts}
    weights = {name: getattr(made[name], "beta", 1) for name in made}
    assert weights == {
        "vae": 1,
        **{f"beta-vae-{beta}": beta for beta in (2, 4, 8)},
        **{f"beta-tcvae-{beta}": beta for beta in (2, 4, 8)},
    }
    assert made["beta-tcvae-4"].name == "beta-tc-elbo"
    assert made["beta-vae-4"].name == "beta-elbo"
    updates = DISENTANGLEMENT.parts[0].schedules["paper"].epochs * 960 / 96
    assert updates == 18_000


def test_every_picture_comes_once_with_its_factors():
    sprites = data.load("sprites", binarisation="dynamic", num_validation=0)
    x, factors = pictures_and_factors(sprites)
    assert x.shape == (1200, 16, 16)
    assert list(factors) == list(SPRITE_FACTORS)
    assert len(torch.unique(torch.stack(list(factors.values())), dim=1)[0]) == 1200
    # Ink lies around the place that the factors say.
    centre = (x.sum(1) @ (torch.arange(16) + 0.5)) / x.sum((1, 2))
    assert (centre - (3.5 + factors["x"])).abs().max() < 1.5


@pytest.mark.slow
def test_gap_is_that_of_every_run(done):
    out, card = done
    sprites = data.load("sprites", binarisation="dynamic", num_validation=0)
    x, factors = pictures_and_factors(sprites)
    part = card.part("beta-tcvae-4")
    gaps = []
    for repeat in range(3):
        model = load_model(out / "beta-tcvae-4" / f"run-{repeat}")
        found = mutual_information_gap(model, x, factors, num_draws=2, seed=repeat)
        gaps.append(float(found["mig"]))
    number = part.numbers["mig"]
    assert number.value == pytest.approx(np.mean(gaps), rel=1e-6)
    assert number.sampling_error == pytest.approx(np.std(gaps, ddof=1) / 3**0.5, rel=1e-6)
    assert len(set(gaps)) == 3


@pytest.mark.slow
def test_figures_show_the_numbers(done):
    part = done[1].part("beta-tcvae-4")
    figures = DISENTANGLEMENT.figures({"beta-tcvae-4": part})
    gap, matrix = (figure for _, figure in figures.values())
    (points,) = (line for line in gap.axes[0].get_lines() if line.get_marker() == "o")
    assert points.get_xydata().tolist() == [
        [part.numbers["elbo"].value, part.numbers["mig"].value]
    ]
    shown = matrix.axes[0].images[0].get_array()[:, 0]
    np.testing.assert_allclose(shown, part.per_datum["information of shape"])


def test_other_data_have_their_labels_for_a_factor():
    digits = data.load("digits", binarisation="dynamic")
    x, factors = pictures_and_factors(digits)
    assert (len(x), list(factors)) == (1797, ["label"])
    assert factors["label"].unique().tolist() == list(range(10))


@pytest.mark.slow
def test_a_card_holds_until_it_is_changed(done):
    out, card = done
    path = out / "disentanglement.json"
    assert [found.holds for found in check(path, limit=5, progress=False)] == [True]
    changed = card.model_copy(deep=True)
    values = changed.part("beta-tcvae-4").per_datum["log_evidence"]
    values[:] = [value + 50 for value in values]
    write_card(out / "changed.json", changed)
    assert [found.holds for found in check(out / "changed.json", progress=False)] == [False]
