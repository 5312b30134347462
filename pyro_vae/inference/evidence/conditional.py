"""Some columns of a table given the others: log p(y | x) and draws of y, by importance sampling.

p(y | x) = E[p(y | z) | x], an expectation over p(z | x), where y and x are independent given z:
the weights are p(x, z) / q(z), and z is proposed from x alone. Self-normalised importance sampling
(Owen, 2013, "Monte Carlo theory, methods and examples", chapter 9); for missing values under a
VAE, Mattei & Frellsen (2019), "MIWAE", arXiv 1812.02633.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from pyro_vae.conversion import takes_data
from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference.engine.columns import Columns, scoring, why_joint
from pyro_vae.inference.engine.diagnostics import effective_sample_size, pareto_khat
from pyro_vae.inference.engine.inputs import count, take
from pyro_vae.inference.engine.rows import Rows
from pyro_vae.inference.engine.sampling import Sampling
from pyro_vae.inference.engine.weights import occurrences, stream_draws, stream_seed
from pyro_vae.inference.evidence.evaluate import settle, takes_one_model
from pyro_vae.isolation import isolated
from pyro_vae.protocols import ChecksData, Facts, offers
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Unpack

    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.sampling import SamplingSettings

__all__ = ["conditional"]

#: Share of the particles from the prior unless given: the guide has seen a fill, not y.
_PRIOR_SHARE = 0.5


@takes_one_model
@verb
@takes_data("x")
def conditional(
    model: Any,
    x: Inputs,
    of: Sequence[int],
    num_particles: int = 1000,
    *,
    fill: float | Sequence[float] = 0.0,
    draws: int = 0,
    progress: Callable[[int, int], None] | None = None,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """Log p(y | x) of chosen columns y given the other columns x, per datum, and draws of y.

    No value of y enters but in log p(y | x) itself: z is drawn from the guide at data whose
    columns y hold ``fill``, mixed with the prior, and weighted by the other columns. To draw
    what is not known, put any legal number in its place.

    Parameters
    ----------
    model
        Module with Pyro programs ``model`` and ``guide``, or a pair ``(model, guide)`` of them,
        whose one observed site is a row with columns that are independent given z.
    x
        Whole rows, ``(n, D)`` or named tensors with such an ``x``.
    of
        Numbers of the columns y, from 0; at least one is left to condition on.
    num_particles
        Draws of z per datum.
    fill
        What the guide is shown in the columns y: one number, or one for each, such as the means
        over the training data. It must be in the support, and decides the error alone.
    draws
        Number S of draws of y per datum, resampled from the particles by their weights.
    progress
        Called with the number of data done and their total.
    **sampling
        Other arguments of ``log_weights``; ``prior_share`` is 0.5 unless given. Discrete sites
        of a module are summed out unless it says not to.

    Returns
    -------
    Dataset
        ``log_conditional``, log p(y | x) in nats, and ``log_conditional_se`` by the delta method;
        effective sample size ``ess`` and Pareto ``khat`` of the weights, and ``khat_joint``, that
        of the weights times p(y | z); dimension ``datum``. With ``draws``, ``draws`` over
        ``(datum, draw, feature)``, the features numbered as in ``x``.

    Raises
    ------
    DataError
        If ``of`` or ``fill`` is not of columns of ``x``.
    ProgramError
        If columns are not independent given z.
    SupportError
        If ``x`` or ``fill`` is outside the support.

    Examples
    --------
    >>> from pyro_vae.models import LinearVAE
    >>> x = torch.tensor([[0.0, 0.5, 0.0]])
    >>> found = conditional(LinearVAE((3,), 1), x, [1], 200, draws=20)
    >>> found["draws"].sizes
    Frozen({'datum': 1, 'draw': 20, 'feature': 1})
    """
    of, given = _columns(of, x)
    if not isinstance(draws, int) or draws < 0:
        raise ValueError(f"draws got {draws!r}: it must be a whole number of at least 0")
    filled = _filled(model, x, of, fill)
    settings: dict[str, Any] = dict(sampling)
    settings.setdefault("enumerate_discrete", not isinstance(model, tuple))
    settings.setdefault("prior_share", _PRIOR_SHARE)
    how = Sampling(**settings)
    model = settle(model, filled, how.seed)
    program, guide = model if isinstance(model, tuple) else (model.model, model.guide)
    if reason := why_joint(program, guide, filled, len(of) + len(given)):
        raise ProgramError(f"log p(y | x) is not known column by column: {reason}")
    scored = scoring(program, given)
    every = Columns(program, guide, filled, how)
    rows = Rows(count(x))
    ordinals = occurrences(filled)
    particles = stream_draws(scored, guide, filled, num_particles, how)
    for row, drawn in enumerate(particles):
        at = slice(row, row + 1)
        log_weights = drawn.terms.log_weights[:, 0]
        log_y = _log_p_y(every, take(x, at), drawn.values, of, given).expand_as(log_weights)
        parts = _estimates(log_weights, log_y)
        if not drawn.values:
            # Every site is summed out: all particles are alike, and the value is exact.
            parts["ess"] = np.array(math.nan)
        if draws:
            datum = take(filled, at)
            with isolated(stream_seed(datum, ordinals[row], how.seed, -1)):
                parts["draws"] = _draw(every, datum, drawn.values, log_weights, draws, of, given)
        rows.add(parts)
        if progress is not None:
            progress(row + 1, count(x))
    return _result(rows.arrays(), of, num_particles, how)


def _columns(of: Sequence[int], x: Inputs) -> tuple[list[int], list[int]]:
    """Numbers of the columns y and of the others."""
    data = x if isinstance(x, torch.Tensor) else x.get("x")
    if data is None or data.dim() != 2:
        shape = None if data is None else tuple(data.shape)
        raise DataError(
            f"x has shape {shape}: columns are those of a table (n, D), given as x or under the "
            "name 'x'"
        )
    size = data.shape[1]
    try:
        chosen = [int(column) for column in of if int(column) == column]
        whole = len(chosen) == len(list(of))
    except (TypeError, ValueError):
        chosen, whole = [], False
    inside = all(0 <= column < size for column in chosen)
    if not whole or not inside or len(set(chosen)) < len(chosen) or not 0 < len(chosen) < size:
        raise DataError(
            f"of got {of!r}: give different column numbers from 0 to {size - 1}, at least one and "
            f"at most {size - 1} of them, as in of=[0]"
        )
    return chosen, [column for column in range(size) if column not in chosen]


def _filled(model: Any, x: Inputs, of: list[int], fill: float | Sequence[float]) -> Inputs:
    """The data with the fill in the columns y."""
    data = x if isinstance(x, torch.Tensor) else x["x"]
    values = torch.as_tensor(np.asarray(fill, dtype=float))
    if values.dim() > 1 or (values.dim() == 1 and len(values) != len(of)):
        raise DataError(
            f"fill has shape {tuple(values.shape)}: give one number, or one for each of the "
            f"{len(of)} columns in of"
        )
    filled = data.clone()
    filled[:, of] = values.to(data)
    likelihood = Facts(model[0] if isinstance(model, tuple) else model).likelihood
    if offers(likelihood, ChecksData):
        try:
            likelihood.check(filled)
        except DataError as error:
            raise type(error)(f"fill got {fill!r}, which x cannot be: {error}") from None
    return filled if isinstance(x, torch.Tensor) else {**x, "x": filled}


def _log_p_y(
    every: Columns, datum: Inputs, values: Mapping[str, Tensor], of: list[int], given: list[int]
) -> Tensor:
    """Log p(y | z_k, x), ``(K,)``: x matters where a discrete c is summed out of p(c | z_k, x)."""
    found = []
    for log_prior, terms in every.parts(datum, values):
        log_y = terms[..., of].sum(-1)
        log_share = _log_shares(log_prior, terms, given)
        found.append((log_share + log_y).logsumexp(0) if len(log_y) > 1 else log_y[0])
    return torch.cat(found)


def _log_shares(log_prior: Tensor, terms: Tensor, given: list[int]) -> Tensor:
    """Log p(c | z_k, x), ``(M, K)``."""
    return (log_prior + terms[..., given].sum(-1)).log_softmax(0)


def _estimates(log_weights: Tensor, log_y: Tensor) -> dict[str, np.ndarray]:
    """Estimate, error and diagnostics of one datum from ``(K,)`` weights and log p(y | z_k)."""
    shares = log_weights.softmax(0)
    value = (log_weights.log_softmax(0) + log_y).logsumexp(0)
    # A ratio of two means: d log(sum w p / sum w) / d w_k = W_k (p_k / (p(y | x)) - 1) / w_k.
    error = (shares * torch.expm1(log_y - value)).square().sum().sqrt()
    if len(log_weights) == 1:
        error = torch.full_like(error, math.nan)
    both = torch.stack([log_weights, log_weights + log_y], dim=1)
    khat = pareto_khat(both)
    found = {
        "log_conditional": value,
        "log_conditional_se": error,
        "ess": effective_sample_size(both[:, :1])[0],
    }
    numbers = {name: part.cpu().numpy() for name, part in found.items()}
    return numbers | {"khat": khat[0], "khat_joint": khat[1]}


def _draw(
    every: Columns,
    datum: Inputs,
    values: Mapping[str, Tensor],
    log_weights: Tensor,
    num_draws: int,
    of: list[int],
    given: list[int],
) -> np.ndarray:
    """Draws of y, ``(S, len(of))``, from the current random state."""

    def draw(at: Mapping[str, Tensor], size: int) -> Tensor:
        return every.draw(datum, at, size, given)[:, of]

    return every.resampled(values, log_weights, num_draws, draw).cpu().numpy()


def _result(
    rows: dict[str, np.ndarray], of: list[int], num_particles: int, how: Sampling
) -> xr.Dataset:
    variables = {
        name: (("datum", "draw", "feature") if name == "draws" else "datum", parts)
        for name, parts in rows.items()
    }
    results = xr.Dataset(variables)
    results = results.assign_coords({dim: np.arange(n) for dim, n in results.sizes.items()})
    if "feature" in results.dims:
        results = results.assign_coords(feature=of)
    for name in ("log_conditional", "log_conditional_se"):
        results[name].attrs["units"] = "nats"
    results.attrs.update(
        units="nats per datum",
        particles=num_particles,
        seed=how.seed,
        prior_share=how.prior_share,
        of=of,
        bound="log_conditional is a ratio of two estimates: its bias has no known sign",
    )
    return results
