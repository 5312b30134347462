"""What the networks are put together from: activations, their first weights, skip connections."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pyro_vae.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pyro_vae.protocols import WholeBatch

__all__ = [
    "ACTIVATIONS",
    "BatchNorm",
    "BatchNormImages",
    "Residual",
    "chain",
    "check_activation",
    "check_layers",
    "check_widths",
    "normalisers",
    "start",
    "stem_gain",
]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}

_GAINS = {"relu": math.sqrt(2.0), "elu": math.sqrt(2.0), "silu": math.sqrt(2.0), "tanh": 5.0 / 3.0}


def check_layers(
    hidden: Sequence[int], activation: str, *, residual: bool, batch_norm: bool
) -> None:
    """Refuse widths and an activation that are none, and both ways to keep the scale at once."""
    check_widths("hidden layer width", hidden, "hidden=(200, 200)")
    check_activation(activation)
    if batch_norm and residual:
        raise ValueError(
            "batch_norm got True beside residual=True: the skip connections keep the scale of "
            "the signal by themselves; take one of the two"
        )


def check_activation(name: str) -> None:
    """Refuse a name that is not one of ``ACTIVATIONS``."""
    if name not in ACTIVATIONS:
        raise UnknownNameError("activation", name, ACTIVATIONS)


def check_widths(what: str, widths: Sequence[int], example: str) -> None:
    """Refuse widths that are not positive integers, under the name ``what``."""
    for width in widths:
        if not isinstance(width, int) or width <= 0:
            raise ValueError(
                f"{what} got {width!r}: it must be a positive integer, as in {example}"
            )


class _OverBatch(_BatchNorm):
    """Batch normalisation of channels, over a batch that several processes may share."""

    batch: WholeBatch | None = None

    def share_batch(self, batch: WholeBatch | None) -> None:
        """Take moments over a batch that several processes share."""
        self.batch = batch

    def forward(self, h: Tensor) -> Tensor:
        """Map ``(n, channels, ...)`` to the same shape."""
        learning = torch.is_grad_enabled()
        if self.training and learning and self.batch is not None:
            return self._over_all(h, self.batch)
        if self.training and h.numel() == h.shape[1]:  # one value of each channel
            moments = self.running_mean, self.running_var
            return F.batch_norm(h, *moments, self.weight, self.bias, eps=self.eps)
        if learning or not self.training:
            return super().forward(h)
        # The running moments stay where they are.
        return F.batch_norm(h, None, None, self.weight, self.bias, training=True, eps=self.eps)

    def _over_all(self, h: Tensor, batch: WholeBatch) -> Tensor:
        """Normalise by the moments of what all processes have; the running ones move.

        As ``nn.SyncBatchNorm`` does, which runs on GPUs alone.
        """
        others = [0, *range(2, h.dim())]  # all but the channels
        by_channel = (1, -1, *(1,) * (h.dim() - 2))
        number = h.new_tensor([h.numel() / h.shape[1]])
        sums, n = batch.total(torch.cat([h.sum(others), number])).split([h.shape[1], 1])
        mean = sums / n
        centred = h - mean.view(by_channel)
        variance = batch.total(centred.square().sum(others)) / n
        # Our own norms have them always.
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean.detach(), self.momentum)
        self.running_var.lerp_((variance * n / (n - 1)).detach(), self.momentum)
        self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale.view(by_channel) + self.bias.view(by_channel)


@final
class BatchNorm(_OverBatch, nn.BatchNorm1d):
    """Batch normalisation over all leading dimensions of ``(..., num_features)``.

    Ioffe & Szegedy (2015), arXiv 1502.03167. In training a datum's output hangs on the others
    of its batch; in ``eval`` mode, where models are measured, it does not. A lone row has no
    variance and is normalised by the running moments. Without gradients the running moments
    stay: objectives run the programs on one datum to see their sites. Of a batch that several
    processes share the moments are those of the whole.
    """

    def forward(self, h: Tensor) -> Tensor:
        """Map ``(..., num_features)`` to the same shape."""
        rows = h.reshape(-1, h.shape[-1])
        return super().forward(rows).reshape(h.shape)


@final
class BatchNormImages(_OverBatch, nn.BatchNorm2d):
    """Batch normalisation of every channel of ``(n, channels, height, width)``.

    As ``BatchNorm``, over the pixels too; of a lone image of one pixel there is no variance.
    """


def normalisers(layers: Sequence[nn.Linear | nn.Conv2d]) -> list[nn.Module]:
    """A batch normalisation for the output of each layer."""
    return [
        BatchNorm(layer.out_features)
        if isinstance(layer, nn.Linear)
        else BatchNormImages(layer.out_channels)
        for layer in layers
    ]


def start(layer: nn.Linear | nn.Conv2d, gain: float, *, wide: bool = False) -> None:
    """First weights that keep the scale of the signal; biases start at zero.

    PyTorch's default start shrinks the signal at every layer, and a VAE whose decoder hardly
    hears z at first settles where q(z|x) = p(z); Glorot & Bengio (2010) keep it. A convolution,
    or a ``wide`` layer with many more outputs than inputs, keeps it with the inputs counted
    alone, as in He et al. (2015), arXiv 1502.01852.
    """
    if isinstance(layer, nn.Linear) and not wide:
        nn.init.xavier_uniform_(layer.weight, gain)
    else:
        bound = gain * math.sqrt(3 / layer.weight[0].numel())
        nn.init.uniform_(layer.weight, -bound, bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def stem_gain(activation: str, residual: bool) -> float:
    """Gain of the layer before ``chain``: with skips, its output is not only activated."""
    return 1.0 if residual else _GAINS.get(activation, 1.0)


@final
class Residual(nn.Module):
    """``skip(h) + layer(activation(h))``: He et al. (2016), arXiv 1603.05027.

    Parameters
    ----------
    activation
        One of ``ACTIVATIONS``.
    layer
        Linear map of the branch.
    skip
        Identity, or a linear map where the layer changes the shape.
    blocks
        Number of such blocks in a row. Each branch starts with 1 / blocks of the variance of
        h, so that all of them together no more than e-fold it.
    """

    def __init__(
        self, activation: str, layer: nn.Linear | nn.Conv2d, skip: nn.Module, blocks: int
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]()
        self.layer = layer
        self.skip = skip
        start(layer, _GAINS.get(activation, 1.0) / math.sqrt(blocks))
        if isinstance(skip, nn.Linear | nn.Conv2d):
            start(skip, 1.0)

    def forward(self, h: Tensor) -> Tensor:
        """Map h of the layer's input shape to its output shape."""
        return self.skip(h) + self.layer(self.activation(h))


def chain(
    layers: Sequence[nn.Linear | nn.Conv2d],
    skips: Sequence[nn.Module] | None,
    activation: str,
    norms: Sequence[nn.Module] | None = None,
) -> list[nn.Module]:
    """Hidden layers after a first linear map, up to the activation before the output.

    Parameters
    ----------
    layers
        Linear maps in their order.
    skips
        Skip connection around each of them, or None for none.
    activation
        One of ``ACTIVATIONS``.
    norms
        What stands before every activation, that of the first linear map included, or None.
    """
    activate = ACTIVATIONS[activation]
    if skips is not None:
        blocks = [
            Residual(activation, layer, skip, len(layers))
            for layer, skip in zip(layers, skips, strict=True)
        ]
        return [*blocks, activate()]
    for layer in layers:
        start(layer, _GAINS.get(activation, 1.0))
    if norms is None:
        return [activate(), *(part for layer in layers for part in (layer, activate()))]
    first, *others = norms
    modules = [first, activate()]
    for layer, norm in zip(layers, others, strict=True):
        modules += [layer, norm, activate()]
    return modules
