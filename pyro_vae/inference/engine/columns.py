"""Log p(x | z) taken apart: the term of every column, where columns are independent given z."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from torch.distributions import Independent

from pyro_vae.inference.engine.inputs import take
from pyro_vae.inference.engine.traces import (
    given_trace,
    latent_sites,
    observed_sites,
    replayed,
    sum_sites,
    trace_of,
)
from pyro_vae.inference.engine.weights import bytes_per_particle
from pyro_vae.isolation import isolated
from pyro_vae.protocols import HasColumnLogProb, Scored, offers

if TYPE_CHECKING:
    from pyro.poutine import Trace
    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.sampling import Sampling
    from pyro_vae.inference.engine.traces import Program, Structure
    from pyro_vae.inference.engine.weights import Draws

__all__ = ["Columns", "column_log_prob", "why_joint"]


def column_log_prob(fn: Any, value: Tensor) -> Tensor | None:
    """Term of every element of a datum in log p(value), of the shape ``(..., *event_shape)``.

    Parameters
    ----------
    fn
        Distribution of a datum.
    value
        Data that broadcast with its batch shape.

    Returns
    -------
    Tensor or None
        In nats; None where the elements are not independent.
    """
    while offers(fn, Scored):
        fn, value = fn.scored, value.double()
    if offers(fn, HasColumnLogProb):
        return fn.column_log_prob(value)
    if isinstance(fn, Independent):
        return column_log_prob(fn.base_dist, value)
    return None if fn.event_shape else fn.log_prob(value)


def why_joint(model: Program, guide: Program, x: Inputs) -> str:
    """Why log p(x | z) of a model cannot be taken apart, in a sentence; empty if it can."""
    with torch.no_grad(), isolated():
        datum = take(x, slice(1))
        trace = trace_of(poutine.replay(model, trace=trace_of(guide, datum)), datum)
        sites = observed_sites(trace)
        if len(sites) > 1:
            names = ", ".join(site["name"] for site in sites)
            return f"the model observes several sites ({names}), and columns are of one"
        (site,) = sites
        if column_log_prob(site["fn"], site["value"]) is None:
            kind = type(site["fn"].scored if offers(site["fn"], Scored) else site["fn"]).__name__
            return (
                f"the columns of site {site['name']!r} are not independent given z ({kind}), so "
                "log p(x | z) is no sum over them"
            )
    return ""


class Columns:
    """Means over particles of the columns' terms of log p(x | z), one datum at a time.

    Parameters
    ----------
    model, guide, x
        A pair for which ``why_joint`` gives no reason, and its data.
    structure
        What ``structure_of`` returned for them.
    sampling
        How the particles were drawn; decides how many are evaluated at once.
    """

    def __init__(
        self, model: Program, guide: Program, x: Inputs, structure: Structure, sampling: Sampling
    ) -> None:
        self.model, self.structure = model, structure
        first = take(x, slice(1))
        with torch.no_grad(), isolated():
            self._sites = {site["name"]: site for site in latent_sites(trace_of(guide, first))}
            self._size = sampling.chunk_size or 1
            if sampling.chunk_size is None and sampling.vectorize_particles:
                each = bytes_per_particle(model, guide, first, structure)
                self._size = max(1, int(sampling.memory_limit // max(each, 1)))
        if not sampling.vectorize_particles:
            self._size = 1

    @torch.no_grad()
    def mean(self, datum: Inputs, draws: Draws) -> Tensor:
        """E_q[log p(x_d | z)] of a datum, ``(D,)``, float64, from its draws."""
        count = len(draws.terms.log_guide)
        if not draws.values:
            return self._sum(datum, {}, 1)  # all sites are summed out: particles are alike
        total: Tensor | float = 0.0
        for start in range(0, count, self._size):
            part = {name: v[start : start + self._size] for name, v in draws.values.items()}
            total = total + self._sum(datum, part, len(next(iter(part.values()))))
        return torch.as_tensor(total) / count

    def _sum(self, datum: Inputs, values: dict[str, Tensor], size: int) -> Tensor:
        """Sum over the particles of these values."""
        given = given_trace(values, self._sites, self.structure)
        with isolated():
            trace = replayed(self.model, datum, given, self.structure, size)
        terms = self._terms(trace)
        if self.structure.summed_out:
            # E over p(c | x, z) of the values c of what is summed out.
            log_joint = sum_sites(latent_sites(trace), self.structure, size, 1)
            log_joint = log_joint + sum_sites(observed_sites(trace), self.structure, size, 1)
            if log_joint.dim() > 2:
                shares = log_joint.flatten(0, -3).softmax(0).unsqueeze(-1)
                every = terms.expand(*log_joint.shape, terms.shape[-1]).flatten(0, -4)
                terms = (shares * every).sum(0)
        return terms.expand(size, 1, terms.shape[-1]).sum((0, 1))

    def _terms(self, trace: Trace) -> Tensor:
        """Terms of the columns, ``(..., K, B, D)``, what is not seen left out."""
        (site,) = observed_sites(trace)
        terms = column_log_prob(site["fn"], site["value"])
        assert terms is not None
        event_dim = site["fn"].event_dim
        batch = terms.shape[: terms.dim() - event_dim]
        mask = site["mask"]
        if isinstance(mask, torch.Tensor):
            mask = mask.reshape(*mask.shape, *(1,) * event_dim)
        terms = scale_and_mask(terms, 1.0, mask).double()
        nesting = self.structure.max_plate_nesting
        missing = max(nesting + 1 - len(batch), 0)
        features = math.prod(terms.shape[len(batch) :])
        terms = terms.reshape((1,) * missing + tuple(batch) + (features,))
        inner = [d - 1 for d in range(-nesting, 0) if d != self.structure.data_dim]
        return terms.sum(inner) if inner else terms
