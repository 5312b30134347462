"""Convolutional encoder and decoder for images of any size."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, final

import torch
import torch.nn.functional as F
from torch import nn

from pyro_vae.networks.layers import (
    BatchNormImages,
    chain,
    check_activation,
    check_batch_norm,
    check_widths,
    normalisers,
    start,
    stem_gain,
)
from pyro_vae.networks.mlp import MLP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "GridDecoder",
    "GridEncoder",
    "check_channels",
    "grid_size",
]


def check_channels(channels: Sequence[int]) -> None:
    """Refuse an empty list, and numbers of channels that are not positive integers."""
    check_widths("number of channels", channels, "channels=(32, 64)")
    if not channels:
        raise ValueError(
            "channels got (): there must be at least one convolution, as in channels=(32, 64); "
            "Dense has none"
        )


class _UpConv2d(nn.Conv2d):
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
    channels
        Channels of every convolution in turn.
    hidden
        Width of every hidden layer after them.
    activation
        One of ``ACTIVATIONS``.
    residual
        Skip connections around every layer after the first: linear around convolutions, as
        they change the size.
    batch_norm
        Batch normalisation before every activation; not beside ``residual``.

    Raises
    ------
    UnknownNameError
        If the activation is not known.
    ValueError
        If the data are no images, or a width is not a positive integer.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        num_conditions: int,
        size_out: int,
        *,
        channels: Sequence[int] = (32, 64),
        hidden: Sequence[int] = (128,),
        activation: str = "relu",
        residual: bool = False,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        check_activation(activation)
        check_batch_norm(batch_norm, residual)
        check_channels(channels)
        self.image_shape = _image_shape(event_shape)
        self.num_features = math.prod(self.image_shape)
        height, width = _sizes(self.image_shape, len(channels))[-1]
        steps = itertools.pairwise([self.image_shape[0], *channels])
        stem, *rest = [nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in steps]
        start(stem, stem_gain(activation, residual))
        skips = None
        if residual:
            steps = itertools.pairwise(channels)
            skips = [nn.Conv2d(a, b, 1, stride=2, bias=False) for a, b in steps]
        norms = normalisers([stem, *rest]) if batch_norm else None
        self.convolutions = nn.Sequential(stem, *chain(rest, skips, activation, norms))
        self.head = MLP(
            channels[-1] * height * width + num_conditions,
            hidden,
            size_out,
            activation=activation,
            residual=residual,
            batch_norm=batch_norm,
        )
        self._text = _text(self.image_shape[1:], channels)

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
class ConvDecoder(nn.Module):
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
    channels
        Channels of the smallest image, which the MLP gives, and of every larger one in turn.
    hidden
        Width of every hidden layer before them.
    activation
        One of ``ACTIVATIONS``.
    residual
        Skip connections around every layer between the first and the last, as in
        ``ConvEncoder``.
    batch_norm
        As in ``ConvEncoder``.

    Raises
    ------
    UnknownNameError
        If the activation is not known.
    ValueError
        If the data are no images, a width is not a positive integer, or the parameters are not
        the same number for every feature.
    """

    def __init__(
        self,
        size_in: int,
        event_shape: Sequence[int],
        num_params: int,
        *,
        channels: Sequence[int] = (64, 32),
        hidden: Sequence[int] = (128,),
        activation: str = "relu",
        residual: bool = False,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        check_activation(activation)
        check_batch_norm(batch_norm, residual)
        check_channels(channels)
        image_shape = _image_shape(event_shape)
        _check_per_feature(num_params, image_shape)
        *sizes, smallest = _sizes(image_shape, len(channels))
        sizes.reverse()
        self.start_shape = (channels[0], *smallest)
        self.dense = MLP(
            size_in,
            hidden,
            math.prod(self.start_shape),
            activation=activation,
            residual=residual,
            batch_norm=batch_norm,
        )
        start(self.dense.output, stem_gain(activation, residual), wide=True)
        steps = [(a, b, s) for (a, b), s in zip(itertools.pairwise(channels), sizes, strict=False)]
        layers = [_UpConv2d(a, b, 3, size, bias=True) for a, b, size in steps]
        skips = [_UpConv2d(a, b, 1, size, bias=False) for a, b, size in steps]
        # Its bias is `bias`, one for every output and not one for every channel.
        channels_out = num_params // math.prod(image_shape[1:])
        output = _UpConv2d(channels[-1], channels_out, 3, sizes[-1], bias=False)
        norms = None
        if batch_norm:
            norms = [BatchNormImages(channels[0]), *normalisers(layers)]
        self.convolutions = nn.Sequential(
            *chain(layers, skips if residual else None, activation, norms), output
        )
        start(output, 1.0)
        self.bias = nn.Parameter(torch.zeros(num_params))
        self._text = _text(image_shape[1:], channels)

    def forward(self, z: Tensor) -> Tensor:
        """Map ``(..., size_in)`` to ``(..., num_params)``."""
        h = self.dense(z).reshape(-1, *self.start_shape)
        return self.convolutions(h).reshape(*z.shape[:-1], len(self.bias)) + self.bias

    def set_output(self, eta: Tensor) -> None:
        """Start the output around ``eta``, shape ``(num_params,)``, by its bias."""
        with torch.no_grad():
            self.bias.copy_(eta)

    def summary(self) -> str:
        """Widths, channels and sizes in one line."""
        return f"{self.dense.summary()}, {self._text}"


@final
class GridEncoder(nn.Module):
    """Convolutions to a small image of vectors, with no dense layer: places stay places.

    Maps ``(..., D)``, the flattened image, to ``(..., size_out)``, laid out as
    ``(height, width, size_out / (height * width))``, for any leading dimensions.

    Parameters
    ----------
    event_shape
        Shape of one image, ``(H, W)`` or ``(C, H, W)``, of any size.
    size_out
        Length of the output, a multiple of the places that ``grid_size`` gives.
    channels
        Channels of every convolution of stride 2 in turn.
    hidden
        Channels of every convolution after them, which keep the size.
    activation
        One of ``ACTIVATIONS``.
    residual
        Skip connections around every layer after the first.

    Raises
    ------
    UnknownNameError
        If the activation is not known.
    ValueError
        If the data are no images, a width is not a positive integer, or the output does not
        divide over the places.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        size_out: int,
        *,
        channels: Sequence[int] = (32, 64),
        hidden: Sequence[int] = (),
        activation: str = "relu",
        residual: bool = False,
    ) -> None:
        super().__init__()
        check_activation(activation)
        check_channels(channels)
        self.image_shape = _image_shape(event_shape)
        self.size_out = size_out
        depth = _depth(size_out, grid_size(event_shape, len(channels)))
        widths = [self.image_shape[0], *channels, *hidden]
        strides = [2] * len(channels) + [1] * len(hidden)
        stem, *rest = [
            nn.Conv2d(a, b, 3, stride=stride, padding=1)
            for (a, b), stride in zip(itertools.pairwise(widths), strides, strict=True)
        ]
        start(stem, stem_gain(activation, residual))
        skips = None
        if residual:
            steps = itertools.pairwise(widths[1:])
            skips = [
                nn.Conv2d(a, b, 1, stride=stride, bias=False)
                for (a, b), stride in zip(steps, strides[1:], strict=True)
            ]
        output = nn.Conv2d(widths[-1], depth, 1)
        self.convolutions = nn.Sequential(stem, *chain(rest, skips, activation), output)
        start(output, 1.0)
        self._text = _text(self.image_shape[1:], [*channels, *hidden, depth])

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(..., D)`` to ``(..., size_out)``."""
        h = self.convolutions(features.reshape(-1, *self.image_shape))
        return h.permute(0, 2, 3, 1).reshape(*features.shape[:-1], self.size_out)

    def summary(self) -> str:
        """Sizes and channels in one line."""
        return self._text


@final
class GridDecoder(nn.Module):
    """Convolutions from a small image of vectors to a large one: ``GridEncoder`` backwards.

    Maps ``(..., size_in)``, laid out as the output of ``GridEncoder``, to ``(..., num_params)``,
    laid out as ``(parts, *event_shape)``.

    Parameters
    ----------
    size_in
        Length of the input, a multiple of the places that ``grid_size`` gives.
    event_shape
        Shape of one image, ``(H, W)`` or ``(C, H, W)``, of any size.
    num_params
        Length of the output, a multiple of the number of features.
    channels
        Channels of the smallest image and of every larger one in turn.
    hidden
        Channels of every convolution before them, which keep the size.
    activation
        One of ``ACTIVATIONS``.
    residual
        Skip connections around every layer between the first and the last.

    Raises
    ------
    UnknownNameError
        If the activation is not known.
    ValueError
        If the data are no images, a width is not a positive integer, or a length does not
        divide over the places or the features.
    """

    def __init__(
        self,
        size_in: int,
        event_shape: Sequence[int],
        num_params: int,
        *,
        channels: Sequence[int] = (64, 32),
        hidden: Sequence[int] = (),
        activation: str = "relu",
        residual: bool = False,
    ) -> None:
        super().__init__()
        check_activation(activation)
        check_channels(channels)
        image_shape = _image_shape(event_shape)
        _check_per_feature(num_params, image_shape)
        places = grid_size(event_shape, len(channels))
        self.grid_shape = (*places, _depth(size_in, places))
        *sizes, _ = _sizes(image_shape, len(channels))
        sizes.reverse()
        widths = [*hidden, channels[0]]
        stem = nn.Conv2d(self.grid_shape[-1], widths[0], 3, padding=1)
        start(stem, stem_gain(activation, residual))
        flat = list(itertools.pairwise(widths))
        steps = [(a, b, s) for (a, b), s in zip(itertools.pairwise(channels), sizes, strict=False)]
        layers = [nn.Conv2d(a, b, 3, padding=1) for a, b in flat]
        layers += [_UpConv2d(a, b, 3, size, bias=True) for a, b, size in steps]
        skips = [nn.Conv2d(a, b, 1, bias=False) for a, b in flat]
        skips += [_UpConv2d(a, b, 1, size, bias=False) for a, b, size in steps]
        channels_out = num_params // math.prod(image_shape[1:])
        # Its bias is `bias`, one for every output and not one for every channel.
        output = _UpConv2d(channels[-1], channels_out, 3, sizes[-1], bias=False)
        self.convolutions = nn.Sequential(
            stem, *chain(layers, skips if residual else None, activation), output
        )
        start(output, 1.0)
        self.bias = nn.Parameter(torch.zeros(num_params))
        self._text = _text(image_shape[1:], [self.grid_shape[-1], *hidden, *channels])

    def forward(self, z: Tensor) -> Tensor:
        """Map ``(..., size_in)`` to ``(..., num_params)``."""
        h = z.reshape(-1, *self.grid_shape).permute(0, 3, 1, 2)
        return self.convolutions(h).reshape(*z.shape[:-1], len(self.bias)) + self.bias

    def set_output(self, eta: Tensor) -> None:
        """Start the output around ``eta``, shape ``(num_params,)``, by its bias."""
        with torch.no_grad():
            self.bias.copy_(eta)

    def summary(self) -> str:
        """Channels and sizes in one line."""
        return self._text


def grid_size(event_shape: Sequence[int], steps: int) -> tuple[int, int]:
    """Height and width of an image after so many convolutions of stride 2."""
    return _sizes(_image_shape(event_shape), steps)[-1]


def _depth(size: int, places: tuple[int, int]) -> int:
    """Length of the vector at every place of a grid."""
    count = math.prod(places)
    if size % count:
        raise ValueError(
            f"a grid of {places[0]}x{places[1]} got {size} numbers: their number must be a "
            f"multiple of its {count} places"
        )
    return size // count


def _check_per_feature(num_params: int, image_shape: tuple[int, int, int]) -> None:
    if num_params % math.prod(image_shape):
        raise ValueError(
            f"num_params got {num_params} for {math.prod(image_shape)} features: a "
            "convolutional decoder gives the same number of parameters for every feature. "
            "Take a Dense decoder for this likelihood (a full covariance, for example)."
        )


def _image_shape(event_shape: Sequence[int]) -> tuple[int, int, int]:
    """``(C, H, W)`` of an event."""
    if len(event_shape) not in (2, 3):
        raise ValueError(
            f"event_shape got {tuple(event_shape)}: convolutions need images, (H, W) or "
            "(C, H, W). Reshape the data, or take Dense."
        )
    channels, height, width = (1, *event_shape)[-3:]
    return channels, height, width


def _sizes(image_shape: tuple[int, int, int], steps: int) -> list[tuple[int, int]]:
    """Height and width before, between and after the convolutions of stride 2."""
    sizes = [image_shape[1:]]
    for _ in range(steps):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def _text(size: tuple[int, int], channels: Sequence[int]) -> str:
    return f"convolutions {size[0]}x{size[1]}, channels {'-'.join(map(str, channels))}"
