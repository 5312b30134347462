"""Pairs out of functions: they are the programs written by hand; and what is refused."""

import math
from typing import ClassVar

import numpy as np
import pyro.distributions as pyro_dist
import pytest
import torch
from scipy import integrate, stats
from torch import nn
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Poisson,
    constraints,
)

from pyro_vae import Pair, evaluate, fit, inference
from pyro_vae.errors import DataError, ProgramError, SettingError, SupportError, UnknownNameError
from pyro_vae.inference.evidence import ais, bdmc, gap_parts
from pyro_vae.protocols import Facts, HasUnamortised, offers
from pyro_vae.recording import NotRecordableError, record
from tests.oracles import LinearGaussian
from tests.tolerances import STANDARD_ERRORS

ORACLE = LinearGaussian()
X = ORACLE.draw(12)
W, M, A, T = (torch.tensor(v) for v in (ORACLE.W, ORACLE.m, ORACLE.A, ORACLE.t))
S = ORACLE.s
PRIOR = Normal(torch.zeros(2, dtype=torch.double), 1.0)


def encode(x):
    return Normal((x - M) @ A.T, T)


def decode(z):
    return Normal(z @ W.T + M, S)


def linear(**other):
    return Pair.from_functions(
        **{"x": X, "encode": encode, "decode": decode, "prior": PRIOR} | other
    )


def log_joint(x, z):
    return decode(z).log_prob(x).sum(-1) + PRIOR.log_prob(z).sum(-1)


def log_guide(x, z):
    return encode(x).log_prob(z).sum(-1)


def sample(x, k):
    return encode(x).sample((k,))


def densities(**other):
    given = {
        "x": X,
        "log_joint": log_joint,
        "log_guide": log_guide,
        "sample": sample,
        "simulate": lambda z: decode(z).sample(),
        "prior": PRIOR,
        "measure": "lebesgue",
    }
    return Pair.from_functions(**given | other)


NUMPY = {
    "library": "numpy",
    "x": X.numpy(),
    "log_joint": lambda x, z: (
        stats.norm(z @ ORACLE.W.T + ORACLE.m, S).logpdf(x).sum(-1) + stats.norm.logpdf(z).sum(-1)
    ),
    "log_guide": lambda x, z: stats.norm((x - ORACLE.m) @ ORACLE.A.T, ORACLE.t).logpdf(z).sum(-1),
    "sample": lambda x, k, rng: (
        (x - ORACLE.m) @ ORACLE.A.T + ORACLE.t * rng.normal(size=(k, len(x), 2))
    ),
    "simulate": lambda z, rng: (
        z @ ORACLE.W.T + ORACLE.m + S * rng.normal(size=(len(z), len(ORACLE.m)))
    ),
    "log_joint_gradient": lambda x, z: (x - z @ ORACLE.W.T - ORACLE.m) @ ORACLE.W / S**2 - z,
    "log_guide_gradient": lambda x, z: -(z - (x - ORACLE.m) @ ORACLE.A.T) / ORACLE.t**2,
}


def weights(pair, x=X, k=6):
    return inference.log_weights(pair.model, pair.guide, x, k, seed=4)


BY_HAND = inference.log_weights(ORACLE.model, ORACLE.guide, X, 6, seed=4)

#: How else the same guide and model can be given.
SAME = {
    "element by element": {},
    "with event dimensions": {
        "encode": lambda x: Independent(encode(x), 1),
        "decode": lambda z: Independent(decode(z), 1),
        "prior": Independent(PRIOR, 1),
    },
    "Pyro's": {
        "encode": lambda x: pyro_dist.Normal((x - M) @ A.T, T).to_event(1),
        "decode": lambda z: pyro_dist.Normal(z @ W.T + M, S).to_event(1),
        "prior": lambda: pyro_dist.Normal(torch.zeros(2).double(), 1.0).to_event(1),
    },
    "mean and scale": {"encode": lambda x: ((x - M) @ A.T, T), "family": "normal"},
    "mean and variance": {"encode": lambda x: ((x - M) @ A.T, T**2), "family": "normal-variance"},
    "mean and log-variance": {
        "encode": lambda x: ((x - M) @ A.T, 2 * T.log()),
        "family": "normal-log-variance",
    },
    "a family of one's own": {"encode": lambda x: ((x - M) @ A.T, T), "family": Normal},
}


@pytest.mark.parametrize("other", SAME.values(), ids=SAME)
def test_weights_are_those_of_programs_by_hand(other):
    assert (weights(linear(**other)) - BY_HAND).abs().max() < 1e-12


def test_densities_and_draws_give_the_same_weights():
    assert (weights(densities()) - BY_HAND).abs().max() < 1e-12
    # Without a prior nothing is told apart, and the sum is the same.
    assert (weights(densities(prior=None)) - BY_HAND).abs().max() < 1e-12


def test_numpy_functions_give_the_closed_form():
    """Seed 0; draws are NumPy's."""
    found = evaluate(densities(**NUMPY), X, 2000, seed=0)
    z_score = (found["log_evidence"].values - ORACLE.log_px(X)) / found["log_evidence_se"].values
    assert np.abs(z_score).max() < STANDARD_ERRORS
    gap = (found["elbo"].values - (ORACLE.log_px(X) - ORACLE.gap())) / found["elbo_se"].values
    assert np.abs(gap).max() < STANDARD_ERRORS


def test_what_a_graph_would_not_repeat_says_so():
    pair = densities(**NUMPY)
    with pytest.raises(NotRecordableError, match="draws by NumPy's generator"):
        record(lambda x: [pair.form.posterior(x, {}).sample()], [X])
    with pytest.raises(NotRecordableError, match="another library"):
        record(lambda x: [pair.form.posterior(x, {}).log_prob(torch.zeros(12, 2))], [X])


def test_making_a_pair_leaves_the_generators_as_they_were():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    linear()
    densities(**NUMPY)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


@pytest.mark.slow
def test_a_pair_goes_to_other_processes():
    pair = densities(**NUMPY)
    there = inference.log_weights(pair.model, pair.guide, X, 6, seed=4, n_jobs=2)
    assert torch.equal(there, weights(pair))


@pytest.mark.parametrize("start", ["guide", "prior"])
@pytest.mark.parametrize("made", [linear, densities, lambda: densities(**NUMPY)])
def test_annealing_finds_the_closed_form(made, start):
    """Seed 1; chains of a datum are independent."""
    pair = made()
    found = ais(
        pair.model, pair.guide, X[:4], num_temperatures=40, num_chains=16, start=start, seed=1
    )
    error = found["log_evidence"].values - ORACLE.log_px(X[:4])
    assert np.abs(error / found["log_evidence_se"].values).max() < STANDARD_ERRORS


def test_annealing_without_a_gradient_says_what_is_missing():
    pair = densities(**NUMPY | {"log_joint_gradient": None})
    with pytest.raises(ProgramError, match="give log_joint_gradient"):
        ais(pair.model, pair.guide, X[:2], num_temperatures=3, num_chains=2)


@pytest.mark.parametrize("made", [linear, densities, lambda: densities(**NUMPY)])
def test_data_can_be_simulated_for_a_sandwich(made):
    """Seed 2: the bounds hold the truth, and are less than a nat apart."""
    pair = made()
    torch.manual_seed(2)
    simulated, latents = inference.simulator(pair.model, pair.guide, X)(20)
    found = bdmc(
        pair.model, pair.guide, simulated, latents, num_temperatures=30, num_chains=8, seed=2
    )
    truth = ORACLE.log_px(simulated)
    low = (found["lower"].values - truth).mean() / np.hypot.reduce(found["lower_se"].values) * 20
    high = (found["upper"].values - truth).mean() / np.hypot.reduce(found["upper_se"].values) * 20
    assert low < STANDARD_ERRORS
    assert high > -STANDARD_ERRORS
    assert (found["upper"] - found["lower"]).mean() < 1


def test_nothing_is_simulated_of_what_cannot_draw():
    for other, missing in (({"simulate": None}, "simulate"), ({"prior": None}, "prior=")):
        pair = densities(**other)
        with pytest.raises(ProgramError, match=missing):
            inference.simulator(pair.model, pair.guide, X)(3)


def test_the_gap_is_taken_apart_as_in_closed_form():
    """Seed 0. Of normals with independent dimensions the best has variances 1 / precision."""
    precision = np.linalg.inv(ORACLE.posterior_cov)
    left = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    pair = linear()
    assert offers(pair, HasUnamortised)
    found = gap_parts(pair, X, 2000, steps=400, seed=0)
    for name, truth in (("approximation_gap", left), ("amortisation_gap", ORACLE.gap() - left)):
        error = math.sqrt(float((found[f"{name}_se"] ** 2).sum())) / len(X)
        # The optimum is found to 0.002 nat; the rest is the draws'.
        assert abs(float(found[name].mean()) - truth) < STANDARD_ERRORS * error + 0.002


def test_a_guide_with_full_covariance_has_no_gap_left():
    """Seed 0."""
    pair = linear(
        encode=lambda x: MultivariateNormal((x - M) @ A.T, scale_tril=torch.diag(T)),
    )
    found = gap_parts(pair, X[:4], 1000, steps=600, seed=0)
    assert abs(float(found["approximation_gap"].mean())) < 0.003


def test_a_guide_of_no_family_is_not_taken_apart():
    assert not offers(densities(), HasUnamortised)
    with pytest.raises(ProgramError, match="no unamortised"):
        gap_parts(densities(), X[:2], 50)


def test_a_discrete_latent_is_exact_by_its_posterior():
    weights, means = torch.tensor([0.3, 0.7]).double(), torch.tensor([[-1.0], [2.0]]).double()
    x = torch.linspace(-2, 3, 5).double().unsqueeze(1)

    def posterior(x):
        return Categorical(logits=weights.log() + Normal(means[:, 0], 0.8).log_prob(x))

    pair = Pair.from_functions(
        x=x,
        encode=posterior,
        decode=lambda z: Normal(means[z.long()], 0.8),
        prior=Categorical(weights),
    )
    truth = MixtureSameFamily(Categorical(weights), Normal(means[:, 0], 0.8)).log_prob(x[:, 0])
    assert (inference.log_weights(pair.model, pair.guide, x, 5) - truth).abs().max() < 1e-12


def test_the_prior_may_be_made_of_the_encoder():
    """A VampPrior: a mixture of the guide at pseudo-data."""
    centres = X[:3]

    def prior():
        found = encode(centres)
        spread = Normal(found.mean, found.stddev.expand(found.mean.shape))
        return MixtureSameFamily(Categorical(torch.ones(3).double()), Independent(spread, 1))

    pair = linear(prior=prior)
    z = torch.zeros(1, 2).double()
    given = torch.stack([Normal(encode(c).mean, T).log_prob(z).sum() for c in centres])
    trace = inference.engine.traces.run_at(
        pair.model, X[:1], {"z": z.unsqueeze(0)}, _structure(pair)
    )
    found = trace.nodes["z"]["fn"].log_prob(z)
    assert abs(float(found) - float(given.logsumexp(0) - math.log(3))) < 1e-12


def _structure(pair):
    return inference.engine.traces.structure_of(pair.model, pair.guide, X[:1], False, None)


class Textbook(nn.Module):
    """Two layers each way, as in every introduction, with dropout and batch normalisation."""

    def __init__(self, features=6, latent=2, width=5):
        super().__init__()
        torch.manual_seed(0)
        self.up = nn.Sequential(nn.Linear(features, width), nn.BatchNorm1d(width), nn.ReLU())
        self.heads = nn.ModuleList([nn.Linear(width, latent) for _ in range(2)])
        self.down = nn.Sequential(
            nn.Linear(latent, width), nn.Tanh(), nn.Dropout(), nn.Linear(width, features)
        )

    def encode(self, x):
        return [head(self.up(x)) for head in self.heads]

    def logits(self, z):
        return self.down(z)


BITS = torch.randint(2, (20, 6), generator=torch.Generator().manual_seed(0)).float()


def textbook(network, x=BITS, **other):
    return Pair.from_functions(
        **{
            "x": x,
            "encode": network.encode,
            "decode": lambda z: Bernoulli(logits=network.logits(z)),
            "family": "normal-log-variance",
            "prior": Normal(torch.zeros(2), 1.0),
        }
        | other
    )


def test_a_module_is_found_behind_its_methods_and_left_as_it_is():
    network = Textbook().eval()
    pair = textbook(network)
    assert list(pair.parts) == [network]
    assert not network.training
    assert not pair.training
    assert pair.dtype == torch.float32
    assert Facts(pair).measure == "counting"
    assert evaluate(pair, BITS, 20).attrs["base_measure"] == "counting"
    assert len(list(pair.parameters())) == len(list(network.parameters()))


def test_a_pair_of_modules_can_be_trained():
    network = Textbook().eval()
    before = network.heads[0].weight.clone()
    found = fit(textbook(network), BITS, epochs=2, batch_size=5, progress=False)
    assert np.isfinite(found.metrics["train_elbo"]).all()
    assert not torch.equal(network.heads[0].weight, before)


def test_what_lies_beside_x_comes_row_by_row():
    sizes = torch.linspace(1.0, 3.0, len(X)).double()
    pair = Pair.from_functions(
        x={"x": X, "size": sizes},
        encode=lambda x, size: encode(x),
        decode=lambda z, size: Normal(z @ W.T + M, S * size.unsqueeze(-1)),
        prior=PRIOR,
    )
    assert pair.inputs == ("size",)
    found = inference.log_weights(pair.model, pair.guide, {"x": X, "size": sizes}, 6, seed=4)
    for row in range(3):
        datum = {"x": X[row : row + 1], "size": sizes[row : row + 1]}
        again = inference.log_weights(pair.model, pair.guide, datum, 6, seed=4)[:, 0]
        assert torch.equal(found[:, row], again)
    exact = evaluate(pair, {"x": X, "size": sizes}, 4000, seed=0)
    for row, size in enumerate(sizes.tolist()):
        covariance = ORACLE.W @ ORACLE.W.T + (S * size) ** 2 * np.eye(5)
        truth = stats.multivariate_normal(ORACLE.m, covariance).logpdf(X[row].numpy())
        error = float(exact["log_evidence_se"][row])
        assert abs(float(exact["log_evidence"][row]) - truth) < STANDARD_ERRORS * error


def test_an_exact_log_prob_is_taken():
    exact = linear(log_prob=lambda x: torch.tensor(ORACLE.log_px(x)))
    found = evaluate(exact, X, 50)
    assert found.attrs["exact"] == 1
    assert np.allclose(found["log_evidence"].values, ORACLE.log_px(X))


# What is refused.


def grey_constant(probs):
    one = [
        integrate.quad(lambda x, p=p: p**x * (1 - p) ** (1 - x), 0, 1)[0] for p in probs.tolist()
    ]
    return float(np.log(one).sum())


def test_grey_cells_under_a_bernoulli_are_told_the_constant():
    grey = torch.linspace(0.1, 0.9, 12).reshape(2, 6)
    probs = torch.linspace(0.2, 0.95, 6)
    with pytest.raises(SupportError, match="Bernoulli") as caught:
        textbook(
            Textbook().eval(),
            grey,
            decode=lambda z: Bernoulli(probs=probs.expand(len(z), 6), validate_args=False),
        )
    assert f"C = {grey_constant(probs):.1f} nats" in str(caught.value)
    assert "ContinuousBernoulli" in str(caught.value)


def test_a_squared_error_is_told_its_constant():
    """The integral of exp(-sum (x - m)^2) over D cells is pi^(D / 2)."""
    with pytest.raises(ProgramError, match="no density") as caught:
        densities(
            log_joint=lambda x, z: -((x - z @ W.T - M) ** 2).sum(-1) + PRIOR.log_prob(z).sum(-1)
        )
    assert f"C = {2.5 * math.log(math.pi):.4f}" in str(caught.value)


def test_cross_entropy_on_grey_cells_is_told_its_constant():
    x = torch.linspace(0.05, 0.95, 10).reshape(2, 5).double()
    logits = torch.linspace(-2, 2, 5).double()

    def bce(x, z):
        log_p, log_q = nn.functional.logsigmoid(logits), nn.functional.logsigmoid(-logits)
        return (x * log_p + (1 - x) * log_q).sum(-1) + PRIOR.log_prob(z).sum(-1)

    with pytest.raises(ProgramError, match="no density") as caught:
        densities(x=x, log_joint=bce, support=constraints.unit_interval)
    assert f"C = {grey_constant(torch.sigmoid(logits)):.4f}" in str(caught.value)
    # As probabilities of zeros and ones it is one.
    bits = (x > 0.5).double()
    pair = densities(x=bits, log_joint=bce, support=constraints.boolean, measure=None)
    assert pair.measure == "counting"
    assert any("adds up to one" in sentence for sentence in pair.checked)
    # And over the line it has no integral at all.
    with pytest.raises(ProgramError, match="no finite integral"):
        densities(x=x, log_joint=bce)


class Tempered(Distribution):
    """Counts with log-probabilities that are halved: no distribution."""

    arg_constraints: ClassVar = {}
    support = constraints.nonnegative_integer

    def __init__(self, rate, power):
        self.base, self.power = Poisson(rate), power
        super().__init__(rate.shape, validate_args=False)

    def sample(self, shape=()):
        return self.base.sample(shape)

    def log_prob(self, value):
        return self.power * self.base.log_prob(value)


def test_a_distribution_of_ones_own_is_added_up():
    counts = torch.arange(10.0).reshape(2, 5).double()
    rate = torch.linspace(1, 5, 5).double()

    def made(power):
        return linear(
            x=counts,
            encode=lambda x: Normal(torch.zeros(len(x), 2).double(), 1.0),
            decode=lambda z: Tempered(rate.expand(len(z), 5), power),
        )

    assert made(1.0).measure == "counting"
    assert any("adds up to one" in sentence for sentence in made(1.0).checked)
    k = np.arange(200)
    truth = np.log(np.exp(0.5 * stats.poisson(rate.numpy()[:, None]).logpmf(k)).sum(1)).sum()
    with pytest.raises(ProgramError, match=f"C = {truth:.4f}"):
        made(0.5)


def test_what_draws_anew_or_looks_at_other_rows_is_refused():
    network = Textbook().train()
    with pytest.raises(ProgramError, match=r"decode gives another .* second call.*eval"):
        textbook(network, encode=lambda x: [head(x[:, :5]) for head in network.heads])
    with pytest.raises(ProgramError, match=r"encode takes two rows and not one .* module.eval"):
        textbook(network)

    def centred(x):
        return Normal((x - x.mean(0)) @ A.T, T)

    with pytest.raises(ProgramError, match=r"encode gives a row another .* batch normal"):
        linear(encode=centred)


REFUSED = {
    "neither kind": ({"encode": None}, SettingError, "got decode"),
    "both kinds": ({"log_joint": log_joint}, SettingError, "none of the other"),
    "no prior": ({"prior": None}, ProgramError, "prior got NoneType"),
    "tensors of no family": (
        {"encode": lambda x: ((x - M) @ A.T, T)},
        ProgramError,
        "family=, one of normal, normal-variance, normal-log-variance",
    ),
    "a family that is none": ({"family": "norml"}, UnknownNameError, "Did you mean"),
    "a reconstruction": (
        {"decode": lambda z: z @ W.T + M},
        ProgramError,
        "decode gave Tensor: it must give the distribution of x",
    ),
    "another size of x": (
        {"decode": lambda z: Normal(z, 1.0)},
        ProgramError,
        r"of \(2,\) in each row, and x has \(5,\)",
    ),
    "another size of z": (
        {"encode": lambda x: Normal(x, 1.0)},
        ProgramError,
        r"of \(5,\) in each row, and z, by the prior, has \(2,\)",
    ),
    "no rows": (
        {"decode": lambda z: Normal(z.sum(), 1.0)},
        ProgramError,
        "first dimension of its batch shape must be the rows",
    ),
    "a prior elsewhere": (
        {"prior": pyro_dist.Gamma(torch.ones(2).double(), 1.0)},
        ProgramError,
        "outside the support of the prior",
    ),
    "one row": ({"x": X[:1]}, DataError, "x has one row"),
    "a measure that is none": ({"measure": "lebesque"}, UnknownNameError, "lebesgue"),
    "another library's distributions": ({"library": "numpy"}, SettingError, "beside encode"),
}


@pytest.mark.parametrize(("other", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_pair_is_refused_by_name(other, error, words):
    with pytest.raises(error, match=words):
        linear(**other)


REFUSED_DENSITIES = {
    "no measure": ({"measure": None}, SettingError, "measure is missing"),
    "an unknown library": ({"library": "tensorflow"}, UnknownNameError, "library"),
    "one number for all": (
        {"log_joint": lambda x, z: log_joint(x, z).sum()},
        ProgramError,
        r"log_joint gave shape \(\) for 2 rows",
    ),
    "draws of one datum": (
        {"sample": lambda x, k: sample(x, k)[:, 0]},
        ProgramError,
        "sample gave",
    ),
    "a gradient for PyTorch": (
        {"log_guide_gradient": log_guide},
        ProgramError,
        "log_guide_gradient was given",
    ),
    "a prior of another size": (
        {"prior": Normal(torch.zeros(3).double(), 1.0)},
        ProgramError,
        "make them equal",
    ),
}


@pytest.mark.parametrize(
    ("other", "error", "words"), REFUSED_DENSITIES.values(), ids=REFUSED_DENSITIES
)
def test_densities_that_make_no_pair_are_refused_by_name(other, error, words):
    with pytest.raises(error, match=words):
        densities(**other)


def test_data_outside_the_support_are_refused_before_the_work():
    pair = textbook(Textbook().eval())
    with pytest.raises(SupportError, match="row 3"):
        evaluate(pair, torch.cat([BITS[:3], BITS[3:] + 0.5]), 10)
