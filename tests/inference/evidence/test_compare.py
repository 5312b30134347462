"""Models ranked by log p(x): the standard errors, the refusals, and the flags."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from torch import nn

from pyro_vae.data import Dataset
from pyro_vae.errors import ComparisonError
from pyro_vae.inference import compare, evaluate
from pyro_vae.inference.engine import active_directions, active_units
from pyro_vae.inference.evidence.compare import (
    compare_results,
    describe_data,
    holm,
    paired_difference,
)
from pyro_vae.models import VAE, LinearVAE, MixtureModel
from pyro_vae.models.likelihoods import Bernoulli, Normal
from tests.cases import a_few_always
from tests.oracles import LinearGaussian
from tests.tolerances import STANDARD_ERRORS


class Pair(nn.Module):
    """A Pyro pair whose log p(x) is known: z ~ N(0, 1), x | z ~ N(loc + z, s), in one dimension.

    The guide is the posterior with its scale multiplied by ``width``.
    """

    measure = "lebesgue"

    def __init__(self, loc=0.0, s=1.0, width=1.0):
        super().__init__()
        self.loc, self.s = loc, s
        self.share = 1 / (1 + s**2)
        self.scale = width * math.sqrt(1 - self.share)

    def model(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
            pyro.sample("x", dist.Normal(self.loc + z, self.s), obs=x[:, 0])

    def guide(self, x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(self.share * (x[:, 0] - self.loc), self.scale))

    def log_px(self, x):
        return stats.norm(self.loc, math.hypot(1, self.s)).logpdf(x[:, 0].numpy())


def rejection_rate(errors, *, tests=4000, count=40, shift=0.5):
    """Share of test sets on which two models of equal merit are told apart at 5 %.

    Data are N(0, 1), the models N(shift, 1) and N(-shift, 1): the expected difference is zero.
    """
    rng = np.random.default_rng(20140501)
    x = rng.normal(size=(tests, count))
    difference = -0.5 * (x - shift) ** 2 + 0.5 * (x + shift) ** 2
    difference += math.hypot(errors, errors) * rng.normal(size=x.shape)
    se = np.full(count, errors)
    return np.mean([paired_difference(row, se, se).p_value < 0.05 for row in difference])


@a_few_always("errors", [0.0, 0.7, 5.0], [0.7])
def test_type_one_error_is_five_percent(errors):
    rate = rejection_rate(errors)
    assert abs(rate - 0.05) < STANDARD_ERRORS * math.sqrt(0.05 * 0.95 / 4000)


def test_a_difference_is_found():
    rng = np.random.default_rng(1)
    found = paired_difference(0.3 + rng.normal(size=200), np.zeros(200))
    assert found.p_value < 0.01
    assert found.monte_carlo == 0
    assert found.sampling == pytest.approx(found.standard_error)


def test_standard_errors_are_those_of_new_data_and_of_new_particles():
    """Nested simulation: particles redrawn for fixed data, then data redrawn."""
    rng = np.random.default_rng(2)
    count, se = 50, 0.4
    truth = rng.normal(size=count)
    means = [(truth + se * rng.normal(size=count)).mean() for _ in range(4000)]
    one = paired_difference(truth + se * rng.normal(size=count), np.full(count, se))
    # The standard deviation of a standard deviation from n normal draws is sd / sqrt(2 n).
    spread = np.std(means)
    assert abs(one.monte_carlo - spread) < STANDARD_ERRORS * spread / math.sqrt(8000)
    everything = [
        (rng.normal(size=count) + se * rng.normal(size=count)).mean() for _ in range(4000)
    ]
    many = [
        paired_difference(
            rng.normal(size=count) + se * rng.normal(size=count), np.full(count, se)
        ).standard_error
        for _ in range(200)
    ]
    tolerance = STANDARD_ERRORS * np.std(everything) / math.sqrt(8000)
    assert abs(np.sqrt(np.mean(np.square(many))) - np.std(everything)) < 2 * tolerance
    assert one.sampling**2 + one.monte_carlo**2 == pytest.approx(one.standard_error**2)


def test_table_against_the_known_log_px():
    torch.manual_seed(0)
    x = math.sqrt(2) * torch.randn(100, 1, dtype=torch.double)
    pairs = {"far": Pair(loc=1.0, width=1.1), "true": Pair(width=1.1), "wide": Pair(s=2.0)}
    comparison = compare(pairs, x, num_particles=200)
    table = comparison.table
    truth = {name: pair.log_px(x) for name, pair in pairs.items()}
    assert list(table.index) == sorted(truth, key=lambda name: -truth[name].mean())
    assert list(table["rank"]) == [1, 2, 3]
    for name, row in table.iterrows():
        # The guide of "wide" is the posterior: rounding is all that is left.
        tolerance = STANDARD_ERRORS * row["mc_se"] + 1e-9
        assert abs(row["log_evidence"] - truth[name].mean()) < tolerance
        expected = truth[name] - truth[table.index[0]]
        assert abs(row["difference"] - expected.mean()) < STANDARD_ERRORS * row["dse_mc"] + 1e-9
        if row["rank"] > 1:
            assert row["dse"] == pytest.approx(expected.std(ddof=1) / 100**0.5, rel=0.05)
    pairwise = comparison.pairwise()
    assert pairwise.loc["far", "true"] == pytest.approx(-pairwise.loc["true", "far"])
    assert table.loc["wide", "gap"] == pytest.approx(0, abs=1e-6)
    assert "nats per datum" in str(comparison)


@pytest.fixture(scope="module")
def with_a_worse_guide():
    """Data, and a comparison of a better model, whose guide is far too wide, with a worse one."""
    generator = torch.Generator().manual_seed(0)
    x = math.sqrt(2) * torch.randn(100, 1, generator=generator, dtype=torch.double)
    pairs = {"better": Pair(width=2.2), "worse": Pair(loc=1.0)}
    return x, compare(pairs, x, num_particles=400)


@pytest.mark.slow
def test_a_better_model_with_a_worse_guide_is_flagged(with_a_worse_guide):
    x, comparison = with_a_worse_guide
    (reversal,) = comparison.reversals
    assert (reversal.better, reversal.worse) == ("better", "worse")
    assert reversal.clear
    assert any("better model with the worse guide" in note for note in comparison.notes)
    assert list(comparison.table["elbo_rank"]) == [2, 1]
    right = compare({"better": Pair(width=1.0)}, x, num_particles=400).results
    same = compare_results({**right, "worse": comparison.results["worse"]})
    assert not same.reversals
    assert not any("worse guide" in note for note in same.notes)


def test_a_bound_below_an_estimate_does_not_make_the_other_the_better_model(with_a_worse_guide):
    """The same results, the lower log p(x) once an estimate and once a bound."""
    found = with_a_worse_guide[1].results
    assert compare_results(found).reversals
    bound = found["worse"].assign_attrs(deterministic_guide=1)
    again = compare_results({**found, "worse": bound})
    assert not again.reversals
    assert not any("better model" in note for note in again.notes)
    assert any("its true place may be higher" in note for note in again.notes)


def test_exact_log_px_is_used_where_there_is_one():
    torch.manual_seed(0)
    x = torch.randn(60, 3)
    linear, mixture = LinearVAE((3,), 2, seed=4), MixtureModel(2, Normal("latent"))
    mixture.initialise(x)
    comparison = compare({"linear": linear, "mixture": mixture}, x, num_particles=100)
    with torch.no_grad():
        for name, model in (("linear", linear), ("mixture", mixture)):
            row = comparison.table.loc[name]
            exact = float(model.log_prob(x).mean())
            assert row["log_evidence"] == pytest.approx(exact, abs=1e-4)
            assert row["exact"]
            assert row["mc_se"] == pytest.approx(0, abs=1e-6)
            assert row["gap"] == pytest.approx(exact - row["elbo"], abs=1e-4)
    assert comparison.table.loc["mixture", "gap"] == pytest.approx(0, abs=1e-5)
    assert comparison.table.loc["linear", "latent_dim"] == 2
    assert comparison.table.loc["linear", "parameters"] == sum(
        p.numel() for p in linear.parameters()
    )


def test_units_of_the_data_are_accounted_for():
    """A model of standardised data and the same model of raw data have one log p(x)."""
    torch.manual_seed(0)
    raw = Dataset.from_tensors(3 + 5 * torch.randn(80, 2), test=3 + 5 * torch.randn(40, 2))
    scaled = raw.standardised()
    models = {"raw": LinearVAE((2,), 1, scale="per-feature"), "scaled": LinearVAE((2,), 1)}
    location, scale = (part.float() for part in scaled.affine)
    models["scaled"] = LinearVAE((2,), 1, scale="per-feature", min_scale=1e-6)
    models["raw"] = LinearVAE((2,), 1, scale="per-feature", min_scale=1e-6)
    with torch.no_grad():
        sigma = models["scaled"].likelihood.sigma
        models["raw"].weight.copy_(models["scaled"].weight * scale.unsqueeze(1))
        models["raw"].bias.copy_(location + scale * models["scaled"].bias)
        own = models["scaled"].variance().sqrt()
        models["raw"].likelihood.sigma.raw.copy_(sigma.invert(scale * own))
    comparison = compare(models, {"raw": raw, "scaled": scaled}, num_particles=20)
    difference = comparison.paired("raw", "scaled")
    assert difference.mean == pytest.approx(0, abs=1e-4)
    (note,) = (note for note in comparison.notes if "before they were rescaled" in note)
    assert note.endswith("gives for scaled.")


def test_unlike_measures_and_data_are_refused():
    x = (torch.rand(12, 4) < 0.5).float()
    mass, density = VAE((4,), 1), VAE((4,), 1, likelihood=Normal(1.0))
    with pytest.raises(ComparisonError, match=r"counting measure.*lebesgue"):
        compare({"a": mass, "b": density}, x, num_particles=10)

    def results(data, limit=None):
        held_out = data.test[:limit]
        found = evaluate(density, held_out, 10)
        about = describe_data(data, held_out)
        found = found.assign(fingerprint=("datum", about.pop("fingerprint")))
        found.attrs.update(about)
        return found

    data = Dataset.from_tensors(torch.randn(12, 4), test=torch.randn(12, 4))
    other = Dataset.from_tensors(torch.randn(12, 4), test=torch.randn(12, 4))
    grey = Dataset("grey", x, x[:0], x, "unit-interval", base_measure="unit interval")
    for second, message in (
        (results(other), "different test data"),
        (results(data, 7), "on 12 data and b on 7"),
        (results(grey), "'as given' and b on 'unit interval'"),
    ):
        with pytest.raises(ComparisonError, match=message):
            compare_results({"a": results(data), "b": second})
    assert len(compare_results({"a": results(data), "b": results(data)}).table) == 2
    with pytest.raises(ComparisonError, match="models is empty"):
        compare({}, x)


def test_one_model_alone_and_a_limit():
    x = (torch.rand(12, 4) < 0.5).float()
    seen = []
    comparison = compare(
        {"only": VAE((4,), 1)},
        x,
        num_particles=30,
        limit=5,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert comparison.results["only"].sizes["datum"] == 5
    assert seen[-1] == (5, 5)
    assert comparison.table.loc["only", "difference"] == 0


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.04 of three: 3 x 0.01, 2 x 0.02, 1 x 0.04."""
    got = holm(np.array([math.nan, 0.04, 0.01, 0.02]))
    np.testing.assert_allclose(got[1:], [0.04, 0.03, 0.04])
    assert math.isnan(got[0])
    np.testing.assert_allclose(holm(np.array([0.6, 0.9])), [1.0, 1.0])


def test_active_units_and_directions():
    torch.manual_seed(0)
    means = torch.randn(20000, 3) * torch.tensor([1.0, 0.5, 0.05])
    assert active_units(means) == 2
    assert active_units(means, threshold=0.5) == 1
    turn = torch.linalg.qr(torch.randn(3, 3)).Q
    assert active_units(means @ turn) == 3
    assert active_directions(means @ turn) == active_directions(means) == 2
    assert active_directions(means[:, :1]) == 1


@pytest.mark.slow
def test_measure_of_an_unamortised_guide_fits_it_first():
    oracle = LinearGaussian()
    x = oracle.draw(30).float()
    vae = VAE((5,), 2, likelihood=Normal(0.7), encoder=(8,), decoder=())
    with torch.no_grad():
        vae.decoder.output.weight.copy_(torch.tensor(oracle.W))
        vae.decoder.output.bias.copy_(torch.tensor(oracle.m))
    amortised = evaluate(vae, x, 200)
    local = evaluate(vae.unamortised(x), x, 200)
    np.testing.assert_allclose(
        local["log_evidence"], oracle.log_px(x.double()), atol=STANDARD_ERRORS * 0.02
    )
    assert float(local["gap"].mean()) < float(amortised["gap"].mean())


def test_masses_are_in_bits_too():
    vae = VAE((4,), 1, likelihood=Bernoulli())
    found = evaluate(vae, torch.ones(3, 4), 10)
    assert found.attrs["base_measure"] == "counting"
    assert found.attrs["num_features"] == 4
    assert found.attrs["exact"] == 0


def test_one_datum_has_no_sampling_error_and_no_warning():
    """NumPy's warning of a division by zero would be an error here."""
    x = torch.zeros(5, 4)
    compared = compare({"a": VAE((4,), 1), "b": VAE((4,), 2)}, x, num_particles=30, limit=1)
    assert compared.table["sampling_se"].isna().all()
    # Thirty draws tell nothing of one datum's error, and that is said.
    assert compared.table["mc_se"].isna().all()
    assert any("is withheld for 1 of 1 data" in note for note in compared.notes)
