"""The doubly reparameterised gradients: parts, signal and noise by hand, and the check."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pyro_vae import data as datasets
from pyro_vae import inference
from pyro_vae.disk.runs import Run
from pyro_vae.inference.training.objectives import IWAE, DReG, objective_named
from pyro_vae.reproduction import EXPERIMENTS, check, reproduce
from pyro_vae.reproduction.experiments.dreg import NearOptimum
from pyro_vae.stored.loading import load_model
from tests.reproduction.changed import change_datum, change_number, keep, verdicts

DREG = EXPERIMENTS["dreg"]
PARTS = {part.name: part for part in DREG.parts}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("dreg")
    card = reproduce(
        "dreg",
        out,
        parts=["signal", "iwae-5", "dreg-5"],
        data="digits",
        epochs=1,
        limit=12,
        num_particles=50,
        num_annealed=0,
        progress=False,
    )
    return out, card


def test_the_plain_parts_are_those_of_the_iwae_so_that_their_runs_can_be_copied():
    plain = {part.name: part for part in EXPERIMENTS["iwae"].parts}
    for name in ("vae", "iwae-5", "iwae-50"):
        assert PARTS[name] == plain[name]


@pytest.mark.parametrize(("k", "plain"), [(1, "vae"), (5, "iwae-5"), (50, "iwae-50")])
def test_only_the_gradient_differs(k, plain):
    own = PARTS[f"dreg-{k}"]
    assert own.objective == f"dreg-{k}"
    goal = objective_named(own.objective)
    assert isinstance(goal, DReG)
    assert goal.num_particles == k
    other = objective_named(PARTS[plain].objective)
    assert other.num_particles == k
    assert isinstance(other, IWAE) or k == 1
    same = replace(own, name=plain, title=PARTS[plain].title, objective=PARTS[plain].objective)
    assert same == PARTS[plain]


def by_hand(toy, k, repeats, doubly):
    """|mean| / s.d. of the gradient of b in the bound summed over data, written out."""
    x, variance = toy.x, 2 / 3
    loc = (x @ toy.slope.T + toy.shift).detach()
    noise = torch.randn(repeats, k, *loc.shape, dtype=torch.float64)
    z = loc + math.sqrt(variance) * noise
    log_joint = -0.5 * (z - toy.mu) ** 2 - 0.5 * (x - z) ** 2
    weights = (log_joint + 0.5 * (z - loc) ** 2 / variance).sum(-1).softmax(1).unsqueeze(-1)
    # d log p(x, z) / dz, and that of log w with the density of q held at its parameters.
    of_joint = (toy.mu - z) + (x - z)
    of_weight = of_joint + (z - loc) / variance
    terms = weights**2 * of_weight if doubly else weights * of_joint
    gradient = terms.sum((1, 2))
    return (gradient.mean(0).abs() / gradient.std(0)).mean().item()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iwae", "dreg"])
def test_the_signal_is_that_of_gradients_by_hand(done, name):
    _, card = done
    numbers = card.part("signal").numbers
    torch.manual_seed(1)
    for k in (1, 4, 16):
        own = by_hand(NearOptimum(), k, 500, name == "dreg")
        got = numbers[f"{name}-{k}"]
        assert abs(got.value - own) < 5 * got.sampling_error + 0.1 * own


@pytest.mark.slow
def test_the_rate_is_the_slope_of_the_mean_ratios(done):
    _, card = done
    numbers = card.part("signal").numbers
    for name in ("iwae", "dreg"):
        ratios = [numbers[f"{name}-{k}"].value for k in (4, 16, 64)]
        slope = np.polyfit(np.log([4, 16, 64]), np.log(ratios), 1)[0]
        # A mean of slopes is nearly the slope of the means.
        assert numbers[f"{name}-rate"].value == pytest.approx(slope, abs=0.1)
    assert numbers["dreg-rate"].value > 0.2
    assert numbers["iwae-rate"].value < 0


@pytest.mark.slow
def test_the_figure_has_the_numbers_of_the_card(done):
    _, card = done
    found = {part.name: part for part in card.parts}
    ((_, figure),) = DREG.figures(found).values()
    lines = {line.get_label(): line.get_xydata() for line in figure.axes[0].lines}
    for name in ("iwae", "dreg"):
        expected = [[k, found["signal"].numbers[f"{name}-{k}"].value] for k in (1, 4, 16, 64)]
        np.testing.assert_allclose(lines[name], expected)
    assert DREG.figures({}) == {}


@pytest.mark.slow
def test_a_gain_is_the_mean_paired_difference(done):
    out, card = done
    data = datasets.load("digits", binarisation="dynamic")
    own = {}
    for name in ("iwae-5", "dreg-5"):
        vae = load_model(Run.open(out / name))
        own[name] = inference.log_evidence(vae.model, vae.guide, data.test[:12], 1000)
    apart = own["dreg-5"]["log_evidence"].values - own["iwae-5"]["log_evidence"].values
    (row,) = [row for row in card.rows if row.label.startswith("gain")]
    assert row.published is None
    assert abs(row.ours.value - apart.mean()) < 5 * row.ours.monte_carlo_error
    first, second = (np.array(card.part(name).per_datum["log_evidence"]) for name in own)
    held = second - first
    assert row.ours.value == pytest.approx(held.mean())
    assert row.ours.sampling_error == pytest.approx(held.std(ddof=1) / math.sqrt(12))


@pytest.mark.slow
def test_the_card_holds_until_a_number_is_changed(done):
    out, _ = done
    path = out / "dreg.json"
    change_datum(path, "dreg-5", "log_evidence", by=100.0)
    found = verdicts(check(path, progress=False))
    assert found == {"signal": "equal", "iwae-5": "equal", "dreg-5": "differs"}
    keep(path, "signal")
    change_number(path, "signal", "dreg-16", by=100.0)
    assert verdicts(check(path, progress=False)) == {"signal": "differs"}


@pytest.mark.slow
def test_published_numbers_are_for_their_own_data_alone(done):
    _, card = done
    published = {row.label: row.published for row in card.rows}
    assert published["-log p(x), K = 5"] is None
    assert published["slope of log SNR over log K, DReG"] == 0.5
    lines = {line.label: line.published for line in DREG.table}
    assert lines["gain of DReG, K = 5"] == pytest.approx(85.18 - 84.90)
