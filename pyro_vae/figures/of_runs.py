"""Figures of one fitted model on its data: what a person would rather see than read."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch

from pyro_vae import inference, plots
from pyro_vae.data.representatives import different_pairs, one_of_each
from pyro_vae.errors import DataError, UnknownNameError
from pyro_vae.explaining import derivation_of, in_double, known_of, one_datum
from pyro_vae.explaining.em_view import e_step_view
from pyro_vae.figures import fitted as needs
from pyro_vae.figures.registry import figure
from pyro_vae.formulas import described, undescribed
from pyro_vae.inference.engine.inputs import take
from pyro_vae.inference.latents.reconstruction import reconstruct
from pyro_vae.inference.training.objectives import objective_named
from pyro_vae.models import MixtureModel
from pyro_vae.models.priors import StandardNormal
from pyro_vae.pictures.decoded import (
    WITHOUT_PRIOR,
    decoded_draws,
    draw_samples,
    interpolate,
    manifold,
    morph,
    traverse,
)
from pyro_vae.protocols import Facts
from pyro_vae.stored.measured import hole_reference, measure_holes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from pyro_vae.explaining.em_view import GuideView
    from pyro_vae.figures.fitted import Fitted

__all__ = ["e_step_bars", "e_step_curve"]

#: Data that the ladder of bounds is a mean over, and its particles: seconds, not minutes.
_LADDER_DATA, _LADDER_PARTICLES = 100, 256

#: Training data, values of K and draws of the gradient, for its signal-to-noise ratio.
_SNR_DATA, _SNR_PARTICLES, _SNR_REPEATS = 16, (1, 4, 16, 64), 100

#: Pairs of z and x that the guide is judged by.
_SIMULATIONS = 1000

#: Draws beside the rows of a table, and columns whose pairs are shown, at most.
_TABLE_DRAWS, _MOST_COLUMNS = 2000, 5

#: Codes in the plane at most: more hide each other.
_LATENT_DATA = 2000

#: Draws from the guide, and steps of its training, for the E-step of one datum.
_E_STEP_PARTICLES, _E_STEPS = 5000, 300


@figure(
    "training",
    "The bound over training. The weights kept are those at the black dot.",
    in_report=True,
)
def _training(fitted: Fitted) -> Figure:
    if not fitted.model.has_evidence:
        return plots.training_curves(fitted.metrics, quantity="log p(x | z)")
    if isinstance(fitted.model, MixtureModel):
        return plots.training_curves(fitted.metrics, quantity="log p(x)")
    name = fitted.objective
    try:
        goal = described(objective_named(name))
    except UnknownNameError:
        goal = undescribed(name)  # a user's own, made in Python
    if goal.is_elbo:
        return plots.training_curves(fitted.metrics)
    quantity = "bound" if goal.is_bound else "objective"
    return plots.training_curves(
        fitted.metrics,
        quantity=quantity if goal.comparable else "ELBO, and objective",
        training=f"training, {name}",
        validation=f"validation, {name if goal.comparable else 'ELBO'}",
    )


@figure(
    "iwae",
    "The IWAE bound against the number of particles K. K = 1 is the ELBO; the dashed line is the "
    "importance-sampled log p(x), and the arrow the gap between them.",
    needs.DRAWN_GUIDE,
    needs.EVALUATED,
    in_report=True,
)
def _iwae(fitted: Fitted) -> Figure:
    return plots.iwae_against_k(fitted.measured)


@figure(
    "gap",
    "The gap of every test datum, and its ELBO against its log p(x). The points lie below the "
    "line by the gap.",
    needs.DRAWN_GUIDE,
    needs.EVALUATED,
    in_report=True,
)
def _gap(fitted: Fitted) -> Figure:
    return plots.gap_per_datum(fitted.measured)


@figure(
    "ladder",
    "Lower and upper bounds on log p(x) closing on each other as K grows. IWAE, Rényi and chi "
    f"bounds from one set of draws, means over the first {_LADDER_DATA} test data.",
    needs.ENCODER,
    needs.DRAWN_GUIDE,
)
def _ladder(fitted: Fitted) -> Figure:
    model = fitted.model.evidence_model
    x = take(fitted.test, slice(_LADDER_DATA))
    bounds = inference.ladder(model.model, model.guide, x, _LADDER_PARTICLES, seed=fitted.seed)
    return plots.bound_ladder(bounds)


@figure(
    "snr",
    "Signal-to-noise ratio of the guide's gradient against K, under iwae and dreg.",
    needs.ENCODER,
    needs.DRAWN_GUIDE,
    needs.PATHWISE,
)
def _snr(fitted: Fitted) -> Figure:
    inputs = {**fitted.data.inputs("train", fitted.model.inputs), "x": fitted.data.epoch_train(0)}
    table = inference.gradient_snr(
        fitted.model,
        take(inputs, slice(_SNR_DATA)),
        list(fitted.model.encoder.parameters()),
        num_particles=_SNR_PARTICLES,
        repeats=_SNR_REPEATS,
        seed=fitted.seed,
    )
    return plots.snr_against_k(table)


@figure(
    "calibration",
    "Ranks of the true z among draws from the guide, for data that the model itself has made. "
    "Where the guide is the posterior, they are uniform. Of more than four coordinates, those "
    "farthest from it are shown.",
    needs.ENCODER,
    needs.DRAWN_GUIDE,
    needs.UNCONDITIONAL,
)
def _calibration(fitted: Fitted) -> Figure:
    model = fitted.model.evidence_model
    simulate = None
    if fitted.data.observed is not None:  # with the missing cells of rows of the data
        simulate = inference.checking.simulator(model.model, model.guide, fitted.test)
    ranks = inference.sbc_ranks(
        model.model, model.guide, _SIMULATIONS, simulate=simulate, seed=fitted.seed
    )
    return plots.sbc_histograms(ranks, max_latents=4)


@figure(
    "samples",
    "Draws from the fitted generative story.",
    needs.PRIOR,
    needs.ENCODER,
    needs.IMAGES,
    in_report=True,
)
def _samples(fitted: Fitted) -> Figure:
    count = min(40, len(fitted.x))
    given = fitted.given(slice(count))
    draws = draw_samples(fitted.model, count, given=given, seed=fitted.seed)
    return plots.prior_samples(fitted.shown(draws))


@figure(
    "marginals",
    "Every column of the test data, and of draws from the fitted story. In the units and levels "
    "of the table.",
    needs.PRIOR,
    needs.ENCODER,
    needs.TABLE,
    in_report=True,
)
def _marginals(fitted: Fitted) -> Figure:
    data, model = _rows_and_draws(fitted)
    return plots.column_marginals(data, model, _levels(fitted))


@figure(
    "pairs",
    "Pairs of columns: the test data, and draws from the fitted story. Of more than five columns, "
    "those of the table that come first.",
    needs.PRIOR,
    needs.ENCODER,
    needs.TABLE,
    in_report=True,
)
def _pairs(fitted: Fitted) -> Figure:
    data, model = _rows_and_draws(fitted)
    shown = list(data.columns)[:_MOST_COLUMNS]
    return plots.column_pairs(data[shown], model[shown], _levels(fitted))


def _rows_and_draws(fitted: Fitted) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the test data, and draws given what those rows are given, as frames."""
    rows = torch.arange(max(len(fitted.x), _TABLE_DRAWS)) % len(fitted.x)
    draws = draw_samples(fitted.model, len(rows), given=fitted.given(rows), seed=fitted.seed)
    return fitted.data.to_frame("test"), fitted.data.to_frame(draws)


def _levels(fitted: Fitted) -> dict[str, list[str]]:
    """Levels of the columns that have such."""
    assert fitted.data.schema is not None, "a figure of a table needs TABLE"
    return {column.name: column.levels for column in fitted.data.schema.data if column.levels}


@figure(
    "draws",
    WITHOUT_PRIOR,
    needs.NO_PRIOR,
    needs.IMAGES,
    in_report=True,
)
def _draws(fitted: Fitted) -> Figure:
    images, _ = decoded_draws(fitted.model, fitted.data, 40, seed=fitted.seed)
    title = "mean of p(x | z) at draws from a normal fitted to the codes"
    return plots.image_grid(fitted.shown(images), title=title)


@figure(
    "components", "The mixture's component means.", needs.MIXTURE, needs.IMAGES, in_report=True
)
def _components(fitted: Fitted) -> Figure:
    means = fitted.model.component_means().detach()
    return plots.image_grid(fitted.shown(means), title="component means")


@figure(
    "reconstructions",
    "Test data and their reconstructions.",
    needs.CODES,
    needs.IMAGES,
    in_report=True,
)
def _reconstructions(fitted: Fitted) -> Figure:
    x, given = fitted.x[:10], fitted.given(slice(10))
    decoded = reconstruct(fitted.model, {"x": x, **given})
    return plots.reconstructions(fitted.seen(slice(10)), fitted.shown(decoded))


_WALKED = (needs.CODES, needs.IMAGES)


@figure(
    "interpolation",
    "Walks in the latent space between the codes of two test data. Straight lines, and arcs "
    "along which the direction turns evenly.",
    *_WALKED,
    in_report=True,
)
def _interpolation(fitted: Fitted) -> Figure:
    paths = {}
    for path in ("straight", "spherical"):
        # Codes may be opposite, as they often are on a line: there is no arc to show.
        with contextlib.suppress(DataError):
            lines = [
                interpolate(fitted.model, fitted.x[pair], path=path, given=fitted.given(pair))
                for pair in different_pairs(fitted.data)
            ]
            paths[path] = fitted.shown(torch.stack(lines))
    return plots.path_comparison(paths)


@figure(
    "morph",
    "One test datum turning into the next, with the data themselves at both ends.",
    *_WALKED,
)
def _morph(fitted: Fitted) -> Figure:
    rows = one_of_each(fitted.data)[:5]
    images = morph(fitted.model, fitted.x[rows], given=fitted.given(rows))
    return plots.morph_strip(fitted.seen(rows), fitted.shown(images))


@figure(
    "manifold",
    "Means of p(x | z) over the latent plane, at quantiles of a normal.",
    *_WALKED,
    needs.PLANE,
    in_report=True,
)
def _manifold(fitted: Fitted) -> Figure:
    if isinstance(Facts(fitted.model).prior, StandardNormal):
        plane = manifold(fitted.model, given=fitted.given(slice(1)))
    else:
        plane = manifold(fitted.model, x=fitted.x, given=fitted.given())
    return plots.manifold_grid(fitted.shown(plane.images), plane.z.numpy())


@figure(
    "traversals",
    "Means of p(x | z) as one coordinate of a test datum's code moves. The coordinates whose "
    "codes vary most come first.",
    *_WALKED,
    needs.LONGER_CODES,
    in_report=True,
)
def _traversals(fitted: Fitted) -> Figure:
    ten = traverse(fitted.model, fitted.x, given=fitted.given())
    images = fitted.shown(ten.images[:10])
    return plots.traversals(images, ten.dimensions[:10], ten.values.numpy())


@figure(
    "latent",
    "Codes of the test data, one mark a datum. The class is in a disc at its mean or tied to it; "
    "of more than 2,000 data the first are shown.",
    needs.CODES,
    in_report=True,
)
def _latent(fitted: Fitted) -> Figure:
    shown = slice(_LATENT_DATA)
    labels = None if fitted.data.labels is None else fitted.data.labels["test"][shown].numpy()
    drawn = needs.DRAWN_GUIDE.refusal(fitted) is None
    return plots.latent_scatter(fitted.codes[shown].numpy(), labels=labels, means=drawn)


@figure(
    "codes",
    "How often each code of the codebook stands for something in the test data. The perplexity "
    "is the number of codes in effective use.",
    needs.CODEBOOK,
    in_report=True,
)
def _codes(fitted: Fitted) -> Figure:
    return plots.code_usage(fitted.model.usage(fitted.x).numpy())


@figure(
    "holes",
    "Decoded mid-points between codes and decoded draws around them, beside real data. A density "
    "of real data judges them, and the distance to the nearest training datum.",
    *_WALKED,
    needs.NO_CONDITION,
)
def _holes(fitted: Fitted) -> Figure:
    reference = hole_reference(fitted.data, seed=fitted.seed)
    scores = measure_holes(fitted.model, fitted.data, reference, seed=fitted.seed)
    return plots.hole_scores({fitted.name: scores})


@figure(
    "mutual-information",
    "What each latent dimension tells of each known factor of the training data. The gap of a "
    "factor is the lead of the dimension that tells most of it, as a share of its entropy.",
    needs.ENCODER,
    needs.NO_CONDITION,
    needs.FACTORS,
    in_report=True,
)
def _mutual_information(fitted: Fitted) -> Figure:
    found = inference.latents.mutual_information_gap(
        fitted.model, fitted.data.epoch_train(0), fitted.factors, seed=fitted.seed
    )
    return plots.mutual_information_matrix(found)


_E_STEP = (needs.DRAWN_GUIDE, needs.OWN_GUIDE)


@figure(
    "e-step",
    "L_b of the first test datum while a guide of its own is trained. The model is held fixed, "
    "so log p(x) stays.",
    *_E_STEP,
)
def _e_step(fitted: Fitted) -> Figure:
    return e_step_curve(_guide_view(fitted))


@figure(
    "e-step-bars",
    "L_b and the KL of the first test datum, with the encoder's guide and with its own. Together "
    "they are log p(x), which the guide does not move.",
    *_E_STEP,
)
def _e_step_bars(fitted: Fitted) -> Figure:
    return e_step_bars(_guide_view(fitted))


def e_step_curve(view: GuideView) -> Figure:
    """L_b over the steps of an E-step, and log p(x), which stays."""
    return plots.guide_phase(
        view.elbo,
        before=view.before.elbo.value,
        after=view.after.elbo.value,
        log_evidence=view.after.log_evidence.value,
    )


def e_step_bars(view: GuideView) -> Figure:
    """L_b and the KL before and after an E-step."""
    # log p(x) is one number: the trained guide is the better proposal for it.
    evidence = view.after.log_evidence.value
    elbos = [view.before.elbo.value, view.after.elbo.value]
    return plots.evidence_bars(
        ["encoder's guide", "its own guide"],
        [evidence] * 2,
        elbos,
        [evidence - elbo for elbo in elbos],
    )


def _guide_view(fitted: Fitted) -> GuideView:
    """The E-step of the first test datum, in float64."""
    one: Any = one_datum(fitted.test if fitted.model.inputs else fitted.x, 0)
    model, one = in_double(fitted.model.evidence_model, one)
    before = derivation_of(model, one, num_particles=_E_STEP_PARTICLES, seed=fitted.seed)
    return e_step_view(model, one, before, steps=_E_STEPS, known=lambda: known_of(model, one))
