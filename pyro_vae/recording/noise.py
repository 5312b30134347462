"""The draws of a graph as its inputs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch

from pyro_vae.recording.graphs import NotRecordableError
from pyro_vae.recording.nodes import first_input, is_random

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, fx

__all__ = ["Noise", "noise_as_inputs"]


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
        if node.op != "call_function" or not is_random(node):
            continue
        if node.target not in plain or not _is_empty(first_input(node)) or node.kwargs:
            raise NotRecordableError(f"it draws by {node.target}")
        meta = node.meta["tensor_meta"]
        device = torch.device(first_input(node).kwargs.get("device") or "cpu")  # type: ignore[arg-type]
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


def _is_empty(node: fx.Node) -> bool:
    return node.target == torch.ops.aten.empty.memory_format and len(node.users) == 1
