"""What networks of images share: sizes from layer to layer, enlargement, and a decoder's end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from pyro_vae.networks.layers import check_widths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = [
    "ImageDecoder",
    "UpConv2d",
    "check_channels",
    "check_per_feature",
    "image_shape_of",
    "image_sizes",
    "images_text",
]


def check_channels(channels: Sequence[int]) -> None:
    """Refuse an empty list, and numbers of channels that are not positive integers."""
    check_widths("number of channels", channels, "channels=(32, 64)")
    if not channels:
        raise ValueError(
            "channels got (): there must be at least one convolution, as in channels=(32, 64); "
            "Dense has none"
        )


class UpConv2d(nn.Conv2d):
    """Nearest-neighbour enlargement to ``size``, then a convolution that keeps it.

    Free of the checkerboard of transposed convolutions: Odena et al. (2016).
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, size: tuple[int, int], bias: bool
    ) -> None:
        super().__init__(channels_in, channels_out, kernel, padding=kernel // 2, bias=bias)
        self.size = size

    def forward(self, h: Tensor) -> Tensor:
        """Map ``(n, channels_in, height, width)`` to ``(n, channels_out, *size)``."""
        return super().forward(F.interpolate(h, size=self.size, mode="nearest"))


class ImageDecoder(nn.Module):
    """A decoder that ends in ``convolutions`` and a ``bias`` for every output.

    The output is laid out as ``(parts, *event_shape)``: all means, then all raw scales, and so
    on. The last convolution has no bias of its own, which would be one for every channel.
    """

    convolutions: nn.Module
    bias: nn.Parameter

    def _paint(self, smallest: Tensor, lead: torch.Size) -> Tensor:
        """Output ``(*lead, num_params)`` from images ``(n, channels, height, width)``."""
        return self.convolutions(smallest).reshape(*lead, len(self.bias)) + self.bias

    def set_output(self, eta: Tensor) -> None:
        """Start the output around ``eta``, shape ``(num_params,)``, by its bias."""
        with torch.no_grad():
            self.bias.copy_(eta)


def check_per_feature(num_params: int, image_shape: tuple[int, int, int]) -> None:
    """Refuse a number of parameters that is not the same for every feature."""
    if num_params % math.prod(image_shape):
        raise ValueError(
            f"num_params got {num_params} for {math.prod(image_shape)} features: a "
            "convolutional decoder gives the same number of parameters for every feature. "
            "Take a Dense decoder for this likelihood (a full covariance, for example)."
        )


def image_shape_of(event_shape: Sequence[int]) -> tuple[int, int, int]:
    """``(C, H, W)`` of an event."""
    if len(event_shape) not in (2, 3):
        raise ValueError(
            f"event_shape got {tuple(event_shape)}: convolutions need images, (H, W) or "
            "(C, H, W). Reshape the data, or take Dense."
        )
    channels, height, width = (1, *event_shape)[-3:]
    return channels, height, width


def image_sizes(image_shape: tuple[int, int, int], steps: int) -> list[tuple[int, int]]:
    """Height and width before, between and after the convolutions of stride 2."""
    sizes = [image_shape[1:]]
    for _ in range(steps):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def images_text(size: tuple[int, int], channels: Sequence[int]) -> str:
    """Size and channels in one line."""
    return f"convolutions {size[0]}x{size[1]}, channels {'-'.join(map(str, channels))}"
