"""Wu, Burda, Salakhutdinov & Grosse (2017): what importance sampling leaves unseen of log p(x).

One model, whose log p(x) is estimated by importance sampling from its guide and by annealing; on
data that are simulated from it, annealing in both directions says how far that can be wrong.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from pyro_vae import inference, plots
from pyro_vae.cards.card import Found, Number, error_over_data, listed, over_data
from pyro_vae.disk.runs import Run
from pyro_vae.disk.sealed import checksum_of_arrays
from pyro_vae.inference.evidence import ais, bdmc
from pyro_vae.inference.evidence.trust import error_of_mean
from pyro_vae.reproduction.blocks import in_whole_blocks
from pyro_vae.reproduction.experiment import Experiment, Level, Place, Plan, load_form
from pyro_vae.reproduction.experiments.iwae import IWAE_AUTHORS_DIFFER, IWAE_FORM, iwae_part
from pyro_vae.reproduction.trained import TrainedPart
from pyro_vae.stored.loading import load_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matplotlib.figure import Figure

    from pyro_vae.models import LatentVariableModel

__all__ = ["AIS"]

#: Particles of importance sampling, as in the paper's table.
_PARTICLES = (10_000, 100_000)
_NAMES = tuple(f"importance-{k}" for k in _PARTICLES)
_CHAINS = 16

#: What says whether the errors of importance sampling can be trusted; see ``trust``.
_JUDGED = ("doubt", "top_share")

#: Data that are annealed together, and that are weighed before the file is written.
_ANNEALED, _WEIGHED = 50, 2

_TABLE = "Table 1, read in the paper"
_OTHER = "the same estimator of another model, on images that are binarised once"


@dataclass(frozen=True)
class _AnnealedPart(TrainedPart):
    """A run whose log p(x) is annealed on some of the test data, and on as many simulated."""

    def measure(self, plan: Plan, place: Place) -> Found:
        """Log p(x) of the same data by each estimator, and the sandwich."""
        data = load_form(self.form, plan, place.data_root, own=plan.data == self.own_data)
        size = max(2, min(plan.num_annealed, plan.limit or plan.num_annealed, len(data.test)))
        found = super().measure(replace(plan, limit=size, num_annealed=0), place)
        run = Run.open(place.folder)
        columns = _columns(load_model(run).evidence_model, data.test, size, run, plan, place)
        return found.model_copy(
            update={
                "numbers": {**found.numbers, **_numbers(columns)},
                "per_datum": {
                    **{
                        name: listed(values)
                        for name, values in columns.items()
                        if not name.endswith(_JUDGED)
                    },
                    **found.per_datum,
                },
                "protocol": self.protocol(plan),
            }
        )

    def protocol(self, plan: Plan) -> dict[str, Any]:
        """Those of every trained part, with chains and temperatures."""
        return {
            **super().protocol(plan),
            "importance": list(_PARTICLES),
            "temperatures": _temperatures(plan),
            "chains": _CHAINS,
        }


def _temperatures(plan: Plan) -> int:
    """Temperatures of a path: a tenth of the particles."""
    return max(2, plan.num_particles // 10)


def _columns(
    model: LatentVariableModel, x: torch.Tensor, size: int, run: Run, plan: Plan, place: Place
) -> dict[str, np.ndarray]:
    """What every estimator has for every datum; annealing first, which others are held against."""
    temperatures = _temperatures(plan)
    key = f"{run.weights_seal()} {checksum_of_arrays([x.numpy()])} {plan.seed}"

    def annealed(rows: slice, number: int) -> dict[str, np.ndarray]:
        results = ais(
            model.model,
            model.guide,
            x[rows],
            num_temperatures=temperatures,
            num_chains=_CHAINS,
            seed=plan.seed + number,
            enumerate_discrete=True,
        )
        return _with_errors(results, {"ais": "log_evidence"})

    def sandwiched(rows: slice, number: int) -> dict[str, np.ndarray]:
        simulated, latents = _simulated(model, _ANNEALED, plan.seed + number)
        results = bdmc(
            model.model,
            model.guide,
            simulated,
            latents,
            num_temperatures=temperatures,
            num_chains=_CHAINS,
            start="guide",
            seed=plan.seed + number,
            enumerate_discrete=True,
        )
        return _with_errors(results, {"lower": "lower", "upper": "upper"})

    def weighed(particles: int) -> Callable[[slice, int], dict[str, np.ndarray]]:
        def measure(rows: slice, number: int) -> dict[str, np.ndarray]:
            results = inference.log_evidence(
                model.model, model.guide, x[rows], particles, seed=plan.seed
            )
            name = f"importance-{particles}"
            judged = {f"{name}_{key}": results[key].values for key in _JUDGED}
            return _with_errors(results, {name: "log_evidence"}) | judged

        return measure

    stages = [
        ("annealed", annealed, _ANNEALED, len(x), temperatures),
        *((f"importance-{k}", weighed(k), _WEIGHED, len(x), k) for k in _PARTICLES),
        ("sandwich", sandwiched, _ANNEALED, -(-size // _ANNEALED) * _ANNEALED, temperatures),
    ]
    columns: dict[str, np.ndarray] = {}
    for stage, (name, measure, block, total, effort) in enumerate(stages):
        columns |= in_whole_blocks(
            measure,
            place.folder / f"{name}.blocks.nc",
            key=json.dumps([key, effort, _CHAINS, block]),
            total=total,
            limit=size,
            size=block,
            progress=_share(place.progress, stage, len(stages)),
        )
    return columns


def _share(
    progress: Callable[[int, int], None] | None, stage: int, stages: int
) -> Callable[[int, int], None] | None:
    """Progress of one stage as that of the whole."""
    if progress is None:
        return None
    return lambda done, total: progress(stage * total + done, stages * total)


def _simulated(
    model: LatentVariableModel, size: int, seed: int
) -> tuple[Any, dict[str, torch.Tensor]]:
    """Data drawn from a model, and the z that made them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return inference.simulator(model.model, model.guide)(size)


def _with_errors(results: xr.Dataset, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Values and their Monte Carlo errors, under other names."""
    found = {}
    for new, old in names.items():
        found[new] = results[old].values
        found[f"{new}_se"] = results[f"{old}_se"].values
    return found


def _numbers(columns: Mapping[str, np.ndarray]) -> dict[str, Number]:
    """Means of the estimates, what importance sampling misses, and the sandwich."""
    drawn = {name: error_over_data(columns[f"{name}_se"]) for name in ("ais", "lower", "upper")}
    for name in _NAMES:
        judged = {key: columns[f"{name}_{key}"] for key in _JUDGED}
        judged |= {"log_evidence_se": columns[f"{name}_se"]}
        results = xr.Dataset({key: ("datum", values) for key, values in judged.items()})
        drawn[name] = error_of_mean(results)
    found = {name: over_data(columns[name], error) for name, error in drawn.items()}
    apart = {f"missed-{k}": ("ais", name) for k, name in zip(_PARTICLES, _NAMES, strict=True)}
    apart["sandwich"] = ("upper", "lower")
    for name, (first, second) in apart.items():
        error = math.hypot(drawn[first], drawn[second])
        found[name] = over_data(columns[first] - columns[second], error)
    return found


def _figures(found: Mapping[str, Found]) -> dict[str, tuple[str, Figure]]:
    """What importance sampling misses, image by image."""
    shown = {}
    for part in found.values():
        values = {name: np.array(part.per_datum[name], dtype=float) for name in ("ais", *_NAMES)}
        missed = {
            f"K = {k:,}": values["ais"] - values[name]
            for k, name in zip(_PARTICLES, _NAMES, strict=True)
        }
        caption = (
            "Each test image: log p(x) by annealing, less that by importance sampling from the "
            "guide with K particles. What is above zero was missed."
        )
        title = f"What importance sampling misses: {part.title}"
        shown[title] = (caption, plots.missed_by_datum(missed))
    return shown


def _annealed_part(part: TrainedPart) -> _AnnealedPart:
    """The same run, with other measurements."""
    return _AnnealedPart(**vars(part))


AIS = Experiment(
    name="ais",
    title="Annealing against importance sampling",
    source="Wu, Burda, Salakhutdinov and Grosse (2017), On the quantitative analysis of "
    "decoder-based generative models, arXiv 1611.04273, Table 1",
    data="mnist",
    form=IWAE_FORM,
    parts=(
        _annealed_part(iwae_part("iwae-5", "IWAE, K = 5, one layer", "iwae-5")),
        _annealed_part(iwae_part("vae", "VAE, one layer", "elbo")),
    ),
    optional=frozenset({"vae"}),
    table=(
        Level(
            "log p(x), annealing from the guide", "iwae-5", "ais", -85.621, _TABLE, differs=_OTHER
        ),
        *(
            Level(
                f"log p(x), importance sampling, K = {k:,}",
                "iwae-5",
                f"importance-{k}",
                published,
                _TABLE,
                differs=_OTHER,
            )
            for k, published in zip(_PARTICLES, (-86.902, -86.464), strict=True)
        ),
        *(
            Level(
                f"annealing over importance sampling, K = {k:,}",
                "iwae-5",
                f"missed-{k}",
                published,
                _TABLE,
                differs="of another model",
            )
            for k, published in zip(_PARTICLES, (1.281, 0.843), strict=True)
        ),
        Level(
            "sandwich on simulated data: upper less lower bound",
            "iwae-5",
            "sandwich",
            differs="theirs for this model is not in the table; for VAEs with a normal likelihood "
            "it is 0.83 and 1.54 (Table 2)",
        ),
        *(
            Level(f"annealing over importance sampling, K = {k:,}, VAE", "vae", f"missed-{k}")
            for k in _PARTICLES
        ),
        Level("sandwich on simulated data, VAE", "vae", "sandwich"),
    ),
    differs=(
        "Their model is another IWAE, on images that are binarised once; the numbers to compare "
        "are the differences between estimators.",
        "Annealing has 16 chains as theirs, and 500 temperatures from the guide (a tenth of the "
        "particles) where their last line has 1,000.",
        "Every estimate here is of the same test images, as many as are annealed; theirs is of "
        "all 10,000.",
        "The sandwich starts at the guide, as the estimate that it vouches for does.",
        *IWAE_AUTHORS_DIFFER,
    ),
    figures=_figures,
)
