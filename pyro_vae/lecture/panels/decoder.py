"""A trained decoder to walk in, and q(z | x) of some test images: a run's, or one made here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.distributions import (
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

from pyro_vae.data import load
from pyro_vae.errors import DataError
from pyro_vae.inference import fit
from pyro_vae.isolation import isolated
from pyro_vae.lecture.packed import packed
from pyro_vae.lecture.panels.decoder_document import check_model, describe_decoder
from pyro_vae.models import VAE
from pyro_vae.models.likelihoods import Bernoulli, Binomial, ContinuousBernoulli
from pyro_vae.models.priors import StandardNormal

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.data import Dataset
    from pyro_vae.models import LatentVariableModel

__all__ = ["describe_run", "digits_decoder", "posterior_moments"]

_CODES = 600
_DRAWS = 4096
_EPOCHS = 80


def digits_decoder(seed: int) -> dict[str, Any]:
    """A small VAE of the handwritten digits with a plane of codes, trained here.

    Parameters
    ----------
    seed
        Seed of its weights, the order of the data and the draws.
    """
    data = load("digits", binarisation="none", seed=seed)
    model = VAE(
        data.event_shape,
        2,
        likelihood=Binomial(data.maximum),
        encoder=(128,),
        decoder=(128,),
        seed=seed,
    )
    fit(model, data, epochs=_EPOCHS, seed=seed, progress=False)
    return describe_run(model, data, name="digits")


def describe_run(
    model: LatentVariableModel, data: Dataset, *, name: str, images: int = 30, seed: int = 0
) -> dict[str, Any]:
    """What the page needs of a run, ready for JSON.

    Parameters
    ----------
    model, data
        A fitted model and its data; the page shows its test split.
    name
        Name of the run.
    images
        Number of test images to click on, the classes in turn where there are labels.
    seed
        Seed of the draws for guides whose moments have no closed form.

    Raises
    ------
    ProgramError
        If the page cannot show this model's decoder.
    DataError
        If there are no test data.
    """
    checked = check_model(model)
    if not len(data.test):
        raise DataError(f"{data.name}: there are no test data, and the page shows their codes")
    labels = None if data.labels is None else data.labels["test"]
    rows = _rows(labels, len(data.test), images)
    x = data.test[rows]
    with torch.no_grad():
        codes = checked.code(data.test[:_CODES])
        # Where units have collapsed, nothing would move if the first two were dragged.
        axes = codes.var(0, correction=0).topk(2).indices.sort().values
        chosen = checked.code(x)
        mean, covariance, exact = posterior_moments(checked, x, seed=seed)
    low, high = _grey_range(checked, data)
    height, width = checked.event_shape
    return {
        "name": name,
        "data": f"{data.name}, standardised" if data.standardise else data.name,
        "latentDim": checked.latent_dim,
        "height": height,
        "width": width,
        "low": low,
        "high": high,
        "axes": axes.tolist(),
        "standardNormal": isinstance(checked.prior, StandardNormal),
        "decoder": describe_decoder(checked),
        "codes": packed(codes[:, axes]),
        "labels": None if labels is None else labels[:_CODES].tolist(),
        "draws": None if exact else _DRAWS,
        "images": {
            "rows": rows.tolist(),
            "labels": None if labels is None else labels[rows].tolist(),
            "values": packed(x),
            "codes": packed(chosen),
            "means": packed(mean[:, axes]),
            "covariances": packed(covariance[:, axes][:, :, axes]),
        },
    }


def posterior_moments(model: VAE, x: Tensor, *, seed: int) -> tuple[Tensor, Tensor, bool]:
    """Mean ``(B, L)`` and covariance ``(B, L, L)`` of q(z | x), and whether in closed form.

    Parameters
    ----------
    model
        Model without a condition.
    x
        Data ``(B, *event_shape)``.
    seed
        Seed of the draws that serve a guide which is no normal.
    """
    with torch.no_grad(), isolated(seed):
        q = model.posterior(x)
        if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
            return q.mean, torch.diag_embed(q.variance), True
        if isinstance(q, MultivariateNormal | LowRankMultivariateNormal):
            return q.mean, q.covariance_matrix, True
        z = q.sample(torch.Size([_DRAWS]))
    mean = z.mean(0)
    centred = z - mean
    covariance = torch.einsum("kbi,kbj->bij", centred, centred) / (_DRAWS - 1)
    return mean, covariance, False


def _rows(labels: Tensor | None, size: int, count: int) -> Tensor:
    """Rows of the test split: the first of every class, then the second of every class."""
    if labels is None:
        return torch.arange(min(count, size))
    seen: dict[int, int] = {}
    order = []
    for row, label in enumerate(labels.tolist()):
        seen[label] = seen.get(label, 0) + 1
        order.append((seen[label], label, row))
    return torch.tensor([row for *_, row in sorted(order)[:count]])


def _grey_range(model: VAE, data: Dataset) -> tuple[float, float]:
    """Values of the darkest and of the lightest grey."""
    if isinstance(model.likelihood, Bernoulli | ContinuousBernoulli):
        return 0.0, 1.0
    if isinstance(model.likelihood, Binomial):
        return 0.0, float(model.likelihood.top)
    low, high = float(data.train.min()), float(data.train.max())
    return low, high if high > low else low + 1.0
