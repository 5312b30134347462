"""Recording a function, with what must not be recorded."""

from __future__ import annotations

import random
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import pyro
import torch

from pyro_vae.isolation import isolated
from pyro_vae.recording.simplify import simplify
from pyro_vae.recording.values import values_not_looked_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from torch import Tensor, fx

__all__ = ["NotRecordableError", "not_recordable", "reason_of", "record", "unrecorded"]

#: Whether a graph is being recorded; recording takes the process for itself.
_recording = False


class NotRecordableError(Exception):
    """A function that is no flat graph, in a clause that says why."""


def not_recordable(reason: str) -> None:
    """Refuse to be recorded: what a graph would not repeat says so where it stands.

    Parameters
    ----------
    reason
        Why, as a clause.

    Raises
    ------
    NotRecordableError
        While a graph is recorded.
    """
    if _recording:
        raise NotRecordableError(reason)


def unrecorded() -> AbstractContextManager[object]:
    """What runs inside is no part of a graph: what it finds is taken as given."""
    if not _recording:
        return nullcontext()
    from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing

    return disable_proxy_modes_tracing()


def record(
    function: Callable[..., Sequence[Tensor | None]],
    inputs: Sequence[Tensor],
    *,
    fixed: bool = False,
) -> fx.GraphModule:
    """Run a function once and keep the graph of what it computes.

    Parameters
    ----------
    function
        Takes the inputs, gives tensors. It may change its inputs in place, as a moving average
        does: so will the graph.
    inputs
        Tensors as it will be given, of the same shapes and types. They are as they were
        afterwards, as are the random generators.
    fixed
        Whether the tensors that it does not take as inputs, such as weights, keep their values:
        what is made of them alone is then computed once.

    Raises
    ------
    NotRecordableError
        If the function looks at a value, or fails.
    """
    global _recording
    from torch.fx.experimental.proxy_tensor import make_fx

    before = [x.detach().clone() for x in inputs]
    _recording = True
    try:
        with isolated(), pyro.validation_enabled(False), values_not_looked_at():
            others = _other_generators()
            # Behind a lambda, since the tracer counts the `self` of a method as an input.
            graph = make_fx(lambda *given: function(*given))(*inputs)
            if _other_generators() != others:
                raise NotRecordableError("it draws from Python's or NumPy's generator")
    except Exception as error:
        if isinstance(error, NotRecordableError):
            raise
        raise NotRecordableError(reason_of(error)) from error
    finally:
        _recording = False
        with torch.no_grad():
            # All: moving averages are changed without a new version of their tensor.
            for now, then in zip(inputs, before, strict=True):
                now.copy_(then)
    simplify(graph, fixed=fixed)
    return graph


def _other_generators() -> str:
    """State of the random generators whose draws no graph repeats."""
    numpy = np.random.get_state(legacy=False)["state"]
    return repr((random.getstate(), numpy["pos"], numpy["key"].tobytes()))


def reason_of(error: Exception, act: str = "recording") -> str:
    """Why a function could not be recorded, as a clause."""
    first = " ".join(str(error).split(". ")[0].split())
    if "value out of a tracing tensor" in first or "data-dependent" in first.lower():
        return "it branches on the values of tensors"
    return f"{act} it failed with {type(error).__name__}: {first[:200]}"
