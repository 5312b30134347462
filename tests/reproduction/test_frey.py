"""The bound on the Frey faces: the networks, the density, the curve, and the card."""

import numpy as np
import pytest
import torch

from pyro_vae import data, inference
from pyro_vae.cards.card import write_card
from pyro_vae.disk.runs import Run
from pyro_vae.networks import SigmoidMean
from pyro_vae.reproduction import check, reproduce
from pyro_vae.reproduction.experiments.frey import FREY
from pyro_vae.stored.loading import load_model

# Pixels at the edge of a digit are always 0, so that their scale goes to its bound.
pytestmark = pytest.mark.filterwarnings("ignore:The scale of p")

DIGITS = {"data": "digits", "epochs": 3, "num_particles": 20, "limit": 10, "num_annealed": 0}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("frey")
    return out, reproduce("frey", out, parts=["vae-2"], progress=False, **DIGITS)


def test_networks_are_those_of_the_paper():
    faces = data.Dataset.from_tensors(torch.rand(4, 28, 20), kind="unit-interval")
    for part, latent_dim in zip(FREY.parts, (2, 5, 10, 20), strict=True):
        model = part.model(faces, 0)
        assert model.latent_dim == latent_dim
        assert model.encoder.summary() == f"MLP 560-200-{2 * latent_dim}, Tanh"
        assert model.decoder.summary().startswith(f"MLP {latent_dim}-200-1120, Tanh")
        assert (part.objective, part.schedules["paper"].batch_size) == ("elbo", 100)


def test_means_are_the_sigmoid_of_the_first_outputs_and_scales_are_not():
    """The density of a picture is SciPy's, of a mean and a scale read off the layers."""
    stats = pytest.importorskip("scipy.stats")
    faces = data.Dataset.from_tensors(torch.rand(4, 7, 5), kind="unit-interval")
    model = FREY.parts[0].model(faces, 0)
    model.initialise(faces.train)
    z = torch.randn(3, 2)
    hidden = torch.tanh(z @ model.decoder[0].weight.T + model.decoder[0].bias)
    raw = (hidden @ model.decoder[-1].weight.T + model.decoder[-1].bias).detach()
    scale = 1e-3 + torch.nn.functional.softplus(raw[:, 35:]).numpy()
    expected = stats.norm(raw[:, :35].sigmoid().numpy(), scale).logpdf(0.4).sum(1)
    with torch.no_grad():
        density = model.likelihood(model.decoder(z)).log_prob(torch.full((3, 7, 5), 0.4))
    np.testing.assert_allclose(density, expected, rtol=1e-4)


def test_decoder_starts_at_the_means_of_the_data():
    decoder = SigmoidMean((6,)).decoder(2, (3,), 6)
    decoder.set_output(torch.tensor([0.25, 0.0, 1.0, -2.0, 0.0, 5.0]))
    torch.nn.init.zeros_(decoder.output.weight)
    expected = torch.tensor([0.25, 1e-3, 1 - 1e-3, -2.0, 0.0, 5.0])
    torch.testing.assert_close(decoder(torch.zeros(2)).detach(), expected)


def test_curve_is_by_the_samples_seen(done):
    out, card = done
    curve, metrics = card.part("vae-2").curve, Run.open(out / "vae-2").metrics()
    assert curve["samples"] == [1257, 2 * 1257, 3 * 1257]
    np.testing.assert_allclose(curve["validation_elbo"], metrics["validation_elbo"], atol=6e-4)
    _, figure = FREY.figures({"vae-2": card.part("vae-2")})["The bound while it learns"]
    training, held_out = figure.axes[0].get_lines()
    assert training.get_xdata().tolist() == curve["samples"]
    assert held_out.get_ydata().tolist() == curve["validation_elbo"]
    assert figure.axes[0].get_xscale() == "log"


def test_numbers_are_those_of_evaluate(done):
    out, card = done
    x = data.load("digits", values="unit-interval").test[:10]
    results = inference.evaluate(load_model(out / "vae-2"), x, 20)
    found = card.part("vae-2").numbers
    for name in ("elbo", "log_evidence"):
        assert found[name].value == pytest.approx(float(results[name].mean()), rel=1e-5)


def test_a_card_holds_until_it_is_changed(done):
    out, card = done
    assert [found.holds for found in check(out / "frey.json", progress=False)] == [True]
    changed = card.model_copy(deep=True)
    values = changed.part("vae-2").per_datum["log_evidence"]
    values[:] = [value + 50 for value in values]
    write_card(out / "changed.json", changed)
    assert [found.holds for found in check(out / "changed.json", progress=False)] == [False]
