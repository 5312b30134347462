"""Simulated pictures: their geometry, their design, and how they are found."""

import contextlib
import io
import math
import sys
from unittest import mock

import numpy as np
import pytest
import torch

from pyro_vae.cli import main
from pyro_vae.data import SPRITE_FACTORS, catalogue, every_moon, load, moon
from pyro_vae.data.moon_phases import MoonPhases
from pyro_vae.data.sprites import SHAPES, sprite

SPLITS = ("train", "validation", "test")


def whole(data):
    """Every picture of a set with its factors, whatever split it is in."""
    pictures = torch.cat([getattr(data, split) for split in SPLITS])
    return pictures, torch.cat([data.covariates[split] for split in SPLITS]).long()


def centroid(pictures):
    """Centroid (x, y) of the ink, in pixels from the left and top edges."""
    ink = pictures.double() / pictures.double().sum((1, 2), keepdim=True)
    middles = torch.arange(pictures.shape[-1], dtype=torch.double) + 0.5
    return (ink.sum(1) * middles).sum(1), (ink.sum(2) * middles).sum(1)


def test_sprites_are_where_their_factors_say():
    pictures, factors = whole(load("sprites"))
    x, y = centroid(pictures)
    torch.testing.assert_close(x, 3.5 + factors[:, 2].double())
    torch.testing.assert_close(y, 3.5 + factors[:, 3].double())


def test_sprites_have_the_area_of_their_shape():
    """4h^2, pi h^2 and 4h^2 (1 - 0.7^2), up to where the outline falls between points.

    Half the width of an arm is right to an eighth of a pixel, and its derivative of the area
    is 8h - 8a = 5.6h.
    """
    pictures, factors = whole(load("sprites"))
    h = 2 + 0.5 * factors[:, 1].double()
    area = pictures.double().sum((1, 2)) / 16
    exact = torch.stack([4 * h**2, math.pi * h**2, 4 * h**2 * (1 - 0.7**2)], 1)
    exact = exact.gather(1, factors[:, :1])[:, 0]
    assert ((area - exact).abs() <= 5.6 * h / 8).all()
    square = factors[:, 0] == SHAPES.index("square")
    assert torch.equal(area[square], exact[square])
    disc = factors[:, 0] == SHAPES.index("disc")
    assert ((area - exact).abs() / exact)[disc].max() < 0.04


def test_a_sprite_against_one_drawn_by_hand():
    one = torch.ones(1)
    cross = sprite(torch.tensor([2]), 2.5 * one, 8.0 * one, 4.0 * one)[0]
    # Arms from -0.75 to 0.75 pixels, three rows of points a pixel; a fourth of the column of
    # points at 0.875 pixels is in neither arm; 5 pixels long: half a pixel at each end.
    assert cross[4, 5:11].tolist() == [6, 12, 15, 15, 12, 6]
    assert cross[1:7, 8].tolist() == [6, 12, 15, 15, 12, 6]
    assert cross[2, 6] == 0
    assert sprite(torch.tensor([0]), 2.5 * one, 8.0 * one, 4.0 * one)[0, 2, 6] == 16
    # Only the level set at x = 8, y = 4: nothing where row and column are swapped.
    assert cross[8, 4] == 0


def test_the_design_of_sprites_is_balanced():
    data = load("sprites")
    pictures, factors = whole(data)
    sizes = list(SPRITE_FACTORS.values())
    assert [len(getattr(data, split)) for split in SPLITS] == [840, 120, 240]
    cells, counts = torch.unique(factors, dim=0, return_counts=True)
    assert len(cells) == math.prod(sizes) == 1200
    assert (counts == 1).all()
    assert cells.amin(0).tolist() == [0, 0, 0, 0]
    assert (cells.amax(0) + 1).tolist() == sizes
    # All pictures differ, so that the factors can be told from them.
    assert len(torch.unique(pictures.flatten(1), dim=0)) == 1200
    for split in SPLITS:
        assert torch.equal(data.labels[split], data.covariates[split][:, 0].long())


def test_sprites_take_the_forms_of_grey_levels():
    data = load("sprites")
    assert (data.kind, data.maximum, data.event_shape) == ("counts", 16, (16, 16))
    assert torch.equal(load("sprites", values="unit-interval").test, data.test / 16)
    binary = load("sprites", binarisation="stochastic", seed=3)
    assert binary.kind == "binary"
    assert torch.equal(binary.covariates["test"], data.covariates["test"])
    surely = (data.test == 0) | (data.test == 16)
    assert torch.equal(binary.test[surely], data.test[surely] / 16)


@pytest.mark.parametrize("lit", [0.0, 0.1, 0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize(("radius", "centre"), [(5.5, (8.0, 8.0)), (6.0, (7.6, 8.3))])
def test_the_lit_area_is_the_lit_fraction_of_the_disc(lit, radius, centre):
    exact = lit * math.pi * radius**2
    assert float(moon(lit, radius, centre).sum()) == pytest.approx(exact, rel=2e-3)


def test_a_moon_against_counting_points():
    """The terminator as the edge of a lit half sphere, turned and seen from afar."""
    lit, radius, (cx, cy), fine = 0.3, 5.2, (7.7, 8.4), 40
    points = (np.arange(16 * fine) + 0.5) / fine
    x, y = np.meshgrid((points - cx) / radius, (points - cy) / radius)
    depth = np.sqrt(np.maximum(1 - x**2 - y**2, 0))
    # The sun at the angle whose cosine is 2 lit - 1 to the line of sight.
    cosine = 2 * lit - 1
    day = x * np.sqrt(1 - cosine**2) + depth * cosine > 0
    inside = (x**2 + y**2 < 1) & day
    expected = inside.reshape(16, fine, 16, fine).mean((1, 3))
    got = moon(lit, radius, (cx, cy)).numpy()
    assert np.abs(got - expected).max() < 0.02
    # Lit from the right; the top of the picture is its first row.
    assert got[:, 8:].sum() > 0.99 * got.sum()


def test_moons_broadcast_and_refuse_what_is_no_phase():
    lit = torch.tensor([[0.2], [0.9]])
    radius = torch.tensor([4.0, 5.0, 6.0])
    many = moon(lit, radius, torch.tensor([8.0, 7.0]), size=20)
    assert many.shape == (2, 3, 20, 20)
    torch.testing.assert_close(many[1, 2], moon(0.9, 6.0, (8.0, 7.0), size=20))
    with pytest.raises(ValueError, match=r"lit got 0.5 to 1.5.*from 0 \(new\) to 1"):
        moon(torch.tensor([0.5, 1.5]))
    with pytest.raises(ValueError, match="radius got 0: it must be positive"):
        moon(0.5, radius=0)


def test_moon_phases_are_lit_as_their_labels_say():
    data = load("moon-phases", seed=1)
    assert (data.kind, data.event_shape) == ("unit-interval", (16, 16))
    for split, count in zip(SPLITS, (1500, 300, 600), strict=True):
        pictures, labels = getattr(data, split).double(), data.labels[split]
        assert torch.bincount(labels).tolist() == [count / 3] * 3
        # Of a radius from 5 to 6 and a brightness from 0.8 to 1, drawn anew for each.
        area = pictures.sum((1, 2)) / (math.pi * torch.tensor([0.25, 0.5, 1.0])[labels])
        assert 0.99 * 0.8 * 25 < area.min() < 0.87 * 25
        assert 0.94 * 36 < area.max() < 1.01 * 36
        assert len(torch.unique(pictures.flatten(1), dim=0)) == count
    x, y = centroid(data.train[data.labels["train"] == 2])
    for middle in (x, y):
        assert 7.45 < middle.min() < 7.55
        assert 8.45 < middle.max() < 8.55
    # Every picture holds a whole moon: the border is dark.
    assert data.train[:, [0, -1]].max() < 0.05


def test_moons_of_all_phases_are_lit_as_their_labels_say():
    """By area, of a radius from 5 to 6; brightness is the brightest pixel's."""
    data = load("all-moon-phases", seed=1)
    pictures, labels = data.train.double(), data.labels["train"]
    assert (len(pictures), len(data.validation), len(data.test)) == (1500, 300, 600)
    assert torch.bincount(labels).tolist() == [49] * 12 + [48] * 19
    area = pictures.sum((1, 2)) / pictures.amax((1, 2)) / (math.pi * (0.25 + labels / 40))
    assert 24 < area.min() < 26
    assert 35 < area.max() < 37
    assert 0.79 < pictures.amax() <= 1


def test_every_moon_has_each_phase_radius_and_place():
    pictures, lit = every_moon()
    assert len(pictures) == len(lit) == 41 * 6 * 36
    number = 30 * 216 + 2 * 36 + 5 * 6 + 1
    torch.testing.assert_close(pictures[number], moon(0.75, 5.4, (8.5, 7.7)))
    assert lit[number] == 0.75


def test_moon_phases_are_drawn_with_the_seed():
    one, two, other = (load("moon-phases", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.train, two.train)
    assert not torch.equal(one.train, other.train)
    assert not torch.equal(one.train[:300], one.validation)
    state = torch.get_rng_state()
    load("moon-phases")
    load("sprites")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(load("sprites", seed=1).train, load("sprites", seed=2).train)
    assert MoonPhases().built_in


def test_the_command_lists_them():
    listed = {entry.name: entry for entry in catalogue()}
    assert listed["sprites"].available
    assert listed["moon-phases"].available
    assert listed["all-moon-phases"].available
    with (
        contextlib.redirect_stdout(io.StringIO()) as printed,
        mock.patch.object(sys, "argv", ["pyro-vae", "data"]),
        pytest.raises(SystemExit) as exited,
    ):
        main()
    assert not exited.value.code
    for name in ("sprites", "moon-phases"):
        assert name in printed.getvalue()
