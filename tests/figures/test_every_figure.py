"""Every figure of the registry: labelled, within its canvas, written whole, the same twice."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import stats

from pyro_vae import data, fit, inference, plots
from pyro_vae.disk.runs import Run
from pyro_vae.errors import ProgramError, RunError, UnknownNameError
from pyro_vae.figures import (
    FIGURES,
    Fitted,
    figure_named,
    of_runs,
    of_runs_with_holes,
    of_toy,
    report_figures,
)
from pyro_vae.figures import fitted as fitted_runs
from pyro_vae.models import VAE, VQVAE, Autoencoder, MixtureModel
from pyro_vae.models.condition import Labels
from pyro_vae.models.guides import MixtureOfNormals
from pyro_vae.models.likelihoods import Binomial, PerColumn
from pyro_vae.networks import Unamortised
from pyro_vae.pages import report
from pyro_vae.pages.report import save_figures
from pyro_vae.pictures.paths import grid_of_quantiles, spherical, straight
from pyro_vae.stored.measured import measure_run
from tests.cases import a_few_always
from tests.data.tables import COLUMNS, mixed
from tests.tolerances import STANDARD_ERRORS


def small():
    return {"likelihood": Binomial(16), "encoder": (16,), "decoder": (16,)}


#: The model that each figure is drawn of.
OF_RUN = {
    "draws": "autoencoder",
    "codes": "vq",
    "components": "mixture",
    "manifold": "plane",
    "mutual-information": "sprites",
    "marginals": "table",
    "pairs": "table",
    "missing-cells": "holed",
    "imputations": "holed",
}
#: Figures of different kinds that take no time; the others are slow.
ALWAYS = [
    *("training", "samples", "draws", "components", "reconstructions", "interpolation"),
    *("missing-cells", "toy-densities"),
]
TOYS = [name for name, entry in FIGURES.items() if not entry.of_run]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A tiny run of each kind, the VAE with an evaluation."""
    digits, sprites = data.load("digits"), data.load("sprites")
    path = tmp_path_factory.mktemp("table") / "table.csv"
    mixed(60).to_csv(path, index=False)
    table = data.read(path, columns=COLUMNS)
    holed = data.read(path, columns=COLUMNS, hide="cells(share=0.3)")
    models = {
        "vae": (VAE((8, 8), 4, **small()), digits),
        "plane": (VAE((8, 8), 2, **small()), digits),
        "line": (VAE((8, 8), 1, **small()), digits),
        "conditional": (VAE((8, 8), 3, condition=Labels(10), **small()), digits),
        "sprites": (VAE((16, 16), 3, **small()), sprites),
        "autoencoder": (Autoencoder((8, 8), 3, **small()), digits),
        "vq": (VQVAE((8, 8), 8, 2, 3, **small()), digits),
        "mixture": (MixtureModel(4, Binomial(16), (8, 8)), digits),
        "holed": (
            VAE(
                holed.event_shape,
                2,
                likelihood=PerColumn(holed.schema.likelihoods),
                missing="mask",
            ),
            holed,
        ),
        "holed images": (
            VAE((8, 8), 2, missing="zeros", **small()),
            data.load("digits", hide="quadrant"),
        ),
        "table": (
            VAE(table.event_shape, 2, likelihood=PerColumn(table.schema.likelihoods)),
            table,
        ),
    }
    folder, found = tmp_path_factory.mktemp("runs"), {}
    for name, (model, dataset) in models.items():
        size = min(256, len(dataset.train))
        fit(model, dataset, epochs=2, batch_size=size, run=folder / name, progress=False)
        run = Run.open(folder / name)
        if name == "vae":
            measure_run(run, num_particles=50, limit=30)
        found[name] = Fitted.from_run(run)
    return found


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(report, "_SLIDE_DPI", 72)
    monkeypatch.setattr(of_runs, "_LADDER_DATA", 10)
    monkeypatch.setattr(of_runs, "_LADDER_PARTICLES", 16)
    monkeypatch.setattr(of_runs, "_SNR_PARTICLES", (1, 4))
    monkeypatch.setattr(of_runs, "_SNR_REPEATS", 5)
    monkeypatch.setattr(of_runs, "_E_STEP_PARTICLES", 50)
    monkeypatch.setattr(of_runs, "_E_STEPS", 20)
    monkeypatch.setattr(of_runs, "_SIMULATIONS", 100)
    monkeypatch.setattr(of_runs_with_holes, "_PARTICLES", 20)
    monkeypatch.setattr(fitted_runs, "HOLED_ROWS", 10)
    monkeypatch.setattr(of_toy, "_STEPS", 20)
    monkeypatch.setattr(of_toy, "_PHASE", 10)
    monkeypatch.setattr(of_toy, "_RANGE", {"num_particles": (1, 4), "repeats": 20})
    monkeypatch.setattr(of_toy, "_SIMULATIONS", 200)
    monkeypatch.setattr(of_toy, "_LADDER_PARTICLES", 32)


def named(ticks):
    """Whether the ticks of an axis are words, which say themselves what they are."""
    texts = [tick.get_text() for tick in ticks if tick.get_text()]
    words = [re.search(r"[a-z]{2}", re.sub(r"\$.*?\$", "", text)) for text in texts]
    return all(word or text.startswith("$z_") for word, text in zip(words, texts, strict=True))


def unlabelled(figure):
    """Axes of data without a label, neither of their own nor of those that share them."""
    missing = []
    for ax in figure.axes:
        if not (ax.axison and ax.has_data()):
            continue
        for way, label, ticks, shared, whole in (
            ("x", ax.get_xlabel, ax.get_xticklabels, ax.get_shared_x_axes(), figure._supxlabel),
            ("y", ax.get_ylabel, ax.get_yticklabels, ax.get_shared_y_axes(), figure._supylabel),
        ):
            others = [getattr(one, f"get_{way}label")() for one in shared.get_siblings(ax)]
            shown = [tick for tick in ticks() if tick.get_visible() and tick.get_text()]
            if shown and not (label() or any(others) or whole is not None or named(shown)):
                missing.append((way, ax))
    return missing


def outside(figure):
    """How far, in pixels, what is drawn reaches over each edge of the canvas."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(canvas.get_renderer()), figure.get_size_inches()
    over = np.array([-drawn.x0, -drawn.y0, drawn.x1 - width, drawn.y1 - height]) * figure.dpi
    return over.clip(0).round(1)


def drawn(name, fitted):
    entry = FIGURES[name]
    return entry.draw(fitted[OF_RUN.get(name, "vae")]) if entry.of_run else entry.draw_toy(3)


@a_few_always("name", FIGURES, ALWAYS)
def test_it_is_labelled_within_its_canvas_and_written_the_same_twice(name, fitted, tmp_path):
    figure = drawn(name, fitted)
    first = save_figures(figure, tmp_path, name)
    assert [path.name for path in first] == [f"{name}.pdf", f"{name}.png"]
    before = [path.read_bytes() for path in first]
    assert before[0].startswith(b"%PDF")
    assert before[1].startswith(b"\x89PNG")
    # Fonts are embedded as TrueType, and no time is kept.
    assert b"/Type3" not in before[0]
    assert b"/FontFile2" in before[0] or not figure.findobj(Text)
    assert b"CreationDate" not in before[0]
    again = save_figures(drawn(name, fitted), tmp_path, name)
    assert [path.read_bytes() for path in again] == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.pdf", f"{name}.png"]
    assert figure.axes
    assert outside(figure).max() < 1
    assert unlabelled(figure) == []


def test_the_checks_find_what_they_are_for():
    figure = Figure(figsize=(3, 2), layout="constrained")
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1])
    figure.text(0.95, 0.5, "over the edge")
    left, bottom, right, top = outside(figure)
    assert right > 20
    assert max(left, bottom, top) < 1
    assert [way for way, _ in unlabelled(figure)] == ["x", "y"]
    ax.set(xlabel="x", ylabel="y")
    assert unlabelled(figure) == []
    ax.set(xlabel="", xticks=[0, 1], xticklabels=["before", "after"])
    assert unlabelled(figure) == []


#: What each model cannot give, and the error's type and words.
REFUSED = [
    ("vae", "manifold", ProgramError, "length 4; take the figure 'traversals'"),
    ("plane", "traversals", ProgramError, "length 2; take the figure 'manifold'"),
    ("vae", "draws", ProgramError, "'samples'"),
    ("vae", "components", ProgramError, "model is a VAE"),
    ("vae", "mutual-information", ProgramError, "sprites"),
    ("plane", "iwae", RunError, "pyro-vae evaluate"),
    ("plane", "gap", RunError, "pyro-vae evaluate"),
    ("conditional", "holes", ProgramError, "given labels"),
    ("autoencoder", "samples", ProgramError, "'draws'"),
    ("autoencoder", "iwae", ProgramError, "Autoencoder"),
    ("autoencoder", "e-step", ProgramError, "Autoencoder"),
    ("vq", "ladder", ProgramError, "point mass"),
    ("vq", "snr", ProgramError, "point mass"),
    ("mixture", "latent", ProgramError, "number of a component"),
    ("mixture", "ladder", ProgramError, "MixtureModel"),
]


@pytest.mark.parametrize(("model", "name", "kind", "words"), REFUSED)
def test_what_a_model_cannot_give_is_refused(model, name, kind, words, fitted):
    with pytest.raises(kind, match=re.escape(words)) as caught:
        FIGURES[name].draw(fitted[model])
    assert type(caught.value) is kind


def test_an_unknown_name():
    with pytest.raises(UnknownNameError, match="Did you mean 'manifold'"):
        figure_named("manyfold")


def test_figures_show_the_data_and_the_model(fitted):
    """The arrays on the axes, found again without the registry."""
    seen = fitted["vae"]
    ax = FIGURES["reconstructions"].draw(seen).axes[0]
    canvas = np.asarray(ax.images[0].get_array())
    np.testing.assert_array_equal(canvas[:8, 9:17], seen.data.test[1].numpy())
    with torch.no_grad():
        mean = seen.model.decode(seen.model.code(seen.data.test[1:2]))[0]
    np.testing.assert_allclose(canvas[9:17, 9:17], mean.numpy(), rtol=1e-5)
    canvas = np.asarray(FIGURES["morph"].draw(seen).axes[0].images[0].get_array())
    labels = seen.data.labels["test"]
    for row in range(4):
        first = seen.data.test[int((labels == row).nonzero()[0])]
        np.testing.assert_array_equal(canvas[9 * row : 9 * row + 8, :8], first.numpy())


def test_curves_are_named_by_what_was_trained(fitted, tmp_path):
    digits = data.load("digits")
    folder = tmp_path / "beta"
    fit(
        VAE((8, 8), 2, **small()),
        digits,
        "beta-elbo(beta=4)",
        epochs=2,
        batch_size=256,
        run=folder,
        progress=False,
    )
    (ax,) = FIGURES["training"].draw(Fitted.from_run(Run.open(folder))).axes
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts[:2] == ["training, beta-elbo(beta=4)", "validation, ELBO"]
    for name, quantity in {
        "vae": "ELBO",
        "autoencoder": "log p(x | z)",
        "mixture": "log p(x)",
    }.items():
        (ax,) = FIGURES["training"].draw(fitted[name]).axes
        assert ax.get_ylabel() == f"{quantity} (nats per datum)"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"latent_dim": 1}, "a gap needs two dimensions"),
        ({"guide": MixtureOfNormals(2)}, "must be normal"),
        ({"condition": Labels(3)}, "a model of x alone"),
        ({"encoder": Unamortised(840)}, "an encoder"),
    ],
    ids=["a line", "a mixture", "conditional", "unamortised"],
)
def test_the_report_leaves_out_factors_that_no_dimension_can_be_held_against(settings, words):
    sprites = data.load("sprites")
    model = VAE((16, 16), **{**small(), "latent_dim": 2, **settings})
    metrics = pd.DataFrame({"epoch": [1], "train_elbo": [-1.0], "validation_elbo": [-1.0]})
    seen = Fitted("run", model.eval(), sprites, metrics, None)
    assert "mutual-information" not in report_figures(seen)
    with pytest.raises(ProgramError, match=words):
        figure_named("mutual-information").draw(seen)


def test_the_report_leaves_out_what_it_did(fitted):
    names = {
        "vae": "training iwae gap samples reconstructions interpolation traversals latent",
        "plane": "training samples reconstructions interpolation manifold latent",
        "autoencoder": "training draws reconstructions interpolation traversals latent",
        "mixture": "training samples components",
    }
    for name, expected in names.items():
        assert list(report_figures(fitted[name])) == expected.split()


def test_one_dimension_has_no_second_axis(fitted):
    (ax,) = FIGURES["latent"].draw(fitted["line"]).axes
    assert ax.get_xlabel() == "E[$z_1$ | x]"
    assert len(ax.get_yticks()) == 0


def test_the_toy_shows_its_closed_forms():
    """x = -2, w = 1.5, b = 0.5, s = 0.8; guide N(0.4 x - 0.1, 0.7)."""
    variance = 1.5**2 + 0.8**2
    evidence = -0.5 * (np.log(2 * np.pi * variance) + 2.5**2 / variance)
    mean, sd = 1.5 * -2.5 / variance, 0.8 / variance**0.5
    kl = np.log(sd / 0.7) + (0.7**2 + (-0.9 - mean) ** 2) / (2 * sd**2) - 0.5
    densities = FIGURES["toy-densities"].draw_toy(0).axes[0]
    assert f"{kl:.2f} nats" in densities.get_title()
    z, height = densities.lines[2].get_data()
    assert z[height.argmax()] == pytest.approx(mean, abs=0.02)
    bound = FIGURES["toy-bound"].draw_toy(0).axes[0]
    means, elbo = bound.lines[1].get_data()
    np.testing.assert_allclose(elbo, evidence - (means - mean) ** 2 / (2 * sd**2))
    weights = FIGURES["toy-weights"].draw_toy(0).axes[0]
    lines = [line.get_xdata()[0] for line in weights.lines]
    np.testing.assert_allclose(lines, [evidence - kl, evidence])


def arguments_of(monkeypatch, plot, draw):
    """What a figure gives to the function that plots it."""
    seen = []
    monkeypatch.setattr(plots, plot, lambda *given, **named: seen.append((given, named)))
    draw()
    (found,) = seen
    return found


def test_bars_and_steps_of_a_datum_are_in_their_order(fitted, monkeypatch):
    """L_b of the encoder's guide by 4,000 draws of the model in float32; 50 in the figure."""
    seen = fitted["vae"]
    before = inference.evaluate((seen.model.model, seen.model.guide), seen.x[:1], 4000)
    spread = float(before["elbo_se"][0]) * math.sqrt(4000 / 50 + 1)
    draw = FIGURES["e-step-bars"].draw
    bars, _ = arguments_of(monkeypatch, "evidence_bars", lambda: draw(seen))
    labels, evidence, elbo, kl = bars
    assert labels == ["encoder's guide", "its own guide"]
    assert abs(elbo[0] - float(before["elbo"][0])) < STANDARD_ERRORS * spread
    np.testing.assert_allclose(np.add(elbo, kl), evidence)
    assert min(kl) > 0
    draw = FIGURES["e-step"].draw
    (steps,), named = arguments_of(monkeypatch, "guide_phase", lambda: draw(seen))
    assert len(steps) == 20
    assert named == {"before": elbo[0], "after": elbo[1], "log_evidence": evidence[0]}


def test_walks_are_along_the_path_that_they_are_named_by(fitted, monkeypatch):
    seen = fitted["vae"]
    draw = FIGURES["interpolation"].draw
    (paths,), _ = arguments_of(monkeypatch, "path_comparison", lambda: draw(seen))
    labels = seen.data.labels["test"]
    ends = [int((labels == label).nonzero()[0]) for label in (0, 9)]
    with torch.no_grad():
        codes = seen.model.code(seen.data.test[ends])
        for name, path in (("straight", straight), ("spherical", spherical)):
            expected = seen.model.decode(path(*codes, 9))
            np.testing.assert_allclose(paths[name][0], expected, rtol=1e-4)
    assert list(paths) == ["straight", "spherical"]


def test_the_plane_is_that_of_the_prior(fitted, monkeypatch):
    draw = FIGURES["manifold"].draw
    (_, z), _ = arguments_of(monkeypatch, "manifold_grid", lambda: draw(fitted["plane"]))
    np.testing.assert_allclose(z, grid_of_quantiles(15))


def test_holes_are_judged_on_the_unit_interval(fitted, monkeypatch):
    seen, digits = fitted["vae"], data.load("digits")
    given = {}

    def fit_reference(images, **settings):
        given["images"] = images
        return "the reference"

    def hole_test(model, train, test, **settings):
        given.update(settings, train=train, test=test)
        return "scores"

    monkeypatch.setattr(inference.latents, "fit_reference", fit_reference)
    monkeypatch.setattr(inference.latents, "hole_test", hole_test)
    draw = FIGURES["holes"].draw
    (scores,), _ = arguments_of(monkeypatch, "hole_scores", lambda: draw(seen))
    assert scores == {"vae": "scores"}
    torch.testing.assert_close(given["images"], digits.train / 16)
    assert given["reference"] == "the reference"
    assert given["scale"] == 1 / 16
    for split in ("train", "test"):
        assert torch.equal(given[split], getattr(digits, split))
    assert torch.equal(given["labels"], digits.labels["test"])


def test_factors_are_those_of_their_names(fitted):
    sprites = data.load("sprites")
    known = fitted["sprites"].factors
    assert list(known) == ["shape", "size", "x", "y"]
    assert torch.equal(known["shape"].long(), sprites.labels["train"])
    ink = sprites.train.double() / sprites.train.double().sum((1, 2), keepdim=True)
    middle = torch.arange(16).double() + 0.5
    for name, side in (("x", 1), ("y", 2)):
        torch.testing.assert_close((ink.sum(side) * middle).sum(1), 3.5 + known[name].double())


def test_the_toy_has_its_evidence_and_what_training_does_to_it(monkeypatch):
    """x = -2 under w = 1.5, b = 0.5, s = 0.8; data from N(-1, 2)."""
    deviation = math.hypot(1.5, 0.8)
    evidence = stats.norm(0.5, deviation).logpdf(-2)
    draw = FIGURES["toy-bars"].draw_toy
    bars, _ = arguments_of(monkeypatch, "evidence_bars", lambda: draw(0))
    labels, log_px, elbo, kl = bars
    assert labels == ["before training", "after training"]
    assert log_px[0] == pytest.approx(evidence)
    posterior = stats.norm(1.5 * -2.5 / deviation**2, 0.8 / deviation)
    guide = stats.norm(-0.9, 0.7)
    exact = guide.expect(lambda z: guide.logpdf(z) - posterior.logpdf(z))
    assert kl[0] == pytest.approx(exact, abs=1e-6)
    assert kl[1] < kl[0] / 2
    # 5,000 draws, of which log w has a standard deviation below 10.
    assert np.abs(np.add(elbo, kl) - log_px).max() < STANDARD_ERRORS * 10 / math.sqrt(5000)
    draw = FIGURES["toy-ladder"].draw_toy
    _, named = arguments_of(monkeypatch, "bound_ladder", lambda: draw(0))
    mean = stats.norm(0.5, deviation).logpdf(of_toy.toy_data(0)).mean()
    assert named["exact"] == pytest.approx(mean)


def test_registry_and_page_agree():
    page = (Path(__file__).parents[2] / "docs" / "figures.md").read_text()
    listed = re.findall(r"^\| `([a-z-]+)` \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    entries = FIGURES.values()
    assert listed == [(e.name, e.shows.replace("|", r"\|"), e.needs_text) for e in entries]


def test_the_first_datum_of_the_toy_is_an_ordinary_one():
    x = of_toy.toy_data()
    far = (x - x.median()).abs()
    assert far[0] == 0
    assert (far.diff() >= 0).all()
    assert len(x.unique()) == of_toy.TOY_SIZE


def test_imputations_of_images_show_what_was_there(fitted):
    for name in ("holed images", "holed"):
        figure = FIGURES["imputations"].draw(fitted[name])
        assert outside(figure).max() < 1
        assert unlabelled(figure) == []
    rows = of_runs_with_holes._some_images
    run = fitted["holed images"]
    results = inference.impute(run.model, {k: v[:3] for k, v in run.test.items()}, 20, draws=4)
    found = rows(results, run.data, np.arange(3))
    whole = data.load("digits").test[:3].numpy()
    assert np.array_equal(found["truth"], whole)
    there = run.data.observed["test"][:3].numpy()
    assert np.array_equal(np.isnan(found["seen"]), ~there)
    assert np.array_equal(found["draws"][:, there], np.tile(whole[there], (4, 1)))


def test_a_run_of_whole_data_is_shown_with_its_lower_half_hidden(fitted):
    model = VAE((8, 8), 2, missing="mask", **small())
    run = replace(fitted["vae"], model=model)
    figure = FIGURES["imputations"].draw(run)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()][-1] == "truth"
    with pytest.raises(ProgramError, match=r"a model for missing cells: .* of whole data"):
        FIGURES["imputations"].draw(fitted["vae"])
    with pytest.raises(ProgramError, match="missing cells: every cell of digits is there"):
        FIGURES["missing-cells"].draw(fitted["vae"])


def test_whole_rows_of_a_table_have_no_imputations(fitted):
    """Whatever the training data lack: the report goes on without the figure."""
    run = fitted["holed"]
    masks = {split: torch.ones_like(mask) for split, mask in run.data.observed.items()}
    masks["train"] = run.data.observed["train"]
    whole = replace(run, data=replace(run.data, observed=masks))
    with pytest.raises(ProgramError, match="no column of its test data has both"):
        FIGURES["imputations"].draw(whole)
    masks["test"] = torch.zeros_like(masks["test"])
    with pytest.raises(ProgramError, match="no column of its test data has both"):
        FIGURES["imputations"].draw(replace(run, data=replace(run.data, observed=masks)))
    assert "imputations" not in report_figures(whole)
