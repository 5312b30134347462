"""From a mixture of few components to one for every z: densities of points along a curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.distributions import Normal as TorchNormal

from pyro_vae.data import Dataset
from pyro_vae.inference import fit, log_evidence
from pyro_vae.lecture.packed import packed
from pyro_vae.lecture.panels.decoder_document import describe_network
from pyro_vae.models import VAE, MixtureModel
from pyro_vae.models.likelihoods import Normal
from pyro_vae.on_demand import library

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["continuum_of"]

COMPONENTS = (1, 2, 8, 64)
_EPOCHS = 100
#: Test points on which importance sampling is tried, and its draws for each.
_SAMPLED, _PARTICLES = 50, 500
#: Standard deviation of the points about the curve.
_NOISE = 0.15
# The integral over z: far beyond the prior's tails, and finer than any bend of the decoder.
_REACH, _NODES = 8.0, 4001


def continuum_of(seed: int) -> dict[str, Any]:
    """What the page needs of four mixtures and a VAE fitted here, ready for JSON.

    The mixtures have normal components, each with its own covariance, by scikit-learn's EM;
    log p(x) is theirs exactly. The VAE has a z of one dimension, over which p(x, z) is
    integrated numerically; importance sampling with its encoder is put beside it.

    Parameters
    ----------
    seed
        Seed of the points, of the fits and of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    train, validation, test = (_points(count, generator) for count in (1000, 300, 500))
    data = Dataset.from_tensors(train, validation, test)
    fits: list[MixtureModel | VAE] = [_mixture(train, count, seed) for count in COMPONENTS]
    fits.append(_vae(data, seed))
    sampled = log_evidence(fits[-1].model, fits[-1].guide, test[:_SAMPLED], _PARTICLES, seed=seed)
    return {
        "train": packed(train),
        "test": packed(test),
        "sampled": sampled["log_evidence"].values.tolist(),
        "models": [_described(model.double(), train.double(), test.double()) for model in fits],
    }


def _points(count: int, generator: torch.Generator) -> Tensor:
    """Points ``(count, 2)`` along a wave, evenly over its breadth, with normal noise."""
    place = 2 * torch.rand(count, generator=generator) - 1
    curve = torch.stack([2 * place, (3 * place).sin()], -1)
    return curve + _NOISE * torch.randn(count, 2, generator=generator)


def _mixture(train: Tensor, components: int, seed: int) -> MixtureModel:
    em = library("sklearn.mixture").GaussianMixture(components, random_state=seed)
    return MixtureModel.from_sklearn(em.fit(train.double().numpy()))


def _vae(data: Dataset, seed: int) -> VAE:
    model = VAE(
        data.event_shape,
        1,
        likelihood=Normal("shared"),
        encoder=(32, 32),
        decoder=(32, 32),
        activation="tanh",
        seed=seed,
    )
    fit(
        model,
        data,
        "mean-field-elbo",
        epochs=_EPOCHS,
        batch_size=250,
        learning_rate=2e-2,
        schedule="cosine",
        seed=seed,
        compile="graph",
        progress=False,
    )
    return model


def _described(model: MixtureModel | VAE, train: Tensor, test: Tensor) -> dict[str, Any]:
    with torch.no_grad():
        parts = _parts(model)
        held_out, seen = (_log_density(model, x) for x in (test, train))
    return {
        **parts,
        "train": float(seen.mean()),
        "mean": float(held_out.mean()),
        "error": float(held_out.std() / len(held_out) ** 0.5),
    }


def _parts(model: MixtureModel | VAE) -> dict[str, Any]:
    """The decoder; or weights, means and factors of the covariances, as plain numbers."""
    if isinstance(model, VAE):
        return {"decoder": describe_network(model)}
    normal = model.likelihood(model.eta)
    return {
        "weights": model.logits.softmax(-1).tolist(),
        "means": model.component_means().tolist(),
        "factors": normal.scale_tril.tolist(),
    }


def _log_density(model: MixtureModel | VAE, x: Tensor) -> Tensor:
    """Log p(x), ``(n,)``: exact, or by the trapezoidal rule over z."""
    if isinstance(model, MixtureModel):
        return model.log_prob(x)
    z = torch.linspace(-_REACH, _REACH, _NODES, dtype=x.dtype)
    step = torch.tensor(2 * _REACH / (_NODES - 1), dtype=x.dtype)
    joint = model.observation(z[:, None]).log_prob(x[:, None]) + TorchNormal(0.0, 1.0).log_prob(z)
    return joint.logsumexp(1) + step.log()
