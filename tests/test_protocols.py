"""What a model may offer: a pair that offers nothing will do, and each ability is taken up."""

import ast
from pathlib import Path

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import ELBO, Trace_ELBO, TraceMeanField_ELBO
from torch import nn

import pyro_vae
from pyro_vae import evaluate, fit, inference, protocols
from pyro_vae.conversion import as_inputs
from pyro_vae.errors import ProgramError, SupportError
from pyro_vae.explaining import explain
from pyro_vae.explaining.known import known_of
from pyro_vae.inference.engine import ConjugateNormal
from pyro_vae.inference.evidence.certify import estimate
from pyro_vae.inference.latents import reconstruction_error
from pyro_vae.inference.training.objectives import default_objective_of, tell_num_data, tell_share
from pyro_vae.inference.training.program import bounds_reached, make_ready
from pyro_vae.inference.training.splits import Splits, dataset_of
from pyro_vae.models.latent_variable_model import layers_text
from pyro_vae.networks import Dense
from pyro_vae.protocols import Facts, offers

X = torch.linspace(-1, 2, 6)[:, None]


class Plain:
    """Story z ~ N(0, 1), x | z ~ N(z, 1), guide N(x / 2, 1): two programs, no module."""

    def model(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x)), 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x[:, 0])

    def guide(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x[:, 0] / 2, 1.0))


def log_px(x):
    return dist.Normal(0.0, 2**0.5).log_prob(x[:, 0])


class Trained(Plain, nn.Module):
    """The same with a parameter that no number depends on."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def guide(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x[:, 0] / 2 + 0 * self.unused, 1.0))


PROTOCOLS = sorted(set(protocols.__all__) - {"Facts", "offers"})


def members(protocol):
    kinds = vars(protocols)[protocol].__mro__
    return {name for kind in kinds for name in vars(kind) if not name.startswith("_")}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_an_ability_is_offered_by_whatever_has_its_names_and_by_nothing_else(name):
    ability = vars(protocols)[name]
    assert members(name)
    has = type("Has", (), {member: lambda self, *_: None for member in members(name)})
    assert offers(has(), ability)
    assert not offers(object(), ability)
    for member in members(name):
        assert not offers(type("Without", (has,), {member: None})(), ability), member


def test_a_method_that_cannot_be_called_is_none():
    assert not offers(type("Odd", (), {"log_prob": 3.0})(), protocols.HasLogProb)


def test_parts_of_a_module_are_seen():
    """A guide that is a module is no attribute of the class, nor of the instance's own dict."""
    module = nn.Module()
    module.model, module.guide = nn.Identity(), nn.Identity()
    assert "guide" not in vars(module)
    assert offers(module, protocols.Programs)


def test_facts_have_defaults_and_a_method_speaks_for_its_owner():
    plain = Plain()
    facts = Facts(plain)
    assert (facts.inputs, facts.dtype, facts.config) == ((), None, None)
    assert facts.amortised
    assert facts.initialised
    assert (facts.measure, facts.evidence_model) == ("unknown", plain)
    assert (facts.likelihood, facts.prior, facts.latent_dim) == (None, None, None)
    assert Facts(plain).name == "Plain"
    assert Facts(plain.model).name == "model"
    plain.likelihood, plain.dtype = "its own", torch.float64
    assert Facts(plain.model).likelihood == "its own"
    assert as_inputs([1.0], plain.guide).dtype == torch.float64


def test_a_pair_that_offers_nothing():
    plain = Plain()
    found = evaluate((plain.model, plain.guide), X, 50)
    as_object = evaluate(plain, X, 50)
    assert (as_object["elbo"] == found["elbo"]).all()
    assert as_object.attrs["exact"] == 0
    assert as_object.attrs["base_measure"] == "unknown"
    assert not {"num_parameters", "latent_dim"} & as_object.attrs.keys()
    assert (inference.gap(plain.model, plain.guide, X, 50)["gap"] == found["gap"]).all()
    assert explain(plain, X, num_particles=200).title.endswith("in nats")
    assert type(default_objective_of(plain)) is Trace_ELBO
    assert bounds_reached(plain, X) == []
    with pytest.raises(ProgramError, match="no exact log_prob"):
        estimate("exact", plain, X)
    with pytest.raises(ProgramError, match="no parameters of its own for each datum"):
        inference.training.fit_guide(plain, X)
    result = fit(Trained(), X, epochs=1, batch_size=6, progress=False)
    assert result.stopped == "epochs"


class Exact(Plain):
    def log_prob(self, x):
        return log_px(x)


def test_an_exact_log_prob_takes_the_place_of_estimates():
    found = evaluate(Exact(), X, 20)
    assert found.attrs["exact"] == 1
    torch.testing.assert_close(torch.tensor(found["log_evidence"].values), log_px(X).double())
    assert (found["log_evidence_se"] == 0).all()
    exact = estimate("exact", Exact(), X)
    assert (exact["log_evidence"] == found["log_evidence"]).all()
    assert known_of(Exact(), X[:1]).keys() == {"log_px"}


def test_a_sum_over_z_stands_for_log_px_in_a_derivation():
    class Summed(Plain):
        def enumerated_log_prob(self, x):
            return log_px(x)

    class TooMany(Plain):
        def enumerated_log_prob(self, x):
            raise ProgramError("z has too many values")

    assert known_of(Summed(), X[:1]) == {"log_px": log_px(X[:1]).item()}
    assert known_of(TooMany(), X[:1]) == {}


def test_posterior_and_identity_are_lines_of_a_derivation():
    toy = ConjugateNormal()
    x = X[:1, 0].double()

    class Knows(Plain):
        def exact_posterior(self, x):
            return toy.exact_posterior(x)

        def identity(self, x):
            return toy.identity(x)

    known = known_of(Knows(), x)
    assert known.keys() == {"posterior", "exact_elbo"}
    assert known["exact_elbo"] == toy.identity(x).elbo.item()


@pytest.mark.slow
def test_a_guide_without_amortisation_is_fitted_to_the_data():
    class Local(Plain):
        def __init__(self, x):
            self.x, self.loc = x, nn.Parameter(torch.zeros(len(x)))
            self.local_parameters = [self.loc]

        def guide(self, x):
            rows = (x == self.x.T).int().argmax(1)
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(self.loc[rows], 0.5**0.5))

    class Amortised(Plain):
        def unamortised(self, x):
            return Local(x)

    class Unamortised(Amortised):
        amortised = False

    parts = inference.gap_parts(Amortised(), X, 200, steps=300)
    # The best member of the family is the posterior N(x / 2, 1 / 2): no gap is left to it.
    assert abs(float(parts["approximation_gap"].mean())) < 0.05
    assert float(evaluate(Unamortised(), X, 200)["gap"].mean()) < 0.05


def test_codes_are_counted_and_decoded():
    class Coded(Plain):
        latent_dim = 1

        def code(self, x):
            return x / 2

        def decode(self, z):
            return 2 * z

    class Used(Coded):
        def code_use(self, x):
            return {"codes_in_use": float(len(x))}

    assert {"latent_dim", "active_units"} <= evaluate(Coded(), X, 5).attrs.keys()
    attributes = evaluate(Used(), X, 5).attrs
    assert attributes["codes_in_use"] == 6
    assert "active_units" not in attributes
    assert (inference.reconstruct(Coded(), X) == X).all()
    assert float(reconstruction_error(Coded(), X)["squared_error"].mean()) == 0
    assert not offers(Plain(), protocols.Coder)


def test_a_posterior_gives_the_mutual_information_gap_its_marginals():
    class Encoded(Plain):
        def posterior(self, x):
            return dist.Normal(torch.cat([x, -x], dim=1), 1.0)

    loc, _ = inference.latents.disentanglement.marginals_of(Encoded(), X)
    assert loc.shape == (6, 2)
    with pytest.raises(ProgramError, match="has no posterior"):
        inference.latents.disentanglement.marginals_of(Plain(), X)


def test_a_model_is_trained_by_its_own_objective_once_it_is_initialised():
    class Started(Trained):
        initialised = False

        def initialise(self, x):
            self.seen, self.initialised = len(x), True

        def default_objective(self):
            return TraceMeanField_ELBO()

        def bounds_reached(self, x):
            return ["sigma is at min_scale"]

    model = Started()
    assert isinstance(default_objective_of(model), TraceMeanField_ELBO)
    with pytest.warns(UserWarning, match="sigma is at min_scale"):
        fit(model, X, epochs=1, batch_size=6, progress=False)
    assert model.seen == len(X)


def test_parameters_are_counted():
    assert evaluate(Trained(), X, 5).attrs["num_parameters"] == 1


class Positive:
    measure = "counting"

    def check(self, x):
        if (x < 0).any():
            raise SupportError("x has negative values")


def test_a_likelihood_refuses_data_and_says_that_they_are_counts():
    model = Trained()
    model.likelihood = Positive()
    with pytest.raises(SupportError, match="negative"):
        evaluate(model, X, 5)
    with pytest.raises(SupportError, match="negative"):
        make_ready(model, Splits.of(model, dataset_of(X)), goes_on=False)


def test_a_network_sums_itself_up():
    class Told(nn.Identity):
        def summary(self):
            return "as it comes"

    assert (layers_text(Told()), layers_text(nn.Identity())) == ("as it comes", "Identity")


def test_a_decoder_is_started_at_the_moments_of_the_data():
    class Decoder(nn.Linear):
        def set_output(self, eta):
            self.told = eta

    decoder = Decoder(1, 4)
    vae = pyro_vae.VAE((4,), 1, encoder=Dense((3,)), decoder=decoder)
    vae.initialise(torch.tensor([[0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]]))
    assert decoder.told.shape == (4,)


def test_an_objective_is_told_what_it_asks_for():
    class Asks(Trace_ELBO):
        def of(self, num_data):
            self.num_data = num_data

        def at(self, share):
            self.share = share

    asks = Asks()
    tell_num_data(asks, 7)
    tell_share(asks, 0.5)
    assert (asks.num_data, asks.share) == (7, 0.5)
    silent: ELBO = Trace_ELBO()
    tell_num_data(silent, 7)
    tell_share(silent, 0.5)


#: What is asked without ``protocols.py``, by file and name: none of it is of a model.
NOT_MODELS = {
    # fields of a dataclass or arguments of a part, by their names
    ("explaining/derivation_lines.py", "step"),
    ("explaining/derivation_lines.py", "term"),
    ("models/component.py", "self"),
    ("models/likelihoods/counts.py", "self"),
    ("networks/architecture.py", "self"),
    ("inference/training/objectives/total_correlation.py", "self"),
    ("inference/evidence/ais.py", "self"),
    ("cli/recipe.py", "self"),
    ("models/likelihoods/per_column.py", "column"),
    ("inference/training/folder.py", "data"),
    ("data/hiding.py", "data"),
    ("stored/scored.py", "data"),
    ("cli/options.py", "self"),
    ("data/any_dataset.py", "self"),
    ("data/dataset.py", "self"),
    ("data/streamed/dataset.py", "self"),
    ("data/reading/formats.py", "library('pandas')"),
    ("data/reading/reader.py", "origin"),
    ("data/schema/schema.py", "c"),
    ("plots/tables.py", "scales[k]"),
    ("data/dataset.py", "given"),
    ("cli/derive.py", "data"),
    ("stored/measured.py", "data"),
    ("reproduction/experiments/gap.py", "data"),
    ("data/torchvision_images.py", "_torchvision_datasets()"),
    ("data/tables.py", "library('sklearn.datasets')"),
    ("on_demand.py", "importlib.import_module(self._where[name])"),
    ("cli/app.py", "module"),
    # distributions and supports of PyTorch and Pyro
    ("models/likelihoods/in_double.py", "self.drawn"),
    ("inference/training/non_finite.py", "site['fn']"),
    ("inference/engine/traces.py", "fn"),
    ("inference/engine/auxiliary.py", "support"),
    ("inference/engine/closed_kl.py", "family"),
    ("pairs/local.py", "whole"),
    # operations of PyTorch
    ("recording/bindings.py", "aten"),
    ("recording/bindings.py", "torch"),
    # what a person holds, errors, the interpreter
    ("pairs/pair.py", "function"),
    ("conversion/programs.py", "given"),
    ("conversion/arrays.py", "given"),
    ("data/streamed/opening.py", "given"),
    ("disk/runs.py", "v"),
    ("disk/files.py", "error"),
    ("disk/schema.py", "builtins"),
    ("cli/app.py", "ended.__context__"),
    ("inference/training/devices.py", "sys"),
    ("workers.py", "backend"),
}


def asked(path):
    """What ``hasattr`` and ``getattr`` are called on in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("hasattr", "getattr"):
                yield ast.unparse(node.args[0])


def test_nobody_else_asks_a_model_what_it_has():
    """Otherwise: a protocol or a fact in pyro_vae/protocols.py, and ``offers`` or ``Facts``."""
    root = Path(pyro_vae.__file__).parent
    found = {
        (str(path.relative_to(root)), name) for path in root.rglob("*.py") for name in asked(path)
    }
    there = {name for file, name in found if file == "protocols.py"}
    assert there == {"owner", "ability", "model", "self._program", "self.owner"}
    others = {(file, name) for file, name in found if file != "protocols.py"}
    assert others == NOT_MODELS
