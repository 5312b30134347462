"""A digit through a narrow code: PCA and autoencoders of several widths and depths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.data import Dataset, load
from pyro_vae.inference import fit
from pyro_vae.lecture.packed import mean_of, packed
from pyro_vae.models import PCA, Autoencoder
from pyro_vae.models.likelihoods import Normal

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["codes_of"]

WIDTHS = (1, 2, 4, 8, 16, 32)
#: Hidden layers of the encoder; the decoder's are the same in reverse.
_DEPTHS = {"one": (64,), "two": (64, 64)}
_EPOCHS = 25
#: Largest count of a pixel of the digits.
_LEVELS = 16


def codes_of(seed: int) -> dict[str, Any]:
    """What the page needs of PCA and of autoencoders trained here, ready for JSON.

    Grey levels are on the unit interval, and errors are squared differences per pixel, with
    their standard errors over the test digits.

    Parameters
    ----------
    seed
        Seed of the split of the digits, of the networks' weights and of the order of the data.
    """
    digits = load("digits", binarisation="none", seed=seed)
    parts = (digits.train, digits.validation, digits.test)
    data = Dataset.from_tensors(*(part / _LEVELS for part in parts))
    labels = digits.labels["test"]  # type: ignore[index]
    rows = [int((labels == label).nonzero()[0]) for label in range(10)]
    shown = data.test[rows]
    linear = _linear(data)
    errors, images = {"linear": linear.pop("errors")}, {}
    for depth, hidden in _DEPTHS.items():
        models = [_trained(data, width, hidden, seed) for width in WIDTHS]
        errors[depth] = [_error(model, data.test) for model in models]
        with torch.no_grad():
            images[depth] = [packed(model.decode(model.code(shown))) for model in models]
    height, width = data.event_shape
    return {
        "height": height,
        "width": width,
        "widths": list(WIDTHS),
        "shown": packed(shown),
        "errors": errors,
        "images": images,
        "variance": float(data.test.double().var(0, correction=0).mean()),
        "linear": linear,
    }


def _linear(data: Dataset) -> dict[str, Any]:
    """PCA's directions, mean and eigenvalues, and its errors at every width."""
    train = data.train.flatten(1).double()
    covariance = torch.cov(train.T, correction=0)
    direct, errors = [], []
    for width in WIDTHS:
        model = PCA(data.event_shape, width)
        model.initialise(data.train)
        errors.append(_error(model, data.test))
        direct.append(_error(model, data.train)["mean"])
    # The widest has the directions of all narrower ones, the longest first.
    directions = model.weight.detach().double()
    return {
        "mean": packed(model.bias),
        "directions": packed((directions / directions.norm(dim=0)).T),
        "eigenvalues": torch.linalg.eigvalsh(covariance).flip(0).tolist(),
        "direct": direct,
        "errors": errors,
    }


def _trained(data: Dataset, width: int, hidden: tuple[int, ...], seed: int) -> Autoencoder:
    model = Autoencoder(
        data.event_shape,
        width,
        likelihood=Normal(0.2),
        encoder=hidden,
        decoder=hidden[::-1],
        activation="elu",
        seed=seed,
    )
    fit(
        model,
        data,
        epochs=_EPOCHS,
        batch_size=64,
        learning_rate=6e-3,
        schedule="cosine",
        seed=seed,
        compile="graph",
        progress=False,
    )
    return model


def _error(model: PCA | Autoencoder, x: Tensor) -> dict[str, float]:
    """Squared error per pixel of x decoded from its code, and its standard error over data."""
    model.double()
    with torch.no_grad():
        missed = model.decode(model.code(x.double())) - x.double()
    model.float()
    return mean_of(missed.square().flatten(1).mean(1))
