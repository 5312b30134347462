"""Small models with weights of order one, whose pages need no training."""

import torch

from pyro_vae.data import Dataset
from pyro_vae.models import VAE
from pyro_vae.models.likelihoods import Binomial

SHAPE = (4, 3)


def roughened(model, seed=0, size=0.4):
    """The model with every weight moved, so that no bias is zero and no scale at its start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def counts(seed=0, size=40, shape=SHAPE):
    """Counts 0-16 in three splits, with labels of four classes."""
    generator = torch.Generator().manual_seed(seed)
    splits = [torch.randint(0, 17, (size, *shape), generator=generator).float() for _ in range(3)]
    labels = [torch.randint(0, 4, (size,), generator=generator) for _ in range(3)]
    names = ("train", "validation", "test")
    return Dataset.from_tensors(
        *splits, kind="counts", maximum=16, labels=dict(zip(names, labels, strict=True))
    )


def small_vae(latent_dim=2, likelihood=None, **settings):
    return roughened(
        VAE(
            SHAPE,
            latent_dim,
            likelihood=Binomial(16) if likelihood is None else likelihood,
            encoder=settings.pop("encoder", (7,)),
            decoder=settings.pop("decoder", (7, 7)),
            **settings,
        )
    )
