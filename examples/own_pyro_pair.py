"""A user's own Pyro programs through ``log_weights``: no class of the package is needed.

A robust regression of x on nothing: each datum has a latent scale and a latent location.
"""

import pyro
import pyro.distributions as dist
import torch

from pyro_vae import summary
from pyro_vae.inference import gap, log_weights


def model(x: torch.Tensor) -> None:
    with pyro.plate("data", len(x)):
        precision = pyro.sample("precision", dist.Gamma(2.0, 2.0))
        location = pyro.sample("location", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(location, precision.rsqrt()), obs=x)


def guide(x: torch.Tensor) -> None:
    with pyro.plate("data", len(x)):
        pyro.sample("precision", dist.Gamma(2.5, 2.0 + 0.3 * x.square()))
        pyro.sample("location", dist.Normal(0.5 * x, 0.8))


def main() -> None:
    x = torch.linspace(-3.0, 3.0, 7)
    weights = log_weights(model, guide, x, num_particles=2000, seed=0)
    print(f"log-weights (particles, data): {tuple(weights.shape)}")
    results = gap(model, guide, x, num_particles=2000, seed=0)
    print(
        results[["elbo", "log_evidence", "log_evidence_se", "gap", "khat"]].to_dataframe().round(3)
    )
    print(summary(results).round(3))


if __name__ == "__main__":
    main()
