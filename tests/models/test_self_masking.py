"""Missing not at random: log p(x, m) and its gradients against quadrature, and what it is for."""

import json
import math

import numpy as np
import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive

from pyro_vae import load_model
from pyro_vae.data import Dataset
from pyro_vae.errors import (
    ComparisonError,
    ProgramError,
    PyroVAEError,
    SettingError,
    UnknownNameError,
)
from pyro_vae.inference import compare, evaluate, fit
from pyro_vae.inference.checking import sbc_ranks, simulator
from pyro_vae.inference.engine import log_weights
from pyro_vae.inference.engine.sampling import Sampling
from pyro_vae.inference.engine.weights import stream_draws
from pyro_vae.inference.evidence import ais
from pyro_vae.inference.training import objective_named
from pyro_vae.models import VAE, model_from_config
from pyro_vae.models.likelihoods import Gamma, MultivariateNormal, Normal, PerColumn, Poisson
from pyro_vae.models.likelihoods.cells import cells_of
from pyro_vae.models.mechanisms import Mechanism, SelfMasking
from pyro_vae.models.priors import CategoricalNormal
from tests.cases import a_few_always
from tests.models.self_masking_oracle import Story, given_z, log_prob, standard_errors
from tests.tolerances import STANDARD_ERRORS

CHOSEN = [0, 2]
ONE = torch.zeros(1, dtype=torch.double)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def doubles(*values):
    return torch.tensor(values, dtype=torch.double)


STORY = Story(
    weight=doubles(0.9, 0.7, -0.8),
    bias=doubles(0.5, -0.2, 0.1),
    scale=doubles(0.6, 0.5, 0.8),
    intercept=doubles(0.4, -0.3),
    slope=doubles(-1.5, 0.8),
)


def linear(columns=CHOSEN, slope="learned", mechanism=True, story=STORY, scale="per-feature"):
    """A VAE of the story, with an encoder that knows nothing of it."""
    model = VAE(
        (3,),
        1,
        likelihood=Normal(scale),
        encoder=(6,),
        decoder=(),
        missing="mask",
        mechanism=SelfMasking(columns, slope) if mechanism else None,
        seed=2,
    ).double()
    with torch.no_grad():
        model.decoder.output.weight.copy_(story.weight.unsqueeze(1))
        model.decoder.output.bias.copy_(story.bias)
        model.likelihood.sigma.raw.copy_(model.likelihood.sigma.invert(story.scale))
        if mechanism:
            model.mechanism.intercept.copy_(story.intercept[: len(model.mechanism.chosen)])
            if slope == "learned":
                model.mechanism.raw.copy_(story.slope[: len(model.mechanism.chosen)])
    model.initialised = True
    return model


def from_the_prior(model):
    """The model with a guide that is about the prior: weights are then bounded."""
    with torch.no_grad():
        model.encoder.output.weight.mul_(0.3)
        model.encoder.output.bias.copy_(doubles(0.0, 0.54))
    return model


def story_of(model):
    """The parameters of a model, through which gradients go."""
    return Story(
        model.decoder.output.weight.flatten(),
        model.decoder.output.bias,
        model.likelihood.sigma(ONE),
        model.mechanism.intercept,
        model.mechanism.slopes,
    )


def data(rows=6, seed=1, value=float("nan")):
    """Rows of the story, of which one is whole and another empty, with holes in column 1 too."""
    x, observed = STORY.simulate(rows, CHOSEN, seeded(seed))
    observed[2:, 1] = torch.rand(rows - 2, generator=seeded(seed)) > 0.3
    observed[0], observed[1] = True, False
    return torch.where(observed, x, value), observed


def named(rows=6, **settings):
    x, observed = data(rows, **settings)
    return {"x": x, "observed": observed}


# A slope of 0 is missingness at random


@pytest.mark.slow
def test_with_slope_zero_the_weights_are_those_of_the_plain_model_times_p_of_the_mask():
    """To rounding, particle by particle: z is drawn first, so that it is the same."""
    given = named(40)
    plain, masked = linear(mechanism=False), linear(slope=0.0)
    a = log_weights(plain.model, plain.guide, given, 300, seed=3)
    b = log_weights(masked.model, masked.guide, given, 300, seed=3)
    there = given["observed"][:, CHOSEN].double()
    logit = STORY.intercept
    constant = (there * logit - logit.exp().log1p()).sum(1)
    torch.testing.assert_close(b - constant, a, rtol=0.0, atol=1e-10)
    # Other draws: the means over the data within 5 of their standard errors.
    one, other = (evaluate(m, given, 4000, seed=s) for s, m in enumerate((plain, masked)))
    difference = other["elbo"].values - constant.numpy() - one["elbo"].values
    error = np.hypot(one["elbo_se"].values, other["elbo_se"].values)
    assert abs(difference.sum()) < STANDARD_ERRORS * math.sqrt((error**2).sum())


# Log p(x, m)


@a_few_always("columns", [CHOSEN, [2], [2, 0]])
def test_log_p_is_that_of_quadrature(columns):
    """Within 5 standard errors of each datum, seed 0; half of the draws are from the prior."""
    model, given = linear(columns), named(8)
    with torch.no_grad():
        exact = log_prob(story_of(model), given["x"], given["observed"], columns).numpy()
    found = evaluate(model, given, 20000, prior_share=0.5)
    error = np.abs(found["log_evidence"].values - exact)
    assert (error < STANDARD_ERRORS * found["log_evidence_se"].values).all()
    assert (found["log_evidence_se"].values < 0.03).all()
    assert "with masks of columns" in found.attrs["base_measure"]


def test_a_whole_datum_tells_of_the_mechanism_too():
    """With x given alone every cell is observed, which has a probability: below 5 SE of 0.02."""
    model, (x, _) = linear(), data()
    whole = torch.ones(4, 3, dtype=torch.bool)
    x = STORY.simulate(4, CHOSEN, seeded(5))[0]
    with torch.no_grad():
        exact = log_prob(STORY, x, whole, CHOSEN)
    for given in (x, {"x": x, "observed": whole}):
        found = evaluate(model, given, 5000, prior_share=0.5)
        np.testing.assert_allclose(found["log_evidence"], exact, atol=0.1)
    plain = evaluate(linear(mechanism=False), x, 5000, prior_share=0.5)
    logit = STORY.intercept + STORY.slope * x[:, CHOSEN]
    terms = torch.nn.functional.logsigmoid(logit).sum(1)
    np.testing.assert_allclose(exact - terms, plain["log_evidence"], atol=0.1)


@pytest.mark.slow
def test_annealing_finds_it_over_both_sites():
    """Within 5 of its standard errors, seed 1."""
    model, given = from_the_prior(linear()), {k: v[1:3] for k, v in named(3).items()}
    with torch.no_grad():
        exact = log_prob(story_of(model), given["x"], given["observed"], CHOSEN).numpy()
    found = ais(model.model, model.guide, given, num_temperatures=60, num_chains=32, seed=1)
    error = found["log_evidence_se"].values
    assert (np.abs(found["log_evidence"].values - exact) < STANDARD_ERRORS * error).all()
    assert (error < 0.1).all()


# Gradients


def gradients(model, objective, given, repeats):
    """Gradients of the objective per datum, ``(repeats, number of parameters)``."""
    found = []
    for seed in range(repeats):
        torch.manual_seed(seed)
        loss = objective.differentiable_loss(model.model, model.guide, **given)
        parts = torch.autograd.grad(-loss, list(model.parameters()), allow_unused=True)
        found.append(flat(model, parts) / len(given["x"]))
    return torch.stack(found)


def flat(model, parts):
    pairs = zip(model.parameters(), parts, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in pairs])


def tiled(given, times):
    return {name: part.repeat(times, 1) for name, part in given.items()}


def hold(found, wanted, room=0.0):
    """Means of gradients over repeats, within 5 of their standard errors."""
    error = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - wanted).abs() <= STANDARD_ERRORS * error + room + 1e-12).all()
    # The test can fail: what is held is far from zero.
    assert (wanted.abs() > 10 * error + room).sum() >= 6


def filled(given):
    return {**given, "x": torch.where(given["observed"], given["x"], 0.0)}


def exact_elbo(model, given):
    """L(q; x, m) per datum, its integrals by Gauss and Hermite."""
    q = model.posterior(given["x"], observed=given["observed"]).base_dist
    nodes, weights = (torch.as_tensor(part) for part in np.polynomial.hermite_e.hermegauss(40))
    z = q.loc + q.scale * nodes
    terms = given_z(story_of(model), given["x"], given["observed"], CHOSEN, z, drawn=True)
    kl = 0.5 * (q.loc**2 + q.scale**2 - 1) - q.scale.log()
    return terms @ weights / math.sqrt(2 * math.pi) - kl.squeeze(-1)


@pytest.mark.parametrize("name", ["elbo", "mean-field-elbo", "stl"])
def test_gradients_of_the_elbo(name):
    """All parameters', within 5 standard errors of 20 means over 400 draws, seeds 0 to 19."""
    model, given = from_the_prior(linear()), filled(named(6))
    exact = exact_elbo(model, given).mean()
    wanted = flat(model, torch.autograd.grad(exact, list(model.parameters())))
    hold(gradients(model, objective_named(name), tiled(given, 400), 20), wanted)


@a_few_always("name", ["iwae-1000", "dreg-1000", "rws-1000"])
def test_gradients_of_the_model_with_many_particles(name):
    """Those of log p(x, m), within 5 standard errors and 0.004 for the bias of 1000 particles.

    The encoder's are left out: reweighted wake-sleep trains it for another objective.
    """
    model, given = from_the_prior(linear()), filled(named(6))
    model.encoder.requires_grad_(False)
    exact = log_prob(story_of(model), given["x"], given["observed"], CHOSEN).mean()
    mine = [p for p in model.parameters() if p.requires_grad]
    wanted = torch.cat([part.flatten() for part in torch.autograd.grad(exact, mine)])
    found = []
    for seed in range(20):
        torch.manual_seed(seed)
        many = tiled(given, 4)
        loss = objective_named(name).differentiable_loss(model.model, model.guide, **many)
        parts = torch.autograd.grad(-loss / len(many["x"]), mine)
        found.append(torch.cat([part.flatten() for part in parts]))
    hold(torch.stack(found), wanted, room=0.004)


# What it is for

#: Large values of column 0 go missing, about half of all; the others are whole.
TRUTH = Story(
    weight=doubles(0.9, 0.9, -0.8),
    bias=doubles(0.5, 0.0, 1.0),
    scale=doubles(0.6, 0.5, 0.6),
    intercept=doubles(1.0),
    slope=doubles(-2.0),
)


def fitted(x, observed, mechanism):
    model = VAE(
        (3,),
        1,
        likelihood=Normal("per-feature"),
        missing="mask",
        mechanism=mechanism,
        encoder=(16,),
        decoder=(),
        seed=1,
    )
    given = Dataset.from_tensors(
        torch.where(observed, x, torch.nan).float(), observed=observed, kind="real"
    )
    settings = {"batch_size": 50, "learning_rate": 1e-2, "schedule": "cosine"}
    fit(model, given, "iwae-10", epochs=25, **settings)
    return model


def imputed(model, x, observed):
    """E[x_0 | observed cells and m] of each row by importance weights, ``(n,)``."""
    given = {"x": torch.where(observed, x, 0.0).float(), "observed": observed}
    means = []
    for draws in stream_draws(model.model, model.guide, given, 400, Sampling(seed=0)):
        share = draws.terms.log_weights[:, 0].softmax(0)
        if model.mechanism is None:
            cell = model.decode(draws.values["z"])[:, 0, 0]
        else:
            cell = draws.values["x_missing"][:, 0, 0]
        means.append(share @ cell.detach().double())
    return torch.stack(means)


@pytest.mark.slow
def test_the_mean_of_a_column_that_masks_itself_is_found_and_not_without_a_mechanism():
    """Within 5 standard errors of maximum likelihood, of 2000 rows of seed 1; else 8 away.

    What is imputed is right on average, within 5 standard errors of 300 rows, or 5 too low.
    """
    x, observed = TRUTH.simulate(2000, [0], seeded(1))
    error = standard_errors(TRUTH, x, observed, [0])
    holes = torch.nonzero(~observed[:, 0]).squeeze(1)[:300]
    found = {}
    for name, mechanism in (
        ("at random", None),
        ("known", SelfMasking([0], -2.0)),
        ("learned", SelfMasking([0], "negative")),
    ):
        model = fitted(x, observed, mechanism)
        bias = float(model.decoder.output.bias.detach()[0]) - float(TRUTH.bias[0])
        rest = imputed(model, x[holes], observed[holes]) - x[holes, 0]
        standard_error = rest.std() / len(rest) ** 0.5
        found[name] = (bias / float(error.bias[0]), float(rest.mean() / standard_error))
        if name == "learned":
            slope = float(model.mechanism.slopes.detach()[0])
            assert abs(slope + 2.0) < STANDARD_ERRORS * float(error.slope[0])
            assert slope < -8 * float(error.slope[0])
    assert found["at random"][0] < -8
    assert found["at random"][1] < -STANDARD_ERRORS
    for name in ("known", "learned"):
        assert max(map(abs, found[name])) < STANDARD_ERRORS, found


# The sites


def sites(program, *args, **kwargs):
    trace = poutine.trace(program).get_trace(*args, **kwargs)
    found = {n: s for n, s in trace.nodes.items() if s["type"] == "sample" and n != "data"}
    assert all([f.name for f in s["cond_indep_stack"]] == ["data"] for s in found.values())
    return found


def table():
    return PerColumn([Normal(), "bernoulli", Gamma(), "categorical(num_classes=3)"])


def small(likelihood=None, columns=None, slope="learned", **settings):
    settings = {"missing": "mask", "mechanism": SelfMasking(columns, slope), **settings}
    return VAE(
        (4,), 2, likelihood=likelihood or Normal(), encoder=(5,), decoder=(5,), seed=3, **settings
    )


def of_table(rows=40, seed=0):
    """Rows of a mixed table, with holes."""
    x = torch.rand(rows, 4, generator=seeded(seed)) + 0.1
    x[:, 1], x[:, 3] = (x[:, 1] > 0.6).float(), (3 * x[:, 3]).floor().clamp_max(2)
    return x, torch.rand(rows, 4, generator=seeded(seed + 1)) > 0.3


def test_the_programs_have_the_sites_that_are_said():
    model, (x, observed) = small(table(), [2, 0]), of_table(5)
    found = sites(model.model, x, observed=observed)
    assert list(found) == ["z", "x_missing", "x", "observed"]
    assert [n for n, s in found.items() if s["is_observed"]] == ["x", "observed"]
    assert found["x_missing"]["value"].shape == found["observed"]["value"].shape == (5, 2)
    assert torch.equal(found["observed"]["value"], observed[:, [2, 0]].double())
    assert list(sites(model.guide, x, observed=observed)) == ["z", "x_missing"]
    assert list(sites(model.guide, x)) == ["z", "x_missing"]
    drawn = sites(model.model, num_data=7)
    assert list(drawn) == ["z", "x", "observed"]
    assert drawn["x"]["value"].shape == (7, 4)
    assert model.model(num_data=7).shape == (7, 4)
    kept = Predictive(model.model, guide=model.guide, num_samples=6)(x, observed=observed)
    assert kept["x_missing"].shape == (6, 5, 2)


def test_new_data_have_masks_by_their_values():
    """Shares against the sigmoid, within 5 standard errors of 40000 draws, seed 0."""
    model = linear()
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = sites(model.model, num_data=40000)
    x, m = drawn["x"]["value"][:, CHOSEN], drawn["observed"]["value"]
    share = torch.sigmoid(STORY.intercept + STORY.slope * x)
    error = (share * (1 - share)).mean(0).sqrt() / 200
    assert ((m - share).mean(0).abs() < STANDARD_ERRORS * error).all()
    spread = ((m - share) * x).mean(0).abs()
    assert (spread < STANDARD_ERRORS * (share * (1 - share) * x**2).mean(0).sqrt() / 200).all()


@pytest.mark.parametrize("columns", [None, [2, 0]])
def test_draws_and_means_of_x_have_the_drawn_cells(columns):
    model, (x, observed) = small(columns=columns), of_table(5)
    with torch.no_grad():
        guided = poutine.trace(model.guide).get_trace(x, observed=observed)
        program = poutine.replay(model.model, trace=guided)
        found = sites(program, x, observed=observed)
    law, drawn = found["x"]["fn"], guided.nodes["x_missing"]["value"]
    chosen = list(model.mechanism.chosen)
    holes = ~observed[:, chosen]
    for values in (law.mean, law.sample(), law.rsample(), law.sample((3,))[2]):
        assert values.shape == (5, 4)
        assert torch.equal(values[:, chosen][holes], drawn[holes])
        assert not (values[:, chosen] == drawn)[~holes].any()
    assert (law.variance[:, chosen][holes] == 0).all()
    assert (law.variance[:, chosen][~holes] > 0).all()
    rest = [d for d in range(4) if d not in chosen]
    assert torch.equal(law.mean[:, rest], law.whole.mean[:, rest])
    assert law.expand((3, 5)).sample().shape == (3, 5, 4)


@pytest.mark.parametrize("columns", [[0, 1, 2, 3], [2], [3, 0]])
def test_some_columns_of_a_distribution(columns):
    """Density, moments and draws are those of the columns themselves."""
    model = small(Normal("latent")).double()
    whole = model.observation(torch.randn(3, 1, 2, generator=seeded(4)).double())
    part = cells_of(whole, columns)
    value = torch.randn(5, len(columns), generator=seeded(5)).double()
    alone = whole.base_dist
    loc, scale = alone.loc[..., columns], alone.scale[..., columns]
    wanted = torch.distributions.Normal(loc, scale).log_prob(value).sum(-1)
    torch.testing.assert_close(part.log_prob(value), wanted, rtol=1e-10, atol=1e-10)
    torch.manual_seed(1)
    draws = part.rsample()
    torch.manual_seed(1)
    assert torch.equal(draws, whole.rsample()[..., columns])
    assert torch.equal(part.mean, loc)
    assert torch.equal(part.variance, scale**2)
    assert part.expand((2, 3, 1)).sample().shape == (2, 3, 1, len(columns))


# Settings


def test_a_mechanism_starts_at_the_observed_shares():
    x, observed = of_table(200)
    found = []
    for value in (float("nan"), 1e9):
        model = small(columns=[2, 0], slope=-3.0)
        model.initialise(torch.where(observed, x, value), observed=observed)
        found.append(model.mechanism.intercept.detach())
    assert torch.equal(*found)
    for place, column in enumerate([2, 0]):
        there = observed[:, column]
        logit = found[0][place] - 3.0 * x[there, column].mean()
        # Half a cell of either kind is added to 200.
        assert torch.sigmoid(logit) == pytest.approx(float(there.float().mean()), abs=0.003)
    whole = small()
    whole.initialise(x)
    assert torch.isfinite(whole.mechanism.intercept).all()
    assert torch.equal(small(slope="learned").mechanism.slopes.detach(), torch.zeros(4))
    for name, sign in (("positive", 1.0), ("negative", -1.0)):
        start = small(slope=name).mechanism.slopes.detach()
        torch.testing.assert_close(start, torch.full((4,), sign))


@a_few_always("slope", ["learned", "positive", "negative", 0.5, -2])
def test_a_config_makes_the_same_model(slope):
    model = small(table(), [0, 2], slope)
    model.mechanism.intercept.data.copy_(torch.tensor([0.3, -0.4]))
    config = json.loads(json.dumps(model.config))
    assert config["mechanism"] == {"name": "self-masking", "columns": [0, 2], "slope": slope}
    again = model_from_config(config)
    again.load_state_dict(model.state_dict())
    again.initialised = True
    x, observed = of_table(6)
    given = {"x": x, "observed": observed}
    a, b = (evaluate(m, given, 30)["log_evidence"].values for m in (model, again))
    assert np.array_equal(a, b)
    assert "mechanism" not in small(mechanism=None).config
    config["mechanism"]["slope"] = [1.0]
    with pytest.raises(SettingError, match=r"mechanism\.slope\S* got"):
        model_from_config(config)


def test_a_mechanism_as_a_person_types_it():
    found = Mechanism.parse("self-masking(columns=[0, 3], slope=negative)")
    assert found.get_params() == {"columns": [0, 3], "slope": "negative"}
    assert repr(found) == "SelfMasking(columns=[0, 3], slope='negative')"
    with pytest.raises(UnknownNameError, match="self-masking"):
        Mechanism.parse("self-mask")


def test_the_story_says_what_is_data():
    text = small(columns=[2, 0], slope="negative").description()
    assert "m_d | x_d ~ Bernoulli(sigmoid(a_d + b_d x_d)),  b_d < 0,  d in {2, 0}" in text
    for words in ("[site 'observed']", "[site 'x_missing']", "stands for log p(x, m)"):
        assert words in text
    assert "log p(x, m) is under the measure lebesgue with masks of columns 0,2" in text
    assert "sigmoid(a_d + -2 x_d)" in small(slope=-2.0).description()
    plain = small(mechanism=None).description()
    assert "log p(x, m)" not in plain
    assert "sigmoid" not in plain


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: small(missing="none"), SettingError, "missing='mask'"),
        (lambda: small(mechanism="self-masking"), SettingError, "must be a Mechanism object"),
        (lambda: small(columns=[4]), ValueError, r"columns got \[4\]: .* 0 to 3"),
        (lambda: small(columns=[-1]), ValueError, r"columns got \[-1\]"),
        (lambda: small(columns=[0, 0]), ValueError, "each once"),
        (lambda: small(columns=[]), ValueError, r"columns got \[\]"),
        (lambda: small(columns=[True]), ValueError, "columns got"),
        (lambda: SelfMasking(slope="down"), UnknownNameError, "negative"),
        (lambda: SelfMasking(slope=math.inf), ValueError, "slope got inf"),
        (lambda: small(table()), SettingError, r"column 1 \(bernoulli\).*without gradients"),
        (lambda: small(table(), [0, 3]), SettingError, r"column 3 \(categorical\)"),
        (lambda: small(Poisson()), SettingError, "the poisson likelihood.*without gradients"),
        (lambda: small(Poisson(exposure=True)), SettingError, "exposure=False"),
        (lambda: small(MultivariateNormal()), SettingError, "dependent given z"),
        (
            lambda: VAE((2, 2), 1, likelihood=Normal(), missing="mask", mechanism=SelfMasking()),
            ValueError,
            "flatten the data",
        ),
    ],
)
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.slow
def test_log_p_of_x_and_of_x_with_masks_are_not_ranked():
    x, observed = of_table(20)
    given = {"x": x, "observed": observed}
    one = small(columns=[0])
    for other in (small(mechanism=None), small(columns=[0, 1])):
        with pytest.raises(ComparisonError, match="where masks are data"):
            compare({"one": one, "other": other}, given, num_particles=20)
    pair = {"free": small(columns=[0, 1]), "fixed": small(columns=[1, 0], slope=-1.0)}
    assert len(compare(pair, given, num_particles=20).table) == 2


# Training


@pytest.mark.parametrize("kind", [lambda: (Normal("latent"), None), lambda: (table(), [2, 0])])
def test_a_missing_cell_has_no_effect(kind):
    """On the loss, its gradients, the weights that training starts from, a measurement: no bit."""
    x, observed = of_table(12)
    likelihood, columns = kind()
    found = []
    for value in (float("nan"), 3e8, -0.25):
        likelihood, columns = kind()
        model = small(likelihood, columns)
        given = torch.where(observed, x, value)
        model.initialise(given, observed=observed)
        torch.manual_seed(0)
        filled_in = {"x": given, "observed": observed}
        losses, parts = [], []
        for name in ("elbo", "iwae-3", "stl"):
            objective = objective_named(name)
            loss = objective.differentiable_loss(model.model, model.guide, **filled_in)
            losses.append(loss.detach())
            parts.extend(torch.autograd.grad(loss, list(model.parameters())))
        measured = evaluate(model, filled_in, 20)
        numbers = [measured[name].values for name in ("elbo", "log_evidence", "khat")]
        weights = list(model.state_dict().values())
        found.append([*losses, *parts, *weights, *map(torch.as_tensor, numbers)])
    for part in found[0][:-1]:
        assert torch.isfinite(part).all()
    for other in found[1:]:
        for ours, theirs in zip(found[0], other, strict=True):
            assert np.array_equal(ours, theirs, equal_nan=True)


def set_of(x, observed, value=float("nan"), kind="real"):
    return Dataset.from_tensors(
        torch.where(observed, x, value)[:32],
        test=torch.where(observed, x, value)[32:],
        observed={"train": observed[:32], "test": observed[32:]},
        kind=kind,
    )


@a_few_always("objective", [None, "iwae-5", "dreg-5", "rws-5", "beta-elbo(beta=2)"])
def test_training_by_a_graph_and_through_handlers_is_the_same_to_the_bit(objective):
    x, observed = of_table()
    found = []
    for mode, value in (("off", float("nan")), ("graph", -7e7)):
        model = small(columns=[2, 0])
        given = set_of(x, observed, value)
        result = fit(model, given, objective, epochs=3, batch_size=8, compile=mode)
        assert result.compiled == mode
        found.append((model.state_dict(), result.metrics["train_elbo"]))
    (one, losses), (other, again) = found
    assert np.array_equal(losses, again)
    assert np.isfinite(losses).all()
    for key, weights in one.items():
        assert torch.equal(weights, other[key]), key
    assert not torch.equal(one["mechanism.raw"], torch.zeros(2))


def test_a_prior_that_is_summed_out_goes_with_it():
    x, observed = of_table()
    model = small(prior=CategoricalNormal(2))
    result = fit(model, set_of(x, observed), epochs=2, batch_size=16)
    assert np.isfinite(result.metrics["train_elbo"]).all()


def test_a_run_is_opened_again(tmp_path):
    x, observed = of_table()
    model, given = small(columns=[2, 0], slope="negative"), set_of(x, observed)
    fit(model, given, epochs=2, batch_size=16, run=tmp_path / "run")
    again = load_model(tmp_path / "run")
    assert again.mechanism.get_params() == {"columns": [2, 0], "slope": "negative"}
    held_out = given.inputs("test", ("observed",))
    a, b = (evaluate(m, held_out, 30)["log_evidence"].values for m in (model, again))
    assert np.array_equal(a, b)


def test_objectives_that_need_one_site_say_so():
    x, observed = of_table()
    for name in ("free-bits", "beta-tc-elbo"):
        with pytest.raises(PyroVAEError, match="x_missing"):
            fit(small(), set_of(x, observed), name, epochs=1, batch_size=16)


def test_a_calibration_by_simulation_is_refused():
    """Its masks would be drawn anew, and cells that are drawn for the old ones have no ranks."""
    model, (x, observed) = small(), of_table()
    for given in (None, {"x": x, "observed": observed}):
        simulate = simulator(model.model, model.guide, given)
        with pytest.raises(ProgramError, match="x_missing"):
            sbc_ranks(model.model, model.guide, 20, 19, simulate=simulate)


def test_guides_of_single_data_keep_the_mechanism():
    model, (x, observed) = small(columns=[2]), of_table(4)
    twin = model.unamortised(x, observed=observed)
    assert twin.mechanism is model.mechanism
    assert list(sites(twin.guide, x, observed=observed)) == ["z", "x_missing"]
