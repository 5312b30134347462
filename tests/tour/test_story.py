"""What the tour says of its numbers: sentences and cells against numbers made up for them."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from scipy import stats

from pyro_vae import data
from pyro_vae.inference.latents import Accuracy, MemoryTest
from pyro_vae.stored.measured import hole_reference
from pyro_vae.tour import (
    MOON_STOPS,
    STOPS,
    Claims,
    MoonVisit,
    claims_table,
    moon_sentences,
    moon_table,
    moon_walks,
    story,
)
from pyro_vae.tour.visits import Visit
from tests.inference.latents.test_holes import made_up

RNG = np.random.default_rng(20140501)


def visit(name, *, log_px=None, holes=None, measure="counting", khat=0.1, **attrs):
    """A stop at which these numbers were found, of 64 features each."""
    (stop,) = (each for each in STOPS if each.name == name)
    results = None
    if log_px is not None:
        log_px = np.asarray(log_px, dtype=float)
        attrs = {"exact": 0, "base_measure": measure, "num_features": 64, **attrs}
        columns = {"elbo": log_px - 1, "log_evidence": log_px, "khat": np.full(len(log_px), khat)}
        columns["doubt"] = np.full(len(log_px), float(khat > 0.7))
        columns |= {f"{name}_se": np.full(len(log_px), 0.01) for name in ("elbo", "log_evidence")}
        variables = {name: ("datum", values) for name, values in columns.items()}
        results = xr.Dataset(variables, attrs=attrs)
    return Visit(stop, None, None, (0.5, 0.25), results, holes)


def with_claims(name, found):
    return dataclasses.replace(visit(name), claims=found)


def shifted(scores, shift):
    """The same results with higher scores; distances are smaller where densities are larger."""
    found = scores.copy(deep=True)
    for source, by in shift.items():
        noise = 0.1 * RNG.normal(size=found[f"{source}_log_density"].shape)
        found[f"{source}_log_density"] += by + noise
        found[f"{source}_distance"] = 0.3 - 0.01 * found[f"{source}_log_density"]
    return found


def test_the_linear_vae_is_held_against_pca():
    found = [visit("pca", log_px=[-3, -5], measure="lebesgue")]
    found.append(visit("linear-vae", log_px=[-3.5, -5.25], measure="lebesgue"))
    (said,) = story.conclusions(found)
    assert "The linear VAE's log p(x) differs from PCA's by -0.38 nats per datum" in said
    assert story.conclusions(found[:1]) == []


@pytest.mark.parametrize("sign", [1, -1])
def test_holes_are_compared_in_the_right_direction(sign):
    scores = made_up(RNG, 0.4)
    vae = shifted(scores, {"midpoint": 2.0 * sign, "draw": -3.0 * sign})
    deep = shifted(scores, {"midpoint": 0.0, "draw": 0.0})
    said = story.conclusions([visit("vae", holes=vae), visit("deep-autoencoder", holes=deep)])
    assert len(said) == 2
    for sentence, source, higher in zip(said, ("midpoint", "draw"), (sign, -sign), strict=True):
        ours, theirs = (each[f"{source}_log_density"].values for each in (vae, deep))
        mean, error = abs((ours - theirs).mean()), stats.sem(ours - theirs)
        words = ("above", "nearer to") if higher > 0 else ("below", "further from")
        assert f"{mean:.1f} nats {words[0]} the deep autoencoder's" in sentence
        assert f"(standard error {error:.1f})" in sentence
        assert f"lie {mean / 100:.4f} {words[1]} the nearest training picture" in sentence
        assert ("mid-points" if source == "midpoint" else "draws") in sentence


def claims(share=0.7, z=0.4, accuracy=0.9, gain=0.01):
    table = {"sharpness": [2.0, 2 * share], "se": 0.1, "share": [1, share], "share_se": [0, 0.02]}
    return Claims(
        sharpness=pd.DataFrame(table, index=["data", "draws"]),
        memory=MemoryTest(0.51, z, 0.3, 0.2, 0.2),
        overfit=(3.125, 0.5),
        neighbours=Accuracy(accuracy, 0.01),
        by_pixel=Accuracy(0.95, 0.01),
        directions=pd.DataFrame({"reached": [0.5, 0.75], "before": [0.0, 0.25]}),
        augmentation=pd.DataFrame(
            {"gain": [0.0, gain, -0.02], "gain_se": [0.0, 0.004, 0.004]},
            index=["labelled", "interpolated", "averaged"],
        ),
    )


def test_the_table_of_claims_has_what_applies():
    found = [
        with_claims("vae", claims()),
        with_claims("mixture", Claims(None, None, None, None, None)),
        visit("pca"),
    ]
    table = claims_table(found)
    assert list(table.index) == [seen.stop.title for seen in found[:2]]
    vae, mixture = table.to_dict("index").values()
    assert vae == {
        "sharpness of reconstructions": "-",
        "sharpness of draws": "0.70 (0.02)",
        "draws nearer to training data": "0.51 (z +0.4)",
        "log p(x), training - held-out": "+3.12 (0.50)",
        "classes by near codes": "0.900 (0.010)",
        "directions": "0.62 (worst 0.50)",
        "augmentation": "+0.010 (0.004)",
    }
    assert set(mixture.values()) == {"-"}


SAID = {
    "blurred": (claims(share=0.7), "means of p(x | z) are blurred"),
    "sharp": (claims(share=0.98), "no blur is seen"),
    "copies": (claims(z=4.0), "it copies"),
    "far": (claims(z=-4.0), "are no copies"),
    "neither": (claims(z=-2.0), "no memory is seen"),
    "moved": (claims(), "taken for the other class in 62%, and in 12.5% before the move"),
    "helped": (claims(gain=0.013), "helps logistic regression: +0.013"),
    "harmed": (claims(gain=-0.013), "harms logistic regression: -0.013"),
    "no matter": (claims(gain=-0.011), "neither helps nor harms"),
}


@pytest.mark.parametrize(("found", "words"), SAID.values(), ids=SAID)
def test_a_claim_is_called_seen_at_three_standard_errors(found, words):
    assert words in " ".join(story.conclusions([with_claims("vae", found)]))


def test_the_model_whose_codes_tell_classes_apart_best_is_named():
    found = [with_claims("pca", claims()), with_claims("vae", claims(accuracy=0.95))]
    (said,) = (line for line in story.conclusions(found) if "Data of a class" in line)
    assert "codes of VAE" in said
    assert "95.0% of held-out data" in said


def moons(*reached):
    """A visit of each of the four, with this share of three-quarter moons in 200."""
    visits = []
    for stop, share in zip(MOON_STOPS, reached, strict=True):
        ones = np.arange(200) < 200 * share
        found = {
            "midpoint_distance": ("pair", np.where(ones, 0.05, 0.15)),
            "average_distance": ("pair", np.full(200, 0.14)),
            "reconstruction_distance": ("datum", np.full(400, 0.04)),
            "midpoint_state": ("pair", np.where(ones, 0.75, 1.0)),
            "halfway": ("pair", np.full(200, 0.75)),
            "reached": ("pair", ones),
        }
        visits.append(MoonVisit(stop, xr.Dataset(found), torch.zeros(9, 16, 16)))
    return visits


def test_the_sentences_on_moons_name_the_right_model():
    three, every = moon_sentences(moons(0.01, 0.02, 0.25, 0.9))
    assert "2% of the VAE's" in three
    assert "1% of the autoencoder's" in three
    assert "every phase, 90% of the VAE's" in every
    assert "25% of the autoencoder's" in every


def test_the_table_of_moons_has_means_and_errors():
    table = moon_table(moons(0.0, 0.0, 0.25, 1.0))
    assert list(table.index) == [
        "Autoencoder, three phases",
        "VAE, three phases",
        "Autoencoder, all phases",
        "VAE, all phases",
    ]
    error = stats.sem(np.arange(200) < 50)
    assert table.loc["Autoencoder, all phases"].to_dict() == {
        "reconstructions to a moon": "0.040 (0.000)",
        "mid-points to a moon": f"0.125 ({0.1 * error:.3f})",
        "lit": f"0.94 ({0.25 * error:.2f})",
        "three-quarter moons": f"0.25 ({error:.2f})",
    }


def test_the_walks_of_moons_are_under_the_true_phases():
    figure = moon_walks(moons(0.0, 0.0, 0.0, 0.0))
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "true phases",
        *(stop.title for stop in MOON_STOPS),
    ]


def test_the_table_of_holes_has_each_score_under_its_name():
    scores = made_up(RNG, 0.4)
    found = [visit("autoencoder", holes=scores), visit("mixture")]
    (row,) = story.hole_table(found).to_dict("index").values()
    for source, label in (("midpoint", "mid-point"), ("draw", "draw")):
        for score, name, digits in (("density", "log_density", 1), ("distance", "distance", 4)):
            values = scores[f"{source}_{name}"].values
            expected = f"{values.mean():.{digits}f} ({stats.sem(values):.{digits}f})"
            assert row.pop(f"{label} {score}") == expected
    assert not row


def test_the_fewest_bits_win_and_densities_have_none():
    found = [
        visit("pca", log_px=[900, 901], measure="lebesgue"),
        visit("vae", log_px=[-100, -104]),
        visit("mixture", log_px=[-90, -94], exact=1),
        visit("beta-vae", log_px=[-110, -112]),
    ]
    (said,) = story.conclusions(found)
    assert "Mixture needs the fewest bits" in said
    assert f"{92 / (64 * math.log(2)):.3f} per dimension" in said


def test_cells_have_sampling_errors_and_bounds_are_marked():
    found = [
        visit("vae", log_px=[-100, -104, -90]),
        visit("beta-vae", log_px=[-100, -104, -90], khat=0.9),
        visit("mixture", log_px=[-100, -104, -90], khat=0.9, exact=1),
        visit("vq-vae", log_px=[-100, -104, -90], deterministic_guide=1),
        visit("pca", log_px=[-100, -104, -90], measure="lebesgue", exact=1),
    ]
    table = story.table(found)
    mean, error = -98.0, stats.sem([-100, -104, -90])
    bits = (f"{-mean / (64 * math.log(2)):.3f}", f"{error / (64 * math.log(2)):.3f}")
    for title, mark, other in (
        ("VAE", "", ""),
        ("beta-VAE, beta = 4", "≥ ", "≤ "),
        ("Mixture", "", ""),
        ("VQ-VAE", "≥ ", "≤ "),
    ):
        row = table.loc[title]
        assert row["squared error"] == "0.5000 (0.2500)"
        assert row["ELBO"] == f"-99.0 ({error:.1f})"
        assert row["log p(x)"] == f"{mark}{mean:.1f} ({error:.1f})"
        assert row["bits/dim"] == f"{other}{bits[0]} ({bits[1]})"
    assert table.loc["PCA", "log p(x)"] == f"{mean:.1f} ({error:.1f}) density"
    assert table.loc["PCA", "bits/dim"] == "-"


def test_pictures_are_judged_as_the_model_is_trained_on_them():
    """Dynamic binarisation keeps grey levels, and trains on draws."""
    digits = data.load("digits", binarisation="dynamic", seed=0)
    reference = hole_reference(digits)
    seen = digits.epoch_train(0)
    assert set(seen.unique().tolist()) == {0.0, 1.0}
    np.testing.assert_allclose(reference.pca.mean_, seen.flatten(1).double().mean(0), atol=1e-12)
