"""A fitted run as figures see it, and what a figure may need of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from pyro_vae.data.sprites import SPRITE_FACTORS, Sprites
from pyro_vae.errors import ProgramError, PyroVAEError, RunError
from pyro_vae.inference.engine.inputs import encoder_side, run_program
from pyro_vae.inference.engine.traces import is_point_mass, latent_sites, trace_of
from pyro_vae.inference.latents.disentanglement import marginals_of
from pyro_vae.isolation import isolated
from pyro_vae.models import VQVAE, MixtureModel
from pyro_vae.models.encoder_decoder import EncoderDecoder
from pyro_vae.protocols import HasUnamortised, offers
from pyro_vae.stored.loading import load_model
from pyro_vae.stored.measured import measured_data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pandas as pd
    import xarray as xr
    from torch import Tensor

    from pyro_vae.data import Dataset
    from pyro_vae.disk.runs import Run

__all__ = [
    "CODEBOOK",
    "CODES",
    "DRAWN_GUIDE",
    "ENCODER",
    "EVALUATED",
    "FACTORS",
    "IMAGES",
    "LONGER_CODES",
    "MIXTURE",
    "NO_CONDITION",
    "NO_PRIOR",
    "OWN_GUIDE",
    "PATHWISE",
    "PLANE",
    "PRIOR",
    "TABLE",
    "Fitted",
    "Need",
]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted model, its data, and what its run has kept.

    Attributes
    ----------
    name
        Name of the run.
    model, data
        The model, and its data; pictures come from the test split.
    metrics
        Metrics per epoch.
    results
        What ``evaluate`` gave, if the run was evaluated.
    objective
        Name of the training objective.
    seed
        Seed of all that figures draw.
    """

    name: str
    model: Any
    data: Dataset
    metrics: pd.DataFrame
    results: xr.Dataset | None
    objective: str = "elbo"
    seed: int = 0

    @classmethod
    def of(
        cls, run: Run, model: Any, data: Dataset, results: xr.Dataset | None, seed: int = 0
    ) -> Fitted:
        """A run with its model, data and results, which are already there."""
        objective = run.config().get("fit", {}).get("objective", "elbo")
        name = run.path.resolve().name
        if results is not None and data.origin is not None and data.origin.streamed is not None:
            results = results.isel(datum=slice(len(data.test)))  # as many as are in memory
        return cls(name, model, data, run.metrics(), results, objective, seed)

    @classmethod
    def from_run(cls, run: Run, *, data_root: Path | None = None, seed: int = 0) -> Fitted:
        """Open a run's model and data and, where it was evaluated, its results."""
        evaluated = (run.path / "evidence.nc").is_file()
        results = run.results() if evaluated else None
        data = measured_data(run, results, data_root=data_root)
        return cls.of(run, load_model(run), data, results, seed)

    @cached_property
    def test(self) -> dict[str, Tensor]:
        """What the model takes of the test split, by name."""
        return self.data.inputs("test", self.model.inputs)

    @property
    def x(self) -> Tensor:
        """The test data."""
        return self.test["x"]

    def given(self, rows: Any = slice(None)) -> dict[str, Tensor]:
        """What a conditional model is given beside these rows of x."""
        return {name: part[rows] for name, part in self.test.items() if name != "x"}

    @property
    def holed(self) -> Tensor:
        """Numbers of the first test rows with missing cells, ``HOLED_ROWS`` at most."""
        return (~self.test["observed"]).flatten(1).any(1).nonzero()[:HOLED_ROWS, 0]

    @cached_property
    def codes(self) -> Tensor:
        """Codes of the test data, ``(n, L)``."""
        with torch.no_grad():
            return run_program(self.model.code, encoder_side(self.test))

    def shown(self, values: Tensor) -> np.ndarray:
        """Data, draws or means as they are shown: in the units that the data came in."""
        return self.data.in_original_units(values).numpy()

    def seen(self, rows: Any = slice(None)) -> np.ndarray:
        """Test data as they are shown, NaN where a cell is missing."""
        x = self.shown(self.x[rows])
        there = None if self.data.observed is None else self.data.observed["test"][rows]
        return x if there is None else np.where(there.numpy(), x, np.nan)

    @property
    def measured(self) -> xr.Dataset:
        """The results, of a run that was evaluated."""
        assert self.results is not None, "a figure of them needs EVALUATED"
        return self.results

    @property
    def factors(self) -> Mapping[str, Tensor]:
        """Known factors of the training data, by name."""
        assert self.data.covariates is not None
        return dict(zip(SPRITE_FACTORS, self.data.covariates["train"].T, strict=True))


#: Rows with missing cells that are imputed for a figure, at most.
HOLED_ROWS = 200

_HOLED = "its data have missing cells"

_AMORTISED = "its guide has parameters for the training data alone"


class Need(NamedTuple):
    """What a figure needs of a run.

    Attributes
    ----------
    text
        In words, for lists.
    refusal
        From a run to the error that says why it has not that; None if it has.
    """

    text: str
    refusal: Callable[[Fitted], PyroVAEError | None]


def _need(text: str, reason: Callable[[Fitted], str | None]) -> Need:
    """A need whose refusal says the reason, if there is one."""

    def refusal(fitted: Fitted) -> PyroVAEError | None:
        why = reason(fitted)
        if why is None:
            return None
        return ProgramError(
            f"run {fitted.name} cannot give this figure, which needs {text}: {why}"
        )

    return Need(text, refusal)


def _kind(fitted: Fitted) -> str:
    return f"its model is a {type(fitted.model).__name__}"


def _not_evaluated(fitted: Fitted) -> PyroVAEError | None:
    if fitted.results is not None:
        return None
    return RunError(
        f"run {fitted.name} has not been evaluated, and this figure is of what that finds: run "
        "`pyro-vae evaluate` on it first"
    )


def _not_drawn(fitted: Fitted) -> str | None:
    model = fitted.model.evidence_model
    if isinstance(model, MixtureModel) or not model.has_evidence:
        return _kind(fitted)
    if not model.amortised:
        return None
    if all(is_point_mass(site) for site in _sites(fitted)):
        return "its guide is a point mass, and every K gives the same number"
    return None


def _sites(fitted: Fitted) -> list[Any]:
    """Distributions at the guide's sites, for one test datum."""
    one = {name: part[:1] for name, part in fitted.test.items()}
    with torch.no_grad(), isolated():
        trace = trace_of(fitted.model.evidence_model.guide, encoder_side(one))
    return [site["fn"] for site in latent_sites(trace)]


def _not_pathwise(fitted: Fitted) -> str | None:
    return (
        None
        if all(site.has_rsample for site in _sites(fitted))
        and isinstance(fitted.model, EncoderDecoder)
        else "the draws of its guide are not reparameterised"
    )


def _is_conditional(fitted: Fitted) -> str | None:
    given = [name for name in fitted.model.inputs if name != "observed"]
    return f"its model is given {' and '.join(given)}" if given else None


def _no_codes(fitted: Fitted) -> str | None:
    if not fitted.model.amortised:
        return _AMORTISED
    if isinstance(fitted.model, MixtureModel):
        return "its latent variable is the number of a component"
    if len(fitted.x) < 3:
        return f"its test split has {len(fitted.x)} data"
    return None


def _no_cells(fitted: Fitted) -> str | None:
    if len(fitted.data.event_shape) == 2:
        return None
    if fitted.data.schema is None:
        return f"{fitted.data.name} is neither"
    there = fitted.test["observed"][fitted.holed]
    if not bool((there.any(0) & ~there.all(0)).any()):
        return "no column of its test data has both cells that are missing and others"
    return None


def _no_factors(fitted: Fitted) -> str | None:
    if fitted.data.name != Sprites.name:
        return f"those of {fitted.data.name} are not known; fit --data sprites"
    try:
        marginals_of(fitted.model, fitted.x[:1])
    except ProgramError as error:
        return str(error)
    return None


def _size(fitted: Fitted) -> str | None:
    return f"its codes are of length {fitted.codes.shape[-1]}"


EVALUATED = Need("an evaluated run", _not_evaluated)
PRIOR = _need(
    "a prior", lambda f: None if f.model.has_evidence else f"{_kind(f)}; take the figure 'draws'"
)
NO_PRIOR = _need(
    "a model without a prior",
    lambda f: f"{_kind(f)}; take the figure 'samples'" if f.model.has_evidence else None,
)
ENCODER = _need("an encoder", lambda f: None if f.model.amortised else _AMORTISED)
IMAGES = _need(
    "images",
    lambda f: (
        None
        if len(f.data.event_shape) == 2
        else f"a datum of {f.data.name} has shape {f.data.event_shape}"
    ),
)
TABLE = _need(
    "a table",
    lambda f: (
        None
        if f.data.schema is not None
        else f"{f.data.name} has no columns of kinds of their own"
    ),
)
CELLS = _need("images, or a table with cells to be filled in", _no_cells)
CODES = _need("codes of test data", _no_codes)
PLANE = _need(
    "codes of length 2",
    lambda f: None if f.codes.shape[-1] == 2 else f"{_size(f)}; take the figure 'traversals'",
)
LONGER_CODES = _need(
    "codes of another length than 2",
    lambda f: f"{_size(f)}; take the figure 'manifold'" if f.codes.shape[-1] == 2 else None,
)
MIXTURE = _need("a mixture", lambda f: None if isinstance(f.model, MixtureModel) else _kind(f))
CODEBOOK = _need("a codebook", lambda f: None if isinstance(f.model, VQVAE) else _kind(f))
DRAWN_GUIDE = _need("a guide that is drawn from", _not_drawn)
PATHWISE = _need("reparameterised draws", _not_pathwise)
UNCONDITIONAL = _need(
    "a model of x alone, of which cells may be missing",
    _is_conditional,
)
NO_CONDITION = _need(
    "a model of x alone, whole",
    lambda f: _is_conditional(f) or (_HOLED if f.data.observed is not None else None),
)
HOLES = _need(
    "missing cells",
    lambda f: None if f.data.observed is not None else f"every cell of {f.data.name} is there",
)
TAKES_HOLES = _need(
    "a model for missing cells",
    lambda f: None if "observed" in f.model.inputs else f"{_kind(f)} of whole data",
)
FACTORS = _need("known factors, normal posteriors", _no_factors)
OWN_GUIDE = _need(
    "an encoder that a guide per datum can start from",
    lambda f: (
        None if f.model.amortised and offers(f.model.evidence_model, HasUnamortised) else _kind(f)
    ),
)
