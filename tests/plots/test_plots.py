"""Figures: labelled axes, the right numbers on them, and nothing changed by importing."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pyro_vae import plots


@pytest.fixture
def results():
    rng = np.random.default_rng(0)
    evidence = rng.normal(-20, 2, 50)
    gap = rng.gamma(2, 0.3, 50)
    ks = [1, 5, 50]
    iwae = np.stack([evidence - gap / k for k in ks])
    return xr.Dataset(
        {
            "iwae": (("num_particles", "datum"), iwae),
            "iwae_se": (("num_particles", "datum"), np.full((3, 50), 0.2)),
            "log_evidence": ("datum", evidence),
            "elbo": ("datum", evidence - gap),
            "gap": ("datum", gap),
            "doubt": ("datum", np.where(np.arange(50) < 7, 1.0, 0.0)),
        },
        coords={"num_particles": ks},
        attrs={"particles": 50},
    )


def test_iwae_against_k_shows_the_means(results):
    (ax,) = plots.iwae_against_k(results).axes
    line = ax.containers[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), results["iwae"].mean("datum"))
    assert ax.get_xscale() == "log"
    assert "nats" in ax.get_ylabel()
    gap = float(results["log_evidence"].mean() - results["elbo"].mean())
    assert any(f"gap {gap:.2f} nats" in text.get_text() for text in ax.texts)


def test_ladder_shows_every_bound():
    ks, rng = [1, 10, 100], np.random.default_rng(1)
    over_k = (("num_particles", "datum"), np.sort(rng.normal(-8, 1, (3, 20)), axis=0))
    over_alpha = (("alpha", "datum"), rng.normal(-8, 1, (2, 20)))
    variables = {"iwae": over_k, "renyi": over_alpha, "asymptote": over_k}
    variables |= {name: ("datum", rng.normal(-6, 1, 20)) for name in ("cubo", "log_evidence")}
    ladder = xr.Dataset(variables, coords={"num_particles": ks, "alpha": [0.25, 0.5]})
    for name in ("iwae", "renyi", "cubo", "log_evidence"):
        ladder[f"{name}_se"] = xr.full_like(ladder[name], 0.3)
    figure = plots.bound_ladder(ladder, exact=-6.5)
    (ax,) = figure.axes
    heights = {line.get_label().split(":")[0]: line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(heights["log p(x)"], ladder["log_evidence"].mean())
    np.testing.assert_allclose(heights["CUBO$_2$, an upper bound"], ladder["cubo"].mean())
    (iwae,) = [line for line in ax.lines if line.get_label().startswith("IWAE")]
    np.testing.assert_allclose(iwae.get_ydata(), ladder["iwae"].mean("datum"))
    assert sum(line.get_linestyle() == "--" for line in ax.lines) == 1
    # Two standard errors of a mean over 20: 2 * 0.3 / sqrt(20) to either side.
    band = ax.collections[0].get_paths()[0].get_extents()
    assert band.height == pytest.approx(4 * 0.3 / np.sqrt(20))
    assert (ax.get_xscale(), len(ax.texts)) == ("log", 2)
    assert "nats" in ax.get_ylabel()


def test_gap_counts_the_unreliable(results):
    left, right = plots.gap_per_datum(results).axes
    assert sum(patch.get_height() for patch in left.patches) == 50
    reliable, unreliable, _ = right.lines
    assert len(reliable.get_xdata()) == 43
    assert len(unreliable.get_xdata()) == 7
    assert "7 of 50" in right.get_legend().get_texts()[0].get_text()
    for label in (left.get_xlabel(), right.get_xlabel(), right.get_ylabel()):
        assert "nats" in label


def test_training_curves_mark_the_best_epoch_and_forget_the_first():
    metrics = pd.DataFrame(
        {
            "epoch": range(1, 41),
            "train_elbo": [-1e6, *np.linspace(-60, -20, 39)],
            "validation_elbo": [-1e6, *-(30 + (np.arange(39) - 25.0) ** 2 / 100)],
        }
    )
    (ax,) = plots.training_curves(metrics).axes
    assert ax.lines[-1].get_xdata() == [27]
    assert ax.get_ylim()[0] > -1000
    assert "nats" in ax.get_ylabel()
    metrics["validation_elbo"] = np.nan
    assert len(plots.training_curves(metrics).axes[0].lines) == 1


def test_code_usage_is_ranked_beside_an_even_share():
    (ax,) = plots.code_usage(np.array([2, 0, 6, 0])).axes
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], [0.75, 0.25, 0, 0])
    assert ax.lines[0].get_ydata()[0] == 0.25
    # The entropy of (3/4, 1/4) is 2 log 2 - 3/4 log 3.
    assert ax.get_title() == f"2 of 4 codes in use, perplexity {4 / 3**0.75:.1f}"


def test_images_are_shown_in_order():
    images = np.arange(6 * 4).reshape(6, 2, 2).astype(float)
    (ax,) = plots.image_grid(images, columns=3).axes
    canvas = ax.images[0].get_array()
    assert canvas.shape == (5, 8)
    np.testing.assert_array_equal(canvas[3:5, 6:8], images[5])
    both = plots.reconstructions(images[:3], images[3:]).axes[0].images[0].get_array()
    np.testing.assert_array_equal(both[3:5, 0:2], images[3])
    assert plots.interpolation(images.reshape(2, 3, 2, 2)).axes


def test_walks_name_the_first_row_of_each_model():
    images = np.arange(3 * 3 * 4).reshape(3, 3, 2, 2).astype(float)
    (ax,) = plots.walks({"one": images[:1], "two": images[1:]}).axes
    canvas = ax.images[0].get_array()
    assert canvas.shape == (8, 8)
    np.testing.assert_array_equal(canvas[6:8, 3:5], images[2, 1])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two", ""]
    # Ticks stand at the middle of their pictures.
    np.testing.assert_allclose(ax.get_yticks(), [0.5, 3.5, 6.5])
    np.testing.assert_allclose(ax.get_xticks(), [0.5, 3.5, 6.5])


@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_latent_scatter(latent_dim):
    codes = np.random.default_rng(0).normal(size=(30, latent_dim))
    labels = np.arange(30) % 10
    (ax,) = plots.latent_scatter(codes, labels=labels).axes
    assert len(ax.texts) == 30 + 10
    assert ("%" in ax.get_xlabel()) == (latent_dim > 2)
    assert plots.latent_scatter(codes).axes


def test_style_stays_inside(results):
    before = dict(matplotlib.rcParams)
    plots.iwae_against_k(results)
    assert dict(matplotlib.rcParams) == before


def test_error_against_size_has_a_line_a_depth_and_a_level():
    table = pd.DataFrame(
        {
            "model": ["PCA", "shallow", "1 hidden layer", "1 hidden layer", "1 hidden layer"],
            "width": [0, 0, 16, 16, 64],
            "parameters": [520, 1100, 3000, 3000, 9000],
            "error": [0.024, 0.022, 0.02, 0.016, 0.012],
        }
    )
    (ax,) = plots.error_against_size(table).axes
    lines = {line.get_label(): line for line in ax.lines}
    assert set(lines["PCA"].get_ydata()) == {0.024}
    np.testing.assert_allclose(lines["1 hidden layer"].get_ydata(), [0.018, 0.012])
    np.testing.assert_allclose(lines["1 hidden layer"].get_xdata(), [3000, 9000])
    assert [text.get_text() for text in ax.texts] == ["16", "64"]
    assert ax.get_xscale() == "log"
    assert ax.get_ylim()[0] == 0
