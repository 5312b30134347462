"""The step of PyTorch's fused Adam, by its kernel alone.

Kingma & Ba (2015), arXiv 1412.6980. ``torch.optim.Adam`` gathers and groups its tensors anew at
every step, asks whether there is a GPU and opens a record for the profiler: together as long as a
small network takes for its gradients. The kernel, the numbers and the state are the optimiser's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["AdamByKernel"]


class _Kind(NamedTuple):
    """Parameters of one group, device and type, and what Adam keeps of them."""

    group: dict[str, Any]
    parameters: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]
    steps: list[Tensor]


class AdamByKernel:
    """A step of an optimiser, whose state it stays.

    Parameters
    ----------
    optimiser
        Fused, and without ``amsgrad``.
    """

    def __init__(self, optimiser: torch.optim.Adam) -> None:
        self._optimiser, self._groups = optimiser, optimiser.param_groups
        self._parameters = [p for group in optimiser.param_groups for p in group["params"]]
        #: Parameters that have a gradient, by which of all they are.
        self._kinds: dict[tuple[bool, ...], list[_Kind]] = {}

    def __call__(self) -> None:
        """A step down the gradients that the parameters have, which are let go."""
        if self._groups is not self._optimiser.param_groups:  # another state was loaded
            self._groups = self._optimiser.param_groups
            self._kinds.clear()
        has_gradient = tuple(p.grad is not None for p in self._parameters)
        kinds = self._kinds.get(has_gradient)
        if kinds is None:
            # It makes the state of those that had none.
            self._optimiser.step()
            self._kinds[has_gradient] = self._sorted(has_gradient)
        else:
            with torch.no_grad():
                for kind in kinds:
                    _step(kind)
        for parameter in self._parameters:
            parameter.grad = None

    def _sorted(self, has_gradient: Sequence[bool]) -> list[_Kind]:
        """The parameters that have a gradient, as the kernel takes them."""
        wanted = {p for p, one in zip(self._parameters, has_gradient, strict=True) if one}
        found: dict[Any, _Kind] = {}
        for number, group in enumerate(self._optimiser.param_groups):
            for parameter in group["params"]:
                if parameter not in wanted:
                    continue
                key = number, parameter.device, parameter.dtype
                kind = found.setdefault(key, _Kind(group, [], [], [], []))
                state = self._optimiser.state[parameter]
                kind.parameters.append(parameter)
                kind.first.append(state["exp_avg"])
                kind.second.append(state["exp_avg_sq"])
                kind.steps.append(state["step"])
        return list(found.values())


def _step(kind: _Kind) -> None:
    """What ``torch.optim.Adam`` does at its end."""
    group, (beta1, beta2) = kind.group, kind.group["betas"]
    torch._foreach_add_(kind.steps, 1)
    torch._fused_adam_(
        kind.parameters,
        [p.grad for p in kind.parameters if p.grad is not None],
        kind.first,
        kind.second,
        [],
        kind.steps,
        amsgrad=False,
        lr=group["lr"],
        beta1=beta1,
        beta2=beta2,
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=group["maximize"],
    )
