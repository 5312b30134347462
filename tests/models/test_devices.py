"""No tensor is made on another device in passing: all that trains a model runs on ``meta``.

That device has shapes and no values, refuses to mix with the CPU, and is there without a GPU.
"""

import pyro
import pytest
import torch

from pyro_vae.inference.engine.weights import batch_log_weights
from pyro_vae.inference.training import objective_named
from pyro_vae.models import VAE, HierarchicalVAE, LinearVAE
from pyro_vae.models.guides import Guide
from pyro_vae.models.likelihoods import Likelihood
from pyro_vae.models.priors import Prior
from pyro_vae.recording.values import values_not_looked_at
from tests.models.test_cross_product import SHIPPED, made_of

PLAIN = {Likelihood: "bernoulli", Prior: "standard-normal", Guide: "mean-field-normal"}
MADE_OF = list(
    dict.fromkeys(
        tuple((PLAIN | {role: name}).values()) for role in PLAIN for name in SHIPPED[role]
    )
)
OBJECTIVES = ["elbo", "mean-field-elbo", "stl", "iwae-3", "dreg-3", "rws-3", "renyi(alpha=0.5)"]
OBJECTIVES += ["beta-elbo(beta=4)", "beta-tc-elbo(beta=4)", "free-bits(nats=0.5)"]


def gradients_on_meta(monkeypatch, model, x, objective):
    """Train a step of a model without values, and weigh data by it."""
    # Both look at values, which are not part of a step.
    for likelihood in [Likelihood, *Likelihood.registry.values()]:
        monkeypatch.setattr(likelihood, "check", lambda *_, **__: None)
    model, x = model.to("meta"), x.to("meta")
    with pyro.validation_enabled(False), values_not_looked_at():
        loss = objective.differentiable_loss(model.model, model.guide, x)
        loss.backward()
        with torch.no_grad():
            terms, _ = batch_log_weights(
                model.model, model.guide, x, 4, enumerate_discrete=objective_sums(model)
            )
    assert loss.device.type == terms.log_weights.device.type == "meta"
    assert {p.grad.device.type for p in model.parameters() if p.grad is not None} == {"meta"}


def objective_sums(model):
    return isinstance(model, VAE) and model.prior.enumerated


@pytest.mark.parametrize("names", MADE_OF, ids="+".join)
def test_every_part(names, monkeypatch):
    vae, x = made_of(*names)
    name = "iwae-3" if vae.prior.enumerated else "elbo"
    objective = objective_named(name, enumerate_discrete=vae.prior.enumerated)
    gradients_on_meta(monkeypatch, vae, x, objective)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective(name, monkeypatch):
    vae, x = made_of(*PLAIN.values())
    gradients_on_meta(monkeypatch, vae, x, objective_named(name))


@pytest.mark.parametrize("family", [HierarchicalVAE, LinearVAE])
def test_other_families(family, monkeypatch):
    model = family((3,), (3, 2)) if family is HierarchicalVAE else family((3,), 2)
    gradients_on_meta(monkeypatch, model, torch.ones(4, 3), objective_named("elbo"))


def test_a_tensor_on_the_cpu_is_found(monkeypatch):
    vae, x = made_of(*PLAIN.values())
    forward = vae.likelihood.forward
    monkeypatch.setattr(vae.likelihood, "forward", lambda eta: forward(eta + torch.ones(3)))
    with pytest.raises(RuntimeError, match="device"):
        gradients_on_meta(monkeypatch, vae, x, objective_named("elbo"))
