"""How particles are drawn and weighted: the settings that every measurement shares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from typing import Self, Unpack

__all__ = ["MEMORY_LIMIT", "Sampling", "SamplingSettings"]

#: Memory, in bytes, that evaluating one chunk of particles may take, unless given.
MEMORY_LIMIT = 2**25


class SamplingSettings(TypedDict, total=False):
    """The fields of ``Sampling``, as keywords of a function that hands them on."""

    seed: int
    prior_share: float
    enumerate_discrete: bool
    data_plate: str | None
    vectorize_particles: bool
    memory_limit: int
    chunk_size: int | None
    n_jobs: int | None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What decides the draws of a measurement, their weights, and what they cost.

    Public functions take these as keywords, and make one of it: inside the package it is handed
    on as a whole.

    Attributes
    ----------
    seed
        Seed of the draws.
    prior_share
        Share a of the particles that come from the prior.
    enumerate_discrete
        Sum out the discrete latent sites of the model that the guide does not have.
    data_plate
        Name of the plate over data, needed only where several plates hold every site.
    vectorize_particles
        Particles as a plate, or the program once for each.
    memory_limit, chunk_size
        Bytes that the evaluation of one chunk of particles may take, and particles in a chunk,
        from the limit unless given: they decide what it costs, and no number.
    n_jobs
        Processes that the data are shared out to, as joblib has it, each with one thread and
        such memory: -1 for all cores; None for what ``joblib.parallel_config`` says, and
        without that for this process with all its threads.
    """

    seed: int = 0
    prior_share: float = 0.0
    enumerate_discrete: bool = False
    data_plate: str | None = None
    vectorize_particles: bool = True
    memory_limit: int = MEMORY_LIMIT
    chunk_size: int | None = None
    n_jobs: int | None = None

    def but(self, **settings: Unpack[SamplingSettings]) -> Self:
        """The same with other values of some settings."""
        return replace(self, **settings)
