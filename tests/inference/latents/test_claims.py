"""What is said of codes and pictures, on data whose answer is known."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage, stats

from pyro_vae.errors import DataError
from pyro_vae.inference.latents import (
    attribute_test,
    augmentation_test,
    compare_sharpness,
    memory_test,
    neighbour_accuracy,
    sharpness,
)
from pyro_vae.models import PCA
from tests.tolerances import STANDARD_ERRORS

RNG = np.random.default_rng(0)
PICTURES = (RNG.random((60, 16, 16)) < 0.3).astype(np.float64)


def blurred(width):
    return np.stack([ndimage.gaussian_filter(p, width, mode="wrap") for p in PICTURES])


def test_sharpness_is_the_laplacian_beside_the_variance():
    """SciPy's Laplacian, away from the border."""
    inner = np.stack([ndimage.laplace(p)[1:-1, 1:-1] for p in PICTURES])
    expected = (inner**2).mean((1, 2)) / PICTURES.var((1, 2))
    assert np.allclose(sharpness(PICTURES).numpy(), expected)
    # Neither contrast nor brightness counts; colours are added up.
    assert np.allclose(sharpness(3 * PICTURES - 7).numpy(), expected)
    colours = np.stack([PICTURES, PICTURES], axis=1)
    assert np.allclose(sharpness(colours).numpy(), expected)


def test_what_is_blurred_more_is_less_sharp():
    means = [float(sharpness(blurred(width)).mean()) for width in (0.01, 0.5, 1.0, 2.0)]
    assert means == sorted(means, reverse=True)
    found = compare_sharpness({"data": PICTURES, "means": blurred(1.0)})
    assert found.loc["data", "share"] == 1
    assert found.loc["means", "share"] < 0.1
    assert sharpness(np.ones((2, 4, 4))).isnan().all()


def test_the_error_of_a_share_is_that_of_other_pictures():
    """200 repeats, seed 1: the spread of the share is its error, to a tenth."""
    rng = np.random.default_rng(1)
    shares, errors = [], []
    for _ in range(200):
        a, b = rng.gamma(2.0, size=(2, 40, 1, 1)) + rng.normal(size=(2, 40, 6, 6))
        found = compare_sharpness({"data": a, "b": ndimage.uniform_filter(b, (0, 2, 2))})
        shares.append(found.loc["b", "share"])
        errors.append(found.loc["b", "share_se"])
    # The standard deviation of 200 values is known to 1 / sqrt(400) = 5 %.
    assert abs(np.std(shares) / np.mean(errors) - 1) < 0.25


def data(seed, size=150):
    return np.random.default_rng(seed).normal(size=(size, 3))


def test_fresh_draws_are_not_nearer_than_held_out_data():
    """300 repeats: z is a standard normal, by Kolmogorov and Smirnov."""
    z = [memory_test(data(3 * r), data(3 * r + 1), data(3 * r + 2)).z for r in range(300)]
    assert stats.kstest(z, "norm").pvalue > 1e-4


def test_copies_are_found_and_far_draws_too():
    train = data(0)
    copies = memory_test(train + 0.01 * data(1), train, data(2))
    assert copies.nearer > 0.95
    assert copies.z > 5
    assert copies.p_value < 1e-6
    assert copies.draw_distance < copies.fresh_distance
    far = memory_test(3 * data(1), train, data(2))
    assert far.z < -5
    halves = memory_test(train, train, train)
    assert halves.nearer == 0.5
    assert halves.z == 0


def test_the_share_is_that_of_mann_and_whitney_with_ties():
    draws, train, fresh = (np.round(data(s, 20)) for s in (1, 2, 3))
    found = memory_test(draws, train, fresh)

    def distance(rows):
        return np.sqrt(((rows[:, None] - train) ** 2).mean(-1)).min(1)

    ours, theirs = distance(draws), distance(fresh)
    wins = (ours[:, None] < theirs).mean() + 0.5 * (np.isclose(ours[:, None], theirs)).mean()
    assert abs(found.nearer - wins) < 1e-12
    by_scipy = stats.norm.sf(found.z)
    assert abs(by_scipy - found.p_value) < 0.02  # theirs has a correction for continuity


CENTRES = np.array([[0.0, 0.0, 0.0, 0.0], [4.0, 0.0, 0.0, 4.0], [0.0, 4.0, 4.0, 0.0]])


def classes(seed, size=90, spread=0.7):
    rng = np.random.default_rng(seed)
    labels = np.arange(size) % 3
    return CENTRES[labels] + spread * rng.normal(size=(size, 4)), labels


def test_neighbours_vote_as_counted_by_hand():
    (known, labels), (asked, answers) = classes(0, spread=2.5), classes(1, spread=2.5)
    found = neighbour_accuracy(known, labels, asked, answers, neighbours=3)
    right = 0
    for row, answer in zip(asked, answers, strict=True):
        nearest = labels[np.argsort(((known - row) ** 2).sum(1))[:3]]
        right += stats.mode(nearest).mode == answer
    assert found.share == right / len(asked)
    assert abs(found.standard_error - np.sqrt(found.share * (1 - found.share) / 90)) < 1e-12


def fitted_pca(latent_dim):
    pca = PCA((4,), latent_dim)
    pca.initialise(torch.tensor(classes(2)[0], dtype=torch.float32))
    return pca


def test_a_direction_leads_where_a_code_can_tell_the_classes_apart():
    """The two leading components hold the three centres; the last holds noise alone."""
    (train, labels), (test, answers) = classes(0), classes(1)
    found = attribute_test(fitted_pca(2), train, labels, test, answers)
    assert list(found.index) == [(a, b) for a in range(3) for b in range(3) if a != b]
    assert found["reached"].min() > 0.9
    assert found["before"].max() < 0.1
    # Labels that mean nothing have no direction.
    mixed = np.random.default_rng(5).permutation(labels)
    found = attribute_test(fitted_pca(2), train, mixed, test, answers)
    assert found["reached"].mean() < 0.6


def test_interpolation_helps_where_a_class_is_a_segment():
    """A class is what lies between two points: two labelled ends say little, the middle all."""
    (train, labels), (test, answers) = classes(3, spread=2.0), classes(4, 600, spread=2.0)
    found = augmentation_test(
        fitted_pca(4), train, labels, test, answers, per_class=4, repeats=10, seed=0
    )
    assert list(found.index) == ["labelled", "interpolated", "averaged"]
    assert found.loc["labelled", "gain"] == 0
    # With as many components as columns a decoded mid-point is the average.
    apart = (found.loc["interpolated"] - found.loc["averaged"]).abs()
    assert apart["accuracy"] < 0.01
    again = augmentation_test(
        fitted_pca(4), train, labels, test, answers, per_class=4, repeats=10, seed=0
    )
    pd.testing.assert_frame_equal(found, again)


def test_the_gain_is_paired():
    (train, labels), (test, answers) = classes(3, spread=2.0), classes(4, 300, spread=2.0)
    found = augmentation_test(fitted_pca(1), train, labels, test, answers, repeats=8, seed=1)
    apart = found["accuracy"] - found.loc["labelled", "accuracy"]
    assert np.allclose(found["gain"], apart)
    # What one component keeps is less than the whole, and decoding it can only lose.
    assert found.loc["interpolated", "gain"] < (
        found.loc["averaged", "gain"] + STANDARD_ERRORS * found.loc["averaged", "gain_se"]
    )


REFUSED = {
    "no pictures": (lambda: sharpness(np.ones((3, 9))), DataError, "three by three"),
    "no reference": (
        lambda: compare_sharpness({"draws": PICTURES}),
        DataError,
        "reference got 'data'",
    ),
    "one grey": (
        lambda: compare_sharpness({"data": np.ones((5, 4, 4))}),
        DataError,
        "not of one grey",
    ),
    "other shapes": (
        lambda: memory_test(data(0), data(1)[:, :2], data(2)),
        DataError,
        "of one shape",
    ),
    "too many neighbours": (
        lambda: neighbour_accuracy(*classes(0), *classes(1), neighbours=100),
        DataError,
        "from 1 to the 90",
    ),
    "a label too few": (
        lambda: neighbour_accuracy(classes(0)[0], classes(0)[1][1:], *classes(1)),
        DataError,
        "labels got shape",
    ),
    "more than there are": (
        lambda: augmentation_test(fitted_pca(1), *classes(0), *classes(1), per_class=99),
        DataError,
        "per_class got 99",
    ),
}


@pytest.mark.parametrize(("call", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_judged_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
