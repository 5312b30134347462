"""Models of scvi-tools as pairs: SCVI and its linear decoder, of counts per cell and gene.

Lopez et al. (2018), Deep generative modeling for single-cell transcriptomics, Nature Methods 15;
Gayoso et al. (2022), A Python library for probabilistic analysis of single-cell omics data, Nature
Biotechnology 40.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pyro.distributions import NegativeBinomial, ZeroInflatedNegativeBinomial
from torch.distributions import Distribution, Normal, Poisson

from pyro_vae.errors import ProgramError
from pyro_vae.on_demand import library
from pyro_vae.pairs.pair import Pair

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

__all__ = ["data_of_scvi", "from_scvi"]

#: What scvi-tools adds to a mean and to a dispersion before it takes a logarithm.
_EPSILON = 1e-8

#: Names of what lies beside x, by scvi-tools' key of it.
_BESIDE = {
    "batch": "batch",
    "size_factor": "size_factor",
    "extra_continuous_covs": "continuous",
    "extra_categorical_covs": "categorical",
    "labels": "labels",
}


def data_of_scvi(model: Any, adata: Any = None, indices: Any = None) -> dict[str, Tensor]:
    """Cells as ``from_scvi`` and all that measures its pair take them.

    Parameters
    ----------
    model
        An ``SCVI`` or ``LinearSCVI`` of scvi-tools.
    adata
        Cells, set up as those of training; those of training unless given.
    indices
        Which cells of them; all unless given.

    Returns
    -------
    dict
        ``x``, the counts ``(B, genes)``, and beside it what the model takes: ``batch``, and of
        ``library`` (total counts, where the model conditions on them), ``size_factor``,
        ``continuous``, ``categorical`` and ``labels`` those that it has.

    Raises
    ------
    ProgramError
        If the model is of another class, or holds a latent posterior in the place of its data.
    MissingDataError
        If scvi-tools is not installed.
    """
    module = _module_of(model, "data_of_scvi")
    adata = model._validate_anndata(adata)
    loader = library("scvi.dataloaders").AnnDataLoader(
        model.get_anndata_manager(adata, required=True), indices=indices, shuffle=False
    )
    batches = list(loader)
    whole = {key: torch.cat([part[key] for part in batches]) for key in batches[0]}
    found = {"x": whole["X"]}
    for key, name in _BESIDE.items():
        if key in whole and (name != "labels" or module.dispersion == "gene-label"):
            part = whole[key]
            found[name] = part if name in ("continuous", "categorical") else part.squeeze(1)
    if module.use_observed_lib_size and not module.use_size_factor_key:
        found["library"] = found["x"].sum(1)
    return found


def from_scvi(model: Any, x: Mapping[str, Tensor]) -> Pair:
    """A pair out of a fitted ``SCVI`` or ``LinearSCVI`` of scvi-tools.

    Where the library size is observed, log p(x) is that given the library size, as in
    scvi-tools. Where it is latent, the last entry of z is its logarithm, standardised by the
    prior of the cell's batch. A logistic normal z is taken before its softmax. Densities are in
    float64.

    Parameters
    ----------
    model
        The model, with its module in evaluation mode, as ``train`` leaves it.
    x
        What ``data_of_scvi`` gives, of two cells or more.

    Returns
    -------
    Pair
        Of the counts given all that lies beside them.

    Raises
    ------
    ProgramError
        If the model is of another class, or in training mode.
    SupportError
        If there are cells that are no counts.
    MissingDataError
        If scvi-tools is not installed.
    """
    made = _Cells(_module_of(model, "from_scvi"))
    return Pair.from_functions(
        x=x, encode=made.encode, decode=made.decode, prior=made.prior, modules=[made.module]
    )


def _module_of(model: Any, function: str) -> Any:
    """The network of a model, which must be one whose story is known."""
    own = library("scvi.model", "peers", function)
    if type(model) not in (own.SCVI, own.LinearSCVI):
        raise ProgramError(
            f"{function} got {type(model).__name__}: it takes SCVI and LinearSCVI of scvi-tools; "
            "of others, Pair.from_functions(encode=..., decode=..., prior=...) makes a pair"
        )
    module = model.module
    if module.minified_data_type is not None:
        raise ProgramError(
            f"{function} got a model that holds a latent posterior in the place of its data: "
            "give the counts back with model.register_manager, or load a model that has them"
        )
    return module


class _Cells:
    """Story z ~ N(0, I), log l ~ N(m_b, s_b^2), x ~ p(x | z, l, batch)."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.latent_library = not module.use_observed_lib_size

    def prior(self) -> Distribution:
        """Distribution p(z) = N(0, I), with an entry more for a latent library size."""
        like = next(self.module.parameters())
        return Normal(like.new_zeros(self.module.n_latent + self.latent_library), 1.0)

    def encode(self, x: Tensor, batch: Tensor, **beside: Tensor) -> Distribution:
        """Distribution q(z | x), ``(B, L)``."""
        rows = batch.long().unsqueeze(1)
        continuous, categorical = _covariates(beside)
        found = self.module._regular_inference(x, rows, continuous, categorical)
        loc, scale = found["qz"].loc, found["qz"].scale
        if self.latent_library:
            mean, spread = self._library_prior(rows)
            loc = torch.cat([loc, (found["ql"].loc - mean) / spread], 1)
            scale = torch.cat([scale, found["ql"].scale / spread], 1)
        return Normal(loc, scale)

    def decode(self, z: Tensor, batch: Tensor, **beside: Tensor) -> Distribution:
        """Distribution p(x | z), a gene at a time."""
        module, rows = self.module, batch.long().unsqueeze(1)
        size = z.new_zeros(len(z), 1)
        if self.latent_library:
            mean, spread = self._library_prior(rows)
            size = mean + spread * z[:, -1:]
        if "library" in beside:
            size = beside["library"].unsqueeze(1).log()
        factor, labels = beside.get("size_factor"), beside.get("labels")
        continuous, categorical = _covariates(beside)
        found = module.generative(
            module.z_encoder.z_transformation(z[:, : module.n_latent]),
            size,
            rows,
            cont_covs=continuous,
            cat_covs=categorical,
            size_factor=None if factor is None else factor.unsqueeze(1).log(),
            y=None if labels is None else labels.long().unsqueeze(1),
        )
        return _in_double(found["px"], module.gene_likelihood)

    def _library_prior(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of log l in the batch of each cell, ``(B, 1)``."""
        mean, variance = self.module._compute_local_library_params(rows)
        return mean, variance.sqrt()


def _covariates(beside: Mapping[str, Tensor]) -> tuple[Tensor | None, Tensor | None]:
    categorical = beside.get("categorical")
    return beside.get("continuous"), None if categorical is None else categorical.long()


def _in_double(px: Any, kind: str) -> Distribution:
    """The likelihood of scvi-tools as Pyro's own, in float64: lgamma of counts keeps its digits.

    Its negative binomial has log((mu + e) / (theta + e)) as its logit, with e the number that
    scvi-tools guards its logarithms by.
    """
    if kind == "poisson":
        return Poisson(px.rate.double())
    if kind == "normal":
        return Normal(px.loc.double(), px.scale.double())
    mu, theta = px.mu.double(), px.theta.double()
    logits = (mu + _EPSILON).log() - (theta + _EPSILON).log()
    if kind == "zinb":
        return ZeroInflatedNegativeBinomial(
            theta, logits=logits, gate_logits=px.zi_logits.double()
        )
    return NegativeBinomial(theta, logits=logits)
