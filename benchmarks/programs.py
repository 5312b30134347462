"""Other programs than the VAE's, by a recorded graph: as shares of the time by Pyro's handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import torch

from benchmarks.figure import Figure
from benchmarks.svi_step import step_of
from benchmarks.timing import ratios
from pyro_vae.inference import posterior_samples
from pyro_vae.models import VAE, VQVAE, MixtureModel
from pyro_vae.models.likelihoods import Bernoulli, MultivariateNormal
from pyro_vae.models.priors import CategoricalNormal
from pyro_vae.recording import repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.models import LatentVariableModel

__all__ = ["figures"]

_ROUNDS, _BATCH = 40, 64
_DATA, _DRAWS = 20, 100


def figures() -> Iterator[Figure]:
    """Steps of models with discrete sites, and a chain of NUTS."""
    torch.manual_seed(0)
    bits = (torch.rand(_BATCH, 8, 8) < 0.4).float()
    rows = torch.randn(_BATCH, 10)
    holed = {"x": rows, "observed": torch.rand(_BATCH, 10) < 0.8}
    models: dict[str, tuple[Callable[[], LatentVariableModel], Inputs]] = {
        "VQ-VAE, 64 codes": (lambda: VQVAE((8, 8), 64, 8, 4), bits),
        "mixture of 10 Bernoullis": (lambda: MixtureModel(10, Bernoulli(), (8, 8)), bits),
        "mixture of 5 normals, holes": (
            lambda: MixtureModel(5, MultivariateNormal(), (10,), missing="marginal"),
            holed,
        ),
        "VAE, categorical-normal prior": (
            lambda: VAE((8, 8), 8, prior=CategoricalNormal(10), encoder=(200,), decoder=(200,)),
            bits,
        ),
    }
    for name, (make, x) in models.items():
        modes = {mode: step_of(make(), x, mode) for mode in ("off", "graph")}
        yield _share(f"SVI step, {name}, batch {_BATCH}", modes, _ROUNDS, warm_up=5)
    yield _share(f"NUTS, VAE 64-64-4, {_DATA} data, {_DRAWS} draws", _chains(bits), 3, warm_up=0)


def _chains(bits: torch.Tensor) -> dict[str, Callable[[], object]]:
    vae = VAE((8, 8), 4, encoder=(64,), decoder=(64,))

    def chain(worth: float) -> Callable[[], object]:
        @patch.object(repeated, "WORTH_RECORDING", worth)
        def run() -> None:
            posterior_samples(
                vae.model,
                vae.guide,
                bits[:_DATA],
                _DRAWS,
                "hmc",
                num_chains=1,
                warmup_steps=_DRAWS,
            )

        return run

    return {"off": chain(float("inf")), "graph": chain(0.0)}


def _share(
    what: str, modes: dict[str, Callable[[], object]], rounds: int, *, warm_up: int
) -> Figure:
    found = ratios(modes, "off", rounds=rounds, warm_up=warm_up)["graph"]
    return Figure(f"{what}, graph", found.ratio, "of handlers", found.low, found.high, at_most=1.0)
