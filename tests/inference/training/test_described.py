"""An objective says what it is, and what it says is so."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from pyro.infer import (
    ELBO,
    JitTraceEnum_ELBO,
    RenyiELBO,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
)

from pyro_vae.cli.output import training_line
from pyro_vae.figures.of_runs import _training
from pyro_vae.formulas import Described, described
from pyro_vae.inference.training.objectives import (
    IWAE,
    OBJECTIVES,
    STL,
    default_objective_of,
    objective_named,
    tell_num_data,
    tell_share,
)
from pyro_vae.models import VAE, MixtureModel
from pyro_vae.models.likelihoods import Bernoulli
from tests.tolerances import STANDARD_ERRORS


def small_vae():
    return VAE((4,), 2, encoder=(6,), decoder=(6,))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_says_all_of_it(name):
    told = described(objective_named(name))
    assert isinstance(told, Described)
    assert told.formula.formula
    assert told.is_bound or not told.is_elbo
    # In words and by its flag it is the same.
    no_bound = "NOT" in told.formula.bound or name == "free-bits"
    assert told.is_bound == (not no_bound)


@pytest.mark.parametrize(
    ("name", "is_bound"),
    [
        ("beta-elbo(beta=1.0)", True),
        ("beta-elbo(beta=0.5)", False),
        ("beta-elbo(beta=4.0, schedule=linear)", False),
        ("renyi(alpha=0)", True),
        ("renyi(alpha=-0.1)", False),
        ("beta-tc-elbo(beta=1)", True),
        ("beta-tc-elbo(beta=6)", False),
    ],
)
def test_whether_it_is_a_bound_hangs_on_its_settings(name, is_bound):
    assert described(objective_named(name)).is_bound == is_bound


@pytest.mark.parametrize("name", ["elbo", "elbo-5", "mean-field-elbo", "stl", "stl-3", "iwae-5"])
def test_what_says_that_it_is_the_elbo_has_its_value(name):
    # Each row ten times in each of 40 losses: as many draws as one of 400.
    vae, x = small_vae(), (torch.arange(80) % 3 == 0).float().reshape(20, 4).repeat(10, 1)
    objective = objective_named(name)
    ours, theirs = (
        torch.tensor([-goal.loss(vae.model, vae.guide, x) for _ in range(40)])
        for goal in (objective, Trace_ELBO())
    )
    error = ((ours.var() + theirs.var()) / 40).sqrt()
    same = abs(float(ours.mean() - theirs.mean())) < STANDARD_ERRORS * float(error)
    assert same == described(objective).is_elbo


def test_pyros_own_are_described_by_the_nearest_class():
    class Mine(TraceMeanField_ELBO):
        pass

    class Unheard(ELBO):
        def _get_trace(self, *arguments):
            raise NotImplementedError

    assert "KL in closed form" in described(Mine()).formula.formula
    for objective in (Trace_ELBO(), TraceGraph_ELBO(), Mine()):
        told = described(objective)
        assert (told.is_bound, told.is_elbo, told.enumerate_discrete) == (True, True, False)
    for objective in (TraceEnum_ELBO(), JitTraceEnum_ELBO()):
        assert described(objective).enumerate_discrete
    for alpha in (0.5, -0.5):
        told = described(RenyiELBO(alpha, num_particles=2))
        assert (told.is_bound, told.is_elbo) == (alpha > 0, False)
    told = described(Unheard())
    assert told.formula == ("Unheard", "not known to this package")
    assert (told.is_bound, told.is_elbo, told.comparable) == (False, False, True)


def test_one_of_ones_own_is_asked_itself():
    class Weighted(Trace_ELBO):
        formula = described(IWAE(3)).formula
        is_bound, is_elbo, comparable, enumerate_discrete = False, False, False, False

    assert described(Weighted()).formula.formula == IWAE(3).formula.formula
    assert not described(Weighted()).comparable


def test_an_objective_is_told_what_it_asks_for():
    asks_nothing, asks = Trace_ELBO(), objective_named("beta-elbo(beta=2, schedule=linear)")
    for objective in (asks_nothing, asks):
        tell_num_data(objective, 10)
        tell_share(objective, 0.25)
    assert asks.weight == 1.0
    of_batch = objective_named("beta-tc-elbo")
    tell_num_data(of_batch, 10)
    assert of_batch.num_data == 10


def test_a_model_without_a_choice_has_the_elbo():
    assert type(default_objective_of(object())) is Trace_ELBO
    assert described(default_objective_of(MixtureModel(2, Bernoulli()))).enumerate_discrete


def test_who_prints_asks_the_objective():
    summary = {
        "best_epoch": 1,
        "epochs": 2,
        "train_elbo": -3.0,
        "validation_elbo": -4.0,
        "seconds": 0.0,
        "compiled": "off",
    }
    for name, words in (
        ("elbo-4", "ELBO -3.00 (training), -4.00 (validation)"),
        ("stl", "ELBO -3.00 (training), -4.00 (validation)"),
        ("iwae-4", "objective -3.00 (training), -4.00 (validation)"),
        ("free-bits", "objective -3.00 (training), ELBO -4.00 (validation)"),
    ):
        assert words in training_line(summary, small_vae(), name)
    for how, words in (
        ("graph", "; 0 s, by a recorded graph"),
        ("inductor", "; 0 s, compiled"),
        ("off: too few steps to be worth it", "nats per datum; 0 s"),
        ("off: it looks at values", "; 0 s, through Pyro's handlers: it looks at values"),
    ):
        line = training_line(summary | {"compiled": how}, small_vae(), "elbo")
        assert line.endswith(words)
    mixture = MixtureModel(2, Bernoulli())
    for objective in (None, TraceEnum_ELBO(), STL(enumerate_discrete=True)):
        assert "log p(x) itself" in mixture.description(objective)
    assert "log p(x) itself" not in mixture.description(IWAE(2, enumerate_discrete=True))


@pytest.mark.parametrize(
    ("name", "quantity"),
    [
        ("elbo-5", "ELBO"),
        ("iwae-5", "bound"),
        ("renyi(alpha=-1.0)", "objective"),
        ("beta-elbo(beta=4.0)", "ELBO, and objective"),
    ],
)
def test_a_figure_calls_a_bound_a_bound(name, quantity):
    metrics = pd.DataFrame(
        {"epoch": [1, 2], "train_elbo": [-3.0, -2.0], "validation_elbo": [-4.0, -3.0]}
    )
    fitted = SimpleNamespace(model=small_vae(), metrics=metrics, objective=name)
    (ax,) = _training(fitted).axes
    assert ax.get_ylabel() == f"{quantity} (nats per datum)"
