"""What the operations of a graph are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import fx

__all__ = ["first_input", "is_random"]


def first_input(node: fx.Node) -> fx.Node:
    """The value that an operation is made of first."""
    first = node.args[0]
    assert isinstance(first, torch.fx.Node)
    return first


def is_random(node: fx.Node) -> bool:
    """Whether an operation draws from PyTorch's generator."""
    target = node.target
    return (
        isinstance(target, torch._ops.OpOverload)
        and torch.Tag.nondeterministic_seeded in target.tags
    )
