"""ELBO surgery: against enumeration of a finite latent, and identities that hold exactly."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import torch

from pyro_vae.inference import elbo
from pyro_vae.inference.latents import elbo_surgery
from pyro_vae.models import HierarchicalVAE
from tests.oracles import LinearGaussian
from tests.tolerances import STANDARD_ERRORS

X = torch.tensor([[-1.0], [0.0], [2.0], [2.5]], dtype=torch.double)
PRIOR = torch.tensor([0.2, 0.3, 0.5], dtype=torch.double)
MEANS = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.double)


def probabilities(x):
    return torch.softmax(-0.5 * (x - MEANS) ** 2, -1)


def model(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Categorical(PRIOR))
        pyro.sample("x", dist.Normal(MEANS[z], 1.0), obs=x[:, 0])


def guide(x):
    with pyro.plate("data", len(x), dim=-1):
        pyro.sample("z", dist.Categorical(probabilities(x)))


def test_parts_by_enumeration():
    q = probabilities(X).numpy()
    marginal, prior = q.mean(0), PRIOR.numpy()
    information = (q * np.log(q / marginal)).sum(1).mean()
    marginal_kl = (marginal * np.log(marginal / prior)).sum()
    found = elbo_surgery(model, guide, X, 4000, seed=2)
    for name, exact in (("mutual_information", information), ("marginal_kl", marginal_kl)):
        error = float(np.sqrt((found[f"{name}_se"] ** 2).sum())) / len(X)
        assert abs(float(found[name].mean()) - exact) < STANDARD_ERRORS * error
    assert 0 < information < math.log(4)


def test_the_parts_sum_to_the_elbo():
    oracle = LinearGaussian()
    x = oracle.draw(25)
    found = elbo_surgery(oracle.model, oracle.guide, x, 50)
    np.testing.assert_allclose(
        found["elbo"],
        found["reconstruction"] - found["mutual_information"] - found["marginal_kl"],
        atol=1e-9,
    )
    direct = elbo(oracle.model, oracle.guide, x, 50)
    error = np.hypot(found["elbo_se"], direct["elbo_se"])
    assert (abs(found["elbo"] - direct["elbo"]) < STANDARD_ERRORS * error).all()
    assert float(found["mutual_information"].mean()) <= found.attrs["log_n"]


def test_several_sites_and_progress():
    x = (torch.arange(48) % 3 == 0).float().reshape(3, 16)
    vae = HierarchicalVAE((16,), (3, 2), hidden=((8,), (6,)))
    seen = []
    found = elbo_surgery(vae.model, vae.guide, x, 7, progress=lambda *done: seen.append(done))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    np.testing.assert_allclose(
        found["kl_to_prior"], found["mutual_information"] + found["marginal_kl"], atol=1e-5
    )
