"""One step of SVI, of three networks and three sizes of batch, as multiples of plain PyTorch.

``by hand`` is the same network with its closed-form loss in eager PyTorch, as introductions write
it; all have the same Adam, fused. ``compilers`` adds what takes a minute to compile each: the
same by hand through ``torch.compile``, ours through inductor, and NumPyro's jitted step with its
state donated, where NumPyro is installed (the extra ``bench``).
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import pyro
import torch
import torch.nn.functional as F
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn

from benchmarks.figure import Figure
from benchmarks.timing import Ratio, ratios
from pyro_vae.inference.engine.inputs import count, run_program
from pyro_vae.inference.training.adam import AdamByKernel
from pyro_vae.inference.training.by_graph import batch_loss_of
from pyro_vae.inference.training.devices import fabric_on
from pyro_vae.inference.training.loss import Loss, ThroughHandlers
from pyro_vae.models import VAE
from pyro_vae.protocols import Initialisable, offers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyro.infer import ELBO

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.models import LatentVariableModel

__all__ = ["figures", "step_of", "step_of_fit"]

#: Sides of the image, hidden units, latent dimensions.
_NETWORKS = {"64-200-8": (8, 200, 8), "784-400-20": (28, 400, 20), "784-800-50": (28, 800, 50)}
_BATCHES = (32, 128, 512)

#: Largest multiples, by network and batch: of the handlers, and of the recorded graph.
_TARGETS = {("784-400-20", 128): {"handlers": 1.4, "graph": 1.0}}


class _ByHand(nn.Module):
    """One hidden layer on either side, with ReLU."""

    def __init__(self, features: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent)
        )
        self.decode = nn.Sequential(
            nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, features)
        )

    def forward(self, x: Tensor) -> Tensor:
        mean, log_variance = self.encode(x.flatten(1)).chunk(2, dim=-1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        reconstruction = F.binary_cross_entropy_with_logits(
            self.decode(z), x.flatten(1), reduction="sum"
        )
        # KL(N(m, s^2) || N(0, 1)) = -(1 + log s^2 - m^2 - s^2) / 2
        kl = -0.5 * torch.sum(1 + log_variance - mean.square() - log_variance.exp())
        return (reconstruction + kl) / len(x)


def _adam(module: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)


def _step_by_hand(network: tuple[int, int, int], x: Tensor, *, compiler: bool) -> Any:
    side, hidden, latent = network
    module = _ByHand(side**2, hidden, latent)
    optimiser = _adam(module)
    loss_of = torch.compile(module, fullgraph=True) if compiler else module

    def step() -> None:
        loss = loss_of(x)
        loss.item()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def step_of_fit(network: tuple[int, int, int], x: Tensor, mode: str) -> Any:
    """A step of a VAE as ``fit`` makes it."""
    side, hidden, latent = network
    return step_of(VAE((side, side), latent, encoder=(hidden,), decoder=(hidden,)), x, mode)


def step_of(
    model: LatentVariableModel, x: Inputs, mode: str, objective: ELBO | None = None
) -> Any:
    """A step of any model, by its own objective or another, as ``fit`` makes it."""
    if offers(model, Initialisable):
        run_program(model.initialise, x)
    fabric = fabric_on("cpu", 1, "32-true")
    plain = Loss(model, objective or model.default_objective())
    adam = _adam(model)
    loss, _ = fabric.setup(plain, adam)
    handlers, update = ThroughHandlers(loss, fabric), AdamByKernel(adam)
    batch_loss = batch_loss_of(
        mode, handlers, plain, {}, trusts_data=True, world=1, precision="32-true"
    )
    batch_loss.begin_epoch()

    def step() -> None:
        found = batch_loss(x, 1 / count(x))
        found.loss.item()
        found.backward()
        update()

    return step


def _step_of_pyro(network: tuple[int, int, int], x: Tensor) -> Any:
    side, hidden, latent = network
    vae = VAE((side, side), latent, encoder=(hidden,), decoder=(hidden,))
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-3, "fused": True}), Trace_ELBO())
    return lambda: svi.step(x)


def _step_of_numpyro(network: tuple[int, int, int], x: Tensor) -> Any:
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    import numpyro.infer as jitted

    side, hidden, latent = network
    features = side**2

    def layer(name: str, inputs: int, outputs: int) -> Callable[[Any], Any]:
        def init(key: Any) -> Any:
            bound = inputs**-0.5
            return jax.random.uniform(key, (inputs, outputs), minval=-bound, maxval=bound)

        weight = numpyro.param(f"{name}.weight", init)
        bias = numpyro.param(f"{name}.bias", jnp.zeros(outputs))
        return lambda x: x @ weight + bias

    def model(x: Any) -> None:
        first, second = layer("d1", latent, hidden), layer("d2", hidden, features)
        with numpyro.plate("data", len(x)):
            z = numpyro.sample("z", dist.Normal(jnp.zeros(latent), 1.0).to_event(1))
            logits = second(jax.nn.relu(first(z)))
            numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x: Any) -> None:
        first, second = layer("e1", features, hidden), layer("e2", hidden, 2 * latent)
        loc, raw = jnp.split(second(jax.nn.relu(first(x))), 2, axis=-1)
        with numpyro.plate("data", len(x)):
            numpyro.sample("z", dist.Normal(loc, jax.nn.softplus(raw) + 1e-6).to_event(1))

    elbo = jitted.Trace_ELBO()
    svi = jitted.SVI(model, guide, numpyro.optim.Adam(1e-3), elbo)
    data = jnp.asarray(x.flatten(1).numpy())
    state = svi.init(jax.random.PRNGKey(0), data)
    update = jax.jit(svi.update, donate_argnums=0)

    def step() -> None:
        nonlocal state
        state, loss = update(state, data)
        float(loss)

    return step


def measured(network: str, batch: int, *, compilers: bool, rounds: int) -> dict[str, Ratio]:
    """Times of a step of every contender, as multiples of the one by hand."""
    sizes = _NETWORKS[network]
    torch.manual_seed(0)
    x = (torch.rand(batch, sizes[0], sizes[0]) < 0.2).float()
    contenders = {
        "by hand": _step_by_hand(sizes, x, compiler=False),
        "SVI.step": _step_of_pyro(sizes, x),
        "handlers": step_of_fit(sizes, x, "off"),
        "graph": step_of_fit(sizes, x, "graph"),
    }
    if compilers:
        contenders["by hand, compiled"] = _step_by_hand(sizes, x, compiler=True)
        contenders["inductor"] = step_of_fit(sizes, x, "inductor")
        if importlib.util.find_spec("numpyro") is not None:
            contenders["NumPyro"] = _step_of_numpyro(sizes, x)
    found = ratios(contenders, "by hand", rounds=rounds)
    pyro.clear_param_store()
    return found


def figures(*, compilers: bool = False, rounds: int = 100) -> Iterator[Figure]:
    """A step of every contender, of every network and batch size."""
    for network in _NETWORKS:
        for batch in _BATCHES:
            found = measured(network, batch, compilers=compilers, rounds=rounds)
            what = f"SVI step, {network}, batch {batch}"
            yield Figure(f"{what}, by hand", 1e3 * found.pop("by hand").seconds, "ms")
            targets = _TARGETS.get((network, batch), {})
            for name, r in found.items():
                unit, at_most = "of that by hand", targets.get(name)
                yield Figure(f"{what}, {name}", r.ratio, unit, r.low, r.high, at_most)
