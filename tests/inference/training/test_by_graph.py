"""A step by a recorded graph is the step through Pyro's handlers, to the bit."""

import itertools
import random

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import RenyiELBO, Trace_ELBO, TraceEnum_ELBO, TraceGraph_ELBO
from torch import nn

from pyro_vae.data import Dataset
from pyro_vae.errors import PyroVAEError, RunError, SettingError, SupportError, UnknownNameError
from pyro_vae.inference import fit
from pyro_vae.inference.training import by_graph, objective_named
from pyro_vae.inference.training.by_graph import COMPILE, _Graph, _same
from pyro_vae.inference.training.loss import Loss
from pyro_vae.inference.training.objectives import OBJECTIVES
from pyro_vae.isolation import isolated
from pyro_vae.models import VAE, VQVAE, HierarchicalVAE, MixtureModel
from pyro_vae.models.condition import Labels
from pyro_vae.models.guides import Guide
from pyro_vae.models.likelihoods import Bernoulli, Likelihood, MultivariateNormal, Normal, Poisson
from pyro_vae.models.priors import CategoricalNormal, Prior
from pyro_vae.recording import NotRecordableError, has_compiler
from tests.cases import a_few_always
from tests.models.test_cross_product import SHIPPED, made_of

X = (torch.rand(40, 6, generator=torch.Generator().manual_seed(1)) < 0.4).float()


def small(**settings):
    return VAE((6,), 2, encoder=(5,), decoder=(5,), **settings)


def both(make_model, x=X, *, compile="graph", **settings):
    """The same training through the handlers and by graphs: results and weights."""
    found = []
    for mode in ("off", compile):
        model = make_model()
        settings = {"epochs": 4, "batch_size": 16, **settings}
        found.append((fit(model, x, compile=mode, **settings), model))
    return found


def assert_same_to_the_bit(found):
    (handlers, theirs), (graph, ours) = found
    assert handlers.compiled == "off"
    assert graph.compiled == "graph"
    drop = ["seconds"]
    assert handlers.metrics.drop(columns=drop).equals(graph.metrics.drop(columns=drop))
    for name, value in theirs.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name]), name


# Every part that is shipped


def recorded_as_it_is(likelihood, prior, guide, objective):
    """Record one combination and compare; None where the objective refuses the parts."""
    vae, x = made_of(likelihood, prior, guide)
    try:
        loss = Loss(vae, objective_named(objective, enumerate_discrete=vae.prior.enumerated))
        with isolated():
            value = loss(x) * 0.5
            value.backward()
    except PyroVAEError:
        return None
    graph = _Graph.of(loss, x, 0.5, compiler=False)
    graph.dtype = value.dtype
    ours, gradients = graph(x, loss)
    theirs = [parameter.grad for parameter in loss.parameters()]
    return _same([ours, *gradients], [value.detach(), *theirs], 0.0)


def cycled(*lists):
    longest = max(map(len, lists))
    return list(itertools.islice(zip(*map(itertools.cycle, lists), strict=False), longest))


PRIORS, GUIDES = SHIPPED[Prior], SHIPPED[Guide]
#: Of the likelihoods these are of one kind each: bits, counts, levels, reals.
LIKELIHOODS = ["binomial", "negative-binomial", "categorical", "normal", "student-t", "gamma"]
#: Parts that are recorded fast, one prior of them discrete; the others are slow.
ALWAYS = [
    ("normal", "normal", "mean-field-normal"),
    ("categorical", "laplace", "low-rank-normal"),
    ("negative-binomial", "categorical-normal", "inverse-autoregressive-flow"),
]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective(objective):
    assert recorded_as_it_is("bernoulli", "standard-normal", "mean-field-normal", objective)


@a_few_always(("likelihood", "prior", "guide"), cycled(LIKELIHOODS, PRIORS, GUIDES), ALWAYS)
def test_every_prior_and_guide(likelihood, prior, guide):
    assert recorded_as_it_is(likelihood, prior, guide, "elbo")


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", SHIPPED[Likelihood])
def test_every_combination(likelihood):
    """Each with every prior and guide; the objectives take turns."""
    turns = itertools.cycle(OBJECTIVES)
    found = {}
    for prior, guide in itertools.product(SHIPPED[Prior], SHIPPED[Guide]):
        for objective in itertools.islice(turns, len(OBJECTIVES)):
            same = recorded_as_it_is(likelihood, prior, guide, objective)
            if same is not None:
                found[prior, guide, objective] = same
                break
    assert len(found) == len(SHIPPED[Prior]) * len(SHIPPED[Guide])
    assert all(found.values()), [key for key, same in found.items() if not same]


# What a graph must not take as given


@a_few_always(
    "settings",
    [
        {"schedule": "cosine", "clip_norm": 0.5},
        {"objective": "beta-elbo(beta=2, schedule=linear)"},
        {"objective": "beta-elbo(beta=2, schedule=cyclical, cycles=2)"},
        {"objective": TraceGraph_ELBO()},
        {"seed": 7},
    ],
    2,
    ids=["rate", "linear", "cyclical", "dependencies", "seed"],
)
def test_learning_rate_schedule_weight_of_the_kl_and_seed(settings):
    """Batches of 16, 16 and 8; the learning rate and the weight differ at every epoch."""
    assert_same_to_the_bit(both(small, **settings))


def test_a_weight_that_moves_is_an_input():
    """One graph a shape, though the weight of the KL is another at every epoch."""
    objective = objective_named("beta-elbo(beta=2, schedule=linear)")
    vae = small()
    loss = Loss(vae, objective)
    objective.at(0.1)
    graph = _Graph.of(loss, X, 1.0, compiler=False)
    values = []
    for share in (0.1, 0.3):
        objective.at(share)
        with isolated(3):
            expected = loss(X)
        with isolated(3):
            value, _ = graph(X, loss)
        assert torch.equal(value, expected.detach())
        values.append(float(value))
    assert values[0] != values[1]


class Told:
    """An objective that does not say what it changes."""

    def __new__(cls):
        class Annealed(Trace_ELBO):
            factor = 1.0

            def at(self, share):
                self.factor = 1.0 + share

            def differentiable_loss(self, model, guide, *args, **kwargs):
                loss = super().differentiable_loss(model, guide, *args, **kwargs)
                return self.factor * loss

        return Annealed()


@pytest.mark.slow
def test_an_objective_that_changes_without_a_word_is_recorded_again_and_then_left_alone():
    (handlers, theirs), (graph, ours) = both(small, objective=Told(), epochs=6)
    assert graph.compiled == "off: the program or the objective changes from epoch to epoch"
    assert handlers.metrics["train_elbo"].equals(graph.metrics["train_elbo"])
    assert all(map(torch.equal, theirs.parameters(), ours.parameters()))


class Encoder(nn.Module):
    """A network with a training flag and moving averages."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.3), nn.Linear(5, 4)
        )

    def forward(self, x):
        return self.layers(x.reshape(-1, 6)).reshape(*x.shape[:-1], 4)


def test_training_flag_and_moving_averages():
    def make_model():
        torch.manual_seed(0)
        return VAE((6,), 2, encoder=Encoder(), decoder=(5,))

    found = both(make_model)
    assert_same_to_the_bit(found)
    normalised = found[1][1].encoder.layers[1]
    assert int(normalised.num_batches_tracked) == 4 * 3
    assert float(normalised.running_mean.abs().max()) > 0


class Subsampled(nn.Module):
    """A plain pair that says how many data its batches stand for."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.3, -0.2]))

    def model(self, x):
        with pyro.plate("data", 40, subsample=x) as batch:
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            logits = z.unsqueeze(-1) * self.weight[0] + torch.zeros(6)
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=batch)

    def guide(self, x):
        with pyro.plate("data", 40, subsample=x) as batch:
            pyro.sample("z", dist.Normal(batch.mean(-1) * self.weight[1], 1.0))


@a_few_always("objective", ["elbo", "iwae-3", "renyi", "rws"], ["rws"])
def test_scale_of_a_subsampled_plate(objective):
    assert_same_to_the_bit(both(Subsampled, objective=objective))


@a_few_always("objective", [None, "iwae-2"], 1)
def test_discrete_sites_summed_out(objective):
    """By Pyro's ``TraceEnum_ELBO``, and by ours."""
    assert_same_to_the_bit(both(lambda: small(prior=CategoricalNormal(3)), objective=objective))


@pytest.mark.parametrize("missing", ["none", "marginal"])
def test_mixtures(missing):
    rows = torch.randn(40, 3, generator=torch.Generator().manual_seed(2))
    observed = rows < 1 if missing == "marginal" else None
    data = Dataset.from_tensors(rows, kind="real", observed=observed)

    def make_model():
        return MixtureModel(3, MultivariateNormal(), (3,), missing=missing)

    assert_same_to_the_bit(both(make_model, data))


@pytest.mark.parametrize("updates", ["ema", "gradient"])
def test_codes_that_come_back(updates):
    """Most of 12 codes are dead at each step: there are six points."""
    points = torch.eye(6)[torch.arange(40) % 6]

    def make_model():
        return VQVAE(
            (6,), 12, 2, encoder=(5,), decoder=(5,), updates=updates, decay=0.5, revive_below=0.9
        )

    assert_same_to_the_bit(both(make_model, points))


class Switched(nn.Module):
    """A guide with a site that is summed over, each state by its probability."""

    def __init__(self):
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(0.3))

    def model(self, x):
        with pyro.plate("data", len(x)):
            on = pyro.sample("on", dist.Bernoulli(0.5))
            pyro.sample("x", dist.Normal(on.unsqueeze(-1), 1.0).to_event(1), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            sums = {"enumerate": "parallel"}
            pyro.sample("on", dist.Bernoulli(logits=self.logit), infer=sums)


def test_sums_weighted_by_a_guide_look_for_a_probability_of_zero():
    (_, theirs), (graph, ours) = both(Switched, objective=TraceEnum_ELBO(max_plate_nesting=1))
    assert graph.compiled == "off: it branches on the values of tensors"
    assert all(map(torch.equal, theirs.parameters(), ours.parameters()))


def test_conditions_and_exposures():
    labels = torch.arange(40) % 3
    counts = torch.poisson(X * 3, generator=torch.Generator().manual_seed(0))
    given = {"x": counts, "condition": labels, "exposure": X.sum(-1) + 1}

    def make_model():
        return small(likelihood=Poisson(exposure=True), condition=Labels(3))

    vae = make_model()
    loss = Loss(vae, Trace_ELBO())
    graph = _Graph.of(loss, given, 1.0, compiler=False)
    other = {name: part.flip(0) for name, part in given.items()}
    for x in (given, other):
        with isolated(2):
            expected = loss(x)
        with isolated(2):
            value, _ = graph(x, loss)
        assert torch.equal(value, expected.detach())


@pytest.mark.slow
def test_several_layers_of_latent_variables():
    def make_model():
        return HierarchicalVAE((6,), (3, 2), likelihood=Bernoulli())

    assert_same_to_the_bit(both(make_model, epochs=2))


def test_parameters_that_two_layers_share():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.into = nn.Linear(6, 2, bias=False)
            self.out = nn.Linear(2, 6)
            self.back = nn.Linear(6, 2, bias=False)
            self.back.weight = self.into.weight

        def model(self, x):
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
                pyro.sample("x", dist.Bernoulli(logits=self.out(z)).to_event(1), obs=x)

        def guide(self, x):
            with pyro.plate("data", len(x)):
                loc = self.into(x) + self.back(x.square())
                pyro.sample("z", dist.Normal(loc, 0.5).to_event(1))

    assert_same_to_the_bit(both(Tied))


# Programs that are no graph run as they are


CLOCK = itertools.count()


class OnItsOwnTerms(Subsampled):
    """A pair that does something else at every step, in the way that ``how`` does."""

    def __init__(self, how):
        super().__init__()
        self.how, self.steps = how, 0

    def guide(self, x):
        scale = 1.0
        if self.how == "values" and x.mean() > 0.4:
            scale = 1.5
        if self.how == "counts":
            self.steps += 1
            scale = 1 + 1 / self.steps
        if self.how == "dice":
            scale = 1.0 + random.random()
        if self.how == "clock":
            scale = 1.0 + next(CLOCK)
        with pyro.plate("data", 40, subsample=x) as batch:
            pyro.sample("z", dist.Normal(batch.mean(-1) * self.weight[1], scale))


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("values", "it branches on the values of tensors"),
        ("counts", "the program changes its own attributes as it runs"),
        ("dice", "it draws from Python's or NumPy's generator"),
        ("clock", "its graph does not give its numbers"),
    ],
)
def test_a_program_that_is_no_graph_says_why_and_is_trained_as_before(how, why):
    def make_model():
        random.seed(0)
        return OnItsOwnTerms(how)

    (handlers, theirs), (graph, ours) = both(make_model)
    assert graph.compiled == f"off: {why}"
    if how != "clock":
        assert handlers.metrics["train_elbo"].equals(graph.metrics["train_elbo"])
        assert all(map(torch.equal, theirs.parameters(), ours.parameters()))


def test_hooks_are_called_at_every_step():
    calls = itertools.count()
    vae = small()
    vae.encoder.register_forward_hook(lambda *_: next(calls) and None)
    before = next(calls)
    result = fit(vae, X, epochs=2, batch_size=20, compile="graph")
    assert result.compiled == "off: a hook on one of its modules waits for every call"
    assert next(calls) - before > 2 * 2


def test_data_outside_the_support_are_refused_all_the_same():
    x = X.clone()
    x[37, 2] = 0.5
    with pytest.raises(SupportError, match="row 37"):
        fit(small(), x, compile="graph", epochs=1, batch_size=16)
    # Of a plain program nobody knows the support, so its first epoch is not a graph's.
    with pytest.raises(ValueError, match="support"):
        fit(Subsampled(), x, compile="graph", epochs=1, batch_size=16)


def test_a_loss_that_is_not_finite_stops_the_training():
    vae = small(likelihood=Normal())
    with pytest.raises(PyroVAEError, match=r"the loss is (nan|inf)"):
        fit(vae, X, compile="graph", epochs=30, batch_size=16, learning_rate=1e18)


def test_recording_leaves_generators_buffers_and_gradients_alone():
    torch.manual_seed(0)
    vae = VAE((6,), 2, encoder=Encoder(), decoder=(5,))
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    state = torch.get_rng_state()
    _Graph.of(Loss(vae, Trace_ELBO()), X, 1.0, compiler=False)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())
    assert all(parameter.grad is None for parameter in vae.parameters())


# The setting


def test_auto_records_where_the_steps_to_come_are_worth_it(monkeypatch):
    assert fit(small(), X, epochs=2, batch_size=16).compiled == "off: too few steps to be worth it"
    monkeypatch.setattr(by_graph, "WORTH_RECORDING", 0.0)
    assert_same_to_the_bit(both(small, compile="auto"))


def test_precision_and_unknown_modes():
    settings = {"epochs": 1, "batch_size": 16}
    result = fit(small(), X, **settings, compile="graph", precision="bf16-mixed")
    assert result.compiled == "off: the precision is bf16-mixed"
    with pytest.raises(UnknownNameError, match="unknown compile 'inductr'"):
        fit(small(), X, **settings, compile="inductr")
    assert COMPILE == ("auto", "off", "graph", "inductor")


@pytest.mark.slow
def test_a_run_goes_on_in_its_mode(tmp_path, monkeypatch):
    whole, part = small(), small()
    settings = {"epochs": 4, "batch_size": 16, "compile": "graph"}
    fit(whole, X, **settings, run=tmp_path / "whole")
    steps, run_graph = itertools.count(), _Graph.__call__

    def interrupted(graph, x, loss):
        if next(steps) == 7:
            raise KeyboardInterrupt
        return run_graph(graph, x, loss)

    monkeypatch.setattr(_Graph, "__call__", interrupted)
    first = fit(part, X, **settings, run=tmp_path / "part")
    monkeypatch.undo()
    assert (first.stopped, len(first.metrics)) == ("interrupt", 2)
    again = fit(part, X, **settings, run=tmp_path / "part", resume=True)
    assert again.compiled == "graph"
    assert all(map(torch.equal, whole.parameters(), part.parameters()))
    with pytest.raises(RunError, match="compile"):
        fit(part, X, **(settings | {"compile": "off"}), run=tmp_path / "part", resume=True)


def test_objectives_of_pyro_without_a_differentiable_loss():
    with pytest.raises(SettingError, match="RenyiELBO, which has no differentiable_loss"):
        fit(small(), X, RenyiELBO(), epochs=1, batch_size=16)


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler(), reason="inductor needs a C++ compiler")
def test_a_compiled_training_differs_by_rounding():
    (handlers, _), (compiled, ours) = both(small, compile="inductor")
    assert compiled.compiled == "inductor"
    bounds = [found.metrics["train_elbo"].to_numpy() for found in (handlers, compiled)]
    assert bounds[1] == pytest.approx(bounds[0], rel=1e-5)
    again = small()
    fit(again, X, epochs=4, batch_size=16, compile="inductor")
    assert all(map(torch.equal, ours.parameters(), again.parameters()))


def test_what_cannot_be_recorded_raises_inside_the_engine():
    frozen = small()
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(NotRecordableError, match="no gradient"):
        _Graph.of(Loss(frozen, Trace_ELBO()), X, 1.0, compiler=False)
