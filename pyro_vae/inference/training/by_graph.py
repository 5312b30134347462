"""The loss of a batch and its gradients by a recorded graph.

A graph gives the numbers of Pyro's handlers to the bit, so that it decides nothing but the time,
and a training may pass from the one to the other at any step. It is held against the handlers at
its first batches, and now and then after that.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.func import functional_call

from pyro_vae.errors import SettingError
from pyro_vae.inference.engine.inputs import Inputs, count, named_as, tensors
from pyro_vae.inference.training.devices import PRODUCTS
from pyro_vae.inference.training.loss import Loss, LossAndGradients
from pyro_vae.inference.training.objectives.told import moving_of
from pyro_vae.isolation import isolated
from pyro_vae.recording import (
    COMPARED,
    WORTH_RECORDING,
    NotRecordableError,
    bound,
    compiled,
    equal,
    has_compiler,
    record,
    shapes_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pyro.infer import ELBO
    from torch import Tensor

    from pyro_vae.inference.training.loss import BatchLoss, ThroughHandlers

__all__ = ["COMPILE", "TOO_FEW", "ByGraph", "batch_loss_of"]

#: How the loss of a batch may be computed: see ``fit``.
COMPILE = ("auto", "off", "graph", "inductor")

#: Why nothing was recorded where it could have been.
TOO_FEW = "too few steps to be worth it"

#: Graphs of one shape after which a program counts as one that is never the same.
_GRAPHS = 3

#: Relative difference that a compiler may make, which adds up in another order, by the precision
#: of matrix products: a number that is rounded to few bits may fall on either side.
_TOLERANCE = {"32-true": 1e-5, "32-high": 5e-3, "32-medium": 2e-2}


@dataclass
class ByGraph:
    """The loss by a graph of each shape of batch, through the handlers where there is none.

    Attributes
    ----------
    handlers
        What it stands for.
    loss
        What the graphs are recorded of.
    planned
        Steps that the training has for batches of a size, by their number of data.
    always
        Record at the first batch of a shape, however few steps there are.
    compiler
        Hand the graphs to inductor, which rounds in another way.
    trusts_data
        Whether the data were checked: a graph does not look whether a value is in its support,
        so of other data the first epoch is left to the handlers.
    precision
        That of the training, one of ``PRODUCTS``.
    given_up
        Why the handlers are taken at every step, where they are.
    """

    handlers: ThroughHandlers
    loss: Loss
    planned: Mapping[int, int]
    always: bool = False
    compiler: bool = False
    trusts_data: bool = False
    precision: str = "32-true"
    given_up: str | None = None
    _graphs: dict[Any, _Graph] = field(default_factory=dict)
    _seconds: dict[Any, float] = field(default_factory=dict)
    _state: tuple[Any, ...] = ()
    _epochs: int = 0
    _recorded: int = 0

    def __post_init__(self) -> None:
        # Walking through the modules takes as long as a small step.
        self._parameters = list(self.loss.parameters())

    @property
    def how(self) -> str:
        """Whether a graph is in use, and if not, why."""
        if self.given_up is not None:
            return f"off: {self.given_up}"
        if not self._graphs:
            return f"off: {TOO_FEW}"
        return "inductor" if self.compiler else "graph"

    @property
    def _unseen(self) -> bool:
        """Whether nobody has looked at the data yet."""
        return not self.trusts_data and self._epochs <= 1

    def begin_epoch(self) -> None:
        """Let graphs go that were recorded in another state of the program or the objective."""
        state = _state_of(self.loss)
        if state != self._state:
            if self._recorded >= _GRAPHS * max(len(self._graphs), 1):
                self._give_up("the program or the objective changes from epoch to epoch")
            self._graphs.clear()
            self._state = state
        self._epochs += 1
        if self._epochs & (self._epochs - 1) == 0:
            for graph in self._graphs.values():
                graph.to_compare = max(graph.to_compare, 1)

    def __call__(self, x: Inputs, scale: float) -> LossAndGradients:
        """Loss of a batch, times a scale."""
        graph = self._graph_for(x, scale)
        if graph is None:
            return self._timed(x, scale)
        if graph.to_compare or self._unseen:
            graph.to_compare = max(graph.to_compare - 1, 0)
            return self._compared(graph, x, scale)
        return self._found(*graph(x, self.loss))

    def _graph_for(self, x: Inputs, scale: float) -> _Graph | None:
        if self.given_up is not None or (self._unseen and not self.compiler):
            return None
        key = shapes_of(tensors(x))
        if key not in self._graphs:
            left = self._seconds.get(key, 0.0) * self.planned.get(count(x), 0)
            if not self.always and left < WORTH_RECORDING:
                return None
            plain = [_plain(module) for module in self.loss.modules()]
            try:
                if any(_has_hooks(module) for module in self.loss.modules()):
                    raise NotRecordableError("a hook on one of its modules waits for every call")
                graph = _Graph.of(self.loss, x, scale, compiler=self.compiler)
                # What counts how often it was run would not be counted on.
                if _state_of(self.loss) != self._state:
                    raise NotRecordableError("the program changes its own attributes as it runs")
            except NotRecordableError as error:
                for module, values in zip(self.loss.modules(), plain, strict=True):
                    vars(module).update(values)
                self._give_up(str(error))
                return None
            self._graphs[key] = graph
            self._recorded += 1
        return self._graphs[key]

    def _give_up(self, why: str) -> None:
        self.given_up = why
        self._graphs.clear()

    def _found(self, loss: Tensor, gradients: Sequence[Tensor | None]) -> LossAndGradients:
        def backward() -> bool:
            for parameter, gradient in zip(self._parameters, gradients, strict=True):
                parameter.grad = gradient
            return True

        return LossAndGradients(loss, backward)

    def _timed(self, x: Inputs, scale: float) -> LossAndGradients:
        """Through the handlers, and how long that took: the quickest so far."""
        started = time.perf_counter()
        found = self.handlers(x, scale)
        key, forward = shapes_of(tensors(x)), time.perf_counter() - started

        def backward() -> bool:
            started = time.perf_counter()
            has_gradient = found.backward()
            seconds = forward + time.perf_counter() - started
            self._seconds[key] = min(seconds, self._seconds.get(key, seconds))
            return has_gradient

        return LossAndGradients(found.loss, backward)

    def _compared(self, graph: _Graph, x: Inputs, scale: float) -> LossAndGradients:
        """By the graph where it agrees with the handlers, and else as they have it."""
        parameters = self._parameters
        # A program may move both: averages are buffers, and codes can be parameters.
        state = [part.detach() for part in (*parameters, *self.loss.buffers())]
        before = [part.clone() for part in state]
        for parameter in parameters:
            parameter.grad = None
        with isolated():
            loss, backward = self.handlers(x, scale)
            backward()
            generator = torch.get_rng_state()
        theirs = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            parameter.grad = None
        moved = [part.clone() for part in state]
        _put(state, before)
        graph.dtype = loss.dtype
        value, gradients = graph(x, self.loss)
        tolerance = _TOLERANCE[self.precision] if self.compiler else 0.0
        if _same([value, *gradients, *state], [loss, *theirs, *moved], tolerance):
            return self._found(value, gradients)
        self._give_up("its graph does not give its numbers")
        _put(state, moved)
        torch.set_rng_state(generator)
        return self._found(loss, theirs)


@dataclass
class _Graph:
    """A recorded loss with its gradients, for batches of one shape."""

    run: Callable[..., list[Tensor | None]]
    moving: tuple[str, ...]
    weights: list[Tensor]
    trained: list[bool]
    dtype: torch.dtype = torch.float64
    to_compare: int = COMPARED

    @classmethod
    def of(cls, loss: Loss, x: Inputs, scale: float, *, compiler: bool) -> _Graph:
        """Record the loss of a batch like this one."""
        named = {**dict(loss.named_parameters()), **dict(loss.named_buffers())}
        trained = [name for name, value in named.items() if value.requires_grad]
        moving = moving_of(loss.objective)

        def function(*given: Tensor) -> list[Tensor | None]:
            values = dict(zip(named, given, strict=False))
            told, data = given[len(named) :][: len(moving)], given[len(named) + len(moving) :]
            leaves = [values[name].detach().requires_grad_() for name in trained]
            values |= dict(zip(trained, leaves, strict=True))
            with _told(loss.objective, dict(zip(moving, told, strict=True))):
                value = functional_call(loss, values, (named_as(x, data),)) * scale
            if not value.requires_grad:
                raise NotRecordableError("its loss has no gradient")
            gradients = torch.autograd.grad(value, leaves, allow_unused=True)
            return [value.detach(), *_apart(gradients, leaves, [*given, value])]

        # These share memory with the weights, which are changed in place alone.
        weights = [value.detach() for value in named.values()]
        given = [*weights, *_told_now(loss.objective, moving), *tensors(x)]
        with torch.enable_grad():
            graph = record(function, given)
        # Not the module itself, whose call looks for hooks and takes as long as five operations.
        run = compiled(graph, given) if compiler else bound(graph).forward
        return cls(run, moving, weights, [p.requires_grad for p in loss.parameters()])

    def __call__(self, x: Inputs, loss: Loss) -> tuple[Tensor, list[Tensor | None]]:
        """Loss of a batch of that shape, and the gradient of every parameter."""
        told = _told_now(loss.objective, self.moving)
        with torch.no_grad():
            value, *found = self.run(*self.weights, *told, *tensors(x))
        assert value is not None
        gradients = iter(found)
        return value.to(self.dtype), [next(gradients) if one else None for one in self.trained]


def _told_now(objective: ELBO, moving: tuple[str, ...]) -> list[Tensor]:
    """Values of the attributes that move."""
    return [torch.tensor(vars(objective)[name], dtype=torch.double) for name in moving]


@contextmanager
def _told(objective: ELBO, values: Mapping[str, Tensor]) -> Iterator[None]:
    """With tensors for the attributes that move, so that a graph has them as its inputs."""
    kept = {name: vars(objective)[name] for name in values}
    vars(objective).update(values)
    try:
        yield
    finally:
        vars(objective).update(kept)


def _apart(
    gradients: Sequence[Tensor | None], parameters: Sequence[Tensor], others: Sequence[Tensor]
) -> list[Tensor | None]:
    """Gradients that lie in memory as their parameters do, and share it with nothing."""
    taken = {part.untyped_storage().data_ptr() for part in others}
    found: list[Tensor | None] = []
    for gradient, parameter in zip(gradients, parameters, strict=True):
        if gradient is not None:
            where = gradient.untyped_storage().data_ptr()
            if gradient.stride() != parameter.stride() or where in taken:
                gradient = torch.empty_like(parameter).copy_(gradient)
            taken.add(where)
        found.append(gradient)
    return found


def _put(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for tensor, value in zip(tensors, values, strict=True):
            tensor.copy_(value)


def _state_of(loss: Loss) -> tuple[Any, ...]:
    """What a graph takes as given: plain attributes of the modules, and of the objective."""
    modules = [_plain(module) for module in loss.modules()]
    gradients = tuple(parameter.requires_grad for parameter in loss.parameters())
    moving = moving_of(loss.objective)
    told = {name: value for name, value in vars(loss.objective).items() if name not in moving}
    return modules, gradients, repr(told)


def _has_hooks(module: nn.Module) -> bool:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(vars(module)[kind] for kind in kinds)


def _plain(module: nn.Module) -> dict[str, Any]:
    kinds = (bool, int, float, str, type(None))
    return {name: value for name, value in vars(module).items() if isinstance(value, kinds)}


def _same(
    ours: Sequence[Tensor | None], theirs: Sequence[Tensor | None], tolerance: float
) -> bool:
    """Whether two lists of tensors are equal: to the bit, or relative to the largest of each."""
    for a, b in zip(ours, theirs, strict=True):
        if a is None or b is None:
            if a is not b:
                return False
            continue
        if not equal(a, b) and not (a - b).abs().max() <= tolerance * b.abs().max():
            return False
    return True


def batch_loss_of(
    mode: str,
    handlers: ThroughHandlers,
    loss: Loss,
    planned: Mapping[int, int],
    *,
    trusts_data: bool,
    world: int,
    precision: str,
) -> BatchLoss:
    """What a mode of ``COMPILE`` comes to.

    Parameters
    ----------
    mode
        One of ``COMPILE``.
    handlers, loss, planned, trusts_data
        As for ``ByGraph``.
    world
        Number of processes.
    precision
        As for ``fit``.

    Raises
    ------
    SettingError
        If a compiler is asked for where there is none.
    """
    if mode == "inductor" and not has_compiler():
        raise SettingError(
            "compile got 'inductor', and there is no C++ compiler: install one, such as g++, or "
            "take 'graph'"
        )
    if mode == "off":
        return handlers
    if world > 1:
        return replace(handlers, how="off: several processes share a batch")
    if precision not in PRODUCTS:
        return replace(handlers, how=f"off: the precision is {precision}")
    always, compiler = mode != "auto", mode == "inductor"
    return ByGraph(handlers, loss, planned, always, compiler, trusts_data, precision)
