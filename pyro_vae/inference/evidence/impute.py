"""Missing cells given the observed ones: p(x_mis | x_obs) by importance weights.

E[h(x_mis) | x_obs] = E[E[h(x_mis) | z, x_obs] | x_obs], an expectation over p(z | x_obs), whose
particles are the guide's, weighted by p(x_obs, z) / q(z | x_obs). Self-normalised importance
sampling for moments and quantiles, sampling importance resampling for draws (Rubin, 1987, "The
calculation of posterior distributions by data augmentation: comment"): Mattei & Frellsen (2019),
"MIWAE", arXiv 1812.02633, section 3.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from torch.distributions import constraints

from pyro_vae.conversion import takes_data
from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference.engine.columns import BLOCK, Columns, data_site, why_dependent
from pyro_vae.inference.engine.inputs import take
from pyro_vae.inference.engine.sampling import Sampling
from pyro_vae.inference.engine.traces import trace_of
from pyro_vae.inference.engine.weights import by_rows, occurrences, stream_seed
from pyro_vae.inference.evidence.evaluate import settle, takes_one_model
from pyro_vae.inference.evidence.reductions import JudgedRows, evidence_reduction, reduced
from pyro_vae.inference.evidence.trust import khat_note
from pyro_vae.isolation import isolated
from pyro_vae.protocols import CompletesCells, Facts, FillsCells, offers
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Unpack

    from torch import Tensor

    from pyro_vae.inference.engine.sampling import SamplingSettings
    from pyro_vae.inference.engine.weights import Draws

__all__ = ["impute"]

#: What is said of every cell.
_OF_CELLS = ("mean", "mean_se", "sd", "median", "lower", "upper", "mode")

#: What is said of the weights of every datum.
_OF_WEIGHTS = ("log_evidence", "log_evidence_se", "ess", "khat", "doubt", "top_share")

#: Seeds of the two kinds of draws of x, beside those of the particles.
_RESAMPLED, _AT_PARTICLES = -1, -2

#: Particles times cells that are drawn at once: a constant, as draws must not depend on memory.
_AT_ONCE = 2**17

#: Numbers, particles times cells, that are sorted at once.
_SORTED = 2**20


@takes_one_model
@verb
@takes_data("x")
def impute(
    model: Any,
    x: Mapping[str, Any],
    num_particles: int = 1000,
    *,
    draws: int = 20,
    level: float = 0.9,
    progress: Callable[[int, int], None] | None = None,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """Missing cells given the observed ones, per datum: moments, intervals, and complete data.

    Missing at random is taken for granted, unless the model is a story of what is missing. What
    stands in a missing cell of ``x`` has no effect. A datum's results depend on the seed and on
    the datum alone; one without missing cells costs nothing and is returned as it is.

    Parameters
    ----------
    model
        Module with Pyro programs ``model`` and ``guide``, or a pair ``(model, guide)`` of them,
        that take ``observed`` and have an observed site of x whose cells are independent given z,
        or whose distribution completes them (``pyro_vae.protocols.CompletesCells``), as
        ``MultivariateNormal`` does.
    x
        Named tensors: ``x``, ``(n, *event_shape)``, ``observed``, bool of that shape, and what
        else the model takes.
    num_particles
        Number K of draws of z per datum.
    draws
        Number S of complete data per datum, for multiple imputation; 0 for none.
    level
        Probability of the interval from ``lower`` to ``upper``.
    progress
        Called with the number of data with missing cells that are done, and their total.
    **sampling
        Other arguments of ``log_weights``. Discrete sites of a module are summed out unless it
        says not to.

    Returns
    -------
    Dataset
        Over ``(datum, feature)``, the cells of a datum in a row, observed ones as they are:

        ``mean``, ``mean_se``
            E[x_d | x_obs], the mean over particles of E[x_d | z], or of draws where the
            distribution has no mean; and its Monte Carlo standard error by the delta method.
        ``sd``
            Standard deviation of a missing cell; 0 where it is observed.
        ``median``, ``lower``, ``upper``
            Weighted quantiles of one draw of x per particle.
        ``mode``
            Most probable value of a discrete cell by those draws, the smallest of equals; NaN for
            a missing cell that is continuous.
        ``observed``
            As given.

        ``draws`` over ``(draw, datum, feature)``: x resampled from p(x_mis | x_obs). Over
        ``datum``, and NaN without missing cells: ``log_evidence``, log p(x_obs) in nats, and
        ``log_evidence_se``; ``ess`` and Pareto ``khat`` of the weights, NaN where z is summed out;
        ``doubt`` and ``top_share`` as ``evaluate`` has them. The attribute ``note`` says for how
        many data k-hat is above 0.7, which are not to be relied on.

    Raises
    ------
    DataError
        If ``x`` comes without ``observed``.
    ProgramError
        If the programs take no ``observed``, or cells are not independent given z.
    ValueError
        If ``draws`` or ``level`` is out of range.

    Examples
    --------
    >>> from pyro_vae.models import LinearVAE
    >>> x = torch.tensor([[0.5, torch.nan, 1.0]])
    >>> found = impute(LinearVAE((3,), 1, missing="mask"), {"x": x, "observed": ~x.isnan()}, 200)
    >>> found["mean"].values[0, [0, 2]].tolist(), found["draws"].shape
    ([0.5, 1.0], (20, 1, 3))
    """
    _check(model, x, draws, level)
    settings: dict[str, Any] = dict(sampling)
    settings.setdefault("enumerate_discrete", not isinstance(model, tuple))
    how = Sampling(**settings)
    x = _without_traces(model, x)
    results = _as_they_are(x, draws)
    holed = torch.from_numpy(np.flatnonzero(~results["observed"].values.all(1)))
    if len(holed):
        of_holed = take(x, holed)
        assert not isinstance(of_holed, torch.Tensor)
        settled = settle(model, of_holed, how.seed)
        pair = settled if isinstance(settled, tuple) else (settled.model, settled.guide)
        discrete = _site_of(pair[0], of_holed)
        work = _ImputedRows(
            model=pair[0],
            guide=pair[1],
            x=of_holed,
            num_particles=num_particles,
            sampling=how,
            more=None,
            draws=draws,
            level=level,
            discrete=discrete,
        )
        found = by_rows(work, 0, how.n_jobs)
        for done, (row, parts) in enumerate(zip(holed.tolist(), found, strict=True), 1):
            missing = ~results["observed"].values[row]
            for name in (*_OF_CELLS, "draws"):
                if name in parts:
                    results[name].values[..., row, missing] = parts[name]
            for name in _OF_WEIGHTS:
                results[name].values[row] = parts[name]
            if progress is not None:
                progress(done, len(holed))
    results.attrs.update(
        level=level,
        particles=num_particles,
        seed=how.seed,
        prior_share=how.prior_share,
        event_shape=list(x["x"].shape[1:]),
        units="units of x",
        note=khat_note(results),
    )
    return results


def _check(model: Any, x: Any, draws: Any, level: Any) -> None:
    """Refuse what cannot be imputed, before any work."""
    if isinstance(x, torch.Tensor) or "observed" not in x or "x" not in x:
        raise DataError(
            "x says not which cells are missing: give {'x': data, 'observed': mask}, the mask of "
            "the shape of the data and true where a cell is there, such as ~data.isnan()"
        )
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 0:
        raise ValueError(f"draws got {draws!r}: it must be a whole number of at least 0")
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        raise ValueError(f"level got {level!r}: it must be a number between 0 and 1, such as 0.9")
    programs = model if isinstance(model, tuple) else (model.model, model.guide)
    for kind, program in zip(("model", "guide"), programs, strict=True):
        parameters = inspect.signature(program).parameters
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        if "observed" not in parameters and not anything:
            raise ProgramError(
                f"{kind} {Facts(program).name} takes no argument observed, so it cannot be told "
                "which cells are missing: give it one, and leave the others out of its "
                "log-probability, as in dist.Normal(mean, 1).mask(observed).to_event(1)"
            )


def _without_traces(model: Any, x: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Data whose missing cells hold what depends on no other row; whole numbers got such."""
    program = model[0] if isinstance(model, tuple) else model
    if x["x"].is_floating_point() or offers(Facts(program).likelihood, FillsCells):
        return x
    return {**x, "x": torch.where(x["observed"], x["x"], x["x"].new_zeros(()))}


def _as_they_are(x: Mapping[str, Tensor], draws: int) -> xr.Dataset:
    """Results in which nothing is missing."""
    parts = (x["x"], x["observed"])
    given, observed = (part.reshape(len(part), -1).cpu().numpy() for part in parts)
    dims = ("datum", "feature")
    found: dict[str, Any] = {name: (dims, given.astype(float)) for name in _OF_CELLS}
    for name in ("mean_se", "sd"):
        found[name] = (dims, np.zeros(given.shape))
    if draws:
        kind = given.dtype if np.issubdtype(given.dtype, np.floating) else float
        copies = np.repeat(given[None].astype(kind), draws, axis=0)
        found["draws"] = (("draw", *dims), copies)
    found["observed"] = (dims, observed.copy())
    for name in _OF_WEIGHTS:
        found[name] = ("datum", np.full(len(given), 0.0 if name == "doubt" else math.nan))
    results = xr.Dataset(found)
    for name in ("log_evidence", "log_evidence_se"):
        results[name].attrs["units"] = "nats"
    return results.assign_coords({dim: np.arange(n) for dim, n in results.sizes.items()})


@dataclass
class _ImputedRows(JudgedRows):
    """What is found of each datum: of its missing cells in order, and of its weights.

    Attributes
    ----------
    draws, level
        As for ``impute``.
    discrete
        Which cells of x are discrete, ``(D,)``.
    """

    draws: int
    level: float
    discrete: np.ndarray

    @cached_property
    def _cells(self) -> Columns:
        return Columns(self.model, self.guide, self.x, self.sampling)

    @cached_property
    def _ordinals(self) -> Sequence[int]:
        return occurrences(self.x)

    def of_row(self, row: int) -> dict[str, np.ndarray]:
        datum = take(self.x, slice(row, row + 1))
        assert not isinstance(datum, torch.Tensor)
        drawn = self.columns.draw(row)
        missing = ~datum["observed"].flatten()
        log_weights = drawn.terms.log_weights[:, 0]
        parts = reduced([evidence_reduction], drawn.terms, self.judge(range(row, row + 1)))
        if not drawn.values:
            # Every site is summed out: all particles are alike, and the value is exact.
            parts |= {"ess": np.array([math.nan]), "doubt": np.zeros(1)}
        parts = {name: part[0] for name, part in parts.items()}
        # A program that does not broadcast is run for one particle at a time.
        vectorized = self.sampling.vectorize_particles
        block = max(BLOCK, _AT_ONCE // max(len(missing), 1)) if vectorized else 1

        def seed_of(kind: int) -> int:
            return stream_seed(datum, self._ordinals[row], self.sampling.seed, kind)

        with isolated(seed_of(_AT_PARTICLES)):
            cells, means = _at_particles(self._cells, datum, drawn, missing, block)
        discrete = self.discrete[missing.cpu().numpy()]
        parts |= _summaries(cells, means, log_weights.softmax(0), self.level, discrete)
        if self.draws:
            with isolated(seed_of(_RESAMPLED)):
                parts["draws"] = _resampled(self._cells, datum, drawn, missing, self.draws, block)
        return parts


def _site_of(program: Any, x: Mapping[str, Tensor]) -> np.ndarray:
    """Which cells of x are discrete, ``(D,)``; refuse a site that they cannot be drawn from."""
    fullest = int(x["observed"].reshape(len(x["observed"]), -1).sum(1).argmax())
    datum = take(x, slice(fullest, fullest + 1))
    assert not isinstance(datum, torch.Tensor)
    cells, there = datum["x"].flatten(), datum["observed"].flatten()

    def known(value: Tensor) -> bool:
        """Whether they are those of the datum, where it is observed."""
        value = value.flatten().to(cells.device)
        return len(value) == len(cells) and bool((value == cells)[there].all())

    with torch.no_grad(), isolated():
        site = data_site(trace_of(program, datum))
        if site is None:
            raise ProgramError(
                "the model observes several sites, and none is 'x': name the one that observes x "
                "so"
            )
        if not known(site["value"]):
            raise ProgramError(
                f"site {site['name']!r} observes something else than x, so its draws are no cells "
                "of x: write obs=x, and change the distribution where the units differ"
            )
        # What draws the observed cells as they are has drawn the others given them.
        completes = offers(site["fn"], CompletesCells) or known(site["fn"].sample())
        if (reason := why_dependent(site)) and not completes:
            raise ProgramError(
                f"{reason}, and its draws of the missing ones would not know of the others: take "
                "a likelihood whose cells are"
            )
    return np.resize(_discrete(site["fn"].support, site["fn"].event_shape), len(cells))


def _discrete(support: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Whether values of a support are discrete, for each cell of an event, ``(size,)``."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    if isinstance(support, constraints.cat):
        parts = zip(support.cseq, support.lengths, strict=True)
        return np.concatenate([_discrete(part, (length,)) for part, length in parts])
    return np.full(math.prod(shape), bool(support.is_discrete))


def _at_particles(
    columns: Columns, datum: Mapping[str, Tensor], drawn: Draws, missing: Tensor, block: int
) -> tuple[Tensor, Tensor | None]:
    """Draws and means of the missing cells at every particle, ``(K, m)``."""
    found = []
    for start in range(0, len(drawn.terms.log_guide), block):
        size = min(block, len(drawn.terms.log_guide) - start)
        values = {name: value[start : start + size] for name, value in drawn.values.items()}
        found.append([_some(part, missing) for part in columns.cells(datum, values, size)])
    cells, means = zip(*found, strict=True)
    return torch.cat(cells), None if means[0] is None else torch.cat(means)


def _some(cells: Tensor | None, missing: Tensor) -> Tensor | None:
    return None if cells is None else cells[:, missing.to(cells.device)]


def _resampled(
    columns: Columns,
    datum: Mapping[str, Tensor],
    drawn: Draws,
    missing: Tensor,
    draws: int,
    block: int,
) -> np.ndarray:
    """Draws of the missing cells from p(x_mis | x_obs), ``(S, m)``."""

    def draw(values: Mapping[str, Tensor], size: int) -> Tensor:
        cells, _ = columns.cells(datum, values, size)
        return cells[:, missing.to(cells.device)]

    log_weights = drawn.terms.log_weights[:, 0]
    return columns.resampled(drawn.values, log_weights, draws, draw, block).cpu().numpy()


def _summaries(
    cells: Tensor, means: Tensor | None, shares: Tensor, level: float, discrete: np.ndarray
) -> dict[str, np.ndarray]:
    """Moments and quantiles from ``(K, m)`` draws and means and ``(K,)`` normalised weights."""
    found: dict[str, list[Tensor]] = {name: [] for name in _OF_CELLS}
    width = max(1, _SORTED // len(cells))
    shares = shares.to(cells.device)
    weights = shares.unsqueeze(1)
    for start in range(0, cells.shape[1], width):
        x = cells[:, start : start + width].double()
        given = x if means is None else means[:, start : start + width].double()
        mean = (weights * given).sum(0)
        # A ratio of two means: d(sum w m / sum w) / d w_k = W_k (m_k - mean) / w_k.
        error = (weights * (given - mean)).square().sum(0).sqrt()
        found["mean"].append(mean)
        found["mean_se"].append(error if len(x) > 1 else error + math.nan)
        found["sd"].append((weights * (x - mean).square()).sum(0).sqrt())
        ranked, order = x.sort(0)
        mass = shares[order]
        below = mass.cumsum(0)
        for name, p in (("lower", (1 - level) / 2), ("median", 0.5), ("upper", (1 + level) / 2)):
            rank = (below < p).sum(0, keepdim=True).clamp(max=len(x) - 1)
            found[name].append(ranked.gather(0, rank)[0])
        found["mode"].append(_most_probable(ranked, mass))
    numbers = {name: torch.cat(parts).cpu().numpy() for name, parts in found.items()}
    numbers["mode"] = np.where(discrete, numbers["mode"], math.nan)
    return numbers


def _most_probable(ranked: Tensor, mass: Tensor) -> Tensor:
    """Of ``(K, m)`` values in order, those with the most mass at one of them, ``(m,)``."""
    run = torch.zeros_like(ranked, dtype=torch.long)
    run[1:] = (ranked[1:] != ranked[:-1]).cumsum(0)
    best = torch.zeros_like(mass).scatter_add_(0, run, mass).argmax(0, keepdim=True)
    return ranked.gather(0, (run < best).sum(0, keepdim=True))[0]
