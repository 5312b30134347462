"""What a direction between codes changes: one known factor, or others with it.

The difference of the mean codes of large and of small sprites ought to lead from small to large
ones, in the same place and of the same shape. Where the data are a family of which every member
is known, the nearest member tells all the factors of what is decoded, and no classifier has to be
believed.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from pyro_vae.conversion import convert_labels, takes_data
from pyro_vae.errors import DataError
from pyro_vae.inference.latents.halfway import nearest_member
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from pyro_vae.protocols import Coder

__all__ = ["direction_summary", "direction_test"]


@verb
@takes_data("train", "test", "family", supported=False)
def direction_test(
    model: Coder,
    train: Tensor,
    factors: Mapping[str, Any],
    test: Tensor,
    test_factors: Mapping[str, Any],
    *,
    family: Tensor,
    family_factors: Mapping[str, Any],
) -> pd.DataFrame:
    """Move held-out data by the difference of two classes' mean codes, and read all the factors.

    A datum's factors are those of the family's member that is nearest to what is decoded, before
    the move and after it.

    Parameters
    ----------
    model
        Model with methods ``code`` and ``decode`` of data alone.
    train, factors
        Data whose codes make the directions, and by the name of each factor their classes.
    test, test_factors
        Data that are moved, and their classes.
    family, family_factors
        Every datum there can be, and its classes.

    Returns
    -------
    DataFrame
        One row for each ordered pair of classes that held-out data are moved between, index
        ``(factor, source, target)``: ``moved``, how many; ``right``, how many of these show the
        source before the move; ``reached``, how many show the target after it; ``before``, how
        many showed the target already; ``kept``, how many of the moved show all other factors as
        they did before; and ``kept NAME`` for each other factor.

    Raises
    ------
    DataError
        If a factor is missing from a part, or has one class, or its classes do not match the data.
    """
    known, asked, member = _classes(
        {"train": train, "test": test, "family": family},
        {"train": factors, "test": test_factors, "family": family_factors},
    )
    with torch.no_grad():
        codes, test_codes = model.code(train), model.code(test)
        before = _read(model, test_codes, family, member)
        rows = {}
        for name, of_train in known.items():
            means = {c: codes[torch.as_tensor(of_train == c)].mean(0) for c in np.unique(of_train)}
            for source, target in itertools.permutations(means, 2):
                chosen = asked[name] == source
                if not chosen.any():
                    continue
                moved = test_codes[torch.as_tensor(chosen)] + means[target] - means[source]
                after = _read(model, moved, family, member)
                unmoved = {of: classes[chosen] for of, classes in before.items()}
                kept = {of: after[of] == unmoved[of] for of in known if of != name}
                others = np.array(list(kept.values())).reshape(-1, len(moved))
                rows[name, source, target] = {
                    "moved": len(moved),
                    "right": (unmoved[name] == source).sum(),
                    "reached": (after[name] == target).sum(),
                    "before": (unmoved[name] == target).sum(),
                    "kept": others.all(0).sum(),
                    **{f"kept {other}": same.sum() for other, same in kept.items()},
                }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(rows, names=["factor", "source", "target"])
    return table


def direction_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Shares of the moves of each factor, all its pairs of classes together.

    Parameters
    ----------
    table
        What ``direction_test`` returned.

    Returns
    -------
    DataFrame
        One row a factor: ``right``, ``before``, ``reached`` and ``kept``, ``kept NAME`` (NaN for
        the factor itself), as shares of the moves. A datum is moved to every other class, so the
        moves of a factor are not independent: for an error bar, fit again with other seeds.
    """
    sums = table.groupby(level="factor", sort=False).sum(min_count=1)
    return sums.drop(columns="moved").div(sums["moved"], axis=0)


def _read(
    model: Coder, codes: Tensor, family: Tensor, member: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Every factor of what is decoded."""
    _, which = nearest_member(model.decode(codes), family)
    return {name: classes[which] for name, classes in member.items()}


def _classes(
    parts: Mapping[str, Tensor], factors: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, np.ndarray]]:
    """Classes of every part as numbers that mean the same in each."""
    names = list(factors["train"])
    for part, given in factors.items():
        if set(given) != set(names) or not names:
            raise DataError(
                f"factors of {part} got {list(given)}: give one or more, and the same for train, "
                f"test and family; train has {names}"
            )
    found: list[dict[str, np.ndarray]] = [{}, {}, {}]
    for name in names:
        numbers, _ = convert_labels({part: factors[part][name] for part in parts}, name)
        for into, (part, data) in zip(found, parts.items(), strict=True):
            classes = numbers[part].cpu().numpy()
            if classes.shape != (len(data),):
                raise DataError(
                    f"factor {name!r} of {part} got shape {classes.shape}: give one class for "
                    f"each of {len(data)} data"
                )
            into[name] = classes
        if len(np.unique(found[0][name])) < 2:
            raise DataError(f"factor {name!r} has one class in train: give data of two or more")
    return found
