"""The hole test: its density against quadrature and SciPy, its verdict where it is known."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import integrate, stats
from scipy.spatial.distance import cdist
from sklearn.covariance import EmpiricalCovariance
from torch import nn

from pyro_vae import plots
from pyro_vae.errors import ComparisonError, DataError
from pyro_vae.inference.latents import compare_holes, fit_reference, hole_summary, hole_test
from pyro_vae.inference.latents.holes import disjoint_pairs, nearest_distance
from tests.cases import a_few_always
from tests.tolerances import STANDARD_ERRORS


class Identity(nn.Module):
    """Codes are the data; what is decoded, the code."""

    def code(self, x):
        return x.flatten(1)

    def decode(self, z):
        return z.reshape(*z.shape[:-1], 2, 2)


class Nearest(Identity):
    """Decodes to the nearest of some data: nothing but data comes out."""

    def __init__(self, data):
        super().__init__()
        self.data = data

    def decode(self, z):
        return self.data[torch.cdist(z, self.data.flatten(1)).argmin(1)]


def clusters(count, gap, seed=0):
    """Two clusters of 2 x 2 images ``gap`` apart along the diagonal, and which of them."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    noise = 0.1 * torch.randn(count, 2, 2, generator=generator)
    return noise + gap * (labels - 0.5).reshape(-1, 1, 1), labels


def test_the_density_integrates_to_one():
    x = clusters(400, 1.0)[0].flatten(1)[:, :2].numpy() * [1.0, 0.6]
    reference = fit_reference(x, num_leading=1, num_components=(1, 3))

    def density(b, a):
        return math.exp(reference.log_density(np.array([[a, b]]))[0])

    grid = np.linspace(-2, 2, 401)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    values = np.exp(reference.log_density(points)).reshape(401, 401)
    total = integrate.trapezoid(integrate.trapezoid(values, grid), grid)
    assert total == pytest.approx(1, abs=1e-6)
    assert values[200, 300] == pytest.approx(density(grid[200], grid[300]))


def test_one_component_is_a_normal():
    """Covariance V (S + s^2 I / 10) V' + s^2 (I - V V'): a tenth of s^2 is the mixture's floor."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6))
    reference = fit_reference(x, num_leading=2, num_components=(1,))
    values, vectors = np.linalg.eigh(EmpiricalCovariance().fit(x).covariance_)
    residual = values[:-2].mean() * 300 / 299
    variances = np.append(np.full(4, residual), values[-2:] + residual / 10)
    oracle = stats.multivariate_normal(x.mean(0), vectors * variances @ vectors.T)
    images = rng.normal(size=(20, 2, 3))
    found = reference.log_density(torch.tensor(images))
    np.testing.assert_allclose(found, oracle.logpdf(images.reshape(20, 6)), rtol=1e-6)


def test_components_are_chosen_on_held_out_images():
    x, _ = clusters(600, 3.0)
    reference = fit_reference(x, num_leading=1, num_components=(1, 2))
    assert reference.mixture.n_components == 2
    one = clusters(60, 0.0)[0]
    assert fit_reference(one, num_leading=3, num_components=(1, 20)).mixture.n_components == 1


def test_the_same_seed_fits_the_same_density():
    x = torch.rand(200, 2, 2).numpy()
    one, same, other = (
        fit_reference(x, num_leading=2, num_components=(5,), seed=seed).log_density(x)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_nearest_distance_against_scipy():
    images, known = torch.rand(30, 2, 3), torch.rand(70, 2, 3)
    expected = cdist(images.flatten(1), known.flatten(1)).min(1) / math.sqrt(6)
    np.testing.assert_allclose(nearest_distance(images, known), expected)


def test_a_hole_is_found_and_a_space_without_one_passes():
    train, test = clusters(1000, 2.0)[0], clusters(400, 2.0, seed=1)
    reference = fit_reference(train, num_leading=1, num_components=(1, 2, 4))
    options = {"reference": reference, "labels": test[1], "num_draws": 400}
    hole = hole_test(Identity(), train, test[0], **options)
    whole = hole_test(Nearest(train), train, test[0], **options)
    table, other = hole_summary(hole)["mean"], hole_summary(whole)["mean"]
    # Half-way between clusters 2 apart, noise of 0.1: a distance of 1 less the noise.
    assert 0.8 < table["midpoint", "distance"] < 1.0
    assert table["midpoint", "rank"] == 0
    np.testing.assert_array_equal(hole["midpoint_distance"], hole["average_distance"])
    assert table["reconstruction", "rank"] == pytest.approx(0.5)
    middle = (test[0][hole["first"].values] + test[0][hole["second"].values]) / 2
    for source, images in (("real", test[0]), ("midpoint", middle)):
        leading, both = (
            hole[f"{source}_{score}"] for score in ("log_density", "whole_log_density")
        )
        np.testing.assert_allclose(leading, reference.log_leading(images), rtol=1e-5)
        np.testing.assert_allclose(both, reference.log_density(images), rtol=1e-5)
    assert table["draw", "log_density"] < table["real", "log_density"] - 5
    assert other["midpoint", "distance"] == pytest.approx(0, abs=1e-6)
    difference = compare_holes(whole, hole)
    for source in ("midpoint", "draw"):
        # No rank of draws: the nearest data to draws are at the clusters' edges, of low rank.
        for score, sign in (("log_density", 1), ("distance", -1)):
            mean, se = difference.loc[source, score]
            assert sign * mean > STANDARD_ERRORS * se


def test_a_convex_set_has_no_holes():
    """Images of one normal: mid-points are more probable than the images, draws as probable."""
    train, test = (clusters(800, 0.0, seed=seed)[0] for seed in (0, 1))
    reference = fit_reference(train, num_leading=1, num_components=(1,))
    table = hole_summary(hole_test(Identity(), train, test, reference=reference, num_draws=800))
    assert table.loc[("midpoint", "rank"), "mean"] > 0.5
    mean, se = table.loc["draw", "rank"]
    # The level is that of 800 images: its error is as large again.
    assert abs(mean - 0.5) < STANDARD_ERRORS * math.sqrt(2) * se


def test_scores_are_on_the_scale_that_was_asked_for():
    train, test = (clusters(300, 1.0, seed=seed)[0] for seed in (0, 1))
    reference = fit_reference(train, num_leading=1, num_components=(2,))
    one = hole_test(Identity(), train, test, reference=reference)
    same = hole_test(Identity(), 16 * train, 16 * test, reference=reference, scale=1 / 16)
    for name in ("midpoint_log_density", "midpoint_distance", "draw_distance", "real_rank"):
        np.testing.assert_allclose(same[name], one[name], rtol=1e-3, atol=1e-4)


def test_draws_have_the_moments_of_the_codes():
    """Seen through the identity, whose third coordinate is the sum of two: singular."""
    base = torch.randn(500, 2) @ torch.tensor([[1.0, 0.5], [0.0, 0.3]])
    train = torch.stack([base[:, 0], base[:, 1], base.sum(1), base[:, 0]], 1).reshape(-1, 2, 2)
    seen = []

    class Spy(Identity):
        def decode(self, z):
            seen.append(z)
            return super().decode(z)

    reference = fit_reference(train + 0.1 * torch.randn(500, 2, 2), num_leading=1)
    hole_test(Spy(), train, train[:50], reference=reference, num_draws=40000)
    # The mid-points come first, the reconstructions last.
    draws = torch.cat(seen[1:-1]).double().numpy()
    assert draws.shape == (40000, 4)
    expected = np.cov(train.flatten(1).numpy().T)
    error = np.sqrt(np.diag(expected) / 40000)
    assert (abs(draws.mean(0) - train.flatten(1).numpy().mean(0)) < STANDARD_ERRORS * error).all()
    np.testing.assert_allclose(
        np.cov(draws.T), expected, atol=STANDARD_ERRORS * expected.max() * math.sqrt(2 / 40000)
    )
    np.testing.assert_allclose(draws[:, 2], draws[:, 0] + draws[:, 1], atol=1e-3)


@pytest.mark.slow
def test_standard_errors_are_those_of_new_pairs():
    """Coverage over 150 sets of held-out data, for one model and one reference."""
    train, labels = clusters(400, 1.0)
    reference = fit_reference(train, num_leading=1, num_components=(2,))
    options = {"reference": reference, "num_pairs": 30, "num_draws": 2}
    means, errors = [], []
    for seed in range(150):
        test, labels = clusters(60, 1.0, seed=10 + seed)
        result = hole_test(Identity(), train, test, labels=labels, seed=seed, **options)
        mean, error = hole_summary(result).loc["midpoint", "distance"]
        means.append(mean)
        errors.append(error)
    truth = np.mean(means)
    inside = np.mean(abs(np.array(means) - truth) < stats.t(29).ppf(0.95) * np.array(errors))
    assert abs(inside - 0.9) < STANDARD_ERRORS * math.sqrt(0.9 * 0.1 / 150)


def test_pairs_are_disjoint_and_of_different_labels():
    labels = torch.tensor([0] * 70 + [1] * 20 + [2] * 10)
    first, second = disjoint_pairs(100, labels, None, seed=0)
    assert len(set(first) | set(second)) == 2 * len(first)
    assert (labels[first] != labels[second]).all()
    assert 25 <= len(first) <= 30
    again = disjoint_pairs(100, labels, 25, seed=0)
    np.testing.assert_array_equal(again[0], first[:25])
    assert len(disjoint_pairs(9, None, None, seed=0)[0]) == 4


def test_comparisons_pair_what_is_paired():
    train, test = (clusters(200, 1.0, seed=seed)[0] for seed in (0, 1))
    reference = fit_reference(train, num_leading=1, num_components=(2,))
    one, other = (
        hole_test(model, train, test, reference=reference, num_draws=50)
        for model in (Identity(), Nearest(train))
    )
    table = compare_holes(one, other)
    paired = stats.ttest_rel(one["midpoint_log_density"], other["midpoint_log_density"])
    mean, se = table.loc["midpoint", "log_density"]
    assert mean / se == pytest.approx(paired.statistic)
    paired = stats.ttest_rel(one["draw_log_density"], other["draw_log_density"])
    mean, se = table.loc["draw", "log_density"]
    assert mean / se == pytest.approx(paired.statistic)
    fewer = hole_test(Identity(), train, test, reference=reference, num_draws=49)
    with pytest.raises(ComparisonError, match="num_draws"):
        compare_holes(one, fewer)
    with pytest.raises(ComparisonError, match="same train"):
        compare_holes(one, hole_test(Identity(), train, test, reference=reference, seed=1))
    # The leading component of this one is the same, what it leaves out is wider.
    wider = dataclasses.replace(reference, residual_variance=2 * reference.residual_variance)
    for others in ((train, wider), (train[:150], reference)):
        result = hole_test(Identity(), others[0], test, reference=others[1], num_draws=50)
        with pytest.raises(ComparisonError, match="same train"):
            compare_holes(one, result)


def test_refusals():
    x, labels = clusters(40, 1.0)
    reference = fit_reference(x, num_leading=1, num_components=(1,))
    for options, message in (
        ({"num_pairs": 21}, "num_pairs got 21: from 2 to 20"),
        ({"labels": torch.zeros(40)}, "from 2 to 0"),
        ({"labels": labels[:5]}, "labels got shape"),
        ({"scale": 0.0}, "scale got 0.0"),
        ({"num_draws": 1}, "num_draws got 1"),
    ):
        with pytest.raises(ValueError, match=message):
            hole_test(Identity(), x, x, reference=reference, **options)
    with pytest.raises(DataError, match="fitted on images of 4 values"):
        hole_test(Identity(), x[:, :1], x[:, :1], reference=reference)
    for options, message in (
        ({"num_components": ()}, "num_components got"),
        ({"num_components": (1, 40)}, "too few for 40"),
        ({"num_leading": 4, "num_components": (1,)}, "num_leading got 4"),
        ({"held_out": 1.0}, "held_out got 1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_reference(x, **options)
    with pytest.raises(DataError, match="images got 9 values"):
        reference.log_density(np.zeros((2, 9)))


def test_the_figure_shows_the_means():
    train, test = (clusters(200, 1.0, seed=seed)[0] for seed in (0, 1))
    reference = fit_reference(train, num_leading=1, num_components=(2,))
    results = {
        name: hole_test(model, train, test, reference=reference, num_draws=50)
        for name, model in (("identity", Identity()), ("nearest", Nearest(train)))
    }
    panels = plots.hole_scores(results).axes
    for ax, score in zip(panels, ("log_density", "rank", "distance"), strict=True):
        midpoints, draws = (container.lines[0].get_xdata() for container in ax.containers)
        for i, name in enumerate(results):
            assert midpoints[i] == pytest.approx(float(results[name][f"midpoint_{score}"].mean()))
            assert draws[i] == pytest.approx(float(results[name][f"draw_{score}"].mean()))
        assert ax.lines[0].get_xdata()[0] == pytest.approx(
            float(results["identity"][f"real_{score}"].mean())
        )


class Mirrored(Identity):
    """Codes of the other sign, decoded some way off."""

    def __init__(self, sign, shift):
        super().__init__()
        self.sign, self.shift = sign, shift

    def code(self, x):
        return self.sign * super().code(x)

    def decode(self, z):
        return super().decode(self.sign * z) + self.shift


@a_few_always("other", [Mirrored(1, 0.2), Mirrored(-1, 2.0)], ids=["alike", "opposite"])
def test_errors_of_differences_between_draws_are_their_spread(other):
    """The same random numbers for both: errors smaller, or larger, than of independent draws.

    300 blocks of 30 draws, seed 20140501.
    """
    train, test = torch.randn(200, 2, 2), torch.randn(20, 2, 2)
    reference = fit_reference(train, num_leading=2, num_components=(1,))
    one, two = (
        hole_test(model, train, test, reference=reference, num_draws=9000)
        for model in (Mirrored(1, 2.0 if other.sign < 0 else 0.0), other)
    )
    parts = [slice(start, start + 30) for start in range(0, 9000, 30)]
    tables = [compare_holes(one.isel(draw=part), two.isel(draw=part)) for part in parts]
    means, errors = np.array([table.loc["draw", "log_density"] for table in tables]).T
    stated = np.sqrt(np.mean(np.square(errors)))
    # A standard deviation of 300 has a relative error of 1 / sqrt(600).
    assert abs(means.std(ddof=1) / stated - 1) < STANDARD_ERRORS / math.sqrt(600)


def made_up(rng, shift, count=60, draws=40):
    """Results whose scores are normal: real x, mid-points of them, and draws of their own."""
    real = rng.normal(size=count)
    order = rng.permutation(count)
    first, second = order[: count // 2], order[count // 2 :]
    middle = (real[first] + real[second]) / 2 + shift
    values = {
        "midpoint": middle + 0.3 * rng.normal(size=len(middle)),
        "draw": shift + rng.normal(size=draws),
        "reconstruction": real + shift + 0.5 * rng.normal(size=count),
        "real": real,
        "average": middle,
    }
    results = xr.Dataset(coords={"first": ("pair", first), "second": ("pair", second)})
    level = np.sort(real)
    dimensions = {"midpoint": "pair", "average": "pair", "draw": "draw"}
    for source, scores in values.items():
        dimension = dimensions.get(source, "datum")
        ranks = (level[:, None] < scores).mean(0) + (level[:, None] == scores).mean(0) / 2
        for score in ("log_density", "whole_log_density", "distance"):
            results[f"{source}_{score}"] = (dimension, scores)
        results[f"{source}_rank"] = (dimension, ranks)
    return results


def require_honest_errors(tables, source):
    """The errors of 500 tables against their spread; 3% for small samples."""
    rows = [table.loc[(source, "rank")] for table in tables]
    means, errors = (np.array([row[key] for row in rows]) for key in ("mean", "se"))
    spread = means.std(ddof=1)
    tolerance = STANDARD_ERRORS * spread / math.sqrt(2 * len(rows)) + 0.03 * spread
    assert abs(np.sqrt(np.mean(errors**2)) - spread) < tolerance, source


@pytest.mark.slow
def test_errors_of_ranks_are_those_of_new_held_out_data():
    """Simulated: 500 new sets of held-out data and draws, seed 20140501."""
    rng = np.random.default_rng(20140501)
    tables = [hole_summary(made_up(rng, 0.4)) for _ in range(500)]
    for source in ("midpoint", "draw", "reconstruction", "average"):
        require_honest_errors(tables, source)


@pytest.mark.slow
def test_errors_of_rank_differences_are_those_of_new_held_out_data():
    """Two models of the same held-out data, as above."""
    rng = np.random.default_rng(20140502)
    tables = []
    for _ in range(500):
        seed = int(rng.integers(2**31))
        one, other = (made_up(np.random.default_rng(seed), shift) for shift in (0.4, -0.2))
        # Each model has draws of its own.
        draws = rng.normal(size=40) - 0.2
        other["draw_log_density"] = ("draw", draws)
        ranks = (other["real_log_density"].values[:, None] < draws).mean(0)
        other["draw_rank"] = ("draw", ranks)
        tables.append(compare_holes(one, other))
    for source in ("midpoint", "draw", "reconstruction"):
        require_honest_errors(tables, source)


def test_the_mean_rank_of_real_data_is_a_half_without_error():
    table = hole_summary(made_up(np.random.default_rng(0), 0.4))
    assert table.loc[("real", "rank")].tolist() == [pytest.approx(0.5), 0.0]
