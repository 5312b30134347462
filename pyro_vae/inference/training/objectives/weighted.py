"""Objectives that are functions of the log-weights, as losses for ``pyro.infer.SVI``."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec

import torch
from pyro.infer import ELBO
from pyro.infer.enum import get_importance_trace
from pyro.infer.util import torch_item

from pyro_vae.inference.engine.inputs import take
from pyro_vae.inference.engine.traces import structure_of
from pyro_vae.inference.engine.weights import batch_log_weights
from pyro_vae.isolation import isolated
from pyro_vae.recording import unrecorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pyro_vae.formulas import ObjectiveFormula
    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.traces import Program, Structure
    from pyro_vae.inference.engine.weights import LogWeights

__all__ = ["WeightedObjective", "inputs_of", "layout_of"]

P = ParamSpec("P")


class WeightedObjective(ELBO):
    """A loss made of each datum's K log-weights, summed over data.

    The weights carry no plate scale: what a subsampled plate multiplies is the loss of a datum,
    outside the log-sum-exp.

    Parameters
    ----------
    num_particles
        Number K of draws from the guide per datum.
    enumerate_discrete
        Sum out the discrete latent sites of the model that the guide does not have.
    """

    #: Name on the command line; that of the class where it is empty.
    name: ClassVar[str] = ""
    #: What it is, beside its ``formula`` and ``is_bound``: see ``formulas.Described``.
    is_elbo: ClassVar[bool] = False
    comparable: ClassVar[bool] = True

    def __init__(self, num_particles: int = 1, *, enumerate_discrete: bool = False) -> None:
        if not isinstance(num_particles, int) or num_particles < 1:
            raise ValueError(f"num_particles got {num_particles!r}: it must be a positive integer")
        super().__init__(num_particles=num_particles)
        self.enumerate_discrete = enumerate_discrete

    @property
    def settings(self) -> dict[str, Any]:
        """Constructor arguments other than the number of particles, for the name."""
        return {}

    @property
    @abstractmethod
    def formula(self) -> ObjectiveFormula:
        """What is maximised, and whether it is a bound."""

    @property
    @abstractmethod
    def is_bound(self) -> bool:
        """Whether it is, at every step of the training, a lower bound on a datum's log p(x)."""

    @abstractmethod
    def bound(self, terms: LogWeights) -> Tensor:
        """Estimate of the objective per datum, shape ``(B,)``, from terms ``(K, B)``."""

    def _get_trace(self, model: Program, guide: Program, args: Any, kwargs: Any) -> Any:
        # What Pyro's own losses loop over; the engine makes its traces itself.
        return get_importance_trace("flat", self.max_plate_nesting, model, guide, args, kwargs)

    def differentiable_loss(
        self, model: Callable[P, Any], guide: Callable[P, Any], *args: P.args, **kwargs: P.kwargs
    ) -> Tensor:
        """Minus the objective, summed over the data, with its gradient."""
        x = inputs_of(model, args, kwargs)
        terms, scale = batch_log_weights(
            model, guide, x, self.num_particles, enumerate_discrete=self.enumerate_discrete
        )
        return -scale * self.bound(terms).sum()

    def loss(
        self, model: Callable[P, Any], guide: Callable[P, Any], *args: P.args, **kwargs: P.kwargs
    ) -> float:
        """Minus the objective, summed over the data."""
        with torch.no_grad():
            return torch_item(self.differentiable_loss(model, guide, *args, **kwargs))

    def loss_and_grads(
        self, model: Callable[P, Any], guide: Callable[P, Any], *args: P.args, **kwargs: P.kwargs
    ) -> float:
        """Minus the objective; its gradient is added to the parameters' ``grad``."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        loss.backward()
        return torch_item(loss)


def inputs_of(model: Program, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Inputs:
    """The arguments of the programs as the engine takes them: one tensor, or tensors by name."""
    if len(args) == 1 and not kwargs:
        return args[0]
    return dict(inspect.signature(model).bind(*args, **kwargs).arguments)


def layout_of(model: Program, guide: Program, x: Inputs, *, enumerate_discrete: bool) -> Structure:
    """Where the plates of a pair lie, read off one datum; no random generator is moved."""
    with unrecorded(), torch.no_grad(), isolated():
        return structure_of(model, guide, take(x, slice(1)), enumerate_discrete, None)
