"""Published numbers and ours: each at its place, with its error."""

import numpy as np
import pandas as pd
import pytest

from pyro_vae import plots


def test_every_number_has_a_scale_of_its_own():
    figure = plots.published_and_ours(
        ["-log p(x)", "active units"], [86.76, np.nan], [87.5, 19.0], [0.25, 0.0]
    )
    first, second = figure.axes
    ours = first.containers[0]
    assert ours.lines[0].get_xdata() == [87.5]
    (bar,) = ours.lines[2]
    assert bar.get_segments()[0][:, 0] == pytest.approx([87.0, 88.0])
    published = {line.get_label(): line for line in first.lines}["published"]
    assert published.get_xdata() == [86.76]
    assert "published" not in {line.get_label() for line in second.lines}
    assert [ax.get_yticklabels()[0].get_text() for ax in figure.axes] == [
        "-log p(x)",
        "active units",
    ]
    assert "nats" in second.get_xlabel()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["published", "ours"]


def test_numbers_that_agree_to_rounding_lie_on_each_other():
    (ax,) = plots.published_and_ours(["a"], [-17.029], [-17.0291], [0.0]).axes
    low, high = ax.get_xlim()
    assert low < -17.05
    assert high > -17.0
    figure = ax.figure
    figure.canvas.draw()
    assert ax.xaxis.get_offset_text().get_text() == ""


def test_nothing_published_is_no_error():
    figure = plots.published_and_ours(["a"], [np.nan], [1.0], [0.5])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ours"]


def test_learning_curves_forget_the_first_epochs():
    epoch = np.arange(1, 101)
    one = pd.DataFrame({"epoch": epoch, "train_elbo": -90 - 500 / epoch**2})
    two = one.assign(train_elbo=one["train_elbo"] - 3)
    figure = plots.learning_curves({"one": one, "two": two})
    (ax,) = figure.axes
    for line, frame in zip(ax.lines, (one, two), strict=True):
        np.testing.assert_allclose(line.get_ydata(), frame["train_elbo"])
    assert ax.get_xscale() == "log"
    low, high = ax.get_ylim()
    assert -94 < low < -93
    assert -90.05 < high < -89
    assert "nats" in ax.get_ylabel()
    assert len({line.get_linestyle() for line in ax.lines}) == 2
