"""A likelihood and a prior of one's own, with no edit to the package.

Defining a class registers it, so it goes by its name everywhere: in Python, and with
``pyro-vae --import examples/own_parts.py fit --likelihood cauchy --prior logistic ...``.
"""

import math

import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_vae import VAE, data, fit, summary
from pyro_vae.inference import gap
from pyro_vae.models.likelihoods import Likelihood
from pyro_vae.models.priors import Prior


class Cauchy(Likelihood):
    """x_d | z ~ Cauchy(mu_d(z), 1): real data with outliers so wild that they have no mean."""

    measure = "lebesgue"
    support = "finite real numbers"
    remedy = "Drop or impute the rows with NaN or infinity."
    kinds = ("real", "unit-interval")

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """One location per feature."""
        return math.prod(event_shape)

    def forward(self, eta: Tensor) -> dist.TorchDistribution:
        """Distribution of x given the decoder's output ``(..., D)``."""
        (loc,) = self._split(eta, 1)
        return dist.Cauchy(loc, 1.0, validate_args=False).to_event(len(self.event_shape))

    def in_support(self, x: Tensor) -> Tensor:
        """True where x is finite."""
        return torch.isfinite(x)

    def moment_eta(self, x: Tensor) -> Tensor:
        """The median: a Cauchy has no moments."""
        return x.flatten(1).median(0).values

    def formula(self) -> str:
        """Formula of p(x | z)."""
        return "x_d | z ~ Cauchy(mu_d(z), 1)"


class Logistic(Prior):
    """z_l ~ Logistic(0, 1): tails between those of the normal and the Laplace."""

    def build(self, latent_dim: int) -> None:
        """Make a base of the right length, which follows the model's device and type."""
        super().build(latent_dim)
        self.register_buffer("zero", torch.zeros(latent_dim), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        """Distribution of z, event shape ``(L,)``."""
        base = dist.Uniform(self.zero, self.zero + 1)
        logit = dist.transforms.SigmoidTransform().inv
        return dist.TransformedDistribution(base, [logit]).to_event(1)

    def formula(self) -> str:
        """Formula of p(z)."""
        return f"z ~ Logistic(0, 1),  z in R^{self.latent_dim}"


def main() -> None:
    wine = data.load("wine", standardise=True)
    vae = VAE(
        wine.event_shape, 2, likelihood=Cauchy(), prior=Logistic(), encoder=(32,), decoder=(32,)
    )
    vae.describe()
    fit(vae, wine, epochs=30, batch_size=32, learning_rate=3e-3, progress=False)
    print(summary(gap(vae.model, vae.guide, wine.test, num_particles=1000)).round(3))


if __name__ == "__main__":
    main()
