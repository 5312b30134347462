"""Pictures of one shape, made of known factors that are independent of each other.

In the manner of dSprites (Matthey, Higgins, Hassabis & Lerchner, 2017), small enough to be
drawn when asked for: what a latent dimension has learnt can be held against the truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pyro_vae.data.sources import RawData, Source, split_by_seed

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

__all__ = ["SHAPES", "SPRITE_FACTORS", "Sprites", "sprite"]

#: Shapes, in the order of their classes.
SHAPES = ("square", "disc", "cross")

#: Number of classes of each factor; the columns of the covariates of ``sprites``, in order.
SPRITE_FACTORS = {"shape": 3, "size": 4, "x": 10, "y": 10}

_SIDE = 16
# A pixel is a block of 4x4 points, and its level the number of them that are inked.
_POINTS = 4
_ARM = 0.3


def sprite(shape: Tensor, half_width: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Pictures of one shape each: the number of 4x4 points in a pixel that it covers.

    Parameters
    ----------
    shape
        Classes ``(n,)``: 0 a square, 1 a disc, 2 an upright cross.
    half_width
        Half of the shape's width and height, in pixels, ``(n,)``.
    x, y
        Its centre ``(n,)``, in pixels from the left edge and from the top one.

    Returns
    -------
    Tensor
        Levels 0 to 16, float32 ``(n, 16, 16)``, row by row from the top.
    """
    points = (torch.arange(_SIDE * _POINTS) + 0.5) / _POINTS
    across = (points - x[:, None]).abs()[:, None, :] / half_width[:, None, None]
    down = (points - y[:, None]).abs()[:, :, None] / half_width[:, None, None]
    box = (across <= 1) & (down <= 1)
    inked = torch.stack(
        [box, across.square() + down.square() <= 1, box & ((across <= _ARM) | (down <= _ARM))], 1
    )
    chosen = inked[torch.arange(len(shape)), shape]
    blocks = chosen.reshape(-1, _SIDE, _POINTS, _SIDE, _POINTS)
    return blocks.sum((2, 4)).float()


class Sprites(Source):
    """Every combination of 3 shapes, 4 sizes and 10x10 places once: 1,200 pictures.

    Half the width is 2, 2.5, 3 or 3.5 pixels, and the centres are 3.5 to 12.5 pixels from the
    left and the top. The covariates are the classes of ``SPRITE_FACTORS``, numbered from 0; the
    labels are the shapes. Of the binarisations take the stochastic or the dynamic one: at a
    threshold some of the sizes and shapes look alike.
    """

    name = "sprites"
    description = "1,200 pictures of 3 shapes x 4 sizes x 10x10 places (simulated)"
    event_shape = (_SIDE, _SIDE)
    kind = "counts"
    largest_level = _POINTS**2

    def read(self, root: Path, seed: int, download: bool) -> RawData:
        """Draw the whole design, split 840 / 120 / 240."""
        grid = torch.cartesian_prod(*(torch.arange(size) for size in SPRITE_FACTORS.values()))
        shape, size, x, y = grid.T
        images = sprite(shape, 2 + 0.5 * size, 3.5 + x, 3.5 + y)
        sizes = {"train": 840, "validation": 120, "test": 240}
        return split_by_seed(images, shape, sizes, covariates=grid.float())
