"""Every likelihood with every prior and every guide: log-weights and gradients are finite."""

import json
import math

import torch

from pyro_vae.inference.engine.weights import sample_log_weights
from pyro_vae.inference.training import objective_named
from pyro_vae.models import VAE, model_from_config
from pyro_vae.models.guides import Guide
from pyro_vae.models.likelihoods import Likelihood, Normal, Poisson
from pyro_vae.models.priors import Prior
from tests.cases import a_few_always

SETTINGS = {
    "binomial": {"total_count": 4},
    "categorical": {"num_classes": 5},
    "discretised-logistic": {"num_levels": 5},
    "ordinal": {"num_classes": 5},
    "per-column": {"columns": [Normal(), Poisson(), Normal("latent")]},
    "mixture-of-normals": {"num_components": 3},
    "categorical-normal": {"num_components": 3},
    "vamp-prior": {"num_components": 4},
}
SHIPPED = {
    role: [name for name, part in role.registry.items() if part.__module__.startswith("pyro_vae")]
    for role in (Likelihood, Prior, Guide)
}


def make(role, name):
    return role.named(name, **SETTINGS.get(name, {}))


def made_of(likelihood, prior, guide):
    """A small VAE of these parts, and data of its own that it was initialised with."""
    vae = VAE(
        (3,),
        2,
        likelihood=make(Likelihood, likelihood),
        prior=make(Prior, prior),
        guide=make(Guide, guide),
        encoder=(4,),
        decoder=(4,),
    )
    with torch.no_grad():
        x = vae.model(num_data=3)
    vae.initialise(x)
    return vae, x


@a_few_always(
    "likelihood", SHIPPED[Likelihood], ["bernoulli", "categorical", "normal", "per-column"]
)
def test_log_px_and_its_gradient(likelihood):
    if likelihood == "per-column":
        SETTINGS["per-column"] = {"columns": [Normal(), Poisson(), Normal("latent")]}
    for prior in SHIPPED[Prior]:
        for guide in SHIPPED[Guide]:
            vae, x = made_of(likelihood, prior, guide)
            name = f"{likelihood} x {prior} x {guide}"
            objective = objective_named("elbo", enumerate_discrete=vae.prior.enumerated)
            objective.differentiable_loss(vae.model, vae.guide, x).backward()
            for key, parameter in vae.named_parameters():
                if parameter.grad is not None:
                    assert torch.isfinite(parameter.grad).all(), f"{name}: {key}"
            with torch.no_grad():
                terms, _ = sample_log_weights(
                    vae.model, vae.guide, x, 4, enumerate_discrete=vae.prior.enumerated
                )
            log_px = terms.log_weights.logsumexp(0) - math.log(4)
            assert log_px.shape == (3,), name
            assert torch.isfinite(log_px).all(), name
    # What a run keeps brings the model back: once a likelihood, the last of its models.
    again = model_from_config(json.loads(json.dumps(vae.config)))
    again.load_state_dict(vae.state_dict())
    assert again.config == vae.config
