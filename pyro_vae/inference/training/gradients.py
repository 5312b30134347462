"""How noisy an objective's gradient is.

Rainforth et al. (2018), "Tighter variational bounds are not necessarily better", arXiv
1802.04537: the signal-to-noise ratio of the guide's gradient falls with K for IWAE_K.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from pyro_vae.conversion import takes_data
from pyro_vae.inference.engine.inputs import run_program
from pyro_vae.inference.training.objectives import differentiable_loss_of, objective_named
from pyro_vae.isolation import isolated
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from pyro_vae.inference.engine.inputs import Inputs

__all__ = ["gradient_snr"]


@verb
@takes_data("x")
def gradient_snr(
    program: Any,
    x: Inputs,
    parameters: Sequence[nn.Parameter],
    *,
    objectives: Sequence[str] = ("iwae", "dreg"),
    num_particles: Sequence[int] = (1, 4, 16, 64, 256),
    repeats: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Signal-to-noise ratio |mean| / sd of a gradient, averaged over its coordinates.

    Parameters
    ----------
    program
        Module with Pyro programs ``model`` and ``guide``.
    x
        Data.
    parameters
        Parameters whose gradient is meant, such as ``list(vae.encoder.parameters())``.
    objectives
        Names, without a number of particles.
    num_particles
        The values of K.
    repeats
        Independent draws of the gradient.
    seed
        Seed of the draws.

    Returns
    -------
    DataFrame
        One column an objective, indexed by K. Coordinates without noise, or without a
        gradient, are left out.
    """
    table = pd.DataFrame(index=pd.Index(num_particles, name="K"), dtype=float)
    with isolated(seed):
        for name in objectives:
            table[name] = [
                _snr(program, x, parameters, f"{name}-{k}", repeats) for k in num_particles
            ]
    return table


def _snr(
    program: Any, x: Inputs, parameters: Sequence[nn.Parameter], name: str, repeats: int
) -> float:
    objective = objective_named(name)
    loss = partial(differentiable_loss_of(objective), program.model, program.guide)
    draws = []
    for _ in range(repeats):
        gradients = torch.autograd.grad(run_program(loss, x), list(parameters), allow_unused=True)
        draws.append(torch.cat([g.flatten() for g in gradients if g is not None]).double())
    stacked = torch.stack(draws)
    mean, spread = stacked.mean(0).abs(), stacked.std(0)
    noisy = spread > 0
    return float((mean[noisy] / spread[noisy]).mean())
