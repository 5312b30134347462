"""What the figures share: how numbers are written, ticks placed, and discs kept apart."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from pyro_vae import plots
from pyro_vae.plots.style import coordinate, number, plain_ticks


def test_numbers_have_the_minus_sign_of_the_axes():
    assert number(-93.118) == "\N{MINUS SIGN}93.12"
    assert number(1234.5, 1) == "1,234.5"


def test_coordinates_are_counted_from_one():
    expected = {"z[0]": "$z_{1}$", "z[11]": "$z_{12}$", "level": "level", "z_top[0]": "z_top[0]"}
    assert {name: coordinate(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.5, 5000, ["1", "10", "100", "1,000"]),
        (0.12, 25, ["0.2", "0.5", "1", "2", "5", "10", "20"]),
        (0.9, 5.0, ["1", "2", "5"]),
        (2.5, 9.0, ["3", "4", "6", "8"]),
    ],
)
def test_a_logarithmic_axis_has_plain_numbers(low, high, expected):
    ax = Figure().subplots()
    ax.set(xscale="log", xlim=(low, high))
    plain_ticks(ax.xaxis)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == expected
    assert len(ax.get_xticks(minor=True)) == 0


def test_a_narrow_range_still_has_ticks():
    ax = Figure().subplots()
    ax.set(yscale="log", ylim=(1.21, 1.38))
    plain_ticks(ax.yaxis)
    assert len([tick for tick in ax.get_yticks() if 1.21 <= tick <= 1.38]) >= 2


def test_discs_of_classes_do_not_hide_each_other():
    """Ten classes with one mean; a disc's width is about 0.05 of the axes."""
    codes = np.random.default_rng(0).normal(size=(200, 2))
    codes = np.concatenate([codes, -codes])
    labels = np.tile(np.arange(10), 40)
    (ax,) = plots.latent_scatter(codes, labels=labels).axes
    discs = [text for text in ax.texts if text.get_bbox_patch() is not None]
    assert [text.get_text() for text in discs] == [str(label) for label in range(10)]
    places = np.array([text.get_position() for text in discs]) / np.ptp(codes, axis=0)
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.eye(10)
    assert distance.min() > 0.07
    # Each is tied to the mean of its class.
    for label, line in enumerate(ax.lines):
        start = [values[0] for values in line.get_data()]
        np.testing.assert_allclose(start, codes[labels == label].mean(0))


def test_a_disc_with_room_stays_at_its_mean():
    codes = np.array([[0.0, 0.0], [0.0, 2.0], [5.0, 5.0], [5.0, 7.0]])
    (ax,) = plots.latent_scatter(codes, labels=np.array([0, 0, 1, 1])).axes
    discs = [text.get_position() for text in ax.texts if text.get_bbox_patch() is not None]
    np.testing.assert_allclose(discs, [[0, 1], [5, 6]], atol=1e-4)
