"""Pairs that have something of their own for each row of all the data, by its position.

A guide with parameters of every datum, as ``pyro.infer.autoguide.AutoNormal`` makes them, does not
know whose they are but by the place in a tensor: no datum can be given to it alone. Such a pair
is run on all the data, and what it draws is cut to rows.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from pyro import poutine

from pyro_vae.conversion import streamed_part
from pyro_vae.errors import DataError, ProgramError, PyroVAEError
from pyro_vae.inference.engine.inputs import take
from pyro_vae.inference.engine.traces import (
    RowsByPositionError,
    structure_of,
    trace_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro_vae.inference.engine.draws import Draws
    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.traces import Program, Structure

__all__ = ["WholeRuns", "layout_of_pair", "require_rows_apart"]

#: Draws of all the data together in one call: a constant, so that they do not depend on memory.
_DRAWS = 2**16

#: What is kept of the rows in hand may take as much memory as so many chunks.
_KEPT = 8


def layout_of_pair(
    model: Program, guide: Program, x: Inputs, enumerate_discrete: bool, data_plate: str | None
) -> tuple[Structure, bool]:
    """Plates and sites of a pair, and whether it has rows by position.

    Returns
    -------
    Structure
        What ``structure_of`` says of the first datum or, of such a pair, of all of them.
    bool
        Whether the pair can only be run on all the data together.

    Raises
    ------
    ProgramError
        If the pair cannot be weighted, or has rows by position of other data than these.
    DataError
        If it has rows by position, and the data are streamed.
    """
    of = partial(structure_of, model, guide)
    try:
        return of(take(x, slice(1)), enumerate_discrete, data_plate), False
    except (RowsByPositionError, ValueError, RuntimeError, IndexError) as error:
        by_position = isinstance(error, RowsByPositionError)
        if isinstance(error, PyroVAEError) and not by_position:
            raise
        if streamed_part(x) is not None:
            if not by_position:
                raise
            raise DataError(
                "x got data that are streamed, and the guide has parameters by the position of a "
                "datum, so it is run on all of them together: give some rows, as x[:1000]"
            ) from error
        try:
            structure = of(x, enumerate_discrete, data_plate)
            _require_plates(model, guide, x)
        except (ValueError, RuntimeError, IndexError) as whole:
            if by_position and isinstance(whole, PyroVAEError):
                raise
            raise error from whole
    return structure, True


def _require_plates(model: Program, guide: Program, x: Inputs) -> None:
    """Refuse a site with a dimension that no plate holds, which may fit the data by accident."""
    trace = trace_of(guide, x)
    for traced in (trace, trace_of(poutine.replay(model, trace=trace), x)):
        for site in traced.nodes.values():
            if site["type"] != "sample":
                continue
            held = {frame.dim for frame in site["cond_indep_stack"]}
            shape = site["fn"].batch_shape
            if any(n > 1 and i - len(shape) not in held for i, n in enumerate(shape)):
                raise ValueError(f"site {site['name']!r} has a dimension that no plate holds")


def require_rows_apart() -> None:
    """Refuse to share out the rows of a pair that is run on all of them together."""
    raise ProgramError(
        "n_jobs shares data out by rows, and the guide has parameters by the position of a datum, "
        "so it is run on all of them together: leave n_jobs out, and parallel_config"
    )


class WholeRuns:
    """Draws of any row, cut from runs of a pair on all the data.

    The runs are done again for as many rows as can be kept in memory, with the same draws: a
    datum's depend on the seed and on all the data, and not on the memory.

    Parameters
    ----------
    particles
        From the first particle of a run and their number to the draws of all the data.
    num_data, num_particles
        Numbers B and K.
    memory_limit
        Bytes of a chunk, eight times which are kept of the rows in hand.
    together
        Makes one of the draws of several runs.
    """

    def __init__(
        self,
        particles: Callable[[int, int], Draws],
        num_data: int,
        num_particles: int,
        memory_limit: int,
        together: Callable[[list[Draws]], Draws],
    ) -> None:
        self._particles, self._together = particles, together
        self._num_data, self._num_particles = num_data, num_particles
        self._memory_limit = memory_limit
        self._start, self._stop = 0, 0
        self._kept: Draws | None = None

    def __call__(self, row: int) -> Draws:
        """Draws of the datum of a row, ``(K, 1, ...)``."""
        if self._kept is None or not self._start <= row < self._stop:
            self._kept = None
            self._kept = self._from(row)
        start = row - self._start
        return self._kept.of_rows(slice(start, start + 1))

    @torch.no_grad()
    def _from(self, row: int) -> Draws:
        """Draws of this row and of those after it, as many as there is memory for."""
        size = max(1, _DRAWS // self._num_data)
        blocks: list[Draws] = []
        for start in range(0, self._num_particles, size):
            draws = self._particles(start, min(size, self._num_particles - start))
            if not blocks:
                num_rows = max(1, int(_KEPT * self._memory_limit // self._bytes_of_datum(draws)))
                self._start, self._stop = row, min(row + num_rows, self._num_data)
            blocks.append(draws.of_rows(slice(self._start, self._stop)))
        return self._together(blocks)

    def _bytes_of_datum(self, draws: Draws) -> float:
        """What all the particles of one datum take."""
        parts = (*draws.values.values(), *(term.double() for term in draws.terms))
        return sum(part[:1, :1].nbytes for part in parts) * self._num_particles
