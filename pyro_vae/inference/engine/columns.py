"""Log p(x | z) taken apart: the term of every column, where columns are independent given z."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample

from pyro_vae.inference.engine.inputs import take
from pyro_vae.inference.engine.traces import (
    given_trace,
    latent_sites,
    observed_sites,
    replayed,
    structure_of,
    sum_sites,
    trace_of,
    values_of,
)
from pyro_vae.inference.engine.weights import bytes_per_particle
from pyro_vae.isolation import isolated
from pyro_vae.marginals import OfWhole, column_log_prob
from pyro_vae.protocols import CompletesCells, Scored, offers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pyro.distributions import TorchDistribution
    from pyro.poutine import Trace
    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.sampling import Sampling
    from pyro_vae.inference.engine.traces import Program
    from pyro_vae.inference.engine.weights import Draws

__all__ = ["BLOCK", "Columns", "data_site", "scoring", "why_dependent", "why_joint"]

#: Draws of x made at once: a constant, so that they do not depend on the memory.
BLOCK = 256


def why_joint(model: Program, guide: Program, x: Inputs, size: int | None = None) -> str:
    """Why log p(x | z) of a model cannot be taken apart, in a sentence; empty if it can.

    With a ``size``, the observed site must also have an event of that many columns.
    """
    with torch.no_grad(), isolated():
        datum = take(x, slice(1))
        trace = trace_of(poutine.replay(model, trace=trace_of(guide, datum)), datum)
        sites = observed_sites(trace)
        if len(sites) > 1:
            names = ", ".join(site["name"] for site in sites)
            return f"the model observes several sites ({names}), and columns are of one"
        (site,) = sites
        if reason := why_dependent(site):
            return f"{reason}, so log p(x | z) is no sum over them"
        if size is not None and tuple(site["fn"].event_shape) != (size,):
            return (
                f"site {site['name']!r} has event shape {tuple(site['fn'].event_shape)}, and a "
                f"datum {size} columns: observe whole rows, as in dist.Normal(mean, 1).to_event(1)"
            )
    return ""


def why_dependent(site: dict[str, Any]) -> str:
    """Why the columns of an observed site are not known one by one; empty if they are."""
    if column_log_prob(site["fn"], site["value"]) is not None:
        return ""
    kind = type(site["fn"].scored if offers(site["fn"], Scored) else site["fn"]).__name__
    return f"the columns of site {site['name']!r} are not independent given z ({kind})"


def data_site(trace: Trace) -> dict[str, Any] | None:
    """The observed site of x: the only one, or of several that of this name; None if none is."""
    sites = observed_sites(trace)
    if len(sites) > 1:
        sites = [site for site in sites if site["name"] == "x"]
    return sites[0] if sites else None


def scoring(model: Program, columns: Sequence[int]) -> Program:
    """The model with an observed site that is scored by these columns of a datum alone."""

    @functools.wraps(model)
    def program(*args: object, **kwargs: object) -> object:
        with _ScoreColumns(columns):
            return model(*args, **kwargs)

    return program


class _ScoreColumns(Messenger):
    """Replaces the distribution of the observed site by one of a few of its columns."""

    def __init__(self, columns: Sequence[int]) -> None:
        super().__init__()
        self.columns = columns

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"] and not msg["infer"].get("_deterministic"):
            if not site_is_subsample(msg):
                msg["fn"] = _Chosen(msg["fn"], self.columns)


class _Chosen(OfWhole):
    """A distribution of independent columns that scores some of them."""

    def __init__(self, whole: Any, columns: Sequence[int]) -> None:
        self.whole, self.columns = whole, columns
        super().__init__(whole.batch_shape, whole.event_shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> TorchDistribution:
        return _Chosen(self.whole.expand(batch_shape), self.columns)

    def log_prob(self, value: Tensor) -> Tensor:
        terms = column_log_prob(self.whole, value)
        assert terms is not None
        return terms[..., list(self.columns)].sum(-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self.whole.sample(sample_shape)


class Columns:
    """Columns' terms of log p(x | z) at given particles, and their means, one datum at a time.

    Parameters
    ----------
    model, guide, x
        A pair for which ``why_joint`` gives no reason, and its data.
    sampling
        How the particles were drawn; decides how many are evaluated at once.
    """

    def __init__(self, model: Program, guide: Program, x: Inputs, sampling: Sampling) -> None:
        self.model = model
        first = take(x, slice(1))
        with torch.no_grad(), isolated():
            self.structure = structure_of(
                model, guide, first, sampling.enumerate_discrete, sampling.data_plate
            )
            self._sites = {site["name"]: site for site in latent_sites(trace_of(guide, first))}
            self._size = sampling.chunk_size or 1
            if sampling.chunk_size is None and sampling.vectorize_particles:
                each = bytes_per_particle(model, guide, first, self.structure)
                self._size = max(1, int(sampling.memory_limit // max(each, 1)))
        if not sampling.vectorize_particles:
            self._size = 1

    @torch.no_grad()
    def mean(self, datum: Inputs, draws: Draws) -> Tensor:
        """E_q[log p(x_d | z)] of a datum, ``(D,)``, float64, from its draws."""
        total: Tensor | float = 0.0
        count = 0
        for log_prior, terms in self.parts(datum, draws.values):
            if len(terms) > 1:
                # E over p(c | x, z) of the values c of what is summed out.
                shares = (log_prior + terms.sum(-1)).softmax(0)
                terms = (shares.unsqueeze(-1) * terms).sum(0, keepdim=True)
            total = total + terms[0].sum(0)
            count += terms.shape[1]
        return torch.as_tensor(total) / count

    def parts(
        self, datum: Inputs, values: Mapping[str, Tensor]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """``at`` of all particles, as many at once as memory holds; of one where all are alike."""
        for start in range(0, len(next(iter(values.values()), [0])), self._size):
            part = {name: value[start : start + self._size] for name, value in values.items()}
            yield self.at(datum, part)

    @torch.no_grad()
    def at(self, datum: Inputs, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Log p(z_k, c), ``(M, K)``, and the columns' log p(x_d | z_k, c), ``(M, K, D)``.

        M counts the values c of what is summed out, and is 1 where nothing is.
        """
        size = len(next(iter(values.values()), [0]))
        trace = self.run(datum, values, size)
        terms = self._terms(trace)
        log_prior = sum_sites(latent_sites(trace), self.structure, size, 1)
        shape = torch.broadcast_shapes(log_prior.shape, terms.shape[:-1], (size, 1))
        features = terms.shape[-1]
        terms = terms.expand(*shape, features).reshape(-1, size, features)
        return log_prior.expand(shape).reshape(-1, size), terms

    @torch.no_grad()
    def draw(
        self, datum: Inputs, values: Mapping[str, Tensor], size: int, given: Sequence[int]
    ) -> Tensor:
        """Draws of x at these particles, ``(K, D)``, from the current random state.

        What is summed out is drawn too, given z and the columns ``given`` of the datum.
        """
        trace = self.run(datum, values, size)
        (site,) = observed_sites(trace)
        drawn = site["fn"].sample()
        drawn = drawn.reshape(-1, size, drawn.shape[-1])
        if len(drawn) == 1:
            return drawn[0]
        log_prior, terms = self.at(datum, values)
        log_joint = (log_prior + terms[..., list(given)].sum(-1)).expand(len(drawn), size)
        value = torch.multinomial(log_joint.softmax(0).T, 1)[:, 0]
        return drawn[value, torch.arange(size, device=drawn.device)]

    def resampled(
        self,
        values: Mapping[str, Tensor],
        log_weights: Tensor,
        num_draws: int,
        draw: Callable[[Mapping[str, Tensor], int], Tensor],
        block: int = BLOCK,
    ) -> Tensor:
        """Draws at particles that are chosen by their weights, ``(S, ...)``.

        Sampling importance resampling (Rubin, 1988), from the current random state.

        Parameters
        ----------
        values
            Values of the guide's sites at K particles, ``(K, 1, ...)``.
        log_weights
            Log-weights of the particles, ``(K,)``.
        num_draws
            Number S of draws.
        draw
            From values at some particles, and their number, to a draw at each of them.
        block
            Draws made at once; it decides the draws.
        """
        chosen = torch.multinomial(log_weights.softmax(0), num_draws, replacement=True)
        found = []
        for part in chosen.split(block):
            at = {name: value[part.to(value.device)] for name, value in values.items()}
            found.append(draw(at, len(part)))
        return torch.cat(found)

    @torch.no_grad()
    def cells(
        self, datum: Inputs, values: Mapping[str, Tensor], size: int
    ) -> tuple[Tensor, Tensor | None]:
        """Draws of x at these particles and means E[x | z_k], ``(K, D)``; None if it has no mean.

        Drawn from the current random state, by the distribution that the observed site has.
        What is summed out is drawn too, given z and all that is observed of the datum, and the
        mean is over it.
        """
        trace = self.run(datum, values, size)
        site = data_site(trace)
        assert site is not None
        log_joint = sum_sites(latent_sites(trace), self.structure, size, 1)
        log_joint = log_joint + sum_sites(observed_sites(trace), self.structure, size, 1)
        drawn, mean = site["fn"].sample(), _mean_of(site["fn"])
        if offers(site["fn"], CompletesCells):
            drawn = site["fn"].completed(drawn, site["value"])
            mean = None if mean is None else site["fn"].completed(mean, site["value"])
        drawn = self._laid_out(drawn, site, log_joint.shape)
        means = None if mean is None else self._laid_out(mean, site, log_joint.shape)
        if len(drawn) == 1:
            return drawn[0], None if means is None else means[0]
        shares = log_joint.expand(*log_joint.shape[:-2], size, 1).reshape(-1, size).softmax(0)
        value = torch.multinomial(shares.T, 1)[:, 0]
        drawn = drawn[value, torch.arange(size, device=drawn.device)]
        if means is not None:
            means = (shares.unsqueeze(-1) * means).sum(0)
        return drawn, means

    def _laid_out(self, value: Tensor, site: dict[str, Any], of: torch.Size) -> Tensor:
        """A value of a site ``(M, K, D)``, M as in log-probabilities of shape ``of``."""
        event = tuple(site["fn"].event_shape)
        nesting = -self.structure.particle_dim
        batch = tuple(value.shape[: value.dim() - len(event)])
        batch = (1,) * (nesting - len(batch)) + batch
        value = value.reshape(*batch, *event)
        summed = torch.broadcast_shapes(of[:-2], batch[:-nesting])
        value = value.expand(*summed, *batch[-nesting:], *event)
        parts = value.flatten(0, len(summed) - 1) if summed else value.unsqueeze(0)
        name, size = site["name"], of[-2]
        values = [
            values_of([{**site, "value": part}], self.structure, size, 1)[name] for part in parts
        ]
        return torch.stack(values).reshape(len(values), size, -1)

    def run(self, datum: Inputs, values: Mapping[str, Tensor], size: int) -> Trace:
        """Trace of the model at these values, ``(K, 1, ...)`` by site."""
        given = given_trace(values, self._sites, self.structure)
        with isolated():
            return replayed(self.model, datum, given, self.structure, size)

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


def _mean_of(fn: Any) -> Tensor | None:
    try:
        mean: Tensor = fn.mean
    except (AttributeError, NotImplementedError):
        return None
    return mean.expand(*fn.batch_shape, *fn.event_shape)
