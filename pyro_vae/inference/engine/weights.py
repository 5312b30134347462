"""The engine: log-weights log p(x, z_k) - log q(z_k | x) of any Pyro (model, guide) pair.

Every bound and estimate of the package is a reduction of one tensor of shape (K, B): K
particles from the guide for each of B data (Burda, Grosse & Salakhutdinov, 2016, arXiv
1509.00519). Log-probabilities are taken unscaled: the factor N / B of a subsampled plate, and
an annealing weight set by ``poutine.scale``, would be an exponent of the weights inside the
log-sum-exp, and what comes out would no longer be a bound.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np
import torch
from pyro import poutine
from torch.overrides import TorchFunctionMode

from pyro_vae.conversion import pieces, streamed_part, takes_data
from pyro_vae.errors import ProgramError
from pyro_vae.inference.engine.draws import Draws, LogWeights
from pyro_vae.inference.engine.inputs import (
    count,
    named_as,
    take,
    tensors,
)
from pyro_vae.inference.engine.sampling import MEMORY_LIMIT, Sampling
from pyro_vae.inference.engine.several import SeveralAtOnce
from pyro_vae.inference.engine.traces import (
    given_trace,
    latent_sites,
    model_terms,
    plate_scale,
    run_in_plate,
    sites_from_prior,
    slice_particles,
    sum_sites,
    values_of,
)
from pyro_vae.inference.engine.whole import (
    WholeRuns,
    layout_of_pair,
    require_rows_apart,
)
from pyro_vae.isolation import isolated
from pyro_vae.protocols import Facts
from pyro_vae.recording import NotRecordableError, Repeated, unrecorded
from pyro_vae.verbs import verb
from pyro_vae.workers import shared_out, shares_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Unpack

    from pyro.poutine import Trace
    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.sampling import SamplingSettings
    from pyro_vae.inference.engine.traces import Program, Structure

__all__ = [
    "Draws",
    "DrawsByRow",
    "LogWeights",
    "More",
    "OfRows",
    "by_rows",
    "bytes_per_particle",
    "cross_log_guide",
    "log_weights",
    "occurrences",
    "sample_log_weights",
    "stream_draws",
    "stream_log_weights",
    "stream_seed",
]

R = TypeVar("R")

#: Particles drawn from the guide in one call: a constant, so that the draws, hence the
#: estimates, do not depend on how the model's evaluation is cut into chunks.
_BLOCK = 8192

#: Data from which several go through in one pass, how many must fit into memory for that, and how
#: many do so at most: each has tensors of its own in the end.
_MANY, _SEVERAL, _MOST = 200, 4, 256

#: Data that a worker is sent together where each has passes of its own.
_SENT = 8

#: Data that are run at once to see whether the programs refuse one.
_LOOKED_AT = 512

#: Chunks of particles that a recorded graph may have.
_CHUNKS_OF_A_GRAPH = 8


#: From a datum's terms to how many particles to add to them.
More: TypeAlias = "Callable[[LogWeights], int]"


@verb
@takes_data("x", streams=True)
def log_weights(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int,
    chunk_size: int | None = None,
    *,
    seed: int = 0,
    memory_limit: int = MEMORY_LIMIT,
    enumerate_discrete: bool = False,
    vectorize_particles: bool = True,
    data_plate: str | None = None,
    prior_share: float = 0.0,
    n_jobs: int | None = None,
) -> Tensor:
    """Log-weights of importance sampling with the guide, for any Pyro pair.

    A datum's draws depend on the seed and on the datum alone, so its weights do not depend on
    the chunk size, on the other data or on their order (up to rounding of matrix products).
    The price is one pass per datum, about two milliseconds of overhead each; of 200 data or
    more, as many go through in one pass as ``memory_limit`` holds, if it holds four.
    A pair with parameters by the position of a datum, such as ``AutoNormal``, is run on all the
    data, and a datum's draws depend on the others.

    Parameters
    ----------
    model, guide
        Pyro programs that take ``x``, with any number of latent sites inside one data plate.
    x
        Data, shape ``(B, ...)``; for programs with several inputs, a mapping from their names
        to such tensors.
    num_particles
        Number K of particles per datum.
    chunk_size
        Particles evaluated at once; from ``memory_limit`` unless given.
    seed
        Seed of the draws.
    memory_limit
        Bytes that the evaluation of one chunk may take.
    enumerate_discrete
        Sum out the discrete latent sites of the model that the guide does not have.
    vectorize_particles
        Particles as a plate to the left of the program's own; False runs the program once per
        particle, for programs that do not broadcast.
    data_plate
        Name of the plate over data, needed only where several plates hold every site.
    prior_share
        Share a of the particles that come from the prior: the proposal is the mixture
        (1 - a) q(z | x) + a p(z) over all the sites of a datum together, so no weight is above
        p(x | z) / a (Hesterberg, 1995, "Weighted average importance sampling and defensive
        mixture distributions"). The guide must know its density wherever the prior draws.
    n_jobs
        Processes that the data are shared out to, as joblib has it, each with one thread and
        such memory: -1 for one on every core. Unless given, what ``joblib.parallel_config``
        says; without that this process, with all its threads.

    Returns
    -------
    Tensor
        Shape ``(num_particles, B)``, float64, in nats.

    Raises
    ------
    ProgramError
        If a site is outside the data plate, or is in only one of model and guide.
    DataError
        If ``x`` is empty.
    ValueError
        If a number of particles is not positive, or a share not in [0, 1).

    Examples
    --------
    >>> import pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x / 2, 0.5**0.5))
    >>> x = torch.tensor([0.0, 1.0])
    >>> log_weights(model, guide, x, 3).std(0).max() < 1e-6  # the guide is the posterior
    tensor(True)
    """
    sampling = Sampling(
        seed=seed,
        prior_share=prior_share,
        enumerate_discrete=enumerate_discrete,
        data_plate=data_plate,
        vectorize_particles=vectorize_particles,
        memory_limit=memory_limit,
        chunk_size=chunk_size,
        n_jobs=n_jobs,
    )
    draws = stream_draws(model, guide, x, num_particles, sampling)
    return torch.cat([part.terms.log_weights for part in draws], dim=1)


@verb
@takes_data("x", streams=True)
def stream_log_weights(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int,
    *,
    start: int = 0,
    **sampling: Unpack[SamplingSettings],
) -> Iterator[LogWeights]:
    """Terms of the log-weights, one datum at a time: shape ``(num_particles, 1)``, float64.

    The arguments are those of ``log_weights``; the first ``start`` data are passed over. The
    ``(K, B, D)`` log-likelihood terms never lie in memory at once, and neither do the
    ``(K, B)`` weights.
    """
    draws = stream_draws(model, guide, x, num_particles, Sampling(**sampling), start=start)
    return (part.terms for part in draws)


def stream_draws(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int,
    sampling: Sampling,
    *,
    start: int = 0,
    more: More | None = None,
) -> Iterator[Draws]:
    """Particles of the guide and their weights, one datum at a time: those of ``log_weights``.

    Every tensor has shape ``(num_particles, 1, ...)``; the first ``start`` data are passed over.
    A discrete site that is summed out has no draws.
    """
    work = _DrawsOfRows(model, guide, x, num_particles, sampling, more)
    return by_rows(work, start, sampling.n_jobs)


@dataclass
class OfRows(ABC, Generic[R]):
    """Something of every datum, that a worker makes for some rows of all the data.

    Attributes
    ----------
    model, guide, x, num_particles, sampling, more
        As for ``DrawsByRow``.
    """

    model: Program
    guide: Program
    x: Inputs
    num_particles: int
    sampling: Sampling
    more: More | None

    @cached_property
    def columns(self) -> DrawsByRow:
        """Draws of any row."""
        return DrawsByRow(
            self.model, self.guide, self.x, self.num_particles, self.sampling, self.more
        )

    @abstractmethod
    def of_row(self, row: int) -> R:
        """What is wanted of one datum."""

    def __call__(self, start: int, stop: int) -> Iterator[R]:
        """What is wanted of these rows."""
        return map(self.of_row, range(start, stop))


def by_rows(work: OfRows[R], start: int, n_jobs: int | None) -> Iterator[R]:
    """What is wanted of every datum after the first ``start``, from ``n_jobs`` processes."""
    total = count(work.x)
    lead = streamed_part(work.x)
    if lead is not None and shares_out(n_jobs):
        lead.require_processes()
    if not shares_out(n_jobs):
        return shared_out(work, [(start, total)], n_jobs)
    if work.columns.whole:
        require_rows_apart()
    size = work.columns.at_once
    # Blocks end where passes over several data do: which datum is in which decides rounding.
    ends = [start, *range(start - start % size + size, total, size), total]
    # A new one, without the columns that were made to know their size.
    return shared_out(replace(work), list(itertools.pairwise(ends)), n_jobs)


class _DrawsOfRows(OfRows[Draws]):
    """Particles and their weights."""

    def of_row(self, row: int) -> Draws:
        return self.columns.draw(row)


class DrawsByRow:
    """Particles and weights of any datum: what ``stream_draws`` gives, in any order.

    Parameters
    ----------
    model, guide, x, num_particles
        As for ``log_weights``.
    sampling
        How particles are drawn.
    more
        Given a datum's terms, says how many particles to add to them, and is asked again until it
        says 0: K may then differ from one datum to the next. Later particles have seeds of their
        own, so a datum's still depend on nothing but the seed, the datum and the sizes.
    """

    def __init__(
        self,
        model: Program,
        guide: Program,
        x: Inputs,
        num_particles: int,
        sampling: Sampling,
        more: More | None = None,
    ) -> None:
        self.model, self.guide, self.x = model, guide, x
        self.num_particles, self.sampling, self.more = num_particles, sampling, more
        self.chunk_size, self.per_particle = sampling.chunk_size, 0.0
        with torch.no_grad(), isolated(sampling.seed):
            self.structure, self.whole = layout_of_pair(
                model, guide, x, sampling.enumerate_discrete, sampling.data_plate
            )
            some = x if self.whole else take(x, slice(1))
            if self.chunk_size is None and sampling.vectorize_particles:
                self.per_particle = bytes_per_particle(model, guide, some, self.structure)
                limit = sampling.memory_limit // max(self.per_particle, 1)
                self.chunk_size = max(1, int(limit))
        self._repeated: dict[int, Repeated] = {}
        self._sites: dict[int, list[str]] = {}
        self._occurrences = occurrences(x)

    @cached_property
    def draw(self) -> Callable[[int], Draws]:
        """Draws of the datum of a row, the fastest way."""
        return self._cut() if self.whole else self.several() or self.one

    def _cut(self) -> Callable[[int], Draws]:
        """The same from runs on all the data."""
        if self.more is not None:
            raise ProgramError(
                "target_error draws more particles of one datum, and the guide has parameters by "
                "the position of a datum, so it draws for all of them together: leave it out, "
                "and raise num_particles"
            )

        def particles(start: int, size: int) -> Draws:
            with isolated(stream_seed(self.x, 1, self.sampling.seed, start)):
                if self.sampling.vectorize_particles:
                    return self._particles(self.x, size, self.chunk_size)
                return _concatenate([self._particles(self.x, 1, None) for _ in range(size)])

        limit = self.sampling.memory_limit
        return WholeRuns(particles, count(self.x), self.num_particles, limit, _concatenate)

    @property
    def at_once(self) -> int:
        """Data of which ``draw`` makes the draws in one go, or that are worth sending together."""
        return self._at_once if self._together else _SENT

    def drawn_with(self, row: int) -> range:
        """Rows of the data whose draws are made in one go with those of a row."""
        size = self._at_once if self._together else 1
        start = row - row % size
        return range(start, min(start + size, count(self.x)))

    def terms(self, rows: range) -> LogWeights:
        """Terms of the weights of these data, ``(num_particles, len(rows))``.

        A datum's lie next to each other, so that they are added up as if it were alone.
        """
        alone = [self.draw(row).terms for row in rows]
        return LogWeights(
            *(torch.cat([t.T for t in parts]).T for parts in zip(*alone, strict=True))
        )

    def one(self, row: int) -> Draws:
        """Draws of the datum of a row."""
        return self._column(take(self.x, slice(row, row + 1)), self._occurrences[row])

    @property
    def _at_once(self) -> int:
        """Data that one pass has memory for."""
        limit = self.sampling.memory_limit // max(self.num_particles * self.per_particle, 1)
        return min(int(limit), _MOST)

    @property
    def _together(self) -> bool:
        """Whether several data go through in one pass, if they can."""
        if not self.per_particle or self.more is not None:
            return False
        large = self._at_once < _SEVERAL or self.num_particles > _BLOCK
        return count(self.x) >= _MANY and not large

    def several(self) -> Callable[[int], Draws] | None:
        """The same by passes over several data, where they are many and each is little work."""
        if not self._together:
            return None

        def seed_of(row: int) -> int:
            datum = take(self.x, slice(row, row + 1))
            return stream_seed(datum, self._occurrences[row], self.sampling.seed, 0)

        self._look_at_values()
        try:
            found = SeveralAtOnce(
                partial(self._flat, self.num_particles), self.x, self._at_once, seed_of
            )
        except NotRecordableError:
            return None
        return lambda row: self._draws(self.num_particles, found(row))

    def _look_at_values(self) -> None:
        """Have the programs refuse a datum that they would refuse alone: a graph would not."""
        if Facts(self.model).data_are_checked:
            return
        for start in range(0, count(self.x), _LOOKED_AT):
            part = take(self.x, slice(start, start + _LOOKED_AT))
            with torch.no_grad(), isolated():
                trace = run_in_plate(self.guide, part, self.structure, 1)
                model_terms(self.model, part, trace, self.structure, 1)

    # Gradients are off for a column at a time: not for whoever consumes the columns.
    @torch.no_grad()
    def _column(self, datum: Inputs, occurrence: int) -> Draws:
        blocks: list[Draws] = []
        done, stop = 0, self.num_particles
        while done < stop:
            size = min(_BLOCK, stop - done)
            with isolated(stream_seed(datum, occurrence, self.sampling.seed, done)):
                blocks.append(self._block(datum, size))
            done += size
            if done == stop and self.more is not None:
                blocks = [_concatenate(blocks)]
                stop += self.more(blocks[0].terms)
        return _concatenate(blocks)

    def _block(self, datum: Inputs, size: int) -> Draws:
        if not self.sampling.vectorize_particles:
            return _concatenate([self._particles(datum, 1, None) for _ in range(size)])
        # Every chunk is a part of a graph.
        chunks = size / (self.chunk_size or size)
        if chunks > _CHUNKS_OF_A_GRAPH:
            return self._particles(datum, size, self.chunk_size)
        if size not in self._repeated:
            function = partial(self._flat, size)
            self._repeated[size] = Repeated(function, count(self.x), self._look_at_values)
        return self._draws(size, self._repeated[size](*tensors(datum)))

    def _particles(self, datum: Inputs, size: int, chunk_size: int | None) -> Draws:
        model, guide, structure = self.model, self.guide, self.structure
        share = self.sampling.prior_share
        trace = run_in_plate(guide, datum, structure, size)
        if share:
            trace = _with_prior_draws(model, guide, trace, datum, size, structure, share)
        terms = _block(model, trace, datum, size, structure, chunk_size)
        if share:
            terms = _mixed(terms, share)
        return Draws(values_of(latent_sites(trace), structure, size, count(datum)), terms)

    def _flat(self, size: int, *given: Tensor) -> list[Tensor]:
        """Draws of a datum as tensors in a row, which ``_draws`` undoes."""
        draws = self._particles(named_as(self.x, given), size, self.chunk_size)
        self._sites[size] = list(draws.values)
        return [*draws.values.values(), *(term.double() for term in draws.terms)]

    def _draws(self, size: int, flat: Sequence[Tensor]) -> Draws:
        *values, log_likelihood, log_prior, log_guide = flat
        names = self._sites[size]
        terms = LogWeights(log_likelihood, log_prior, log_guide)
        return Draws(dict(zip(names, values, strict=True)), terms)


def occurrences(x: Inputs) -> Sequence[int]:
    """Of each datum, how many that are equal to it there are up to it."""
    if streamed_part(x) is not None:
        return _occurrences_on_disk(x)
    seen: Counter[bytes] = Counter()
    found = []
    for row in range(count(x)):
        content = _digest(take(x, slice(row, row + 1)))
        seen[content] += 1
        found.append(seen[content])
    return found


def _occurrences_on_disk(x: Inputs) -> Any:
    """The same in few bytes for each datum."""
    halves = np.empty((count(x), 2), dtype=np.uint64)
    for start, part in pieces(x):
        size = count(part)
        content = b"".join(_digest(take(part, slice(row, row + 1))) for row in range(size))
        halves[start : start + size] = np.frombuffer(content, np.uint64).reshape(-1, 2)
    # Equal ones stand together then, in the order of their rows.
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (halves[order[1:]] != halves[order[:-1]]).any(1)
    firsts = np.flatnonzero(new)
    found = np.empty(len(order), dtype=np.int32)
    sizes = np.diff(firsts, append=len(order))
    found[order] = np.arange(len(order)) - np.repeat(firsts, sizes) + 1
    return found


def _digest(datum: Inputs) -> bytes:
    content = b"".join(part.cpu().numpy().tobytes() for part in tensors(datum))
    return hashlib.blake2b(content, digest_size=16).digest()


def stream_seed(datum: Inputs, occurrence: int, seed: int, start: int) -> int:
    """Seed of one datum's block of particles; an equal datum further on has its own."""
    key = b"%b %d %d %d" % (_digest(datum), occurrence, seed, start)
    return int.from_bytes(hashlib.blake2b(key, digest_size=7).digest())


@takes_data("x", gradients=True)
def sample_log_weights(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int,
    *,
    enumerate_discrete: bool = False,
    data_plate: str | None = None,
) -> tuple[LogWeights, float]:
    """Terms of the log-weights for a whole batch at once, with gradients.

    For training objectives: one vectorised pass, drawn from the current random state.

    Parameters
    ----------
    model, guide, x, num_particles, enumerate_discrete, data_plate
        As for ``log_weights``.

    Returns
    -------
    LogWeights
        Terms of shape ``(num_particles, B)``, differentiable, without any scale.
    float
        N / B of a subsampled data plate, to multiply what is made of a datum's weights.

    Raises
    ------
    ProgramError
        If gradients are on and a guide site is not reparameterised: differentiating its draws
        would leave out the score-function term, and the gradient would be wrong.
    """
    return batch_log_weights(
        model,
        guide,
        x,
        num_particles,
        enumerate_discrete=enumerate_discrete,
        data_plate=data_plate,
    )


def batch_log_weights(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int,
    *,
    enumerate_discrete: bool = False,
    data_plate: str | None = None,
) -> tuple[LogWeights, float]:
    """``sample_log_weights`` of tensors that were checked before: a step of training."""
    with unrecorded(), torch.no_grad(), isolated():
        structure, _ = layout_of_pair(model, guide, x, enumerate_discrete, data_plate)
    guide_trace = run_in_plate(guide, x, structure, num_particles)
    for site in latent_sites(guide_trace):
        if torch.is_grad_enabled() and not site["fn"].has_rsample:
            raise ProgramError(
                f"guide site {site['name']!r} is not reparameterised, so its draws have no "
                "gradient: train with Trace_ELBO, or sum it out with enumerate_discrete=True"
            )
    terms = _block(model, guide_trace, x, num_particles, structure, None)
    return terms, plate_scale(guide_trace, structure)


@takes_data("x")
def cross_log_guide(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int,
    *,
    seed: int = 0,
    enumerate_discrete: bool = False,
    data_plate: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[LogWeights, Tensor]]:
    """Terms for draws from each datum's guide, and those draws under every datum's guide.

    Parameters
    ----------
    model, guide, x, num_particles, enumerate_discrete, data_plate
        As for ``log_weights``.
    seed
        Seed of the draws, which are made for all the data at once.
    progress
        Called with the number of data done and their total.

    Yields
    ------
    LogWeights
        Terms of datum b, ``(num_particles, 1)``, in nats.
    Tensor
        log q(z_k | x_c) for z_k drawn from q(z | x_b) and every datum c, ``(num_particles, B)``.
    """
    size = count(x)
    with torch.no_grad(), isolated(seed):
        structure, _ = layout_of_pair(model, guide, x, enumerate_discrete, data_plate)
        trace = run_in_plate(guide, x, structure, num_particles)
        terms = _block(model, trace, x, num_particles, structure, None)
    for row in range(size):
        with torch.no_grad(), isolated():
            given = {}
            for site in latent_sites(trace):
                dim = structure.data_dim - site["fn"].event_dim
                value = site["value"]
                given[site["name"]] = value.narrow(dim, row, 1).expand(value.shape)
            scored = run_in_plate(
                poutine.condition(guide, data=given), x, structure, num_particles
            )
            sites = [scored.nodes[name] for name in given]
            cross = sum_sites(sites, structure, num_particles, size)
        yield LogWeights(*(term[:, row : row + 1].double() for term in terms)), cross.double()
        if progress is not None:
            progress(row + 1, size)


def _block(
    model: Program,
    guide_trace: Trace,
    x: Inputs,
    num_particles: int,
    structure: Structure,
    chunk_size: int | None,
) -> LogWeights:
    """Terms for the K particles of a guide trace; the model takes ``chunk_size`` at a time."""
    log_guide = sum_sites(latent_sites(guide_trace), structure, num_particles, count(x))
    parts = []
    for start in range(0, num_particles, chunk_size or num_particles):
        stop = min(start + (chunk_size or num_particles), num_particles)
        piece = guide_trace
        if stop - start < num_particles:
            piece = slice_particles(guide_trace, structure, start, stop)
        parts.append(model_terms(model, x, piece, structure, stop - start))
    log_likelihood, log_prior = (torch.cat(terms) for terms in zip(*parts, strict=True))
    return LogWeights(log_likelihood, log_prior, log_guide)


def _mixed(terms: LogWeights, prior_share: float) -> LogWeights:
    """Terms whose proposal is log [(1 - a) q(z | x) + a p(z)]."""
    log_guide = torch.logaddexp(
        math.log1p(-prior_share) + terms.log_guide, math.log(prior_share) + terms.log_prior
    )
    return terms._replace(log_guide=log_guide)


def _with_prior_draws(
    model: Program,
    guide: Program,
    guide_trace: Trace,
    x: Inputs,
    num_particles: int,
    structure: Structure,
    share: float,
) -> Trace:
    """The guide's trace with some particles from the prior, in all their sites together.

    Of each datum others: were they the same, the errors of data would not be independent.
    """
    size = count(x)
    # All are drawn, and then chosen from, so that no shape depends on how many are chosen.
    from_prior = torch.empty(num_particles, size).uniform_() < share
    ours = latent_sites(guide_trace)
    theirs = sites_from_prior(model, x, structure, num_particles, ours)
    values = values_of(ours, structure, num_particles, size)
    for name, other in values_of(theirs, structure, num_particles, size).items():
        value = values[name]
        chosen = from_prior.to(value.device).reshape(
            num_particles, size, *(1,) * (value.dim() - 2)
        )
        values[name] = torch.where(chosen, other.to(value), value)
    merged = given_trace(values, {site["name"]: site for site in ours}, structure)
    # The guide once more: its density at values that it did not draw, which at a site may depend
    # on those of the sites before it.
    return run_in_plate(poutine.replay(guide, trace=merged), x, structure, num_particles)


def _concatenate(blocks: list[Draws]) -> Draws:
    """All the particles of the blocks, their terms in float64."""
    values = {name: torch.cat([b.values[name] for b in blocks]) for name in blocks[0].values}
    terms = zip(*(block.terms for block in blocks), strict=True)
    return Draws(values, LogWeights(*(torch.cat(parts).double() for parts in terms)))


class _CountBytes(TorchFunctionMode):
    """Adds up the bytes of every tensor that the calls inside make."""

    total = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.total += tensor.nbytes
        return out


def bytes_per_particle(model: Program, guide: Program, x: Inputs, structure: Structure) -> float:
    """Bytes that one more particle adds to the tensors made in one pass, freed ones included.

    An upper bound of the peak, taken as a difference so that weights do not count.
    """
    totals = []
    for num_particles in (2, 10):
        trace = run_in_plate(guide, x, structure, num_particles)
        with _CountBytes() as counted:
            model_terms(model, x, trace, structure, num_particles)
        totals.append(counted.total)
    return (totals[1] - totals[0]) / 8
