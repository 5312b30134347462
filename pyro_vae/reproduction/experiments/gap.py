"""Cremer, Li & Duvenaud (2018): what the family of the guide costs, and what the encoder does.

The gap log p(x) - ELBO of a trained model, in two parts: what the best guide of the family leaves,
found for each datum with the model held fixed, and what the encoder's guide lacks beside it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyro_vae import inference, plots
from pyro_vae.cards.card import Found, Number, error_over_data, listed, over_data
from pyro_vae.disk.runs import Run
from pyro_vae.disk.sealed import checksum_of_arrays
from pyro_vae.inference.evidence.trust import error_of_mean, trusted, withheld_note
from pyro_vae.models import VAE
from pyro_vae.models.guides import InverseAutoregressiveFlow, MeanFieldNormal
from pyro_vae.reproduction.blocks import in_whole_blocks
from pyro_vae.reproduction.experiment import Difference, Experiment, Level, Place, Plan, load_form
from pyro_vae.reproduction.trained import TrainedPart, Training, iwae_stages, warmed_cosine
from pyro_vae.stored.measured import require_gap_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matplotlib.figure import Figure

    from pyro_vae.data import Dataset
    from pyro_vae.models.guides import Guide
    from pyro_vae.stored.measured import EstimateSettings

__all__ = ["GAP", "GapPart"]

#: The paper measures on the first 1,000 training images; they are taken apart so many at once.
_IMAGES, _BLOCK = 1000, 100

#: Largest number of steps to the best guide of a block.
_STEPS = 1000

_FORM = {"binarisation": "stochastic", "num_validation": 1000}

_AUTHORS = "the authors' code (commit 72242d2)"

#: The weight of the KL grows over 400 of 3,280 epochs, and over the same share of fewer.
_OBJECTIVE = "beta-elbo(schedule=linear, share=0.12195)"

_SCHEDULES = {
    "paper": Training(
        3280,
        100,
        1e-3,
        iwae_stages,
        f"the stages of Burda et al., 0.001 to 0.0001 over 3,280 epochs, as in {_AUTHORS}",
    ),
    "sooner": Training(
        400,
        100,
        2e-3,
        warmed_cosine(2),
        "a cosine to zero from 0.002 after two epochs of warm-up, in batches of 100: not tuned",
    ),
}

#: What is kept of every datum, with its Monte Carlo error.
_KEPT = ("amortisation_gap", "approximation_gap", "gap", "log_evidence", "best_elbo", "elbo")

#: Why an error of a datum is withheld: keys of ``trust.DOUBTS``.
_DOUBTS = ("doubt", "gap_doubt")


@dataclass(frozen=True)
class GapPart(TrainedPart):
    """A run of a VAE whose gap is taken apart.

    Attributes
    ----------
    annealing, temperatures
        The estimator that importance sampling is held against, and its temperatures. A flow
        scores points that it did not draw one dimension after the other, which annealing from
        it would do thousands of times: from the prior it need not.
    """

    annealing: str = "ais"
    temperatures: int = 200

    def measure(self, plan: Plan, place: Place) -> Found:
        """The gap and its parts, on some of the data."""
        data = load_form(self.form, plan, place.data_root, own=plan.data == self.own_data)
        x = getattr(data, self.split)
        size = min(plan.limit or _IMAGES, _IMAGES, len(x))
        found = super().measure(replace(plan, limit=size), place)
        run = Run.open(place.folder)
        model = require_gap_parts(run)

        def apart(rows: slice, number: int) -> dict[str, np.ndarray]:
            results = inference.gap_parts(
                model, x[rows], plan.num_particles, steps=_STEPS, seed=plan.seed + number
            )
            names = [name for kept in _KEPT for name in (kept, f"{kept}_se")]
            converged = np.full(results.sizes["datum"], results.attrs["converged"])
            kept = {name: results[name].values for name in (*names, *_DOUBTS)}
            return kept | {"converged": converged}

        settings = [run.weights_seal(), checksum_of_arrays([x.numpy()]), plan.num_particles]
        columns = in_whole_blocks(
            apart,
            place.folder / "gap.blocks.nc",
            key=json.dumps([*settings, plan.seed, _STEPS, _BLOCK]),
            total=len(x),
            limit=size,
            size=_BLOCK,
            progress=place.progress,
        )
        moving = int((columns.pop("converged") == 0).sum())
        judged = xr.Dataset({name: ("datum", values) for name, values in columns.items()})
        notes = [withheld_note(judged)]
        if moving:
            notes.append(f"The best guide was still rising for {moving} of {size} data.")
        return found.model_copy(
            update={
                "numbers": {**found.numbers, **_numbers(judged)},
                "per_datum": {
                    name: listed(values) for name, values in columns.items() if name not in _DOUBTS
                },
                "protocol": self.protocol(plan),
                # Those of the base are of the encoder's guide as proposal.
                "notes": [note for note in notes if note],
            }
        )

    def protocol(self, plan: Plan) -> dict[str, Any]:
        """Those of every trained part, with the steps to the best guide."""
        return {
            **super().protocol(plan),
            "split": self.split,
            "steps": _STEPS,
            "block": _BLOCK,
            "annealing": self.annealing,
        }

    def estimates(self) -> tuple[list[str], EstimateSettings]:
        """Importance sampling, and the annealing of this guide."""
        return ["importance", self.annealing], {"num_temperatures": self.temperatures}


def _numbers(results: xr.Dataset) -> dict[str, Number]:
    """Means, each with the error of its draws where that can be trusted."""
    found = {}
    for name in _KEPT:
        values, errors = results[name].values, results[f"{name}_se"].values
        drawn = error_over_data(errors)
        if name in ("log_evidence", "gap"):
            drawn = error_of_mean(results, name)
        elif name == "approximation_gap" and not trusted(results, "gap").all():
            drawn = math.nan
        found[name] = over_data(values, drawn)
    return found


def _part(
    name: str, title: str, guide: Callable[[], Guide], annealing: str, temperatures: int
) -> GapPart:
    def model(data: Dataset, seed: int) -> VAE:
        """784-200-200-50 with ELU."""
        hidden = (200, 200)
        return VAE(
            data.event_shape,
            50,
            guide=guide(),
            encoder=hidden,
            decoder=hidden,
            activation="elu",
            seed=seed,
        )

    return GapPart(
        name,
        title,
        model,
        _OBJECTIVE,
        _FORM,
        "mnist",
        _SCHEDULES,
        "train",
        annealing,
        temperatures,
    )


def _flow() -> Guide:
    return InverseAutoregressiveFlow(num_transforms=2, hidden=200, context_dim=50)


def _rows(part: str, label: str) -> tuple[Level, ...]:
    """The line of the paper's table for a guide."""
    lines = {
        "log p(x)": "log_evidence",
        "ELBO of the best guide": "best_elbo",
        "ELBO of the encoder's guide": "elbo",
        "approximation gap": "approximation_gap",
        "amortisation gap": "amortisation_gap",
        "gap": "gap",
    }
    return tuple(Level(f"{line}, {label}", part, number) for line, number in lines.items())


def _figures(found: Mapping[str, Found]) -> dict[str, tuple[str, Figure]]:
    """The gap of every guide in its parts."""
    if not found:
        return {}
    parts = {
        part.title: {name: part.numbers[name].value for name in _KEPT[:2]}
        for part in found.values()
    }
    errors = {part.title: part.numbers["gap"].sampling_error or 0.0 for part in found.values()}
    caption = (
        "Mean gap log p(x) - ELBO in its parts: what the best guide of the family leaves, and "
        "what the encoder's guide lacks beside it. Bars: two standard errors of the gap."
    )
    figure = plots.gap_in_parts(
        list(parts),
        [part["approximation_gap"] for part in parts.values()],
        [part["amortisation_gap"] for part in parts.values()],
        list(errors.values()),
    )
    return {"The gap in its parts": (caption, figure)}


GAP = Experiment(
    name="gap",
    title="The inference gap in its parts",
    source="Cremer, Li and Duvenaud (2018), Inference suboptimality in variational autoencoders, "
    "arXiv 1801.03558, Table 2",
    data="mnist",
    form=_FORM,
    parts=(
        _part("mean-field", "mean-field normal", MeanFieldNormal, "ais", 200),
        _part("flow", "inverse autoregressive flow", _flow, "ais-from-prior", 1000),
    ),
    table=(
        *_rows("mean-field", "mean field"),
        *_rows("flow", "flow"),
        Difference("gain of the flow in log p(x)", "flow", "mean-field"),
        Difference(
            "amortisation gap, flow less mean field",
            "flow",
            "mean-field",
            values="amortisation_gap",
            errors="amortisation_gap_se",
        ),
    ),
    differs=(
        "The paper's numbers are left out, since they could not be read in it.",
        "Images are those of MNIST, binarised once by a draw of our own, 59,000 to train on; "
        "theirs are the 60,000 of Larochelle and Murray (2011).",
        "The flow is an inverse autoregressive one of two maps; theirs is of two maps on z and as "
        "many auxiliary variables. The best guide of a datum has its own base and context, and "
        "the maps' networks as they were trained; theirs trains those for each datum too.",
        "The best guide starts at the encoder's, and has one mean and scale for a datum; theirs "
        "starts at the prior, with 100 of them for a datum.",
        "log p(x) is by importance sampling from the best guide; theirs is the larger of "
        "importance sampling from the encoder and annealing.",
        f"Adam is the usual one; {_AUTHORS} has 1e-4 for epsilon.",
        "The weights kept are those with the best ELBO on 1,000 images that were held out.",
    ),
    figures=_figures,
)
