"""Data that are missing not at random: the statements of a story with a mechanism p(m | x).

z ~ p(z), x | z ~ p(x | z), m | x ~ p(m | x), and seen are m and the cells of x where m is 1
(Ipsen, Mattei & Frellsen, 2021, arXiv 2006.12871). What is missing is a latent site, which model
and guide draw from one and the same p(x | z): its two terms cancel in every log-weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyro
import torch

from pyro_vae.errors import SettingError
from pyro_vae.marginals import column_log_prob
from pyro_vae.models.likelihoods import Likelihood, PerColumn
from pyro_vae.models.likelihoods.cells import WithDrawnCells, cells_of

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

    from pyro_vae.models.mechanisms import Mechanism

__all__ = ["draw_cells", "observe_cells", "require_drawable"]

#: Name of the site of the cells of the chosen columns, of which those that are missing count.
_SITE = "x_missing"


def draw_cells(whole: TorchDistribution, mechanism: Mechanism) -> Tensor:
    """The latent site of the chosen columns, ``(..., C)``, whose missing cells stand in.

    All of them are drawn, so that the site has one distribution given z, whatever is missing.
    """
    # A guide has nothing to learn from a site that it draws as the model does.
    infer = {"from_model": True}
    return pyro.sample(_SITE, cells_of(whole, mechanism.chosen), infer=infer)


def observe_cells(
    whole: TorchDistribution, mechanism: Mechanism, x: Tensor | None, observed: Tensor | None
) -> Tensor:
    """The statements of x and m inside the data plate, given p(x | z).

    Parameters
    ----------
    whole
        p(x | z) of a whole datum.
    mechanism
        p(m | x).
    x
        Data ``(B, D)``, with a legal value where a cell is missing; None draws x, whole.
    observed
        Which cells are there; None for all of x where it is given, and else a draw.

    Returns
    -------
    Tensor
        x, observed or drawn.
    """
    columns = list(mechanism.chosen)
    if x is None:
        x = pyro.sample("x", whole)
        cells = x[..., columns]
    else:
        if observed is None:
            observed = torch.ones_like(x, dtype=torch.bool)
        law = WithDrawnCells(whole, observed, draw_cells(whole, mechanism), columns)
        x = pyro.sample("x", law, obs=x)
        cells = law.chosen(x)
    seen = None if observed is None else observed[..., columns].double()
    pyro.sample("observed", mechanism(cells), obs=seen)
    return x


def require_drawable(likelihood: Likelihood, mechanism: Mechanism, missing: str) -> None:
    """Refuse a mechanism whose missing cells cannot be drawn one by one, with gradients.

    Raises
    ------
    SettingError
        With the column, where it is one's fault.
    """
    if missing == "none":
        raise SettingError(
            "mechanism was given with missing='none', a model of whole data: make it with "
            "missing='mask' or 'zeros'"
        )
    if likelihood.takes_exposure:
        raise SettingError(
            f"mechanism was given with a {likelihood.name} likelihood that takes an exposure, "
            "which the guide, who draws missing cells, is not shown: take exposure=False"
        )
    parts = [likelihood]
    names = [f"the {likelihood.name} likelihood"]
    if isinstance(likelihood, PerColumn):
        parts = [likelihood.columns[d] for d in mechanism.chosen]
        names = [f"column {d} ({p.name})" for d, p in zip(mechanism.chosen, parts, strict=True)]
    for name, part in zip(names, parts, strict=True):
        shape = part.event_shape
        like = next(part.parameters(), torch.zeros(()))
        law = part(like.new_zeros(part.num_params(shape)))
        legal = part.filled(like.new_zeros(1, *shape), torch.zeros(1, *shape, dtype=torch.bool))
        if not law.has_rsample:
            raise SettingError(
                f"mechanism was given for {name}, whose missing cells would be drawn without "
                "gradients: choose columns of numbers on a line, such as normal, student-t, "
                "gamma or beta, by SelfMasking(columns=[...])"
            )
        if column_log_prob(law, legal) is None:
            raise SettingError(
                f"mechanism was given for {name}, whose cells are dependent given z, so that "
                "missing ones cannot be drawn by themselves: take a likelihood of independent "
                "cells, such as Normal('latent')"
            )
