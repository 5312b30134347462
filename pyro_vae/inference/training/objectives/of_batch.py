"""Objectives that belong to a batch: no function of each datum's log-weights alone."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec

from pyro import poutine

from pyro_vae.inference.engine.inputs import count
from pyro_vae.inference.engine.traces import plate_scale, run_in_plate
from pyro_vae.inference.training.objectives.weighted import WeightedObjective, inputs_of, layout_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro.poutine import Trace
    from torch import Tensor

    from pyro_vae.inference.engine.traces import Structure
    from pyro_vae.inference.engine.weights import LogWeights

__all__ = ["BatchObjective", "BatchTraces"]

P = ParamSpec("P")


class BatchTraces(NamedTuple):
    """One run of a pair on a batch.

    Attributes
    ----------
    guide, model
        Trace of the guide, and of the model replayed on it.
    structure
        Layout of their plates.
    size
        Number B of data in the batch.
    scale
        N / B of a subsampled data plate.
    """

    guide: Trace
    model: Trace
    structure: Structure
    size: int
    scale: float


class BatchObjective(WeightedObjective):
    """Loss made of the sites of a batch, K draws of each datum."""

    comparable = False

    @property
    def needs_whole_batch(self) -> str:
        """Why several processes cannot share a batch."""
        return f"{self.name} is no sum over the data of a batch"

    @abstractmethod
    def total(self, at: BatchTraces) -> Tensor:
        """Estimate of the objective summed over the batch, a scalar."""

    def bound(self, terms: LogWeights) -> Tensor:
        """The ELBO per datum; what is made of the batch is ``total``."""
        return terms.log_weights.mean(0)

    def differentiable_loss(
        self, model: Callable[P, Any], guide: Callable[P, Any], *args: P.args, **kwargs: P.kwargs
    ) -> Tensor:
        """Minus the objective, summed over the data, with its gradient."""
        x = inputs_of(model, args, kwargs)
        structure = layout_of(model, guide, x, enumerate_discrete=False)
        trace = run_in_plate(guide, x, structure, self.num_particles)
        replay = poutine.replay(model, trace=trace)
        replayed = run_in_plate(replay, x, structure, self.num_particles)
        scale = plate_scale(trace, structure)
        return -scale * self.total(BatchTraces(trace, replayed, structure, count(x), scale))
