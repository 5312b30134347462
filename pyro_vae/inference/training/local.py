"""Guide parameters for each datum, optimised with the model held fixed: no amortisation.

Hoffman, Blei, Wang & Paisley (2013), arXiv 1206.7051, section 2; for VAEs, Cremer, Li &
Duvenaud (2018), arXiv 1801.03558.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.func import functional_call

from pyro_vae.conversion import takes_data
from pyro_vae.errors import ProgramError
from pyro_vae.formulas import described
from pyro_vae.inference.engine.inputs import count, named_as, tensors
from pyro_vae.inference.engine.weights import batch_log_weights
from pyro_vae.inference.training.objectives import default_objective_of
from pyro_vae.isolation import isolated
from pyro_vae.protocols import HasParameters, LocalPair, offers
from pyro_vae.recording import Repeated
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs

__all__ = ["GuideFit", "fit_guide"]

#: Steps whose mean is compared with that of those before, and how often the step size is cut.
_WINDOW, _CUTS = 50, 3

#: Sets of draws that say whether the guide is better than it was.
_ROUNDS = 16


@dataclass(frozen=True)
class GuideFit:
    """What the optimisation did.

    Attributes
    ----------
    elbo
        Mean ELBO over data at every step, in nats per datum, estimated with the particles of
        that step.
    converged
        Whether the last two windows of steps differ by less than ``tolerance`` or by less
        than two standard errors.
    last_gain
        Difference of the last two windows, in nats per datum.
    """

    elbo: list[float]
    converged: bool
    last_gain: float


@verb
@takes_data("x")
def fit_guide(
    program: LocalPair,
    x: Inputs,
    *,
    steps: int = 1000,
    learning_rate: float = 0.03,
    num_particles: int = 16,
    tolerance: float = 0.01,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> GuideFit:
    """Maximise the ELBO of every datum over its own guide parameters, all data at once.

    The step size is divided by three when the ELBO no longer rises; at the third time the
    guide has converged. Where the mean ELBO has fallen, by the same draws before and after, as
    with steps that are long beside a narrow guide that was right, the start is put back.

    Parameters
    ----------
    program
        Pair with ``local_parameters``, which alone are changed.
    x
        Data ``(n, ...)``, those that the guide has parameters for.
    steps
        Largest number of steps of Adam.
    learning_rate
        First step size.
    num_particles
        Draws per datum and step.
    tolerance
        Rise of the mean ELBO over 50 steps that counts as none, in nats per datum.
    seed
        Seed of the draws.
    progress
        Called with the number of steps done and their largest number.

    Returns
    -------
    GuideFit
        The ELBO over the steps, and whether it has converged.

    Raises
    ------
    ProgramError
        If the program has no parameters per datum.
    """
    parameters = list(program.local_parameters) if offers(program, LocalPair) else []
    if not parameters:
        raise ProgramError(
            "the guide has no parameters of its own for each datum: take model.unamortised(x)"
        )
    enumerate_discrete = described(default_objective_of(program)).enumerate_discrete
    optimiser = torch.optim.Adam(parameters, lr=learning_rate)
    plateau = _Plateau(optimiser, tolerance)
    elbo: list[float] = []
    start = [parameter.detach().clone() for parameter in parameters]
    bound = _Bound(program, num_particles, enumerate_discrete)
    climb = _climb(bound, parameters, x, steps)

    def judged() -> float:
        with torch.no_grad(), isolated(seed + 1):
            # As many at once as a step takes: memory that is there.
            return torch.stack([bound(x) for _ in range(_ROUNDS)]).mean().item()

    with isolated(seed), _frozen(program, parameters):
        before = judged()
        for step in range(1, steps + 1):
            now, *gradients = climb()
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimiser.step()
            elbo.append(now.item())
            if progress is not None:
                progress(step, steps)
            plateau.look(elbo)
            if plateau.converged:
                break
        # Not "if lower": a guide that became NaN is no better, either.
        if not judged() >= before:
            with torch.no_grad():
                for parameter, value in zip(parameters, start, strict=True):
                    parameter.copy_(value)
    return GuideFit(elbo, plateau.converged, plateau.gain)


class _Bound(nn.Module):
    """Mean ELBO over data, by fresh draws; with the pair's parameters, where it is a module."""

    def __init__(self, program: LocalPair, num_particles: int, enumerate_discrete: bool) -> None:
        super().__init__()
        self.program = program
        self.num_particles, self.enumerate_discrete = num_particles, enumerate_discrete

    def forward(self, x: Inputs) -> Tensor:
        """A scalar in nats per datum."""
        terms, _ = batch_log_weights(
            self.program.model,
            self.program.guide,
            x,
            self.num_particles,
            enumerate_discrete=self.enumerate_discrete,
        )
        return terms.log_weights.mean()


def _climb(
    bound: _Bound, parameters: Sequence[Tensor], x: Inputs, steps: int
) -> Callable[[], Sequence[Tensor]]:
    """The bound at the parameters as they are, and minus the gradient of its sum over data.

    Of a module by a recorded graph, where the steps are worth it.
    """
    names = {id(parameter): name for name, parameter in bound.named_parameters()}
    local = [names[id(p)] for p in parameters if id(p) in names]

    def climb(now: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
        gradients = torch.autograd.grad(-now * count(x), leaves, allow_unused=True)
        found = zip(gradients, leaves, strict=True)
        return [now.detach(), *(torch.zeros_like(p) if g is None else g for g, p in found)]

    if len(local) < len(parameters):
        return lambda: climb(bound(x), parameters)

    def function(*given: Tensor) -> list[Tensor]:
        leaves = [value.detach().requires_grad_() for value in given[: len(local)]]
        values, data = dict(zip(local, leaves, strict=True)), named_as(x, given[len(local) :])
        return climb(functional_call(bound, values, (data,)), leaves)

    repeated = Repeated(function, steps)
    # These share memory with the parameters, which are changed in place.
    shared = [*(parameter.detach() for parameter in parameters), *tensors(x)]
    return lambda: repeated(*shared)


@dataclass
class _Plateau:
    """Shortens the steps where the ELBO no longer rises; at the third time it has converged."""

    optimiser: torch.optim.Optimizer
    tolerance: float
    gain: float = math.inf
    cuts: int = 0

    @property
    def converged(self) -> bool:
        return self.cuts == _CUTS

    def look(self, elbo: list[float]) -> None:
        """Compare the last two windows, at the end of each."""
        if len(elbo) % _WINDOW or len(elbo) < 2 * _WINDOW:
            return
        self.gain, error = _gain(elbo)
        if self.gain < max(self.tolerance, 2 * error):
            self.cuts += 1
            for group in self.optimiser.param_groups:
                group["lr"] /= 3


def _gain(elbo: list[float]) -> tuple[float, float]:
    """Rise of the mean from the last window but one to the last, and its standard error."""
    before, after = torch.tensor(elbo[-2 * _WINDOW :]).double().chunk(2)
    error = math.sqrt((before.var() + after.var()).item() / _WINDOW)
    return (after.mean() - before.mean()).item(), error


@contextmanager
def _frozen(program: object, kept: Iterable[Tensor]) -> Iterator[None]:
    """Turn gradients off for every parameter of a module but these."""
    ids = {id(parameter) for parameter in kept}
    everything = program.parameters() if offers(program, HasParameters) else ()
    others = [p for p in everything if id(p) not in ids and p.requires_grad]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)
