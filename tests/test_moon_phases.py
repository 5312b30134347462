"""The example's moons and pairs are what its table calls them."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from pyro_vae.inference.latents.halfway import nearest_member

EXAMPLE = Path(__file__).parent.parent / "examples" / "moon_phases.py"


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(EXAMPLE))


@pytest.fixture(scope="module")
def lit(example):
    def of(pictures):
        _, which = nearest_member(pictures, example["FAMILY"], gain=(0.8, 1.0))
        return example["LIT"].numpy()[which]

    return of


def test_pairs_are_disjoint_halves_and_full_moons(example, lit):
    half, full = example["pairs"]()
    assert half.shape == full.shape == (200, 16, 16)
    assert np.abs(lit(half) - 0.5).max() < 0.06
    assert lit(full).min() > 0.94
    assert len(torch.cat([half, full]).flatten(1).unique(dim=0)) == 400


def test_the_gap_is_where_it_is_said_to_be(example, lit):
    kept = lit(example["MOONS"]["all but 0.6-0.9"]().test)
    assert not ((kept > 0.65) & (kept < 0.85)).any()
    assert (kept > 0.85).any()
    assert (kept < 0.65).any()


def test_every_other_moon_wanes(example):
    whole, both = (example["MOONS"][n]() for n in ("all phases", "all, waxing and waning"))
    assert torch.equal(both.train[1::2], whole.train[1::2])
    assert torch.equal(both.train[::2].flip(-1), whole.train[::2])


def test_a_row_is_of_the_seeds(example):
    found = [dict.fromkeys(("reconstruction distance", "midpoint distance"), v) for v in (0, 1)]
    for part, reached in zip(found, (0.25, 0.75), strict=True):
        part |= {"midpoint state": 0.5, "reached": reached}
    shown = example["row"](found)
    assert shown["midpoint distance"] == "0.500 (0.000-1.000)"
    assert shown["reached"] == "50 (25-75)"
