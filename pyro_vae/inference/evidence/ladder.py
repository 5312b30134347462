"""Every bound on log p(x) from one set of draws: IWAE_k for all k, Renyi bounds, CUBO_2.

Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519; Li & Turner (2016), arXiv 1602.02311;
Dieng et al. (2017), arXiv 1611.00328.

IWAE_k is the expectation of a function of k weights, so its best estimate from K of them is the
complete U-statistic, the mean over all C(K, k) subsets. It never falls as k rises, whatever the
draws, since log mean of k + 1 weights is by Jensen no less than the mean of the log means of
their subsets of size k. The sum over subsets is not enumerated but integrated:

    log s = int_0^inf (e^-t - e^(-t s)) dt / t                              (Frullani)

turns the mean over subsets of log sum_i w_i into that of e^(-t sum_i w_i), a ratio of the
elementary symmetric polynomial e_k(e^(-t w_1), ..., e^(-t w_K)) to C(K, k), and all k come from
one recursion of K steps with positive terms.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr

from pyro_vae.conversion import takes_data
from pyro_vae.inference.engine.bounds import elbo_of, log_evidence_of, renyi_of
from pyro_vae.inference.engine.diagnostics import effective_sample_size, pareto_khat
from pyro_vae.inference.engine.inputs import count
from pyro_vae.inference.engine.rows import Rows
from pyro_vae.inference.engine.weights import stream_log_weights
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Unpack

    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.sampling import SamplingSettings
    from pyro_vae.inference.engine.traces import Program

__all__ = ["complete_iwae", "ladder"]

#: Step of the trapezoidal rule in log t: its error is of order e^(-pi^2 / step) = 5e-15.
_STEP = 0.3

#: Where e^-x is 1, and where 0, to rounding, in log x.
_FIRST, _LAST = -37.0, 4.0

#: Nothing, next to 1; a product of two is still no subnormal number, which would be slow.
_NIL = 1e-150


@verb
@takes_data("x")
def ladder(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int = 500,
    *,
    ks: Sequence[int] | None = None,
    alphas: Sequence[float] = (0.25, 0.5, 0.75),
    progress: Callable[[int, int], None] | None = None,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """Lower and upper bounds on log p(x) per datum, all from the same draws.

    Parameters
    ----------
    model, guide, x, num_particles
        As for ``log_weights``. The time per datum grows with the square of ``num_particles``:
        about 0.02 s at 256 and 0.2 s at 1000.
    ks
        Values of k for IWAE_k; about four to a doubling unless given.
    alphas
        Orders of the Renyi bounds; between 0 and 1 lower bounds.
    progress
        Called with the number of data done and their total.
    **sampling
        Other arguments of ``log_weights``.

    Returns
    -------
    Dataset
        ``iwae`` over ``(num_particles, datum)``, which never falls as k rises and is ``elbo``
        to the bit at k = 1; ``asymptote``, log p(x) - Var(w) / (2 k E[w]^2), which it
        approaches (Domke & Sheldon, 2018, arXiv 1808.09034); ``renyi`` over ``(alpha,
        datum)``; ``cubo``, a chi upper bound, itself estimated from below; ``log_evidence``;
        ``ess`` and ``khat``. Each bound b has its Monte Carlo standard error ``b_se`` and,
        since all come from the same draws, the far smaller ``b_paired_se`` of its difference
        from ``log_evidence``. In nats.

    Raises
    ------
    ValueError
        If a k is not between 1 and ``num_particles``, or fewer than two particles are asked.
    """
    if num_particles < 2:
        raise ValueError(f"num_particles got {num_particles}: a ladder needs at least 2")
    spaced = np.geomspace(1, num_particles, 4 * num_particles.bit_length()).round()
    ks = sorted({int(k) for k in (spaced if ks is None else ks)})
    rows = Rows(count(x))
    for done, terms in enumerate(
        stream_log_weights(model, guide, x, num_particles, **sampling), start=1
    ):
        rows.add(_rungs(terms.log_weights.cpu(), ks, alphas))
        if progress is not None:
            progress(done, count(x))
    dims = {"iwae": "num_particles", "asymptote": "num_particles", "renyi": "alpha"}
    variables = {}
    for name, values in rows.arrays().items():
        dim = dims.get(name.split("_", maxsplit=1)[0])
        variables[name] = ((dim, "datum") if dim else "datum", np.moveaxis(values, 0, -1))
    results = xr.Dataset(
        variables,
        coords={"num_particles": ks, "alpha": list(alphas), "datum": np.arange(count(x))},
    )
    for variable in results.data_vars.values():
        if variable.name not in ("khat", "ess"):
            variable.attrs["units"] = "nats"
    results.attrs.update(
        units="nats per datum", particles=num_particles, seed=sampling.get("seed", 0)
    )
    return results


def complete_iwae(log_weights: Tensor, ks: Sequence[int]) -> tuple[Tensor, Tensor]:
    """IWAE_k averaged over all C(K, k) subsets of the weights, exact to 1e-12 or so.

    Parameters
    ----------
    log_weights
        Shape ``(K,)``, one datum's.
    ks
        Values of k, from 1 to K.

    Returns
    -------
    Tensor
        Shape ``(len(ks),)``, in nats; never falling as k rises, up to rounding.
    Tensor
        Influence of each weight on each value, ``(K, len(ks))``: its standard deviation over
        sqrt(K) is the standard error (Hoeffding's first projection).

    Raises
    ------
    ValueError
        If a k is not between 1 and K.
    """
    log_weights = log_weights.double().cpu()
    total = len(log_weights)
    if not all(1 <= k <= total for k in ks):
        raise ValueError(
            f"ks got {list(ks)}: IWAE_k needs 1 <= k <= {total}, the number of weights drawn"
        )
    shift = log_weights.max()
    scaled = log_weights - shift
    finite = scaled[scaled > -math.inf]
    # u = log t from where every subset's t sum(w) is nil to where even the least weight's is not.
    u = torch.arange(
        _FIRST - math.log(total), _LAST - float(finite.min()), _STEP, dtype=torch.double
    )
    decay = torch.exp(-torch.exp(u + scaled.unsqueeze(1)))  # e^(-t w_i), (K, nodes)
    decay = torch.where(decay > _NIL, decay, 0.0)
    means = _symmetric_means(decay, max((k for k in ks if k < total), default=1))
    reference = torch.exp(-torch.exp(u))
    values, influences = [], []
    for k in ks:
        if k <= total - len(finite):
            # A subset of weights that are all zero has the mean log -infinity.
            value, influence = torch.tensor(-math.inf), torch.full_like(scaled, math.nan)
        elif k == 1:
            value = elbo_of(log_weights.unsqueeze(1)).value[0]
            influence = log_weights - value
        elif k == total:
            value = log_evidence_of(log_weights.unsqueeze(1)).value[0]
            influence = torch.exp(log_weights - value) - 1
        else:
            log_sum = _STEP * (reference - means[k]).sum()
            value = shift + log_sum - math.log(k)
            # h_k(w_i) = E[log mean(w_i, w_2, ..., w_k)], the others averaged over all draws.
            influence = k * _STEP * (reference - decay * means[k - 1]).sum(1)
            influence = influence - influence.mean()
        values.append(value.double())
        influences.append(influence)
    return torch.stack(values), torch.stack(influences, 1)


def _symmetric_means(y: Tensor, largest: int) -> Tensor:
    """Mean over subsets of size k of the products of rows, ``(largest + 1, ...)`` of ``(n, ...)``.

    M_k of n rows = ((n - k) M_k + k y_n M_(k-1) of n - 1 rows) / n: each is a weighted mean of
    products in [0, 1], so nothing cancels and nothing overflows.
    """
    means = torch.zeros(largest + 1, *y.shape[1:], dtype=y.dtype)
    means[0] = 1.0
    k = torch.arange(1, largest + 1, dtype=y.dtype).unsqueeze(1)
    for n, row in enumerate(y, start=1):
        top = min(n, largest)
        joined = (means[:top] * row).clamp_min_(_NIL)
        means[1 : top + 1].lerp_(joined, k[:top] / n)
    return means


def _rungs(
    log_weights: Tensor, ks: Sequence[int], alphas: Sequence[float]
) -> dict[str, np.ndarray]:
    """Bounds of one datum from its ``(K, 1)`` log-weights."""
    column = log_weights[:, 0]
    total = len(column)
    evidence = log_evidence_of(log_weights)
    ratio = torch.exp(column - evidence.value)  # w / mean(w)
    iwae, influence = complete_iwae(column, ks)
    orders = [*alphas, -1.0]
    renyi = torch.cat([renyi_of(log_weights, alpha).value for alpha in orders])
    # d L_a / d w_i: the weights to the power 1 - a over their mean, less 1, over 1 - a.
    powers = [
        torch.exp((1 - a) * (column - value)) / (1 - a) if a != 1 else column
        for a, value in zip(orders, renyi, strict=True)
    ]
    influences = {"iwae": influence, "renyi": torch.stack(powers, 1)}
    rungs = {
        "iwae": iwae,
        "renyi": renyi[:-1],
        "cubo": renyi[-1],
        "elbo": elbo_of(log_weights)[0][0],
    }
    rungs["log_evidence"] = evidence.value[0]
    rungs["log_evidence_se"] = evidence.standard_error[0]
    for name, parts in influences.items():
        rungs[f"{name}_se"] = parts.std(0) / math.sqrt(total)
        rungs[f"{name}_paired_se"] = (parts - ratio.unsqueeze(1)).std(0) / math.sqrt(total)
    for suffix in ("_se", "_paired_se"):
        rungs[f"cubo{suffix}"] = rungs[f"renyi{suffix}"][-1]
        rungs[f"renyi{suffix}"] = rungs[f"renyi{suffix}"][:-1]
    rungs["asymptote"] = evidence.value - ratio.var() / (2 * torch.tensor(ks))
    rungs["ess"] = effective_sample_size(log_weights)[0]
    found = {name: value.cpu().numpy() for name, value in rungs.items()}
    return {**found, "khat": pareto_khat(log_weights)[0]}
