"""The kind and the likelihood of a column, from its type and its values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pyro_vae.data.schema.column import level_texts
from pyro_vae.data.schema.numbers import NumbersOfArray
from pyro_vae.data.schema.recognise import (
    looks_like_another_date,
    looks_like_another_number,
    number_of,
)

if TYPE_CHECKING:
    from pyro_vae.data.schema.cells import Cells
    from pyro_vae.data.schema.numbers import Numbers

__all__ = ["MOST_LEVELS", "Guess", "guess_kind", "likelihood_of"]

#: More levels than these are an identifier or free text, unless somebody says otherwise.
_MANY_LEVELS = 50

#: More levels than these are refused whatever anybody says: each needs rows of its own.
MOST_LEVELS = 1000

#: Whole numbers from 1 to at most this are ratings.
_LARGEST_RATING = 10

#: Numbers below 1 that all lie below this are no shares of a whole, but small measurements.
_HALF = 0.5

#: Whole numbers that are all above this are measurements that were rounded, and no counts.
_SMALL_COUNT = 10

#: Fewer rows than these tell nothing by being all different.
_FEW_ROWS = 20

#: Excess kurtosis above which tails are heavier than a mixture of normals ought to explain, and
#: ratio of variance to mean above which counts are overdispersed.
_HEAVY, _OVERDISPERSED = 6.0, 1.5


class Guess(NamedTuple):
    """A kind, and what told it."""

    kind: str
    why: str


def guess_kind(cells: Cells, *, numbers: Numbers | None = None, rows: int | None = None) -> Guess:
    """The kind that values tell of; ``"id"`` and ``"text"`` are no data.

    Parameters
    ----------
    cells
        Cells of a column, not all of them empty.
    numbers
        What is known of its numbers, where the cells are not all of them.
    rows
        Number of cells that are not empty, likewise; then the cells have every word once.
    """
    if cells.type == "truth":
        return Guess("yes-no", "truth values")
    if cells.type == "time":
        return Guess("date", "dates")
    if cells.type == "word":
        return _of_words(cells, len(cells.filled) if rows is None else rows)
    return _of_numbers(NumbersOfArray(cells.filled, cells.whole) if numbers is None else numbers)


def _of_words(cells: Cells, rows: int) -> Guess:
    levels = len(set(cells.filled)) if cells.order is None else len(cells.order)
    if cells.ordered and levels > 2:
        return Guess("ordinal", "ordered categories")
    if cells.order is None:
        if looks_like_another_date(cells):
            return Guess("text", "dates, which are read as YYYY-MM-DD")
        if looks_like_another_number(cells):
            odd = next(word for word in cells.filled if number_of(word) is None)
            return Guess("text", f"numbers such as {odd!r}: they are read where written as 1234.5")
        if rows >= _FEW_ROWS and levels == rows:
            return Guess("id", "a word of its own in every row")
        if levels > max(_MANY_LEVELS, 2) or (rows >= _FEW_ROWS and levels > rows / 2):
            return Guess("text", f"{levels} different words in {rows} rows{_slip(cells)}")
    if levels == 2:
        return Guess("yes-no", f"two words{_slip(cells)}")
    return Guess("category", f"{levels} words{_slip(cells)}")


def _slip(cells: Cells) -> str:
    """What about words may be a slip, to be seen where the kind is told."""
    words = set(cells.filled)
    odd = sorted(word for word in words if number_of(word) is None)
    if 0 < len(odd) < len(words):
        return f", numbers and {odd[0]!r} among them"
    if len({word.casefold().strip() for word in words}) < len(words):
        return ", some alike but for case or blanks"
    return ""


def _of_numbers(x: Numbers) -> Guess:
    whole = x.whole
    if whole and (told := _of_whole_numbers(x)) is not None:
        return told
    if 0 < x.least and _HALF <= x.largest < 1:
        return Guess("share", "numbers between 0 and 1")
    if x.least > 0 and (skewness := x.skewness) > 1 and abs(x.log_skewness) < skewness:
        return Guess("positive", "positive and skewed to the right")
    return Guess("real", "whole numbers, none small" if whole else "numbers")


def _of_whole_numbers(x: Numbers) -> Guess | None:
    """The kind of whole numbers; None where they are measurements that were rounded."""
    if x.zeros_and_ones:
        return Guess("yes-no", "0 and 1")
    if x.gapless and x.all_different and x.size >= _FEW_ROWS:
        return Guess("id", "every row has a whole number of its own, without a gap")
    if x.least == 1 and x.gapless and x.largest <= _LARGEST_RATING:
        return Guess("ordinal", f"whole numbers from 1 to {x.largest:.0f}")
    if x.least < 0:
        return Guess("real", "whole numbers, some negative")
    if x.least > _SMALL_COUNT:
        return None
    # No Poisson, and no mixture of such, has a variance below its mean.
    if x.variance < 0.5 * x.mean:
        return Guess("real", "whole numbers, less dispersed than counts")
    return Guess("count", "whole numbers from 0")


def likelihood_of(kind: str, numbers: np.ndarray | Numbers, num_levels: int) -> str:
    """The likelihood for a kind, as it is typed.

    Parameters
    ----------
    kind
        Kind of a column that is data.
    numbers
        Its numbers, none missing.
    num_levels
        Number of its levels, where it has levels.
    """
    if isinstance(numbers, np.ndarray):
        numbers = NumbersOfArray(numbers)
    if kind == "real":
        return "student-t" if numbers.excess_kurtosis > _HEAVY else "normal"
    if kind == "positive":
        # The family with the larger maximised likelihood: both have two parameters.
        return "gamma" if _gamma_is_likelier(numbers) else "log-normal"
    if kind == "count":
        mean = numbers.mean
        over = mean > 0 and numbers.variance > _OVERDISPERSED * mean
        return "negative-binomial" if over else "poisson"
    return {
        "date": "normal",
        "share": "beta",
        "yes-no": "bernoulli",
        "category": f"categorical(num_classes={num_levels})",
        "ordinal": f"ordinal(num_classes={num_levels})",
    }[kind]


def levels_of(cells: Cells) -> list[str]:
    """Levels in the declared order, else numbers by size and words by the alphabet."""
    if cells.order is not None:
        return list(cells.order)
    if cells.type == "truth":
        return ["False", "True"]
    filled = cells._replace(values=cells.filled, empty=np.zeros(len(cells.filled), dtype=bool))
    written = set(level_texts(filled))
    return sorted(written, key=float) if cells.type == "number" else sorted(written)


def _gamma_is_likelier(x: Numbers) -> bool:
    """Whether a gamma distribution, fitted by maximum likelihood, beats a log-normal one."""
    mean, log_mean = x.mean, x.log_mean
    # Minka (2002), "Estimating a Gamma distribution": shape k with log k - digamma(k) = s.
    s = math.log(mean) - log_mean
    if s <= 0:
        return False
    k = (3 - s + math.sqrt((s - 3) ** 2 + 24 * s)) / (12 * s)
    gamma = k * math.log(k / mean) - math.lgamma(k) + (k - 1) * log_mean - k
    normal = -0.5 * math.log(2 * math.pi * x.log_variance) - 0.5 - log_mean
    return gamma > normal
