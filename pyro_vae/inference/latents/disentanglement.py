"""Does one latent dimension tell of one known factor: the mutual information gap.

Chen, Li, Grosse & Duvenaud (2018), "Isolating sources of disentanglement in variational
autoencoders", arXiv 1802.04942, section 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import xarray as xr

from pyro_vae.conversion import convert_labels, takes_data
from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference.engine.inputs import count, run_program
from pyro_vae.inference.latents.units import normal_marginals
from pyro_vae.isolation import isolated
from pyro_vae.protocols import HasPosterior, offers
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs

__all__ = ["marginals_of", "mutual_information_gap"]

#: Densities held at once.
_CELLS = 2**22


class _Factors(NamedTuple):
    """Known factors as classes numbered from 0."""

    names: list[str]
    classes: list[Tensor]
    sizes: list[Tensor]

    @property
    def entropy(self) -> Tensor:
        """Entropy of each factor over the data, in nats."""
        shares = [size.double() / size.sum() for size in self.sizes]
        return torch.stack([-(share * share.log()).sum() for share in shares])


@verb
@takes_data("x", supported=False)
def mutual_information_gap(
    model: HasPosterior,
    x: Inputs,
    factors: Mapping[str, Tensor],
    *,
    num_draws: int = 10,
    seed: int = 0,
) -> xr.Dataset:
    """Mutual information of every latent dimension and factor, and the gap between the best two.

    With n uniform over the N data, q(z_l) = (1/N) sum_n q(z_l | x_n) and q(z_l | v) the same
    over the data of class v, I(z_l; v) = E[log q(z_l | v) - log q(z_l)], which lies between 0
    and the entropy of v. Both densities are the whole mixtures; only z is drawn, ``num_draws``
    times for every datum. The gap of a factor is what the dimension that knows most of it has
    over the next one, in units of the factor's entropy: 1 where one dimension alone tells it.

    The standard errors are those of the draws, for these N data. With few data to a class the
    information is larger than that of the population they came from.

    Parameters
    ----------
    model
        What has a method ``posterior(x)`` that gives normal marginals of z of shape ``(N, L)``,
        such as a ``VAE`` with a mean-field, full-covariance or low-rank normal guide.
    x
        The N data, or named tensors for a ``posterior`` that takes several.
    factors
        Class of every datum by name of the factor, ``(N,)``: whole numbers of any values, or
        names.
    num_draws
        Draws per datum, at least 2.
    seed
        Seed of the draws.

    Returns
    -------
    Dataset
        Over ``latent`` and ``factor``: ``mutual_information``; over ``factor``: ``entropy``,
        ``best`` (the latent that knows most) and ``gap``; and ``mig``, the mean of the gaps.
        In nats, but for the gaps, which are shares of the entropy; all but entropy and best
        with ``_se``.

    Raises
    ------
    DataError
        If ``x`` is empty, or a factor has another length, values that are not whole, or one
        class alone.
    ProgramError
        If ``posterior`` is missing, or gives no normal marginals, or fewer than two of them.
    ValueError
        If there are fewer than two draws.

    Examples
    --------
    >>> class Encoder:
    ...     def posterior(self, x):
    ...         return torch.distributions.Normal(x, 0.01)
    >>> v = torch.arange(2).repeat(50)
    >>> x = torch.stack([v.float(), torch.zeros(100)], 1)
    >>> round(float(mutual_information_gap(Encoder(), x, {"v": v})["mig"]), 3)
    1.0
    """
    if num_draws < 2:
        raise ValueError(f"num_draws got {num_draws}: a standard error needs two or more")
    known = _known(factors, count(x))
    loc, scale = marginals_of(model, x)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(num_draws, *loc.shape, generator=generator, dtype=torch.double)
    draws = loc + scale * noise.to(loc)
    # (K, N, L, factors): log q(z_l | v) - log q(z_l) at every draw.
    gains = torch.stack(
        [_gains(draws[..., i], loc[:, i], scale[:, i], known) for i in range(loc.shape[1])], 2
    )
    information = gains.mean((0, 1))
    entropy = known.entropy
    order = information.argsort(0, descending=True)
    columns = torch.arange(len(known.names))
    lead = (gains[:, :, order[0], columns] - gains[:, :, order[1], columns]) / entropy
    latents = [f"z[{i}]" for i in range(loc.shape[1])]
    return xr.Dataset(
        {
            "mutual_information": (("latent", "factor"), information.numpy()),
            "mutual_information_se": (("latent", "factor"), _standard_error(gains)),
            "entropy": ("factor", entropy.numpy()),
            "best": ("factor", [latents[row] for row in order[0]]),
            "gap": ("factor", lead.mean((0, 1)).numpy()),
            "gap_se": ("factor", _standard_error(lead)),
            "mig": float(lead.mean()),
            "mig_se": float(_standard_error(lead.mean(-1))),
        },
        coords={"latent": latents, "factor": known.names},
        attrs={"units": "nats", "num_draws": num_draws, "num_data": count(x), "seed": seed},
    )


def _standard_error(draws: Tensor) -> np.ndarray:
    """Standard error of the mean over ``(K, N, ...)``, K independent draws of each of N data."""
    of_mean = draws.var(0).mean(0) / (draws.shape[0] * draws.shape[1])
    return np.asarray(of_mean.sqrt().numpy())


def _known(factors: Mapping[str, Tensor], size: int) -> _Factors:
    """Check the factors, and number their classes from 0."""
    if not factors:
        raise DataError("factors is empty: give the class of every datum by name of the factor")
    found = _Factors([], [], [])
    for name, given in factors.items():
        (values,) = convert_labels({"train": given}, f"factor {name!r}")[0].values()
        values = values.cpu()
        if values.shape != (size,):
            raise DataError(
                f"factor {name!r} has shape {tuple(values.shape)} for {size} data: give one class "
                f"each, shape ({size},)"
            )
        if not torch.equal(values.long().to(values.dtype), values):
            raise DataError(
                f"factor {name!r} has values that are not whole numbers: number its classes, or "
                "cut it into some"
            )
        _, classes, sizes = torch.unique(values, return_inverse=True, return_counts=True)
        if len(sizes) < 2:
            raise DataError(
                f"factor {name!r} is the same for all the data, which says nothing: leave it out"
            )
        found.names.append(str(name))
        found.classes.append(classes)
        found.sizes.append(sizes)
    return found


def marginals_of(model: HasPosterior, x: Inputs) -> tuple[Tensor, Tensor]:
    """Means and standard deviations of q(z_l | x_n), ``(N, L)``, float64 on the CPU.

    Raises
    ------
    ProgramError
        If there is no ``posterior``, or it gives no normal marginals, or fewer than two.
    """
    if not offers(model, HasPosterior):
        raise ProgramError(
            f"model got {type(model).__name__}, which has no posterior(x): give a VAE, or an "
            "object whose posterior(x) returns q(z | x)"
        )
    with torch.no_grad(), isolated():
        q = run_program(model.posterior, x)
        normal = normal_marginals(q)
        if normal is None:
            raise ProgramError(
                f"posterior(x) got {type(q).__name__}: the marginals q(z_l | x) must be normal, "
                "as those of the mean-field and the full-covariance guide"
            )
        loc, scale = (part.double().cpu() for part in (normal.loc, normal.scale))
    if loc.dim() != 2 or loc.shape[0] != count(x) or loc.shape[1] < 2:
        raise ProgramError(
            f"posterior(x) has marginals of shape {tuple(loc.shape)} for {count(x)} data: they "
            "must be (data, dimensions), and a gap needs two dimensions"
        )
    return loc, scale


def _gains(draws: Tensor, loc: Tensor, scale: Tensor, known: _Factors) -> Tensor:
    """Log q(z | v) - log q(z) of one dimension at draws ``(K, N)``, ``(K, N, factors)``."""
    size = len(loc)
    one_hot = torch.cat(
        [
            torch.nn.functional.one_hot(classes).double() / sizes
            for classes, sizes in zip(known.classes, known.sizes, strict=True)
        ],
        dim=1,
    )
    starts = np.cumsum([0, *(len(sizes) for sizes in known.sizes[:-1])]).tolist()
    # Where each datum's own class is among the columns.
    own = torch.stack(
        [classes + start for classes, start in zip(known.classes, starts, strict=True)], dim=1
    )
    rows = torch.arange(size).repeat(len(draws))
    found = []
    for part, of in zip(
        draws.reshape(-1).split(max(1, _CELLS // size)),
        rows.split(max(1, _CELLS // size)),
        strict=True,
    ):
        log_density = -0.5 * ((part[:, None] - loc) / scale).square() - scale.log()
        # Own class and all share the largest term: a draw's own datum is never far below it.
        density = (log_density - log_density.amax(1, keepdim=True)).exp()
        given = (density @ one_hot).gather(1, own[of])
        found.append(given.log() - density.mean(1, keepdim=True).log())
    return torch.cat(found).reshape(len(draws), size, -1)
