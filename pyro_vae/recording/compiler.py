"""Machine code of a graph, by inductor."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from pyro_vae.isolation import isolated
from pyro_vae.recording.graphs import NotRecordableError, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, fx

__all__ = ["compiled", "has_compiler"]


def has_compiler() -> bool:
    """Whether there is a C++ compiler, which inductor needs on a CPU."""
    from torch._inductor import cpp_builder, exc

    try:
        return bool(cpp_builder.get_cpp_compiler())
    except exc.InvalidCxxCompiler:
        return False


def compiled(
    graph: fx.GraphModule, inputs: Sequence[Tensor]
) -> Callable[..., list[Tensor | None]]:
    """A graph as machine code by inductor, with the same random numbers; it takes a minute.

    Its loops are fused and add up in another order, so its numbers differ by rounding.

    Raises
    ------
    NotRecordableError
        If inductor cannot compile it.
    """
    import torch._inductor as inductor

    try:
        with isolated(), warnings.catch_warnings():
            # PyTorch's own, of its own parts.
            warnings.simplefilter("ignore", DeprecationWarning)
            found: Callable[..., list[Tensor | None]] = inductor.compile(
                graph, list(inputs), options={"fallback_random": True}
            )
    except Exception as error:
        raise NotRecordableError(reason_of(error, "compiling")) from error
    return found
