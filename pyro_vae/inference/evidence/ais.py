"""Log p(x) by annealed importance sampling with Hamiltonian transitions, and bidirectionally.

Neal (2001), "Annealed importance sampling"; for decoders, Wu, Burda, Salakhutdinov & Grosse
(2017), arXiv 1611.04273; the bidirectional sandwich, Grosse, Ghahramani & Adams (2015), arXiv
1511.02543. The path from a start distribution f_0 (the prior, or the guide) to f_T(z) =
p(x, z) is f_t = f_0^(1 - b_t) p(x, z)^(b_t).
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyro
import torch
import xarray as xr

from pyro_vae.conversion import takes_data
from pyro_vae.errors import UnknownNameError
from pyro_vae.inference.engine.bounds import log_evidence_of
from pyro_vae.inference.engine.diagnostics import effective_sample_size
from pyro_vae.inference.engine.inputs import count, device_of, take
from pyro_vae.inference.engine.whole import layout_of_pair
from pyro_vae.inference.evidence.latent_space import LatentSpace
from pyro_vae.inference.evidence.result import evidence_result
from pyro_vae.isolation import isolated
from pyro_vae.recording import Repeated
from pyro_vae.verbs import verb
from pyro_vae.workers import shared_out, shares_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.traces import Program

__all__ = ["ais", "bdmc"]

Start = Literal["prior", "guide"]

#: The logarithm of a step size grows by this after an acceptance (Wu et al. take 0.02), or by
#: more on a path too short for it to get anywhere: by a total of so much over the path.
_GROWTH, _REACH = 0.02, 6.0


@verb
@takes_data("x")
def ais(
    model: Program,
    guide: Program,
    x: Inputs,
    *,
    num_temperatures: int = 500,
    num_chains: int = 16,
    start: Start = "guide",
    schedule: Literal["sigmoid", "linear"] = "sigmoid",
    num_leapfrog: int = 10,
    target_acceptance: float = 0.65,
    step_size: float = 0.1,
    seed: int = 0,
    batch_size: int = 100,
    enumerate_discrete: bool = False,
    data_plate: str | None = None,
    n_jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Log p(x) by annealed importance sampling, vectorised over data and chains.

    The step size of each datum at each temperature is adapted in a warm-up run that is thrown
    away, and frozen: the measured run is a valid Markov chain at every temperature, and
    exp(log w) an unbiased estimate of p(x).

    Parameters
    ----------
    model, guide, x, enumerate_discrete, data_plate
        As for ``log_weights``; the guide's sites are continuous.
    num_temperatures
        Number T of steps of the path, one Hamiltonian transition each.
    num_chains
        Chains per datum.
    start
        Start of the path: ``"prior"`` or ``"guide"``, which needs far fewer temperatures.
    schedule
        Spacing of the temperatures b_t: ``"sigmoid"``, close at both ends, or ``"linear"``.
    num_leapfrog
        Leapfrog steps of a transition.
    target_acceptance
        Acceptance rate that the warm-up steers each datum to.
    step_size
        Where the warm-up starts.
    seed
        Seed of the draws; those of a datum depend on its batch too.
    batch_size
        Data that go through the path together; all of them, where the guide has parameters by
        the position of a datum.
    n_jobs
        Processes that the batches are shared out to, as for ``log_weights``.
    progress
        Called with the number of temperatures done, over all batches and the warm-up, and
        their total.

    Returns
    -------
    Dataset
        ``log_evidence``, a stochastic lower bound, with its standard error over chains, the
        effective number of chains ``ess`` and the ``acceptance`` rate, dimension ``datum``.

    Raises
    ------
    ProgramError
        If a latent site is discrete and not summed out.
    UnknownNameError
        If the start or the schedule is unknown.
    ValueError
        If a number is out of range.
    """
    path = _Path(num_temperatures, num_leapfrog, start, schedule)
    _check_chains(num_chains)
    began = time.perf_counter()
    with torch.no_grad(), isolated():
        _, by_position = layout_of_pair(model, guide, x, enumerate_discrete, data_plate)
    batches = _Batches(
        model=model,
        guide=guide,
        x=x,
        size=count(x) if by_position else batch_size,
        path=path,
        num_chains=num_chains,
        step_size=step_size,
        target_acceptance=target_acceptance,
        seed=seed,
        enumerate_discrete=enumerate_discrete,
        data_plate=data_plate,
    )
    total = 2 * num_temperatures * len(batches)
    # Another process tells of whole batches alone.
    apart = shares_out(n_jobs) and len(batches) > 1
    tick = None if apart else _ticker(progress, 0, total)
    annealed = shared_out(batches, [(number, tick) for number in range(len(batches))], n_jobs)
    columns: dict[str, list[Tensor]] = {}
    for done, found in enumerate(annealed, start=1):
        for name, values in found.items():
            columns.setdefault(name, []).append(values)
        if progress is not None and apart:
            progress(2 * num_temperatures * done, total)
    arrays = {name: torch.cat(parts).cpu().numpy() for name, parts in columns.items()}
    return evidence_result(
        arrays["value"],
        arrays["error"],
        estimator=f"annealed importance sampling from the {start}",
        bound="lower",
        num_particles=num_chains,
        seconds=time.perf_counter() - began,
        seed=seed,
        extra={name: arrays[name] for name in ("ess", "acceptance")},
        num_temperatures=num_temperatures,
        num_leapfrog=num_leapfrog,
    )


@verb
@takes_data("x")
def bdmc(
    model: Program,
    guide: Program,
    x: Inputs,
    latents: dict[str, Tensor],
    *,
    num_temperatures: int = 500,
    num_chains: int = 16,
    start: Start = "prior",
    schedule: Literal["sigmoid", "linear"] = "sigmoid",
    num_leapfrog: int = 10,
    target_acceptance: float = 0.65,
    step_size: float = 0.1,
    seed: int = 0,
    enumerate_discrete: bool = False,
    data_plate: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Lower and upper bound on log p(x) of data simulated from the model, and their difference.

    The z that made x is an exact draw from p(z | x), so the path can be run backwards from it:
    the chains' weights then estimate 1 / p(x) without bias, and give an upper bound.

    Parameters
    ----------
    model, guide, enumerate_discrete, data_plate
        As for ``log_weights``.
    x
        Data drawn from the model.
    latents
        The values of the latent sites that made them, ``(B, *site shape)`` each.
    num_temperatures, num_chains, start, schedule, num_leapfrog, target_acceptance, step_size
        As for ``ais``.
    seed, progress
        As for ``ais``; all the data go through the path together.

    Returns
    -------
    Dataset
        ``lower`` and ``upper`` with ``_se``, and ``difference``, the certificate: in
        expectation it is at least the error of either. Dimension ``datum``, in nats.
    """
    path = _Path(num_temperatures, num_leapfrog, start, schedule)
    _check_chains(num_chains)
    tick = _ticker(progress, 0, 3 * num_temperatures)
    with _seeded(seed, 0):
        space = LatentSpace(
            model, guide, x, enumerate_discrete=enumerate_discrete, data_plate=data_plate
        )
        land = _Landscape(path, space)
        steps, forward, acceptance = _annealed(
            land, num_chains, step_size, target_acceptance, tick
        )
        here = device_of(x)
        given = {name: value.to(here).unsqueeze(0) for name, value in latents.items()}
        exact = space.flatten(given)
        backward = _backward(land, exact.repeat(num_chains, 1, 1), steps, tick)
    lower = log_evidence_of(forward.double())
    inverse = log_evidence_of(backward.double())
    variables = {
        "lower": lower.value,
        "lower_se": lower.standard_error,
        "upper": -inverse.value,
        "upper_se": inverse.standard_error,
        "difference": -inverse.value - lower.value,
        "acceptance": acceptance,
    }
    results = xr.Dataset(
        {name: ("datum", value.cpu().numpy()) for name, value in variables.items()},
        coords={"datum": np.arange(count(x))},
    )
    results.attrs.update(units="nats per datum", num_temperatures=num_temperatures, seed=seed)
    return results


@dataclass(frozen=True)
class _Path:
    """The intermediate distributions and how a transition moves between them."""

    num_temperatures: int
    num_leapfrog: int
    start: str
    schedule: str

    def __post_init__(self) -> None:
        for name, allowed in (("start", ("guide", "prior")), ("schedule", ("linear", "sigmoid"))):
            if getattr(self, name) not in allowed:
                raise UnknownNameError(f"{name} of the path", getattr(self, name), allowed)

    def temperatures(self) -> list[float]:
        """b_0 = 0 to b_T = 1."""
        shares = torch.linspace(0, 1, self.num_temperatures + 1, dtype=torch.double)
        if self.schedule == "sigmoid":
            # Wu et al. (2017): sigmoid(4 (2 t / T - 1)), scaled to run from 0 to 1.
            shares = torch.sigmoid(4 * (2 * shares - 1))
            shares = (shares - shares[0]) / (shares[-1] - shares[0])
        return shares.tolist()


class _Landscape:
    """The distributions of a path for one batch, in the unconstrained coordinates.

    They are evaluated thousands of times, so that a graph of them is recorded.

    Attributes
    ----------
    path, space
        The path, and the latent variables of the batch.
    """

    def __init__(self, path: _Path, space: LatentSpace) -> None:
        self.path, self.space = path, space
        # A warm-up and a measured run, which may also be run backwards.
        runs = 2 * path.num_temperatures
        self._ends = Repeated(self._ends_of, runs)
        self._energy = Repeated(self._energy_of, runs * (path.num_leapfrog + 1))

    def ends(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Log f_0 and log f_T, each ``(K, B)``."""
        with torch.no_grad():
            begin, target = self._ends(u)
        return begin, target

    def energy(self, u: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Log f_t, ``(K, B)``, and its gradient in u."""
        log_density, gradient = self._energy(u, torch.tensor(temperature, dtype=torch.float64))
        return log_density, gradient

    def _ends_of(self, u: Tensor) -> tuple[Tensor, Tensor]:
        found = self.space.densities(u)
        target = found.log_prior + found.log_likelihood + found.log_det
        begin = found.log_prior if self.path.start == "prior" else self.space.log_guide(u)
        return begin + found.log_det, target

    def _energy_of(self, u: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        u = u.detach().requires_grad_()
        begin, target = self._ends_of(u)
        log_density = (1 - temperature) * begin + temperature * target
        (gradient,) = torch.autograd.grad(log_density.sum(), u)
        return log_density.detach(), gradient

    def transition(self, u: Tensor, temperature: float, step: Tensor) -> tuple[Tensor, Tensor]:
        """One Hamiltonian transition at a temperature; the new u, and what was accepted."""
        momentum = torch.randn_like(u)
        before, gradient = self.energy(u, temperature)
        v, p = u, momentum + 0.5 * step * gradient
        last = self.path.num_leapfrog - 1
        for index in range(self.path.num_leapfrog):
            v = v + step * p
            after, gradient = self.energy(v, temperature)
            p = p + (step if index < last else 0.5 * step) * gradient
        change = after - before - 0.5 * (p.square().sum(-1) - momentum.square().sum(-1))
        # A trajectory that diverged has no finite energy, and is refused.
        log_u = torch.log(torch.rand_like(change))
        accepted = torch.isfinite(change) & (log_u < change)
        return torch.where(accepted.unsqueeze(-1), v, u), accepted


@dataclass(frozen=True)
class _Batches:
    """Batches of data that go through a path, each with a seed of its own."""

    model: Program
    guide: Program
    x: Inputs
    size: int
    path: _Path
    num_chains: int
    step_size: float
    target_acceptance: float
    seed: int
    enumerate_discrete: bool
    data_plate: str | None

    def __len__(self) -> int:
        return -(-count(self.x) // self.size)

    def __call__(
        self, number: int, tick: Callable[[], None] | None
    ) -> Iterator[dict[str, Tensor]]:
        """What the chains of a batch say of each of its data."""
        part = take(self.x, slice(number * self.size, (number + 1) * self.size))
        with _seeded(self.seed, number):
            space = LatentSpace(
                self.model,
                self.guide,
                part,
                enumerate_discrete=self.enumerate_discrete,
                data_plate=self.data_plate,
            )
            _, log_weights, acceptance = _annealed(
                _Landscape(self.path, space),
                self.num_chains,
                self.step_size,
                self.target_acceptance,
                tick or (lambda: None),
            )
        log_weights = log_weights.double()
        estimate = log_evidence_of(log_weights)
        yield {
            "value": estimate.value,
            "error": estimate.standard_error,
            "ess": effective_sample_size(log_weights),
            "acceptance": acceptance,
        }


def _annealed(
    land: _Landscape,
    num_chains: int,
    step_size: float,
    target: float,
    tick: Callable[[], None],
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Step sizes of a warm-up; of the chains after it log-weights and acceptance: ``_forward``."""
    steps = _warm_up(land, num_chains, step_size, target, tick)
    u = land.space.draw(num_chains, prior=land.path.start == "prior")
    return steps, *_forward(land, u, steps, tick)


def _warm_up(
    land: _Landscape,
    num_chains: int,
    step_size: float,
    target: float,
    tick: Callable[[], None],
) -> list[Tensor]:
    """Step size of every datum at every temperature, from a run that is thrown away."""
    u = land.space.draw(num_chains, prior=land.path.start == "prior")
    step = torch.full((1, u.shape[1], 1), step_size).to(u)
    growth = max(_GROWTH, _REACH / land.path.num_temperatures)
    steps = []
    for temperature in land.path.temperatures()[1:]:
        steps.append(step)
        u, accepted = land.transition(u, temperature, step)
        share = accepted.to(u).mean(0).reshape(1, -1, 1)
        # At the target rate growth after acceptances and shrinking after rejections cancel.
        step = step * torch.exp(growth * (share - target) / (1 - target))
        tick()
    return steps


def _forward(
    land: _Landscape, u: Tensor, steps: list[Tensor], tick: Callable[[], None]
) -> tuple[Tensor, Tensor]:
    """Log-weights of chains from f_0 to f_T, ``(K, B)``, and the acceptance rate, ``(B,)``."""
    log_weights = torch.zeros(u.shape[:2]).to(u)
    accepted = torch.zeros(u.shape[1]).to(u)
    temperatures = land.path.temperatures()
    for t, step in enumerate(steps, start=1):
        begin, target = land.ends(u)
        # log f_t(z) - log f_(t-1)(z) = (b_t - b_(t-1)) (log p(x, z) - log f_0(z))
        log_weights = log_weights + (temperatures[t] - temperatures[t - 1]) * (target - begin)
        u, here = land.transition(u, temperatures[t], step)
        accepted += here.to(u).mean(0)
        tick()
    return log_weights, accepted / len(steps)


def _backward(
    land: _Landscape, u: Tensor, steps: list[Tensor], tick: Callable[[], None]
) -> Tensor:
    """Log-weights of chains from f_T to f_0, whose mean is 1 / p(x)."""
    log_weights = torch.zeros(u.shape[:2]).to(u)
    temperatures = land.path.temperatures()
    for t in range(len(steps), 0, -1):
        u, _ = land.transition(u, temperatures[t], steps[t - 1])
        begin, target = land.ends(u)
        log_weights = log_weights - (temperatures[t] - temperatures[t - 1]) * (target - begin)
        tick()
    return log_weights


def _check_chains(num_chains: int) -> None:
    if num_chains < 2:
        raise ValueError(f"num_chains got {num_chains}: it must be 2 or more, for an error")


@contextmanager
def _seeded(seed: int, batch: int) -> Iterator[None]:
    """Random state of its own, which leaves the caller's alone, and no validation.

    A trajectory that diverges leaves every support on its way; it is refused at its end.
    """
    with isolated(seed * 1_000_003 + batch), pyro.validation_enabled(False):
        yield


def _ticker(
    progress: Callable[[int, int], None] | None, done: int, total: int
) -> Callable[[], None]:
    state = [done]

    def tick() -> None:
        state[0] += 1
        if progress is not None:
            progress(state[0], total)

    return tick
