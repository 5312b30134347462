"""Figures of the derivation show the numbers they are given."""

import numpy as np
import pandas as pd
import pytest

from pyro_vae import plots


def table(moving):
    steps = np.arange(len(moving))
    elbo = -3 + 0.1 * steps
    return pd.DataFrame(
        {"step": steps, "moving": moving, "log_px": elbo + 0.5, "elbo": elbo, "kl": 0.5}
    )


def test_bars_fill_log_px():
    figure = plots.evidence_bars(["a", "b"], [-1.0, -2.0], [-1.5, -2.1], [0.5, 0.1])
    (ax,) = figure.axes
    lower, upper = ax.containers
    for low, high, evidence in zip(lower, upper, [-1.0, -2.0], strict=True):
        assert low.get_y() + low.get_height() == pytest.approx(high.get_y())
        assert high.get_y() + high.get_height() == pytest.approx(evidence)
    assert "nats" in ax.get_ylabel()


def test_training_shows_all_three():
    top, bottom = plots.evidence_over_training(table(["guide and model"] * 20)).axes
    log_px, elbo = (curve.get_ydata() for curve in top.lines)
    assert np.allclose(log_px - elbo, 0.5)
    assert np.allclose(bottom.lines[0].get_ydata(), 0.5)
    assert (bottom.get_xlabel(), bottom.get_yscale()) == ("step", "log")


def test_phases_are_shaded_where_the_guide_moves():
    moving = ["guide"] * 6 + ["model"] * 5 + ["guide"] * 5 + ["model"] * 5
    (ax,) = plots.em_phases(table(moving)).axes
    spans = [(p.get_x(), p.get_x() + p.get_width()) for p in ax.patches]
    assert spans == [(0, 5), (10, 15)]
    labels = [text.get_text().split("\n")[0] for text in ax.texts]
    assert labels == ["E-step", "M-step"] * 2


def test_guide_phase_has_log_px_above():
    elbo = np.linspace(-20, -16, 30)
    (ax,) = plots.guide_phase(elbo, before=-20.5, after=-16, log_evidence=-15).axes
    low, high = ax.get_ylim()
    assert low < -20.5
    assert high > -15
