"""What the introductions claim of these models, measured: blur, memory, classes, directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from pyro_vae.inference import evaluate, reconstruct
from pyro_vae.inference.latents import (
    Accuracy,
    MemoryTest,
    attribute_test,
    augmentation_test,
    compare_sharpness,
    memory_test,
    neighbour_accuracy,
)
from pyro_vae.pictures.decoded import decoded_draws, draw_samples
from pyro_vae.protocols import Coder, offers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro_vae.data import Dataset
    from pyro_vae.models import LatentVariableModel

__all__ = ["Claims", "claim_sentences", "claims_of", "claims_table", "pixel_accuracy"]

#: Draws whose sharpness and whose distances are measured.
_DRAWS = 500

#: Training data and held-out data that a classifier learns from and is tried on, at most.
_ROWS, _TRIED = 2000, 1000
#: Classes beyond which there are too many pairs of them, and labelled data of each.
_CLASSES, _LABELLED = 20, 5

#: Standard errors from what is expected without an effect at which one is called seen.
_SEEN = 3.0


class Claims(NamedTuple):
    """What was found of the claims, each where it applies, else None.

    Attributes
    ----------
    sharpness
        Of data, reconstructions and decoded draws; see ``compare_sharpness``. Of pictures.
    memory
        Draws of x beside held-out data; see ``memory_test``. Of models that draw x.
    overfit
        Mean log p(x) of training data less that of held-out data, and its standard error.
    neighbours
        Accuracy of the nearest neighbours by code. Of labelled data and models with codes.
    by_pixel
        The same by distance between the data.
    directions
        Data moved from class to class; see ``attribute_test``. Where there are classes to move
        between, and codes.
    augmentation
        What decoded points between codes teach; see ``augmentation_test``. As directions.
    """

    sharpness: pd.DataFrame | None
    memory: MemoryTest | None
    overfit: tuple[float, float] | None
    neighbours: Accuracy | None
    by_pixel: Accuracy | None
    directions: pd.DataFrame | None = None
    augmentation: pd.DataFrame | None = None


def claims_of(
    model: LatentVariableModel,
    data: Dataset,
    held_out: Any,
    *,
    by_pixel: Accuracy | None,
    num_particles: int,
    seed: int = 0,
) -> Claims:
    """Measure the claims on a fitted model.

    Parameters
    ----------
    model, data
        A fitted model, and its data.
    held_out
        Results of the model's test data, with ``log_evidence``; None without.
    by_pixel
        What ``pixel_accuracy`` gave: the same for every model.
    num_particles
        Particles of log p(x) of as many training data.
    seed
        Seed of the draws.
    """
    scale, test = data.unit_scale, data.test
    coder: Any = model if offers(model, Coder) else None
    sharp = None
    if len(data.event_shape) in (2, 3):
        draws, _ = decoded_draws(model, data, _DRAWS, seed=seed)
        kinds = {"data": test, "draws": draws}
        if coder is not None:
            kinds["reconstructions"] = reconstruct(coder, test)
        sharp = compare_sharpness(kinds)
    memory = overfit = None
    if model.has_evidence:
        drawn = draw_samples(model, _DRAWS, seed=seed)
        memory = memory_test(drawn, data.train, test, scale=scale)
    if held_out is not None:
        size = held_out.sizes["datum"]
        rows = data.train[:size]
        train = evaluate(model.evidence_model, rows, num_particles, seed=seed, iwae=(1,))
        parts = [found["log_evidence"].values for found in (train, held_out)]
        errors = [part.std(ddof=1) / np.sqrt(len(part)) for part in parts]
        overfit = float(parts[0].mean() - parts[1].mean()), float(np.hypot(*errors))
    near = None
    if coder is not None and data.labels is not None:
        labels = data.labels["train"], data.labels["test"]
        with torch.no_grad():
            codes = [coder.code(part) for part in (data.train, test)]
        near = neighbour_accuracy(codes[0], labels[0], codes[1], labels[1])
    moved, taught = _by_classifier(coder, data, seed)
    return Claims(sharp, memory, overfit, near, by_pixel, moved, taught)


def _by_classifier(
    coder: Any, data: Dataset, seed: int
) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Directions and augmentation, where a classifier can judge them."""
    if coder is None or data.labels is None:
        return None, None
    train, test = data.labels["train"][:_ROWS], data.labels["test"][:_TRIED]
    classes, counts = train.unique(return_counts=True)
    there = bool(torch.isin(classes, test).all()) and int(counts.min()) >= _LABELLED
    if not there or not 2 <= len(classes) <= _CLASSES:
        return None, None
    rows = data.train[:_ROWS], train, data.test[:_TRIED], test
    taught = augmentation_test(coder, *rows, per_class=_LABELLED, seed=seed)
    return attribute_test(coder, *rows), taught


def pixel_accuracy(data: Dataset) -> Accuracy | None:
    """Accuracy of the nearest neighbours by distance between the data; None without labels."""
    if data.labels is None:
        return None
    return neighbour_accuracy(data.train, data.labels["train"], data.test, data.labels["test"])


def claims_table(visits: Sequence[Any]) -> pd.DataFrame:
    """The claims, one row a model; standard errors in brackets."""
    rows = {}
    for seen in visits:
        if seen.claims is None:
            continue
        sharp, memory, overfit, near, _, moved, taught = seen.claims
        row = dict.fromkeys(
            (
                "sharpness of reconstructions",
                "sharpness of draws",
                "draws nearer to training data",
                "log p(x), training - held-out",
                "classes by near codes",
                "directions",
                "augmentation",
            ),
            "-",
        )
        if sharp is not None:
            for kind in ("reconstructions", "draws"):
                if kind in sharp.index:
                    share, error = sharp.loc[kind, ["share", "share_se"]]
                    row[f"sharpness of {kind}"] = f"{share:.2f} ({error:.2f})"
        if memory is not None:
            row["draws nearer to training data"] = f"{memory.nearer:.2f} (z {memory.z:+.1f})"
        if overfit is not None:
            row["log p(x), training - held-out"] = f"{overfit[0]:+.2f} ({overfit[1]:.2f})"
        if near is not None:
            row["classes by near codes"] = f"{near.share:.3f} ({near.standard_error:.3f})"
        if moved is not None:
            reached = moved["reached"]
            row["directions"] = f"{reached.mean():.2f} (worst {reached.min():.2f})"
        if taught is not None:
            gain, error = taught.loc["interpolated", ["gain", "gain_se"]]
            row["augmentation"] = f"{gain:+.3f} ({error:.3f})"
        rows[seen.stop.title] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def claim_sentences(visits: Sequence[Any]) -> list[str]:
    """What the claims came to, in sentences made of the numbers."""
    by_name = {seen.stop.name: seen for seen in visits if seen.claims is not None}
    lines = []
    vae = by_name.get("vae")
    if vae is not None and vae.claims is not None:
        lines += _of_vae(vae.claims)
    near = {seen.stop.title: seen.claims for seen in by_name.values() if seen.claims}
    near = {title: claims for title, claims in near.items() if claims.neighbours is not None}
    if near:
        best = max(near, key=lambda title: near[title].neighbours.share)
        found = near[best]
        assert found.neighbours is not None
        assert found.by_pixel is not None
        lines.append(
            f"Data of a class lie together best in the codes of {best}: the five nearest name "
            f"the class of {found.neighbours.share:.1%} of held-out data, and by distance "
            f"between pixels of {found.by_pixel.share:.1%}."
        )
    return lines


def _of_vae(claims: Claims) -> list[str]:
    """Blur and memory of the VAE."""
    lines = []
    if claims.sharpness is not None:
        share, error = claims.sharpness.loc["draws", ["share", "share_se"]]
        less = share < 1 - _SEEN * error
        lines.append(
            f"Decoded draws of the VAE have {share:.2f} times the sharpness of the data (standard "
            f"error {error:.2f}): "
            + ("means of p(x | z) are blurred." if less else "no blur is seen in them.")
        )
    if claims.memory is not None:
        z = claims.memory.z
        said = (
            "it copies"
            if z > _SEEN
            else "its draws lie further out than data do, and are no copies"
            if z < -_SEEN
            else "no memory is seen"
        )
        lines.append(
            f"Of pairs of a draw of the VAE and a held-out picture, the draw is the nearer to the "
            f"training data in {claims.memory.nearer:.0%} (z = {z:+.1f}): {said}."
        )
    if claims.directions is not None:
        reached, before = claims.directions[["reached", "before"]].mean()
        lines.append(
            f"Held-out data moved by the difference of two classes' mean codes of the VAE are "
            f"taken for the other class in {reached:.0%}, and in {before:.1%} before the move."
        )
    if claims.augmentation is not None:
        gain, error = claims.augmentation.loc["interpolated", ["gain", "gain_se"]]
        average = claims.augmentation.loc["averaged", "gain"]
        seen = abs(gain) > _SEEN * error
        lines.append(
            f"What the VAE decodes between the codes of five labelled data a class "
            f"{('helps' if gain > 0 else 'harms') if seen else 'neither helps nor harms'} "
            f"logistic regression: {gain:+.3f} of accuracy (standard error {error:.3f}); "
            f"averages of the same data make {average:+.3f}."
        )
    return lines
