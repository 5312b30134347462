"""Directions between codes, on sprites of which a code is known to hold each factor alone."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pyro_vae.errors import DataError
from pyro_vae.inference.latents import direction_summary, direction_test

#: Bars of two values: how high, and how far along, of nine pixels in all.
DESIGN = torch.cartesian_prod(torch.arange(3), torch.arange(2)).float()


def draw(factors):
    """The bar that a height and a place come to: one family of data, nine values each."""
    height, place = factors.T
    columns = torch.arange(3) - place[:, None]
    rows = (torch.arange(3) <= height[:, None]).float()
    return rows[:, :, None] * (1 - columns.abs()).clamp_min(0)[:, None, :]


FAMILY = draw(DESIGN)
CLASSES = {"height": DESIGN[:, 0].long(), "place": DESIGN[:, 1].long()}


def coded(mix):
    """A model whose code is the two factors, in a basis."""
    mix = torch.as_tensor(mix, dtype=torch.float32)

    def code(x):
        which = (x[:, None] - FAMILY).square().sum((2, 3)).argmin(1)
        return DESIGN[which] @ mix

    return SimpleNamespace(code=code, decode=lambda z: draw((z @ mix.inverse()).round()))


def judged(model, **changed):
    given = {"family": FAMILY, "family_factors": CLASSES, **changed}
    x, classes = given.pop("test", FAMILY), given.pop("test_factors", CLASSES)
    return direction_test(model, FAMILY, CLASSES, x, classes, **given)


@pytest.mark.parametrize("mix", [[[1, 0], [0, 1]], [[1, 2], [1, -1]]])
def test_a_code_that_is_linear_in_the_factors_moves_one_alone(mix):
    found = judged(coded(mix))
    assert list(found.index) == [
        *(("height", a, b) for a in range(3) for b in range(3) if a != b),
        *(("place", a, b) for a in range(2) for b in range(2) if a != b),
    ]
    assert (found["reached"] == found["moved"]).all()
    assert (found["kept"] == found["moved"]).all()
    assert (found["before"] == 0).all()
    assert found.loc["height", "moved"].tolist() == [2] * 6
    shares = direction_summary(found)
    assert shares.loc["height", ["right", "reached", "before", "kept place"]].tolist() == [
        1,
        1,
        0,
        1,
    ]
    assert np.isnan(shares.loc["height", "kept height"])


def test_a_factor_that_moves_along_is_not_kept():
    """The code of a bar of another height is that of another place, too."""
    tied = coded([[1, 0], [0, 1]])
    decode = tied.decode

    def tie(z):
        # Above the lowest height, the place is turned over.
        return decode(torch.stack([z[:, 0], (z[:, 1] - (z[:, 0] > 0).float()).abs()], dim=1))

    found = judged(SimpleNamespace(code=tied.code, decode=tie))
    lowest = [(a, b) for a, b in found.loc["height"].index if 0 in (a, b)]
    assert (found.loc["height"].loc[lowest, "kept place"] == 0).all()
    assert (found.loc["height"].loc[[(1, 2), (2, 1)], "kept place"] == 2).all()
    shares = direction_summary(found)
    assert shares.loc["height", "kept"] == pytest.approx(1 / 3)
    # Read from what is decoded: of the bars above the lowest, the place was wrong before.
    assert shares.loc["place", "right"] == pytest.approx(1 / 3)


def test_a_code_without_the_factor_reaches_nothing():
    blind = SimpleNamespace(
        code=lambda x: torch.zeros(len(x), 2), decode=lambda z: draw(torch.zeros(len(z), 2))
    )
    found = direction_summary(judged(blind))
    assert found.loc["height", "reached"] == found.loc["height", "before"] == 1 / 3
    assert (found["kept"] == 1).all()


def test_held_out_data_may_lack_a_class():
    low = CLASSES["height"] < 2
    part = {name: of[low] for name, of in CLASSES.items()}
    found = judged(coded([[1, 0], [0, 1]]), test=FAMILY[low], test_factors=part)
    assert {source for name, source, _ in found.index if name == "height"} == {0, 1}
    assert found["moved"].sum() == 4 * 2 + 4


REFUSED = {
    "another factor": ({"family_factors": {"height": CLASSES["height"]}}, "factors of family got"),
    "a class too few": ({"test_factors": {**CLASSES, "place": [0, 1]}}, "of test got shape"),
}


@pytest.mark.parametrize(("changed", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused(changed, words):
    with pytest.raises(DataError, match=words):
        judged(coded([[1, 0], [0, 1]]), **changed)


def test_a_factor_of_one_class_has_no_direction():
    with pytest.raises(DataError, match="'place' has one class"):
        direction_test(
            coded([[1, 0], [0, 1]]),
            FAMILY[::2],
            {name: of[::2] for name, of in CLASSES.items()},
            FAMILY,
            CLASSES,
            family=FAMILY,
            family_factors=CLASSES,
        )
