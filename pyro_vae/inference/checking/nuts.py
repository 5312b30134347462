"""Chains of NUTS over the latent variables of all data at once, the potential by a graph.

Hoffman & Gelman (2014), arXiv 1111.4246. The data are independent given the parameters, so that
one chain over the latents of all of them is a chain for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
import torch
from pyro.infer import MCMC, NUTS
from pyro.infer.autoguide.initialization import init_to_sample
from pyro.infer.mcmc.util import initialize_model
from pyro.poutine.messenger import Messenger

from pyro_vae.errors import ProgramError
from pyro_vae.inference.engine.inputs import count
from pyro_vae.inference.engine.traces import latent_sites, trace_of, values_of
from pyro_vae.inference.engine.whole import layout_of_pair
from pyro_vae.isolation import isolated
from pyro_vae.recording import Repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.sampling import Sampling
    from pyro_vae.inference.engine.traces import Program

__all__ = ["Chain", "nuts"]

P = ParamSpec("P")
R = TypeVar("R")

#: Gradients that a draw takes, about: a tree of depth 4 has so many.
_GRADIENTS = 15


class Chain(NamedTuple):
    """The draws of one chain.

    Attributes
    ----------
    values
        Each latent site, ``(S, N, ...)``.
    diverging
        Whether the trajectory to a draw diverged, ``(S,)``.
    """

    values: dict[str, Tensor]
    diverging: np.ndarray


def nuts(
    model: Program,
    guide: Program,
    x: Inputs,
    num_samples: int,
    num_chains: int,
    warmup_steps: int,
    sampling: Sampling,
) -> list[Chain]:
    """Chains one after the other, each from its own draw of the prior.

    Parameters
    ----------
    model, guide, x, num_samples, num_chains, warmup_steps, sampling
        As for ``posterior_samples``.

    Raises
    ------
    ProgramError
        If a latent site is discrete.
    """
    with torch.no_grad(), isolated():
        structure, _ = layout_of_pair(
            model, guide, x, sampling.enumerate_discrete, sampling.data_plate
        )
        sites = latent_sites(trace_of(model, x))
    discrete = {s["name"] for s in sites if s["fn"].support.is_discrete}
    if discrete:
        # Summed out in parallel, it would give a site below it one value for each of its states.
        raise ProgramError(
            f"latent site {min(discrete)!r} is discrete, and NUTS needs gradients: take "
            "method='importance', or marginalise it in the model, as with MixtureSameFamily"
        )
    typed = _typed(model, {site["name"]: site["value"].dtype for site in sites})
    chains = []
    for number in range(num_chains):
        with isolated(sampling.seed * num_chains + number):
            drawn, divergences = _chain(
                typed, x, num_samples, warmup_steps, structure.max_plate_nesting
            )
        # A sample lies as its trace does, with the draws to the left.
        stacked = [{**site, "value": _pad(drawn[site["name"]], site, structure)} for site in sites]
        diverging = np.zeros(num_samples, dtype=bool)
        diverging[divergences] = True
        chains.append(Chain(values_of(stacked, structure, num_samples, count(x)), diverging))
    return chains


def _chain(
    model: Program, x: Inputs, num_samples: int, warmup_steps: int, max_plate_nesting: int
) -> tuple[dict[str, Tensor], list[int]]:
    """Draws by site, and the numbers of those that diverged."""
    given = ((x,), {}) if isinstance(x, torch.Tensor) else ((), dict(x))
    initial, potential, transforms, _ = initialize_model(
        model, *given, max_plate_nesting=max_plate_nesting, init_strategy=init_to_sample()
    )
    calls = _GRADIENTS * (num_samples + warmup_steps)
    mcmc = MCMC(
        NUTS(potential_fn=_Potential(potential, list(initial), calls)),
        num_samples,
        warmup_steps,
        initial_params=initial,
        transforms=transforms,
        disable_progbar=True,
    )
    mcmc.run()
    return mcmc.get_samples(), mcmc.diagnostics()["divergences"]["chain 0"]


class _Potential:
    """A potential of Pyro's, which is called thousands of times: its gradient comes with it.

    Parameters
    ----------
    potential
        Takes the unconstrained value of every site.
    names
        The sites, in an order of ours.
    calls
        How often it will be called, about.
    """

    def __init__(
        self, potential: Callable[[dict[str, Tensor]], Tensor], names: list[str], calls: int
    ) -> None:
        self._potential, self._names = potential, names
        self._repeated = Repeated(self._with_gradient, calls)
        self._type: torch.dtype | None = None

    def __call__(self, values: dict[str, Tensor]) -> Tensor:
        """The energy, whose gradient is ready."""
        if {value.dtype for value in values.values()} != {self._type}:
            # A chain begins in the model's type and is moved in that of the energy.
            energy = self._potential(values)
            self._type = energy.dtype
            return energy
        ready: Tensor = _Ready.apply(self._repeated, *(values[name] for name in self._names))
        return ready

    @torch.enable_grad()
    def _with_gradient(self, *values: Tensor) -> tuple[Tensor, ...]:
        at = [value.detach().requires_grad_() for value in values]
        energy = self._potential(dict(zip(self._names, at, strict=True)))
        return energy.detach(), *torch.autograd.grad(energy, at)


class _Ready(torch.autograd.Function):
    """A value with the gradient that was computed beside it."""

    @staticmethod
    def forward(ctx: Any, both: Callable[..., Sequence[Tensor]], *values: Tensor) -> Tensor:
        energy, *gradients = both(*values)
        ctx.save_for_backward(*gradients)
        return energy.clone()

    @staticmethod
    def backward(ctx: Any, *grown: Tensor) -> tuple[Tensor | None, ...]:
        (share,) = grown
        return None, *(share * gradient for gradient in ctx.saved_tensors)


class _Cast(Messenger):
    """Gives a program its draws in the types that they would have had.

    NUTS moves in the type of the log-density, which is float64 for networks in float32.
    """

    def __init__(self, types: dict[str, torch.dtype]) -> None:
        super().__init__()
        self.types = types

    def _pyro_post_sample(self, msg: Any) -> None:
        if msg["name"] in self.types:
            msg["value"] = msg["value"].to(self.types[msg["name"]])


def _typed(program: Callable[P, R], types: dict[str, torch.dtype]) -> Callable[P, R]:
    def typed(*args: P.args, **kwargs: P.kwargs) -> R:
        with _Cast(types):
            return program(*args, **kwargs)

    return typed


def _pad(value: Tensor, site: dict[str, Any], structure: Any) -> Tensor:
    """Put the leading dimension of draws where a plate of particles would be."""
    missing = -structure.particle_dim - (value.dim() - site["fn"].event_dim)
    return value.reshape(value.shape[0], *(1,) * missing, *value.shape[1:])
