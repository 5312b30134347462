"""Has a latent space holes? Decode where no datum was encoded, and judge what comes out.

Two places are tried: half-way between the codes of two held-out data, and draws from a normal
distribution fitted to the codes of the training data, which serves autoencoders too, whose codes
have no prior. What is decoded there is judged against real data in two ways.

``log_density`` is that of a reference density's leading components (``fit_reference``). The
components beyond are left out on purpose: they hold the noise of single pixels, which a mean
E[x | z] has not, and hundreds of directions of noise outweigh the shape. Under the whole density
the pixel-wise average of two digits, which is no digit, can be *more* probable than real
digits (a point near the mode of a wide normal is more probable than its typical set: Nalisnick
et al., 2019, arXiv 1906.02994); under the leading components it is less. ``whole_log_density``
is kept beside it. ``rank`` is the share of real held-out data of lower ``log_density``: 1/2 on
average for real data, 0 in a hole, and it does not depend on how far down a hole goes.
``distance`` is that to the nearest training datum; it is small for blurred images too.

A model that decodes nothing well has low scores everywhere: read the mid-points beside
``reconstruction``, the same model at codes of data. What is lost between the two is the hole.

The results hold two scales: ``real``, the held-out data, and ``average``, the pixel-wise
averages of the same pairs, which is what a model without any structure makes of a mid-point. A
reference under which these two are not told apart cannot see holes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
import xarray as xr
from sklearn.metrics import pairwise_distances_argmin

from pyro_vae.conversion import convert_labels, takes_data
from pyro_vae.errors import ComparisonError, DataError
from pyro_vae.inference.latents.reference import as_rows
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pyro_vae.inference.latents.reference import ReferenceDensity
    from pyro_vae.protocols import Coder

__all__ = ["compare_holes", "draw_codes", "hole_summary", "hole_test", "nearest_distance"]

#: Where images come from, and the dimension that counts them.
_SOURCES = {
    "midpoint": "pair",
    "draw": "draw",
    "reconstruction": "datum",
    "real": "datum",
    "average": "pair",
}
_SCORES = ("log_density", "whole_log_density", "rank", "distance")
_CHUNK = 1000


@verb
@takes_data("train", "test", supported=False)
def hole_test(
    model: Coder,
    train: Tensor,
    test: Tensor,
    *,
    reference: ReferenceDensity,
    labels: Tensor | None = None,
    scale: float = 1.0,
    num_pairs: int | None = None,
    num_draws: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Scores of what a model decodes between codes and at draws from a normal fitted to them.

    Parameters
    ----------
    model
        Model with methods ``code`` and ``decode`` of data alone, with no condition.
    train, test
        Data as the model takes them, ``(n, *event_shape)``. The normal, with its full
        covariance, is fitted to the codes of ``train``, and distances are to these data.
    reference
        What ``fit_reference(scale * train)`` gave.
    labels
        Labels ``(len(test),)``: pairs are then of different labels.
    scale
        What data and decoded means are multiplied by before they are judged: 1/16 takes the
        counts of digits to the unit interval.
    num_pairs
        Pairs of held-out data. No datum is in two, so the scores of a fitted model are
        independent; the most that can be made unless given.
    num_draws
        Draws from the fitted normal, at least 2.
    seed
        Seed of the pairs and the draws.

    Returns
    -------
    Dataset
        ``{source}_{score}`` for the sources ``midpoint`` and ``average`` over ``pair``, ``draw``
        over ``draw``, ``reconstruction`` and ``real`` over ``datum``, and the scores
        ``log_density`` (leading components) and ``whole_log_density``, in nats, ``rank``
        (share of the real held-out data of lower ``log_density``, ties by half) and
        ``distance`` (to the nearest training datum, root mean square per value). Coordinates
        ``first`` and ``second``, the rows of ``test`` in each pair.

    Raises
    ------
    DataError
        If there are too few data for the pairs, or shapes do not agree.
    """
    _check(train, test, reference, scale, num_draws)
    first, second = disjoint_pairs(len(test), labels, num_pairs, seed)
    with torch.no_grad():
        codes = _in_chunks(model.code, test)
        gaussian = draw_codes(_in_chunks(model.code, train), num_draws, seed)
        images = {
            "midpoint": _in_chunks(model.decode, (codes[first] + codes[second]) / 2),
            "draw": _in_chunks(model.decode, gaussian),
            "reconstruction": _in_chunks(model.decode, codes),
            "real": test,
            "average": (test[first] + test[second]) / 2,
        }
    if images["draw"].shape[1:] != test.shape[1:]:
        raise DataError(
            f"model decodes to shape {tuple(images['draw'].shape[1:])}, and test holds "
            f"{tuple(test.shape[1:])}: they must agree"
        )
    known = scale * as_rows(train)
    level = np.sort(reference.log_leading(scale * as_rows(test)))
    results = xr.Dataset(
        coords={"first": ("pair", first), "second": ("pair", second)},
        attrs={"seed": seed, "scale": scale, "reference": reference_text(reference)},
    )
    for source, dimension in _SOURCES.items():
        rows = scale * as_rows(images[source])
        leading = reference.log_leading(rows)
        found = {
            "log_density": leading,
            "whole_log_density": leading + reference.log_residual(rows),
            "rank": _rank(leading, level),
            "distance": nearest_distance(rows, known),
        }
        for score, values in found.items():
            results[f"{source}_{score}"] = (dimension, values)
    return results


def hole_summary(results: xr.Dataset) -> pd.DataFrame:
    """Mean of every score at every source, with its standard error.

    Parameters
    ----------
    results
        What ``hole_test`` returned.

    Returns
    -------
    DataFrame
        Columns ``mean`` and ``se``, index ``(source, score)``. The errors are those of other
        held-out data, hence pairs, and other draws, for the same fitted model, training data and
        reference. For ranks they count that the real data are a sample, too (DeLong, DeLong &
        Clarke-Pearson, 1988); the mean rank of the real data themselves is 1/2 without error.
    """
    rows = {}
    for source in _SOURCES:
        for score in _SCORES:
            mean, error = _mean(results[f"{source}_{score}"].values)
            if score == "rank":
                error = _length(*_rank_influence(results, source))
            rows[source, score] = (mean, error)
    return _table(rows)


def compare_holes(one: xr.Dataset, other: xr.Dataset) -> pd.DataFrame:
    """Mean difference of two models' scores, one minus other.

    All are paired: mid-points and reconstructions come from the same held-out data, and the
    draws around either model's codes from the same random numbers.

    Parameters
    ----------
    one, other
        What ``hole_test`` returned for two models of the same data, with one reference and seed.

    Returns
    -------
    DataFrame
        Columns ``mean`` and ``se``, index ``(source, score)``.

    Raises
    ------
    ComparisonError
        If the pairs, the held-out data, the reference or the numbers of draws differ.
    """
    same = (
        np.array_equal(one["first"], other["first"])
        and np.array_equal(one["second"], other["second"])
        and np.array_equal(one["real_whole_log_density"], other["real_whole_log_density"])
        and np.array_equal(one["real_distance"], other["real_distance"])
        and one.sizes["draw"] == other.sizes["draw"]
    )
    if not same:
        raise ComparisonError(
            "results are of different pairs, data or references: run hole_test for both models "
            "with the same train, test, reference, scale, num_pairs, num_draws and seed"
        )
    rows = {}
    for source in ("midpoint", "draw", "reconstruction"):
        for score in _SCORES:
            a, b = (results[f"{source}_{score}"].values for results in (one, other))
            if score == "rank":
                (data, draws), (others, theirs) = (
                    _rank_influence(results, source) for results in (one, other)
                )
                error = _length(data - others, draws - theirs)
                rows[source, score] = (float(a.mean() - b.mean()), error)
            else:
                rows[source, score] = _mean(a - b)
    return _table(rows)


def disjoint_pairs(
    count: int, labels: Tensor | None, num_pairs: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Random pairs of rows, ``(num_pairs,)`` twice: no row in two, labels different."""
    generator = np.random.default_rng(seed)
    classes = np.arange(count)
    if labels is not None:
        classes = convert_labels({"train": labels}, "labels")[0]["train"].cpu().numpy()
    if classes.shape != (count,):
        raise DataError(f"labels got shape {classes.shape}: one label a row of test, ({count},)")
    left = generator.permutation(count)
    found: list[tuple[int, int]] = []
    # Pairs of one label are dealt again, until what is left is all of one label.
    while len(np.unique(classes[left])) > 1:
        left = generator.permutation(left)
        a, b = left[: len(left) // 2], left[len(left) // 2 : 2 * (len(left) // 2)]
        differ = classes[a] != classes[b]
        found += zip(a[differ], b[differ], strict=True)
        left = np.setdiff1d(left, np.concatenate([a[differ], b[differ]]))
    wanted = len(found) if num_pairs is None else num_pairs
    if not 2 <= wanted <= len(found):
        raise DataError(
            f"num_pairs got {num_pairs}: from 2 to {len(found)} disjoint pairs can be made of "
            f"{count} held-out data; ask for fewer, or give more data"
        )
    pairs = np.array(found[:wanted])
    return pairs[:, 0], pairs[:, 1]


def nearest_distance(images: Tensor | np.ndarray, known: Tensor | np.ndarray) -> np.ndarray:
    """Root mean square difference per value to the nearest of the known images, ``(n,)``.

    Parameters
    ----------
    images, known
        Shapes ``(n, *event_shape)`` and ``(m, *event_shape)``.
    """
    rows, others = as_rows(images), as_rows(known)
    nearest = others[pairwise_distances_argmin(rows, others)]
    return np.sqrt(((rows - nearest) ** 2).mean(1))


def reference_text(reference: ReferenceDensity) -> str:
    """The reference in words."""
    return (
        f"{reference.mixture.n_components} normals in {reference.pca.n_components_} principal "
        f"components of {reference.num_features}"
    )


def _check(
    train: Tensor, test: Tensor, reference: ReferenceDensity, scale: float, num_draws: int
) -> None:
    if train.shape[1:] != test.shape[1:] or min(len(train), len(test)) < 2:
        raise DataError(
            f"train and test got shapes {tuple(train.shape)} and {tuple(test.shape)}: both must "
            "be at least two data of one shape"
        )
    if math.prod(train.shape[1:]) != reference.num_features:
        raise DataError(
            f"reference was fitted on images of {reference.num_features} values, and train has "
            f"{math.prod(train.shape[1:])}: fit it on scale * train"
        )
    if num_draws < 2:
        raise ValueError(f"num_draws got {num_draws}: it must be at least 2, and 1000 is quick")


def draw_codes(codes: Tensor, count: int, seed: int) -> Tensor:
    """Draws from the normal with the codes' mean and covariance, which may be singular.

    Parameters
    ----------
    codes
        Shape ``(n, L)``.
    count, seed
        Number of draws, and their seed.

    Returns
    -------
    Tensor
        Shape ``(count, L)``.
    """
    values = codes.double().cpu().numpy()
    generator = np.random.default_rng(seed)
    covariance = np.cov(values, rowvar=False).reshape(values.shape[1], -1)
    drawn = generator.multivariate_normal(values.mean(0), covariance, count, method="eigh")
    return torch.as_tensor(drawn).to(codes)


def _in_chunks(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    return torch.cat([function(part) for part in rows.split(_CHUNK)])


def _rank(values: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Share of a sorted level below each value, equal ones by half."""
    below, upto = (np.searchsorted(level, values, side) for side in ("left", "right"))
    return (below + upto) / (2 * len(level))


def _rank_influence(results: xr.Dataset, source: str) -> tuple[np.ndarray, np.ndarray]:
    """What each held-out datum, and each draw, adds to the error of a source's mean rank.

    The mean rank is the share of (image, real datum) with the image above the real one, so that
    either of them moves it. A pair is one cluster, kept with its first datum.
    """
    level, values = (results[f"{name}_log_density"].values for name in ("real", source))
    rank = results[f"{source}_rank"].values
    if source == "real":
        return np.zeros(len(level)), np.zeros(0)
    own = (rank - rank.mean()) / len(rank)
    data = (rank.mean() - _rank(level, np.sort(values))) / len(level)
    data -= data.mean()
    if source == "draw":
        return data, own
    if source == "reconstruction":
        return data + own, np.zeros(0)
    first, second = results["first"].values, results["second"].values
    data[first] += data[second] + own
    data[second] = 0
    return data, np.zeros(0)


def _length(*parts: np.ndarray) -> float:
    """Standard error of a sum of independent parts of mean zero."""
    return math.sqrt(sum(float((part**2).sum()) for part in parts))


def _table(rows: dict[tuple[str, str], tuple[float, float]]) -> pd.DataFrame:
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "se"])
    table.index = pd.MultiIndex.from_tuples(rows, names=["source", "score"])
    return table


def _mean(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))
