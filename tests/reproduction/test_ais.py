"""Annealing against importance sampling: settings, quadrature, the sandwich, and the check."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pyro_vae import data as datasets
from pyro_vae import inference
from pyro_vae.disk.runs import Run
from pyro_vae.inference.evidence import ais
from pyro_vae.models import VAE
from pyro_vae.reproduction import EXPERIMENTS, check, reproduce
from pyro_vae.reproduction.experiment import Place, Plan
from pyro_vae.reproduction.experiments import ais as module
from pyro_vae.reproduction.trained import TrainedPart
from pyro_vae.stored.loading import load_model
from tests.reproduction.changed import change_datum, measured_once, verdicts
from tests.tolerances import STANDARD_ERRORS

AIS = EXPERIMENTS["ais"]
PARTS = {part.name: part for part in AIS.parts}
SIZE, BLOCK = 3, 4
SMALL = {"data": "digits", "epochs": 8, "limit": SIZE, "num_annealed": SIZE, "num_particles": 100}


def one_dimension(data, seed):
    """A model whose log p(x) quadrature knows."""
    return VAE(data.event_shape, 1, encoder=(20,), decoder=(20,), seed=seed)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The experiment with a small model in the place of its own."""
    out = tmp_path_factory.mktemp("ais")
    small = replace(AIS, parts=(replace(PARTS["iwae-5"], model=one_dimension),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EXPERIMENTS, "ais", small)
        patch.setattr(module, "_ANNEALED", BLOCK)
        card = reproduce("ais", out, **SMALL, progress=False)
        yield out, card.part("iwae-5"), load_model(Run.open(out / "iwae-5"))


@pytest.fixture(scope="module")
def images():
    return datasets.load("digits", binarisation="dynamic").test


def test_the_runs_are_those_of_the_iwae_so_that_they_can_be_copied():
    plain = {part.name: part for part in EXPERIMENTS["iwae"].parts}
    for name, part in PARTS.items():
        fields = TrainedPart.__dataclass_fields__
        assert {f: getattr(part, f) for f in fields} == {
            f: getattr(plain[name], f) for f in fields
        }


def test_the_settings_are_those_of_the_paper():
    protocol = PARTS["iwae-5"].protocol(Plan("mnist"))
    assert protocol["importance"] == [10_000, 100_000]
    assert (protocol["chains"], protocol["temperatures"]) == (16, 500)
    published = [line.published for line in AIS.table[:5]]
    # Each difference is that of the levels above it.
    assert published[3:] == pytest.approx([published[0] - level for level in published[1:3]])


@pytest.mark.slow
def test_every_estimate_is_that_of_quadrature(done, images):
    _, found, vae = done
    exact = inference.quadrature(vae.model, vae.guide, images[:SIZE])["log_evidence"].values
    for name in ("ais", "importance-10000", "importance-100000"):
        errors = np.array(found.per_datum[f"{name}_se"]) + 0.01
        assert (np.abs(found.per_datum[name] - exact) < STANDARD_ERRORS * errors).all()
        assert found.numbers[name].value == pytest.approx(np.mean(found.per_datum[name]), abs=1e-3)


@pytest.mark.slow
def test_the_sandwich_has_the_simulated_data_inside(done):
    _, found, vae = done
    torch.manual_seed(0)
    x, _ = inference.simulator(vae.model, vae.guide)(BLOCK)
    exact = inference.quadrature(vae.model, vae.guide, x[:SIZE])["log_evidence"].values
    for name in ("lower", "upper"):
        errors = np.array(found.per_datum[f"{name}_se"]) + 0.01
        assert (np.abs(found.per_datum[name] - exact) < STANDARD_ERRORS * errors).all()
    sandwich = np.array(found.per_datum["upper"]) - np.array(found.per_datum["lower"])
    assert found.numbers["sandwich"].value == pytest.approx(sandwich.mean(), abs=1e-3)
    assert abs(found.numbers["sandwich"].value) < 0.2


@pytest.mark.slow
def test_annealing_is_that_of_the_package_and_what_is_missed_a_difference(done, images):
    _, found, vae = done
    own = ais(vae.model, vae.guide, images[:BLOCK], num_temperatures=10, num_chains=16)
    np.testing.assert_allclose(
        found.per_datum["ais"], own["log_evidence"].values[:SIZE], atol=1e-3
    )
    apart = np.array(found.per_datum["ais"]) - np.array(found.per_datum["importance-10000"])
    missed = found.numbers["missed-10000"]
    assert missed.value == pytest.approx(apart.mean(), abs=1e-3)
    assert missed.sampling_error == pytest.approx(apart.std(ddof=1) / SIZE**0.5, abs=1e-3)


@pytest.mark.slow
def test_the_figure_has_the_shares_of_the_data(done):
    found = done[1]
    ((_, figure),) = AIS.figures({found.name: found}).values()
    line = figure.axes[0].lines[0]
    apart = np.array(found.per_datum["ais"]) - np.array(found.per_datum["importance-10000"])
    np.testing.assert_allclose(line.get_xdata(), np.sort(apart))
    np.testing.assert_allclose(line.get_ydata(), np.arange(1, SIZE + 1) / SIZE)


@pytest.mark.slow
def test_what_is_done_is_kept_and_a_datum_does_not_depend_on_how_many_there_are(done):
    out, found, _ = done
    began = (out / "iwae-5" / "annealed.blocks.nc").stat().st_mtime_ns
    plan = Plan(**(SMALL | {"limit": 2, "num_annealed": 2}))
    part = EXPERIMENTS["ais"].parts[0]
    fewer = part.measure(plan, Place(out / "iwae-5", show=False))
    assert (out / "iwae-5" / "annealed.blocks.nc").stat().st_mtime_ns == began
    for name in ("ais", "upper", "importance-10000"):
        assert fewer.per_datum[name] == found.per_datum[name][:2]


@pytest.mark.slow
def test_the_card_holds_until_a_number_is_changed(done, monkeypatch):
    path = done[0] / "ais.json"
    measured_once(monkeypatch)
    assert verdicts(check(path, progress=False)) == {"iwae-5": "equal"}
    change_datum(path, "iwae-5", "ais", by=1000.0)
    assert verdicts(check(path, progress=False)) == {"iwae-5": "differs"}
