"""Convolutional encoder and decoder for images of any size, with dense layers between."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch
from torch import nn

from pyro_vae.networks.architecture import Architecture, Dense
from pyro_vae.networks.images import (
    ImageDecoder,
    UpConv2d,
    check_channels,
    check_per_feature,
    image_shape_of,
    image_sizes,
    images_text,
)
from pyro_vae.networks.layers import (
    BatchNormImages,
    chain,
    check_layers,
    normalisers,
    start,
    stem_gain,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["ConvDecoder", "ConvEncoder", "Convolutional"]


@final
@dataclass(frozen=True)
class Convolutional(Architecture):
    """``ConvEncoder`` and ``ConvDecoder``: see there. For images.

    Parameters
    ----------
    channels
        Channels in the order of the layers: from the large image to the small one in an
        encoder, from the small to the large in a decoder.
    hidden
        Width of every hidden layer after the convolutions of an encoder, or before those of a
        decoder.
    activation
        One of ``ACTIVATIONS``.
    residual
        Skip connections around the layers after the first: linear around convolutions, as they
        change the size.
    batch_norm
        Batch normalisation before every activation; not beside ``residual``.

    Raises
    ------
    UnknownNameError, ValueError
        As for ``MLP``; a number of channels is a positive integer, too.
    """

    channels: tuple[int, ...] = (32, 64)
    hidden: tuple[int, ...] = (128,)
    activation: str = "relu"
    residual: bool = False
    batch_norm: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_channels(self.channels)
        check_layers(
            self.hidden, self.activation, residual=self.residual, batch_norm=self.batch_norm
        )

    @property
    def dense(self) -> Dense:
        """The layers that are no convolutions."""
        return Dense(self.hidden, self.activation, self.residual, self.batch_norm)

    def encoder(
        self, event_shape: tuple[int, ...], num_conditions: int, size_out: int
    ) -> ConvEncoder:
        """Network from ``(..., D + num_conditions)`` to ``(..., size_out)``."""
        return ConvEncoder(event_shape, num_conditions, size_out, self)

    def decoder(self, size_in: int, event_shape: tuple[int, ...], num_params: int) -> ConvDecoder:
        """Network from ``(..., size_in)`` to ``(..., num_params)``."""
        return ConvDecoder(size_in, event_shape, num_params, self)


@final
class ConvEncoder(nn.Module):
    """Convolutions of stride 2, then an MLP that also hears the condition.

    Maps ``(..., D + num_conditions)``, the flattened image and then the condition, to
    ``(..., size_out)`` for any leading dimensions.

    Parameters
    ----------
    event_shape
        Shape of one image, ``(H, W)`` or ``(C, H, W)``, of any size: a convolution takes n to
        the ceiling of n / 2.
    num_conditions
        Length of the condition, 0 for none.
    size_out
        Length of the output.
    plan
        The layers.

    Raises
    ------
    ValueError
        If the data are no images.
    """

    def __init__(
        self, event_shape: Sequence[int], num_conditions: int, size_out: int, plan: Convolutional
    ) -> None:
        super().__init__()
        channels = plan.channels
        self.image_shape = image_shape_of(event_shape)
        self.num_features = math.prod(self.image_shape)
        height, width = image_sizes(self.image_shape, len(channels))[-1]
        steps = itertools.pairwise([self.image_shape[0], *channels])
        stem, *rest = [nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in steps]
        start(stem, stem_gain(plan.activation, plan.residual))
        skips = None
        if plan.residual:
            steps = itertools.pairwise(channels)
            skips = [nn.Conv2d(a, b, 1, stride=2, bias=False) for a, b in steps]
        norms = normalisers([stem, *rest]) if plan.batch_norm else None
        self.convolutions = nn.Sequential(stem, *chain(rest, skips, plan.activation, norms))
        self.head = plan.dense.mlp(channels[-1] * height * width + num_conditions, size_out)
        self._text = images_text(self.image_shape[1:], channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(..., D + num_conditions)`` to ``(..., size_out)``."""
        x, condition = features.tensor_split([self.num_features], dim=-1)
        h = self.convolutions(x.reshape(-1, *self.image_shape))
        h = h.reshape(*features.shape[:-1], math.prod(h.shape[1:]))
        return self.head(torch.cat([h, condition], dim=-1))

    def summary(self) -> str:
        """Sizes, channels and widths in one line."""
        return f"{self._text}, {self.head.summary()}"


@final
class ConvDecoder(ImageDecoder):
    """An MLP, then convolutions that enlarge to the sizes that ``ConvEncoder`` passes through.

    Maps ``(..., size_in)`` to ``(..., num_params)`` for any leading dimensions. The output is
    laid out as ``(parts, *event_shape)``: all means, then all raw scales, and so on.

    Parameters
    ----------
    size_in
        Length of the input, the latent vector and then the condition.
    event_shape
        Shape of one image, ``(H, W)`` or ``(C, H, W)``, of any size.
    num_params
        Length of the output, a multiple of the number of features.
    plan
        The layers: its first channels are those of the smallest image, which the MLP gives.

    Raises
    ------
    ValueError
        If the data are no images, or the parameters are not the same number for every feature.
    """

    def __init__(
        self, size_in: int, event_shape: Sequence[int], num_params: int, plan: Convolutional
    ) -> None:
        super().__init__()
        channels = plan.channels
        image_shape = image_shape_of(event_shape)
        check_per_feature(num_params, image_shape)
        *sizes, smallest = image_sizes(image_shape, len(channels))
        sizes.reverse()
        self.start_shape = (channels[0], *smallest)
        self.dense = plan.dense.mlp(size_in, math.prod(self.start_shape))
        start(self.dense.output, stem_gain(plan.activation, plan.residual), wide=True)
        steps = [(a, b, s) for (a, b), s in zip(itertools.pairwise(channels), sizes, strict=False)]
        layers = [UpConv2d(a, b, 3, size, bias=True) for a, b, size in steps]
        skips = [UpConv2d(a, b, 1, size, bias=False) for a, b, size in steps]
        channels_out = num_params // math.prod(image_shape[1:])
        output = UpConv2d(channels[-1], channels_out, 3, sizes[-1], bias=False)
        norms = None
        if plan.batch_norm:
            norms = [BatchNormImages(channels[0]), *normalisers(layers)]
        self.convolutions = nn.Sequential(
            *chain(layers, skips if plan.residual else None, plan.activation, norms), output
        )
        start(output, 1.0)
        self.bias = nn.Parameter(torch.zeros(num_params))
        self._text = images_text(image_shape[1:], channels)

    def forward(self, z: Tensor) -> Tensor:
        """Map ``(..., size_in)`` to ``(..., num_params)``."""
        return self._paint(self.dense(z).reshape(-1, *self.start_shape), z.shape[:-1])

    def summary(self) -> str:
        """Widths, channels and sizes in one line."""
        return f"{self.dense.summary()}, {self._text}"
