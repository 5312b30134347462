"""A function of tensors as the flat graph of its PyTorch operations.

Pyro's handlers run once, while the graph is recorded; what is left is the arithmetic, in the same
order and with the same random operations, so that its numbers are those of the function to the
bit. Recorded with ``make_fx`` (He & Zou, 2021, functorch).

A graph holds for the shapes of its inputs. Tensors that it does not take as inputs are part of
it, as is whatever Python decided while it was recorded.
"""

from __future__ import annotations

import operator
import random
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyro
import torch

from pyro_vae.isolation import isolated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from torch import Tensor, fx

__all__ = [
    "COMPARED",
    "WORTH_RECORDING",
    "Noise",
    "NotRecordableError",
    "Repeated",
    "bound",
    "compiled",
    "equal",
    "has_compiler",
    "noise_as_inputs",
    "record",
    "unrecorded",
]

#: Calls at which a new graph is held against what it was recorded of.
COMPARED = 2

#: Seconds that must lie before a function for it to be recorded, which takes half a second to two
#: and saves between a fifth and nine tenths.
WORTH_RECORDING = 5.0

#: Whether a graph is being recorded; recording takes the process for itself.
_recording = False


class NotRecordableError(Exception):
    """A function that is no flat graph, in a clause that says why."""


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
        with isolated(), pyro.validation_enabled(False), _values_not_looked_at():
            others = _other_generators()
            # Behind a lambda, since the tracer counts the `self` of a method as an input.
            graph = make_fx(lambda *given: function(*given))(*inputs)
            if _other_generators() != others:
                raise NotRecordableError("it draws from Python's or NumPy's generator")
    except Exception as error:
        if isinstance(error, NotRecordableError):
            raise
        raise NotRecordableError(_reason(error)) from error
    finally:
        _recording = False
        with torch.no_grad():
            # All: moving averages are changed without a new version of their tensor.
            for now, then in zip(inputs, before, strict=True):
                now.copy_(then)
    _simplify(graph, fixed=fixed)
    return graph


def _other_generators() -> str:
    """State of the random generators whose draws no graph repeats."""
    numpy = np.random.get_state(legacy=False)["state"]
    return repr((random.getstate(), numpy["pos"], numpy["key"].tobytes()))


@dataclass
class Repeated:
    """A function of tensors that is called many times: by a graph, where that is worth it.

    The graph is held against the function at its first calls. A function that is no flat graph is
    called as it is. Whatever it is made of, such as weights, must not change meanwhile.

    Attributes
    ----------
    function
        Takes tensors, and gives tensors; it may draw from PyTorch's generator.
    calls
        How often it will be called with tensors of the same shapes, about.
    """

    function: Callable[..., Sequence[Tensor]]
    calls: int
    _graphs: dict[Any, fx.GraphModule | None] = field(default_factory=dict)
    _seconds: dict[Any, float] = field(default_factory=dict)
    _compared: dict[Any, int] = field(default_factory=dict)

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """What the function gives."""
        key = tuple((part.shape, part.dtype, part.device) for part in inputs)
        graph = self._graphs.get(key)
        if graph is None:
            found = self._timed(key, inputs)
            if key not in self._graphs and self.calls * self._seconds[key] > WORTH_RECORDING:
                try:
                    self._graphs[key] = bound(record(self.function, inputs, fixed=True))
                except NotRecordableError:
                    self._graphs[key] = None
            return found
        if self._compared.get(key, 0) < COMPARED:
            self._compared[key] = self._compared.get(key, 0) + 1
            with isolated():
                ours = _run(graph, inputs)
            found = self.function(*inputs)
            if not all(map(equal, ours, found)):
                self._graphs[key] = None
            return found
        return _run(graph, inputs)

    def _timed(self, key: Any, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        started = time.perf_counter()
        found = self.function(*inputs)
        seconds = time.perf_counter() - started
        self._seconds[key] = min(seconds, self._seconds.get(key, seconds))
        return found


class Noise(NamedTuple):
    """Draws that depend on nothing but a shape.

    Attributes
    ----------
    shape, dtype, device
        Of the draws.
    fill
        Fills a tensor with them, in place.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    fill: Callable[[Tensor], object]

    def draw(self) -> Tensor:
        """New draws."""
        found = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        self.fill(found)
        return found


def noise_as_inputs(graph: fx.GraphModule) -> list[Noise]:
    """Make the draws of a graph its last inputs, in the order in which they were made.

    Raises
    ------
    NotRecordableError
        If it draws from anything but normals and uniforms of fixed shapes.
    """
    nodes = graph.graph
    plain = (torch.ops.aten.normal_.default, torch.ops.aten.uniform_.default)
    last = [node for node in nodes.nodes if node.op == "placeholder"][-1]
    noises = []
    for node in list(nodes.nodes):
        if node.op != "call_function" or not _is_random(node):
            continue
        if node.target not in plain or not _is_empty(_first(node)) or node.kwargs:
            raise NotRecordableError(f"it draws by {node.target}")
        meta = node.meta["tensor_meta"]
        device = torch.device(_first(node).kwargs.get("device") or "cpu")  # type: ignore[arg-type]
        fill = partial(_filled, node.target, node.args[1:])
        noises.append(Noise(tuple(meta.shape), meta.dtype, device, fill))
        with nodes.inserting_after(last):
            last = nodes.placeholder(f"noise_{len(noises)}")
        node.replace_all_uses_with(last)
        nodes.erase_node(node)
    nodes.eliminate_dead_code()
    graph.recompile()
    return noises


def _filled(act: Callable[..., object], settings: Sequence[object], noise: Tensor) -> object:
    return act(noise, *settings)


def _is_random(node: fx.Node) -> bool:
    target = node.target
    return (
        isinstance(target, torch._ops.OpOverload)
        and torch.Tag.nondeterministic_seeded in target.tags
    )


def _is_empty(node: fx.Node) -> bool:
    return node.target == torch.ops.aten.empty.memory_format and len(node.users) == 1


@torch.no_grad()
def _run(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    found: Sequence[Tensor] = graph(*inputs)
    return found


def equal(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal to the bit, NaN and all."""
    return torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))


def bound(graph: fx.GraphModule) -> fx.GraphModule:
    """The same graph by PyTorch's Python bindings where it has one of the same kernel.

    A call of an operator ``torch.ops.aten.x`` takes some microseconds longer than one of
    ``torch.x``, which is a third of the time of a small step.
    """
    for node in graph.graph.nodes:
        if node.target in _BINDINGS:
            node.target = _BINDINGS[node.target]
        elif node.target in _METHODS:
            node.op, node.target = "call_method", _METHODS[node.target]
        elif node.target == _TO_COPY and _changes_type_alone(node):
            node.args, node.kwargs = (*node.args, node.kwargs["dtype"]), {}
            node.op, node.target = "call_method", "to"
    graph.recompile()
    return graph


def _bindings() -> dict[object, Callable[..., Any]]:
    aten = torch.ops.aten
    plain = "abs addcmul addmm cat clamp_max clamp_min exp log log1p mm neg relu sigmoid t tanh"
    more = "unsqueeze abs_ exp_ neg_ sigmoid_"
    found: dict[object, Callable[..., Any]] = {
        getattr(aten, name).default: getattr(torch, name) for name in f"{plain} {more}".split()
    }
    arithmetic = {getattr(aten, n).Tensor: getattr(torch, n) for n in ("add", "div", "mul", "sub")}
    sums = {aten.sum.default: torch.sum, aten.sum.dim_IntList: torch.sum}
    return found | arithmetic | sums


_BINDINGS = _bindings()
_METHODS = {torch.ops.aten.view.default: "view", torch.ops.aten.expand.default: "expand"}
_TO_COPY = torch.ops.aten._to_copy.default


def _changes_type_alone(node: fx.Node) -> bool:
    """Whether a copy is one to another type, on the same device."""
    meta, before = node.meta.get("tensor_meta"), _first(node).meta.get("tensor_meta")
    return (
        meta is not None
        and before is not None
        and meta.dtype != before.dtype
        and "memory_format" not in node.kwargs
        and not torch.cuda.is_available()
    )


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
        with isolated():
            found: Callable[..., list[Tensor | None]] = inductor.compile(
                graph, list(inputs), options={"fallback_random": True}
            )
    except Exception as error:
        raise NotRecordableError(_reason(error, "compiling")) from error
    return found


def _reason(error: Exception, act: str = "recording") -> str:
    """Why a function could not be recorded, as a clause."""
    first = " ".join(str(error).split(". ")[0].split())
    if "value out of a tracing tensor" in first or "data-dependent" in first.lower():
        return "it branches on the values of tensors"
    return f"{act} it failed with {type(error).__name__}: {first[:200]}"


@contextmanager
def _values_not_looked_at() -> Iterator[None]:
    """Pyro's losses without their looks at values, which a graph does not have.

    They warn of NaN, and take a number off a tensor to add it up; as a tensor in float64, which
    Python's numbers are, it adds up to the same.
    """
    replaced: list[tuple[Any, str, Any]] = []
    ours = {
        "warn_if_nan": lambda *_, **__: None,
        "torch_item": lambda x: x.detach().double() if isinstance(x, torch.Tensor) else x,
    }
    for name, module in list(sys.modules.items()):
        if name.startswith("pyro.infer.") and module is not None:
            for attribute in ours.keys() & vars(module).keys():
                replaced.append((module, attribute, vars(module)[attribute]))
    try:
        for module, attribute, _ in replaced:
            setattr(module, attribute, ours[attribute])
        yield
    finally:
        for module, attribute, value in replaced:
            setattr(module, attribute, value)


def _simplify(graph: fx.GraphModule, *, fixed: bool) -> None:
    """Take out what moves no number: aliases, operations that do nothing, what is done twice."""
    nodes = graph.graph
    apart = _changed_or_given_out(nodes)
    for node in list(nodes.nodes):
        same = _does_nothing(node)
        # A copy is not in vain where one of the two is changed.
        if same is not None and (_is_view(node) or not apart.intersection((node, same))):
            node.replace_all_uses_with(same)
            nodes.erase_node(node)
    _share(nodes)
    _keep_constants(graph, fixed=fixed)
    nodes.eliminate_dead_code()
    graph.recompile()


def _does_nothing(node: fx.Node) -> fx.Node | None:
    """The input that an operation gives back as it is, if it does."""
    aten = torch.ops.aten
    if node.target in (aten.detach.default, aten.alias.default, aten.lift_fresh.default):
        return _first(node)
    if node.target in (aten.t.default, aten.neg.default):
        inner = _first(node)
        return _first(inner) if inner.target == node.target else None
    if node.target == aten.cat.default:
        parts = node.args[0]
        alone = parts[0] if isinstance(parts, Sequence) and len(parts) == 1 else None
        return alone if isinstance(alone, torch.fx.Node) and _looks_alike(node, alone) else None
    neutral = {
        aten.add.Tensor: 0,
        aten.sub.Tensor: 0,
        aten.mul.Tensor: 1,
        aten.div.Tensor: 1,
        aten.pow.Tensor_Scalar: 1,
        aten.view.default: None,
        aten.expand.default: None,
        aten._to_copy.default: None,
    }
    if node.target not in neutral or not _looks_alike(node, _first(node)):
        return None
    number = neutral[node.target]
    if number is None:
        return _first(node)
    other = node.args[1]
    return _first(node) if isinstance(other, int | float) and other == number else None


def _first(node: fx.Node) -> fx.Node:
    first = node.args[0]
    assert isinstance(first, torch.fx.Node)
    return first


def _looks_alike(node: fx.Node, other: fx.Node) -> bool:
    """Whether two values are of one shape, type and layout."""
    ours, theirs = node.meta.get("tensor_meta"), other.meta.get("tensor_meta")
    return ours is not None and ours == theirs


def _share(nodes: fx.Graph) -> None:
    """Compute once what is computed twice, unless it is changed in place, random or given out."""
    apart = _changed_or_given_out(nodes)
    seen: dict[Any, fx.Node] = {}
    for node in list(nodes.nodes):
        if not _is_pure(node) or apart.intersection((node, *node.all_input_nodes)):
            continue
        key = (node.target, repr(node.args), repr(node.kwargs))
        if key in seen:
            node.replace_all_uses_with(seen[key])
            nodes.erase_node(node)
        else:
            seen[key] = node


def _keep_constants(graph: fx.GraphModule, *, fixed: bool) -> None:
    """Compute now what depends on no input."""
    nodes = graph.graph
    apart = _changed_or_given_out(nodes)
    values: dict[fx.Node, Tensor] = {}
    likes = (torch.ops.aten.ones_like.default, torch.ops.aten.zeros_like.default)
    for node in list(nodes.nodes):
        if node.op == "get_attr" and fixed and node not in apart:
            values[node] = operator.attrgetter(str(node.target))(graph).detach()
            continue
        if not _is_pure(node) or apart.intersection((node, *node.all_input_nodes)):
            continue
        if node.target in likes and "tensor_meta" in node.meta:
            meta = node.meta["tensor_meta"]
            number = 1 if node.target == likes[0] else 0
            device = node.kwargs.get("device")
            if device is None and torch.cuda.is_available():
                continue  # where its pattern will lie is not known here
            values[node] = torch.full(meta.shape, number, dtype=meta.dtype, device=device)
        elif all(part in values for part in node.all_input_nodes):
            args, kwargs = torch.fx.map_arg((node.args, node.kwargs), values.__getitem__)
            found = node.target(*args, **kwargs)
            if isinstance(found, torch.Tensor):
                values[node] = found
    for node, value in values.items():
        if node.op == "get_attr" or all(user in values for user in node.users):
            continue
        name = f"_constant_{node.name}"
        graph.register_buffer(name, value)
        with nodes.inserting_before(node):
            node.replace_all_uses_with(nodes.get_attr(name))


def _is_pure(node: fx.Node) -> bool:
    """Whether an operation gives the same for the same inputs, and does nothing else."""
    target = node.target
    return (
        isinstance(target, torch._ops.OpOverload)
        and not target._schema.is_mutable
        and not _is_random(node)
        # They move their averages without saying so.
        and "batch_norm" not in target._schema.name
        # What lies in memory that nobody has written to.
        and "empty" not in target._schema.name
    )


def _changed_or_given_out(nodes: fx.Graph) -> set[fx.Node]:
    """Values that are changed in place or are results, and all that share memory with them."""
    marked = {
        node.args[0]
        for node in nodes.nodes
        if isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable
    }
    marked |= set(nodes.output_node().all_input_nodes)
    views = {node: node.args[0] for node in nodes.nodes if _is_view(node)}
    while True:
        more = {base for view, base in views.items() if view in marked and base not in marked}
        more |= {view for view, base in views.items() if base in marked and view not in marked}
        if not more:
            return marked
        marked |= more


def _is_view(node: fx.Node) -> bool:
    """Whether a value shares memory with its first input."""
    target = node.target
    if target is operator.getitem:
        return True
    if not isinstance(target, torch._ops.OpOverload):
        return False
    returned = target._schema.returns
    return bool(returned) and returned[0].alias_info is not None
