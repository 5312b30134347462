"""Functions of arrays of another library as functions of tensors: values, gradients, draws.

PyTorch's are taken as they are. What NumPy's compute has no gradient unless a function of it is
given; JAX's is JAX's own. Randomness comes from PyTorch's generator: it seeds the generator, or
the key, that NumPy's and JAX's functions are given as their last argument.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyro_vae.errors import ProgramError, UnknownNameError
from pyro_vae.on_demand import library
from pyro_vae.recording import not_recordable

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

__all__ = ["BRIDGES", "Bridge", "bridge_to"]


class Bridge(ABC):
    """How functions of one library are called with tensors."""

    @abstractmethod
    def valued(
        self, function: Callable[..., Any], gradient: Callable[..., Any] | None, name: str
    ) -> Callable[[Tensor, Tensor, dict[str, Tensor]], Tensor]:
        """A function ``f(x, z, **beside)`` of N rows, to ``(N,)``, with its gradient in z.

        Parameters
        ----------
        function
            Of arrays of the library.
        gradient
            From the same arrays to that in z, ``(N, *z_shape)``; None where none is given.
        name
            What the function is called.
        """

    @abstractmethod
    def drawing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that draws, from tensors, and whole numbers that stay, to a tensor."""


class _Torch(Bridge):
    """PyTorch's own."""

    def valued(
        self, function: Callable[..., Any], gradient: Callable[..., Any] | None, name: str
    ) -> Callable[[Tensor, Tensor, dict[str, Tensor]], Tensor]:
        if gradient is not None:
            raise ProgramError(
                f"{name}_gradient was given, and PyTorch differentiates {name} itself: leave it "
                'out, or say library="numpy"'
            )
        return lambda x, z, beside: function(x, z, **beside)

    def drawing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function


class _NumPy(Bridge):
    """NumPy's: arrays in, arrays out."""

    def valued(
        self, function: Callable[..., Any], gradient: Callable[..., Any] | None, name: str
    ) -> Callable[[Tensor, Tensor, dict[str, Tensor]], Tensor]:
        def value_and_pull(x: Any, z: Any, beside: dict[str, Any]) -> tuple[Any, Any]:
            def pull(outer: Any) -> Any:
                if gradient is None:
                    raise ProgramError(
                        f"{name} is a function of NumPy's arrays, which has no gradient in z: "
                        f"annealing needs one, so give {name}_gradient(x, z)"
                    )
                inner = np.asarray(gradient(x, z, **beside))
                return inner * outer.reshape(-1, *(1,) * (inner.ndim - 1))

            return np.asarray(function(x, z, **beside)), pull

        return _through(value_and_pull)

    def drawing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return _drawing(function, np.random.default_rng, 2**62, "it draws by NumPy's generator")


class _JAX(Bridge):
    """JAX's: values and vector-Jacobian products, both compiled."""

    def __init__(self) -> None:
        self.jax = library("jax", "peers", 'library="jax"')

    def valued(
        self, function: Callable[..., Any], gradient: Callable[..., Any] | None, name: str
    ) -> Callable[[Tensor, Tensor, dict[str, Tensor]], Tensor]:
        if gradient is not None:
            raise ProgramError(
                f"{name}_gradient was given, and JAX differentiates {name} itself: leave it out"
            )
        jax = self.jax
        value = jax.jit(lambda x, z, beside: function(x, z, **beside))

        pulled = jax.jit(
            lambda x, z, beside, outer: jax.vjp(lambda z: function(x, z, **beside), z)[1](outer)[0]
        )

        def value_and_pull(x: Any, z: Any, beside: dict[str, Any]) -> tuple[Any, Any]:
            def pull(outer: Any) -> Any:
                return np.asarray(pulled(x, z, beside, outer))

            return np.asarray(value(x, z, beside)), pull

        return _through(value_and_pull)

    def drawing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return _drawing(function, self.jax.random.key, 2**31, "it draws by JAX")


#: Libraries whose functions are taken.
BRIDGES: dict[str, type[Bridge]] = {"torch": _Torch, "numpy": _NumPy, "jax": _JAX}


def bridge_to(name: str) -> Bridge:
    """The bridge to the functions of a library.

    Raises
    ------
    UnknownNameError
        If there is none.
    MissingDataError
        If the library is not installed.
    """
    if name not in BRIDGES:
        raise UnknownNameError("library", name, BRIDGES)
    return BRIDGES[name]()


def _through(
    value_and_pull: Callable[[Any, Any, dict[str, Any]], tuple[Any, Any]],
) -> Callable[[Tensor, Tensor, dict[str, Tensor]], Tensor]:
    """A function of arrays as one of tensors, with its gradient in z."""

    class OfArrays(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, z: Tensor, beside: dict[str, Tensor]) -> Tensor:
            named = {name: _as_numpy(part) for name, part in beside.items()}
            value, ctx.pull = value_and_pull(_as_numpy(x), _as_numpy(z), named)
            ctx.like = z
            return _as_tensor(value, z)

        @staticmethod
        def backward(ctx: Any, outer: Tensor) -> tuple[None, Tensor, None]:
            return None, _as_tensor(ctx.pull(_as_numpy(outer)), ctx.like), None

    def call(x: Tensor, z: Tensor, beside: dict[str, Tensor]) -> Tensor:
        not_recordable("its functions are of another library")
        found: Tensor = OfArrays.apply(x, z, beside)
        return found

    return call


def _drawing(
    function: Callable[..., Any], generator: Callable[[int], Any], seeds: int, reason: str
) -> Callable[..., Any]:
    """A function of arrays that draws, given a generator that is seeded by PyTorch's."""

    def draw(*given: Any, **beside: Tensor) -> Any:
        not_recordable(reason)
        source = generator(int(torch.randint(seeds, ())))
        arrays = [_as_numpy(part) for part in given]
        named = {name: _as_numpy(part) for name, part in beside.items()}
        return _as_tensor(function(*arrays, source, **named), given[0])

    return draw


def _as_numpy(part: Any) -> Any:
    return part.detach().cpu().numpy() if isinstance(part, torch.Tensor) else part


def _as_tensor(made: Any, like: Any) -> Tensor:
    """An array as a tensor, on the device of what it was made of and, if floating, in its type."""
    tensor = torch.from_numpy(np.array(made)).to(like.device)
    floating = like.is_floating_point() and tensor.is_floating_point()
    return tensor.to(like.dtype) if floating else tensor
