"""What codes say of classes that the model never saw: near codes, directions, data in between.

Three claims of the introductions: that data of a class have codes near to each other, that the
difference of two classes' mean codes is a direction from one to the other, and that decoded
points between codes are worth having as further training data.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pyro_vae.conversion import convert_labels, takes_data
from pyro_vae.errors import DataError
from pyro_vae.inference.latents.reference import as_rows
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.protocols import Coder

__all__ = ["Accuracy", "attribute_test", "augmentation_test", "neighbour_accuracy"]

#: Where, between the codes of two data, further data are decoded.
_BETWEEN = (0.25, 0.5, 0.75)


class Accuracy(NamedTuple):
    """A share of data that are classified rightly.

    Attributes
    ----------
    share
        The share.
    standard_error
        Over the test data.
    """

    share: float
    standard_error: float


@verb
@takes_data("codes", "test_codes")
def neighbour_accuracy(
    codes: Tensor, labels: Tensor, test_codes: Tensor, test_labels: Tensor, *, neighbours: int = 5
) -> Accuracy:
    """Accuracy of a vote of the nearest neighbours, by distance between codes.

    Given the data themselves in the place of codes, it is that by distance between data.

    Parameters
    ----------
    codes, labels
        Codes ``(n, ...)`` of training data, and their classes.
    test_codes, test_labels
        Those of held-out data.
    neighbours
        How many vote.

    Raises
    ------
    DataError
        If there are fewer training data than neighbours, or labels than codes.
    """
    known, asked = _classes(codes, labels, test_codes, test_labels)
    if not 1 <= neighbours <= len(codes):
        raise DataError(
            f"neighbours got {neighbours}: it must be from 1 to the {len(codes)} data there are"
        )
    vote = KNeighborsClassifier(neighbours).fit(as_rows(codes), known)
    return _accuracy(vote.predict(as_rows(test_codes)) == asked)


@verb
@takes_data("train", "test", supported=False)
def attribute_test(
    model: Coder, train: Tensor, labels: Tensor, test: Tensor, test_labels: Tensor
) -> pd.DataFrame:
    """Whether the difference of two classes' mean codes leads from one class to the other.

    A held-out datum of one class is moved by that difference, decoded, and shown to a plain
    classifier (logistic regression on the training data themselves).

    Parameters
    ----------
    model
        Model with methods ``code`` and ``decode`` of data alone.
    train, labels
        Data whose codes make the directions, and whose classes the classifier learns.
    test, test_labels
        Data that are moved.

    Returns
    -------
    DataFrame
        One row for each ordered pair of classes, index ``(source, target)``: ``reached``, the
        share of the moved that the classifier takes for the target, its standard error ``se``,
        and ``before``, the share of the same data, decoded from their own codes, that it did.
        The errors are of other data to move, for the same model, direction and classifier.

    Raises
    ------
    DataError
        If there are fewer than two classes, or one of them is missing from either part.
    """
    known, asked = _classes(train, labels, test, test_labels)
    classes = np.unique(known)
    if len(classes) < 2 or not np.isin(classes, asked).all():
        raise DataError(
            f"labels has the classes {classes.tolist()}: give two or more, and data of each in "
            "test, too"
        )
    with torch.no_grad():
        codes, test_codes = model.code(train), model.code(test)
        means = {c: codes[torch.as_tensor(known == c)].mean(0) for c in classes}
        judge = _plain_classifier(as_rows(train), known)
        unmoved = judge.predict(as_rows(model.decode(test_codes)))
        rows = {}
        for source, target in itertools.permutations(classes, 2):
            chosen = asked == source
            moved = test_codes[torch.as_tensor(chosen)] + means[target] - means[source]
            reached = judge.predict(as_rows(model.decode(moved))) == target
            share, error = _accuracy(reached)
            before = float((unmoved[chosen] == target).mean())
            rows[source, target] = {"reached": share, "se": error, "before": before}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(rows, names=["source", "target"])
    return table


@verb
@takes_data("train", "test", supported=False)
def augmentation_test(
    model: Coder,
    train: Tensor,
    labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    *,
    per_class: int = 5,
    repeats: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Whether decoded points between codes help a plain classifier that has few labels.

    From ``per_class`` labelled data of each class, logistic regression learns three times: from
    them alone; with what is decoded between the codes of every two of a class; and with
    averages of the same pairs, pixel by pixel, which need no model.

    Parameters
    ----------
    model
        Model with methods ``code`` and ``decode`` of data alone.
    train, labels
        Data that the few are drawn from, and their classes.
    test, test_labels
        Data that the accuracy is of.
    per_class
        Labelled data of each class, at least 2.
    repeats
        Draws of the few, at least 2.
    seed
        Seed of the draws.

    Returns
    -------
    DataFrame
        Rows ``labelled``, ``interpolated`` and ``averaged``: mean ``accuracy`` over repeats and
        its standard error ``se``, and ``gain``, the paired mean difference to ``labelled``, with
        ``gain_se``.

    Raises
    ------
    DataError
        If a class has fewer than ``per_class`` data.
    """
    known, asked = _classes(train, labels, test, test_labels)
    classes, counts = np.unique(known, return_counts=True)
    if per_class < 2 or counts.min() < per_class or len(classes) < 2:
        raise DataError(
            f"per_class got {per_class}: it must be at least 2 and at most the {counts.min()} "
            "data of the smallest of two classes or more"
        )
    if repeats < 2:
        raise ValueError(f"repeats got {repeats}: it must be at least 2, for a standard error")
    generator = np.random.default_rng(seed)
    shown = as_rows(test)
    found: dict[str, list[float]] = {"labelled": [], "interpolated": [], "averaged": []}
    for _ in range(repeats):
        few = np.concatenate(
            [generator.choice(np.flatnonzero(known == c), per_class, False) for c in classes]
        )
        first, second = _pairs_of_a_class(per_class, len(classes))
        given = {"labelled": (as_rows(train[few]), known[few])}
        for name, more in _between(model, train[few], first, second).items():
            answers = np.concatenate([known[few], np.tile(known[few][first], len(_BETWEEN))])
            given[name] = np.concatenate([as_rows(train[few]), as_rows(more)]), answers
        for name, (rows, answers) in given.items():
            judge = _plain_classifier(rows, answers)
            found[name].append(float((judge.predict(shown) == asked).mean()))
    plain = np.array(found["labelled"])
    table = {}
    for name, values in found.items():
        accuracy, gain = np.array(values), np.array(values) - plain
        root = math.sqrt(repeats)
        table[name] = {
            "accuracy": accuracy.mean(),
            "se": accuracy.std(ddof=1) / root,
            "gain": gain.mean(),
            "gain_se": gain.std(ddof=1) / root,
        }
    return pd.DataFrame.from_dict(table, orient="index")


def _pairs_of_a_class(per_class: int, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Every two data of a class, of data that lie class by class."""
    pairs = np.array(list(itertools.combinations(range(per_class), 2)))
    shifted = (per_class * np.arange(num_classes))[:, None, None] + pairs
    first, second = shifted.reshape(-1, 2).T
    return first, second


def _between(
    model: Coder, few: Tensor, first: np.ndarray, second: np.ndarray
) -> dict[str, Tensor]:
    """What is decoded between the codes of pairs, and the averages of the pairs."""
    one, other = torch.as_tensor(first), torch.as_tensor(second)
    with torch.no_grad():
        codes = model.code(few)
        decoded = [model.decode((1 - t) * codes[one] + t * codes[other]) for t in _BETWEEN]
    averages = [(1 - t) * few[one] + t * few[other] for t in _BETWEEN]
    return {"interpolated": torch.cat(decoded), "averaged": torch.cat(averages)}


def _plain_classifier(rows: np.ndarray, classes: np.ndarray) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(rows, classes)


def _classes(
    train: Tensor, labels: Tensor, test: Tensor, test_labels: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Classes of both parts as numbers, as many as there are data."""
    numbers, _ = convert_labels({"train": labels, "test": test_labels}, "labels")
    found = [numbers[split].cpu().numpy() for split in ("train", "test")]
    for name, part, classes in zip(("labels", "test_labels"), (train, test), found, strict=True):
        if classes.shape != (len(part),):
            raise DataError(
                f"{name} got shape {classes.shape}: give one class for each of {len(part)} data"
            )
    return found[0], found[1]


def _accuracy(right: np.ndarray) -> Accuracy:
    share = float(right.mean())
    return Accuracy(share, math.sqrt(share * (1 - share) / len(right)))
