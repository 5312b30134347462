"""Draws for a batch that several processes share.

The generators of all processes are seeded alike. Where one process would draw for the whole batch,
each draws for the whole batch and keeps its own rows: the numbers are those of one process,
and no two data share their noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pyro_vae.inference.training.shared_batch import SharedBatch

__all__ = ["WholeDraws"]

#: Random operations to which the shape of a tensor matters, and not what it holds.
_BY_SHAPE = {
    *("uniform_", "normal_", "exponential_", "cauchy_", "geometric_", "log_normal_", "random_"),
    *("rand_like", "randn_like", "randint_like", "bernoulli_.float"),
}


class WholeDraws(TorchDispatchMode):
    """Does every random operation for the whole batch, and keeps the rows of this process.

    It sees the operations below autograd, so that gradients flow as ever. A draw without an axis
    of data is common to all, and one with a generator of its own is left alone.

    Parameters
    ----------
    batch
        The batch, and what this process has of it.
    num_particles
        Draws of each datum, which lie to the left of the data.
    """

    def __init__(self, batch: SharedBatch, num_particles: int) -> None:
        super().__init__()
        self.batch = batch
        self.num_particles = num_particles

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation."""
        kwargs = kwargs or {}
        drawn = torch.Tag.nondeterministic_seeded in func.tags
        layout = None
        if drawn and kwargs.get("generator") is None:
            layout = self._layout(_shape_of(args))
        if layout is None:
            return func(*args, **kwargs)
        name, _, overload = str(func).removeprefix("aten.").partition(".")
        if name == "normal" and overload != "float_float":
            return _normal(args[0], args[1], layout)
        by_shape = bool({name, f"{name}.{overload}"} & _BY_SHAPE)
        whole = [layout.whole(given, by_shape=by_shape) for given in args]
        found = func(*whole, **kwargs)
        if func._schema.is_mutable:
            return args[0].copy_(layout.cut(found))
        return tuple(map(layout.cut, found)) if isinstance(found, tuple) else layout.cut(found)

    def _layout(self, shape: Sequence[int]) -> _Layout | None:
        """Where the data lie in a draw of this process; None where there are none."""
        k, own = self.num_particles, self.batch.num_own
        first, second = (*shape, 0, 0)[:2]
        if k > 1 and (first, second) == (k, own):
            return _Layout(self.batch, tuple(shape), 1)
        if first == own:
            return _Layout(self.batch, tuple(shape), 0)
        if k > 1 and first == k * own:
            return _Layout(self.batch, tuple(shape), 0, k)
        # The program may have plates of its own to the left of the data.
        axes = [axis for axis, size in enumerate(shape) if size == own]
        return _Layout(self.batch, tuple(shape), axes[0]) if len(axes) == 1 else None


@dataclass(frozen=True)
class _Layout:
    """Where the data lie in a tensor of this process.

    Attributes
    ----------
    batch, shape
        The batch, and the shape of the tensor.
    axis
        The axis of the data.
    particles
        Particles that lie in the same axis, slower than the data.
    """

    batch: SharedBatch
    shape: tuple[int, ...]
    axis: int
    particles: int = 1

    def whole(self, given: Any, *, by_shape: bool) -> Any:
        """An argument as one process would have it; that of another kind as it is."""
        if not isinstance(given, torch.Tensor):
            is_size = isinstance(given, list | tuple) and tuple(given) == self.shape
            return list(self.whole_shape(self.shape)) if is_size else given
        if given.dim() <= self.axis or given.shape[self.axis] != self.shape[self.axis]:
            return given
        if by_shape:
            return given.new_empty(self.whole_shape(given.shape))
        apart = given.unflatten(self.axis, (self.particles, -1)).movedim(self.axis + 1, 0)
        gathered = self.batch.rows(apart)
        return gathered.movedim(0, self.axis + 1).flatten(self.axis, self.axis + 1)

    def whole_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape that such a tensor has in one process."""
        return (
            *shape[: self.axis],
            self.particles * self.batch.size,
            *shape[self.axis + 1 :],
        )

    def cut(self, found: Tensor) -> Tensor:
        """The rows of this process."""
        apart = found.unflatten(self.axis, (self.particles, self.batch.size))
        rows = (slice(None),) * (self.axis + 1) + (self.batch.own,)
        return apart[rows].flatten(self.axis, self.axis + 1).contiguous()


def _shape_of(args: tuple[Any, ...]) -> Sequence[int]:
    """Shape of a draw: that of the first tensor, or a size."""
    for given in args:
        if isinstance(given, torch.Tensor):
            return given.shape
        if isinstance(given, list | tuple):
            return given
    return ()


def _normal(mean: Any, std: Any, layout: _Layout) -> Tensor:
    """Draws mean + std e: what one process would draw first is e for the whole batch."""
    like = mean if isinstance(mean, torch.Tensor) else std
    noise = torch.randn(layout.whole_shape(layout.shape), dtype=like.dtype, device=like.device)
    return mean + std * layout.cut(noise)
