"""Encoder and decoder whose code is a small image: places stay places."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch
from torch import nn

from pyro_vae.networks.architecture import Architecture
from pyro_vae.networks.images import (
    ImageDecoder,
    UpConv2d,
    check_channels,
    check_per_feature,
    image_shape_of,
    image_sizes,
    images_text,
)
from pyro_vae.networks.layers import chain, check_activation, check_widths, start, stem_gain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["ConvolutionalGrid", "GridDecoder", "GridEncoder"]


@final
@dataclass(frozen=True)
class ConvolutionalGrid(Architecture):
    """``GridEncoder`` and ``GridDecoder``: see there. For images whose code is a small image.

    Parameters
    ----------
    channels, activation
        As for ``Convolutional``.
    hidden
        Channels of every convolution on the grid itself, which keep the size: after the others
        in an encoder, before them in a decoder.
    residual
        Skip connections around the layers after the first.

    Raises
    ------
    UnknownNameError
        If the activation is not known.
    ValueError
        If a number of channels is not a positive integer.
    """

    channels: tuple[int, ...] = (32, 64)
    hidden: tuple[int, ...] = ()
    activation: str = "relu"
    residual: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_channels(self.channels)
        check_widths("number of channels", self.hidden, "hidden=(64,)")
        check_activation(self.activation)

    def grid(self, event_shape: Sequence[int]) -> tuple[int, int]:
        """Height and width of the grid: of an image after the convolutions of stride 2."""
        return image_sizes(image_shape_of(event_shape), len(self.channels))[-1]

    def encoder(
        self, event_shape: tuple[int, ...], num_conditions: int, size_out: int
    ) -> GridEncoder:
        """Network from ``(..., D)`` to ``(..., size_out)``; refused where there is a condition."""
        if num_conditions:
            raise ValueError(
                f"num_conditions got {num_conditions}: a grid has no place for a condition; take "
                "Convolutional"
            )
        return GridEncoder(event_shape, size_out, self)

    def decoder(self, size_in: int, event_shape: tuple[int, ...], num_params: int) -> GridDecoder:
        """Network from ``(..., size_in)`` to ``(..., num_params)``."""
        return GridDecoder(size_in, event_shape, num_params, self)


@final
class GridEncoder(nn.Module):
    """Convolutions to a small image of vectors, with no dense layer.

    Maps ``(..., D)``, the flattened image, to ``(..., size_out)``, laid out as
    ``(height, width, size_out / (height * width))``, for any leading dimensions.

    Parameters
    ----------
    event_shape
        Shape of one image, ``(H, W)`` or ``(C, H, W)``, of any size.
    size_out
        Length of the output, a multiple of the places of ``plan.grid(event_shape)``.
    plan
        The layers.

    Raises
    ------
    ValueError
        If the data are no images, or the output does not divide over the places.
    """

    def __init__(self, event_shape: Sequence[int], size_out: int, plan: ConvolutionalGrid) -> None:
        super().__init__()
        self.image_shape = image_shape_of(event_shape)
        self.size_out = size_out
        depth = _depth(size_out, plan.grid(event_shape))
        widths = [self.image_shape[0], *plan.channels, *plan.hidden]
        strides = [2] * len(plan.channels) + [1] * len(plan.hidden)
        stem, *rest = [
            nn.Conv2d(a, b, 3, stride=stride, padding=1)
            for (a, b), stride in zip(itertools.pairwise(widths), strides, strict=True)
        ]
        start(stem, stem_gain(plan.activation, plan.residual))
        skips = None
        if plan.residual:
            steps = itertools.pairwise(widths[1:])
            skips = [
                nn.Conv2d(a, b, 1, stride=stride, bias=False)
                for (a, b), stride in zip(steps, strides[1:], strict=True)
            ]
        output = nn.Conv2d(widths[-1], depth, 1)
        self.convolutions = nn.Sequential(stem, *chain(rest, skips, plan.activation), output)
        start(output, 1.0)
        self._text = images_text(self.image_shape[1:], [*widths[1:], depth])

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(..., D)`` to ``(..., size_out)``."""
        h = self.convolutions(features.reshape(-1, *self.image_shape))
        return h.permute(0, 2, 3, 1).reshape(*features.shape[:-1], self.size_out)

    def summary(self) -> str:
        """Sizes and channels in one line."""
        return self._text


@final
class GridDecoder(ImageDecoder):
    """Convolutions from a small image of vectors to a large one: ``GridEncoder`` backwards.

    Maps ``(..., size_in)``, laid out as the output of ``GridEncoder``, to ``(..., num_params)``,
    laid out as ``(parts, *event_shape)``.

    Parameters
    ----------
    size_in
        Length of the input, a multiple of the places of ``plan.grid(event_shape)``.
    event_shape
        Shape of one image, ``(H, W)`` or ``(C, H, W)``, of any size.
    num_params
        Length of the output, a multiple of the number of features.
    plan
        The layers; skip connections are around every one between the first and the last.

    Raises
    ------
    ValueError
        If the data are no images, or a length does not divide over the places or the features.
    """

    def __init__(
        self, size_in: int, event_shape: Sequence[int], num_params: int, plan: ConvolutionalGrid
    ) -> None:
        super().__init__()
        channels = plan.channels
        image_shape = image_shape_of(event_shape)
        check_per_feature(num_params, image_shape)
        *sizes, places = image_sizes(image_shape, len(channels))
        sizes.reverse()
        self.grid_shape = (*places, _depth(size_in, places))
        widths = [*plan.hidden, channels[0]]
        stem = nn.Conv2d(self.grid_shape[-1], widths[0], 3, padding=1)
        start(stem, stem_gain(plan.activation, plan.residual))
        flat = list(itertools.pairwise(widths))
        steps = [(a, b, s) for (a, b), s in zip(itertools.pairwise(channels), sizes, strict=False)]
        layers = [nn.Conv2d(a, b, 3, padding=1) for a, b in flat]
        layers += [UpConv2d(a, b, 3, size, bias=True) for a, b, size in steps]
        skips = [nn.Conv2d(a, b, 1, bias=False) for a, b in flat]
        skips += [UpConv2d(a, b, 1, size, bias=False) for a, b, size in steps]
        channels_out = num_params // math.prod(image_shape[1:])
        output = UpConv2d(channels[-1], channels_out, 3, sizes[-1], bias=False)
        self.convolutions = nn.Sequential(
            stem, *chain(layers, skips if plan.residual else None, plan.activation), output
        )
        start(output, 1.0)
        self.bias = nn.Parameter(torch.zeros(num_params))
        self._text = images_text(image_shape[1:], [self.grid_shape[-1], *plan.hidden, *channels])

    def forward(self, z: Tensor) -> Tensor:
        """Map ``(..., size_in)`` to ``(..., num_params)``."""
        h = z.reshape(-1, *self.grid_shape).permute(0, 3, 1, 2)
        return self._paint(h, z.shape[:-1])

    def summary(self) -> str:
        """Channels and sizes in one line."""
        return self._text


def _depth(size: int, places: tuple[int, int]) -> int:
    """Length of the vector at every place of a grid."""
    count = math.prod(places)
    if size % count:
        raise ValueError(
            f"a grid of {places[0]}x{places[1]} got {size} numbers: their number must be a "
            f"multiple of its {count} places"
        )
    return size // count
