"""The gap in its parts: settings, the parts by quadrature and by the package, and the check."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_expit, logsumexp
from scipy.stats import norm

from pyro_vae import data as datasets
from pyro_vae import inference
from pyro_vae.disk.runs import Run
from pyro_vae.inference.training.objectives import objective_named
from pyro_vae.models import VAE
from pyro_vae.models.guides import InverseAutoregressiveFlow, MeanFieldNormal
from pyro_vae.reproduction import EXPERIMENTS, check, reproduce
from pyro_vae.reproduction.experiment import Place, Plan
from pyro_vae.reproduction.experiments import gap as module
from pyro_vae.stored.loading import load_model
from tests.reproduction.changed import change_datum, measured_once, verdicts

GAP = EXPERIMENTS["gap"]
PARTS = {part.name: part for part in GAP.parts}
LIMIT = 6
SMALL = {"data": "digits", "epochs": 1, "limit": LIMIT, "num_annealed": 0, "num_particles": 100}


@pytest.fixture(autouse=True, scope="module")
def _small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", 4)
        patch.setattr(module, "_STEPS", 100)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("gap")
    return out, reproduce("gap", out, **SMALL, progress=False)


def training_rows():
    return datasets.load("digits", binarisation="stochastic").train


def test_the_settings_are_those_of_the_paper():
    data = datasets.load("digits", binarisation="stochastic")
    for name, guide in (("mean-field", MeanFieldNormal), ("flow", InverseAutoregressiveFlow)):
        part = PARTS[name]
        assert part.split == "train"
        vae = part.model(data, 0)
        assert (vae.latent_dim, type(vae.guide_family)) == (50, guide)
        for network in (vae.encoder, vae.decoder):
            widths = [m.out_features for m in network.modules() if isinstance(m, torch.nn.Linear)]
            assert widths[:2] == [200, 200]
            assert any(isinstance(m, torch.nn.ELU) for m in network.modules())
        training = part.schedules["paper"]
        assert (training.epochs, training.batch_size) == (3280, 100)
        goal = objective_named(part.objective)
        for epoch in (0, 100, 399, 400, 3000):
            goal.at(epoch / 3280)
            assert goal.weight == pytest.approx(min(1.0, epoch / 400), abs=1e-4)


@pytest.mark.slow
def test_the_parts_are_those_of_the_package_block_by_block(done):
    out, card = done
    model = load_model(Run.open(out / "flow"))
    found = card.part("flow")
    for number, rows in enumerate((slice(0, 4), slice(4, 8))):
        own = inference.gap_parts(model, training_rows()[rows], 100, steps=100, seed=number)
        for name in ("gap", "approximation_gap", "amortisation_gap", "best_elbo", "log_evidence"):
            held = found.per_datum[name][rows]
            np.testing.assert_allclose(held, own[name].values[: len(held)], atol=1e-3)


@pytest.mark.slow
def test_the_parts_add_up(done):
    _, card = done
    for part in card.parts:
        values = {name: np.array(column) for name, column in part.per_datum.items()}
        both = values["approximation_gap"] + values["amortisation_gap"]
        np.testing.assert_allclose(both, values["gap"], atol=1e-3)
        np.testing.assert_allclose(values["log_evidence"] - values["elbo"], both, atol=1e-3)
        for name in ("gap", "amortisation_gap"):
            number = part.numbers[name]
            assert number.value == pytest.approx(values[name].mean(), abs=1e-3)
            error = values[name].std(ddof=1) / np.sqrt(LIMIT)
            assert number.sampling_error == pytest.approx(error, abs=1e-3)


def of_one_dimension(vae, x):
    """Log p(x), the ELBO of the encoder's guide, and the best one: by sums over a grid of z."""
    with torch.no_grad():
        loc, raw = vae.encoder(x.flatten()).double().numpy()
    z = np.linspace(-8, 8, 4001)
    with torch.no_grad():
        logits = vae.decoder(torch.from_numpy(z[:, None]).float()).double().numpy()
    pixels = x.flatten().double().numpy()
    signed = np.where(pixels == 1, 1, -1) * logits.reshape(len(z), -1)
    log_joint = log_expit(signed).sum(-1) + norm.logpdf(z)
    width = z[1] - z[0]

    def elbo(parameters):
        q = norm.logpdf(z, parameters[0], np.exp(parameters[1]))
        return float((np.exp(q) * (log_joint - q)).sum() * width)

    start = np.array([loc, np.log(np.logaddexp(0, raw) + 1e-6)])
    best = minimize(lambda p: -elbo(p), start, method="Nelder-Mead").fun
    return logsumexp(log_joint) + np.log(width), elbo(start), -best


@pytest.mark.slow
def test_the_parts_are_those_of_a_grid(tmp_path):
    def model(data, seed):
        return VAE(data.event_shape, 1, encoder=(20,), decoder=(20,), seed=seed)

    plan = Plan(**(SMALL | {"epochs": 20, "limit": 4, "num_particles": 20_000}))
    part = replace(PARTS["mean-field"], model=model)
    place = Place(tmp_path / "line", show=False)
    part.train(plan, place)
    found = part.measure(plan, place).per_datum
    vae = load_model(Run.open(place.folder))
    own = np.array([of_one_dimension(vae, x) for x in training_rows()[:4]])
    log_px, elbo, best = own.T
    for name, expected in (
        ("log_evidence", log_px),
        ("elbo", elbo),
        ("approximation_gap", log_px - best),
        ("amortisation_gap", best - elbo),
    ):
        # The steps to the best guide are few, and end near it.
        np.testing.assert_allclose(found[name], expected, atol=0.05, err_msg=name)


@pytest.mark.slow
def test_the_figure_has_the_numbers_of_the_card(done):
    _, card = done
    ((_, figure),) = GAP.figures({part.name: part for part in card.parts}).values()
    widths = [patch.get_width() for patch in figure.axes[0].patches]
    numbers = [part.numbers for part in card.parts]
    expected = [n["approximation_gap"].value for n in numbers]
    expected += [n["amortisation_gap"].value for n in numbers]
    np.testing.assert_allclose(widths, expected)
    assert GAP.figures({}) == {}


@pytest.mark.slow
def test_the_card_holds_until_a_number_is_changed(done, monkeypatch):
    out, _ = done
    path = out / "gap.json"
    measured_once(monkeypatch)
    assert verdicts(check(path, progress=False)) == {"mean-field": "equal", "flow": "equal"}
    change_datum(path, "flow", "amortisation_gap", by=1000.0)
    assert verdicts(check(path, progress=False)) == {"mean-field": "equal", "flow": "differs"}
