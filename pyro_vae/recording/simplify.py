"""Taking out of a graph what moves no number."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.recording.nodes import first_input, is_random

if TYPE_CHECKING:
    from torch import Tensor, fx

__all__ = ["simplify"]


def simplify(graph: fx.GraphModule, *, fixed: bool) -> None:
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
        return first_input(node)
    if node.target in (aten.t.default, aten.neg.default):
        inner = first_input(node)
        return first_input(inner) if inner.target == node.target else None
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
    if node.target not in neutral or not _looks_alike(node, first_input(node)):
        return None
    number = neutral[node.target]
    if number is None:
        return first_input(node)
    other = node.args[1]
    return first_input(node) if isinstance(other, int | float) and other == number else None


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
        and not is_random(node)
        # They move their averages without saying so.
        and "batch_norm" not in target._schema.name
        # What lies in memory that nobody has written to.
        and "empty" not in target._schema.name
    )


def _changed_or_given_out(nodes: fx.Graph) -> set[fx.Node]:
    """Values that are changed in place or are results, and all that share memory with them."""
    marked = set(nodes.output_node().all_input_nodes)
    for node in nodes.nodes:
        marked |= _written_to(node)
    views = {node: node.args[0] for node in nodes.nodes if _is_view(node)}
    while True:
        more = {base for view, base in views.items() if view in marked and base not in marked}
        more |= {view for view, base in views.items() if base in marked and view not in marked}
        if not more:
            return marked
        marked |= more


def _written_to(node: fx.Node) -> set[fx.Node]:
    """Inputs that an operation changes."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return set()
    found: set[fx.Node] = set()
    for position, argument in enumerate(node.target._schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        by_position = position < len(node.args)
        given = node.args[position] if by_position else node.kwargs.get(argument.name)
        torch.fx.map_arg(given, found.add)
    return found


def _is_view(node: fx.Node) -> bool:
    """Whether a value shares memory with its first input."""
    target = node.target
    if target is operator.getitem:
        return True
    if not isinstance(target, torch._ops.OpOverload):
        return False
    returned = target._schema.returns
    return bool(returned) and returned[0].alias_info is not None
