"""Pyro ``param`` statements for a module's own parameters, without the global param store.

``pyro.module`` copies parameters into a store that the whole process shares, so that two
models with equal names would share their weights. The statement made here has the form that
Pyro uses for its module-local parameters: handlers and ``SVI`` see it, nothing is stored.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from pyro.distributions import constraints
from pyro.poutine.runtime import am_i_wrapped, effectful

if TYPE_CHECKING:
    from torch import nn

__all__ = ["declare_parameters"]


def declare_parameters(**modules: nn.Module) -> None:
    """Make one ``param`` site ``name.parameter`` for every trainable parameter of each module."""
    if not am_i_wrapped():
        return
    for name, module in modules.items():
        for key, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            # SVI asks a site's value for the tensor to optimise. An alias carries the answer,
            # since a weak reference on the parameter itself would keep the model from being
            # pickled.
            value = parameter.view_as(parameter)
            value.unconstrained = weakref.ref(parameter)  # type: ignore[attr-defined]
            # What draws models as graphs reads the constraint.
            effectful(lambda *_, value=value, **__: value, type="param")(
                name=f"{name}.{key}", constraint=constraints.real
            )
