"""A step of SVI whose matrix products round what they multiply, of the IWAE paper's networks.

Only a processor with instructions for products of bfloat16 has anything to gain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from benchmarks.figure import Figure
from benchmarks.svi_step import step_of
from benchmarks.timing import ratios
from pyro_vae.inference.training.devices import matrix_products
from pyro_vae.inference.training.objectives import objective_of
from pyro_vae.models import VAE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["figures"]

_BATCH = 100
_OBJECTIVES = {"elbo": 60, "iwae-5": 60, "iwae-50": 20}  # with the rounds of each


def _step(objective: str, x: torch.Tensor, precision: str, mode: str) -> Callable[[], Any]:
    vae = VAE((28, 28), 50, encoder=(200, 200), decoder=(200, 200), activation="tanh")
    step = step_of(vae, x, mode, objective_of(vae, objective))
    return matrix_products(precision)(step)


def figures(*, compilers: bool = False) -> Iterator[Figure]:
    """Steps with 1, 5 and 50 particles, by a graph, and compiled."""
    torch.manual_seed(0)
    x = (torch.rand(_BATCH, 28, 28) < 0.2).float()
    modes = ("graph", "inductor") if compilers else ("graph",)
    for objective, rounds in _OBJECTIVES.items():
        steps = {
            f"{mode}, {precision}": _step(objective, x, precision, mode)
            for mode in modes
            for precision in ("32-true", "32-medium")
        }
        found = ratios(steps, "graph, 32-true", rounds=rounds)
        what = f"SVI step, 784-200-200-50, batch {_BATCH}, {objective}"
        yield Figure(f"{what}, graph", 1e3 * found.pop("graph, 32-true").seconds, "ms")
        for name, r in found.items():
            yield Figure(f"{what}, {name}", r.ratio, "of the graph's", r.low, r.high)
