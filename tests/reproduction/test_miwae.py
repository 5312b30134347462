"""Half of the cells: the masks, the settings, the errors, and the card."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer

from pyro_vae.cards.card import write_card
from pyro_vae.inference import impute
from pyro_vae.reproduction import check, read_card, reproduce
from pyro_vae.reproduction.experiment import Place, Plan
from pyro_vae.reproduction.experiments.miwae import MASKS, MIWAE, holed_table
from pyro_vae.reproduction.trained import TrainedPart
from pyro_vae.stored.loading import load_model

PLAN = {"data": "iris", "epochs": 2, "num_particles": 30, "limit": 8, "seed": 3}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("miwae")
    return out, reproduce("miwae", out, parts=["vae", "mean"], progress=False, **PLAN)


def test_masks_hide_half_of_a_standardised_table():
    tables = [holed_table(Plan("breast-cancer"), None, mask) for mask in range(MASKS)]
    whole = load_breast_cancer().data
    for x, observed in tables:
        assert x.shape == whole.shape
        np.testing.assert_allclose(x.mean(0), 0, atol=1e-6)
        np.testing.assert_allclose(x.std(0), 1, atol=1e-6)
        # Binomial with 17,070 cells: its standard deviation is 0.0038.
        assert abs(observed.mean() - 0.5) < 4 * 0.0038
    for one, other in itertools.combinations(tables, 2):
        assert (one.observed != other.observed).mean() > 0.4


def test_settings_are_those_of_the_notebook():
    part = MIWAE.parts[0]
    assert isinstance(part, TrainedPart)
    training = part.schedules["paper"]
    assert (training.epochs, training.batch_size, training.learning_rate) == (1001, 32, 2e-4)
    assert part.objective == "iwae-20"
    data = part.data_of(0, Plan("breast-cancer", "paper"), Place(None))
    assert (len(data.train), len(data.validation)) == (569, 0)
    model = part.model(data, 0)
    assert model.latent_dim == 10
    assert model.encoder.summary() == "MLP 30-128-128-20, ReLU"
    assert model.decoder.summary() == "MLP 10-128-128-60, ReLU"
    sooner = part.data_of(0, Plan("breast-cancer"), Place(None))
    assert (len(sooner.train), len(sooner.validation)) == (513, 56)


@pytest.mark.slow
def test_errors_are_those_of_imputing_every_mask(done):
    out, card = done
    by_model, by_mean = [], []
    for mask in range(MASKS):
        x, observed = holed_table(Plan(**PLAN), None, mask)
        rows = {"x": torch.tensor(x[:8]).float(), "observed": torch.tensor(observed[:8])}
        model = load_model(out / "vae" / f"run-{mask}")
        found = impute(model, rows, 30, draws=0, seed=3 + mask)["mean"].values
        missing = ~observed[:8]
        by_model.append(np.mean((found - x[:8])[missing] ** 2))
        mean = SimpleImputer().fit_transform(np.where(observed, x, np.nan))[:8]
        by_mean.append(np.mean((mean - x[:8])[missing] ** 2))
    for name, errors in (("vae", by_model), ("mean", by_mean)):
        number = card.part(name).numbers["mse"]
        assert number.value == pytest.approx(np.mean(errors), rel=1e-6)
        assert number.sampling_error == pytest.approx(np.std(errors, ddof=1) / 5**0.5, rel=1e-6)


@pytest.mark.slow
def test_nothing_is_published_of_other_data(done):
    assert {row.published for row in done[1].rows} == {None}


@pytest.mark.slow
def test_finished_work_is_found_again(done):
    out, card = done
    kept = out / "vae" / "run-4" / "imputed.nc"
    when = kept.stat().st_mtime_ns
    part = MIWAE.parts[0]
    assert part.measure(Plan(**PLAN), Place(out / "vae")).numbers == card.part("vae").numbers
    assert kept.stat().st_mtime_ns == when


@pytest.mark.slow
def test_a_card_holds_until_it_is_changed(done):
    out, card = done
    assert all(found.holds for found in check(out / "miwae.json", limit=5, progress=False))
    changed = card.model_copy(deep=True)
    rows = changed.part("mean").per_datum["squared_error"]
    # The third row under the fourth mask.
    rows[2 * MASKS + 3] = (rows[2 * MASKS + 3] or 0.0) + 0.5
    path = out / "changed.json"
    write_card(path, changed)
    verdicts = {found.part: found.holds for found in check(path, progress=False)}
    assert verdicts == {"vae": True, "mean": False}


@pytest.mark.slow
def test_work_goes_on_where_a_mask_is_missing(done, tmp_path):
    """The first mask's run is left as it is."""
    part = replace(MIWAE.parts[0], repeats=2)
    plan = Plan(**PLAN)
    first = replace(part, repeats=1)
    first.train(plan, Place(tmp_path))
    assert part.weights(tmp_path) is None
    seal = first.weights(tmp_path)
    part.train(plan, Place(tmp_path))
    assert first.weights(tmp_path) == seal
    assert part.weights(tmp_path) not in (None, seal)


@pytest.mark.slow
def test_read_card_is_what_was_returned(done):
    out, card = done
    assert read_card(out / "miwae.json") == card
