"""The figure of outliers: who is marked, and what the cells are."""

import numpy as np
import pytest

from pyro_vae import plots

RNG = np.random.default_rng(20260511)
REFERENCE = RNG.normal(-10, 1, 200)
VALUES = np.array([-10.5, -13.0, -9.0, -300.0, -14.0, -11.0])
CELLS = RNG.normal(-2, 1, (6, 3))
BASE = RNG.normal(-2, 2, (200, 3))


def drawn(**settings):
    given = {"reference": REFERENCE, "rows": list("abcdef"), "columns": ["x", "y", "z"]}
    return plots.outliers(VALUES, CELLS, **(given | settings))


def test_the_lowest_rows_are_marked_and_named():
    left = drawn().axes[0]
    assert sum(patch.get_height() for patch in left.patches) == 200
    strokes, lowest = left.lines
    assert len(strokes.get_xdata()) == 6
    np.testing.assert_allclose(lowest.get_xdata()[1:3], [-14.0, -13.0])
    # The row far beyond the others stands at the edge, and its number is told.
    assert -30 < lowest.get_xdata()[0] < -14
    names = [text.get_text() for text in left.texts]
    assert names == ["d (\N{MINUS SIGN}300)", "e", "b", "f", "a"]
    places = [text.get_position()[0] for text in left.texts]
    assert (np.diff(places) > 0).all()
    assert "nats" in left.get_xlabel()
    assert left.get_ylabel() == "number of rows"
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == ["reference rows (200)", "scored rows (6)", "the lowest 5"]


@pytest.mark.parametrize("base", [None, BASE])
def test_cells_are_distances_from_the_mean_in_standard_deviations(base):
    figure = drawn(reference_contribution=base, num_rows=4)
    _, right, bar = figure.axes
    against = CELLS if base is None else base
    expected = ((CELLS - against.mean(0)) / against.std(0))[[3, 4, 1, 5]]
    np.testing.assert_allclose(right.images[0].get_array(), expected)
    assert [tick.get_text() for tick in right.get_yticklabels()] == list("debf")
    assert [tick.get_text() for tick in right.get_xticklabels()] == ["x", "y", "z"]
    low, high = right.images[0].get_clim()
    assert low == -high
    assert "nats" in bar.get_ylabel()
    assert right.get_xlabel()
    assert right.get_ylabel()
    texts = [float(t.get_text().replace("\N{MINUS SIGN}", "-")) for t in right.texts]
    np.testing.assert_allclose(texts, expected.ravel(), atol=0.051)


def test_without_contributions_there_is_one_panel():
    figure = plots.outliers(VALUES)
    (ax,) = figure.axes
    assert "all rows (6)" in ax.get_legend().get_texts()[0].get_text()


def test_a_constant_column_and_many_columns_can_be_drawn():
    cells = np.column_stack([np.zeros(6), RNG.normal(size=(6, 59))])
    figure = plots.outliers(VALUES, cells, columns=[f"a rather long name {k}" for k in range(60)])
    right = figure.axes[1]
    assert (right.images[0].get_array()[:, 0] == 0).all()
    assert not right.texts
    assert len(right.get_xticklabels()) == 20
    figure.canvas.draw()
