"""What the referee puts on a card, against closed forms; what it leaves out; what a check sees."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

from pyro_vae.cards.card import read_card, unlisted, write_card
from pyro_vae.cards.checked import compared
from pyro_vae.data import Dataset
from pyro_vae.errors import DataError, ProgramError, RunError, SettingError, UnknownNameError
from pyro_vae.models import VAE, LinearVAE
from pyro_vae.models.likelihoods import Bernoulli, Normal
from pyro_vae.pairs import Pair
from pyro_vae.referee import check, referee
from pyro_vae.referee.measuring import measure_of, ranks_of
from pyro_vae.referee.page import write_referee_page
from pyro_vae.referee.refereed import weights_of
from tests.oracles import LinearGaussian
from tests.tolerances import STANDARD_ERRORS

ORACLE = LinearGaussian()
X = ORACLE.draw(40)
FEW = {
    "num_particles": 1000,
    "num_annealed": 12,
    "num_temperatures": 60,
    "num_simulated": 20,
    "num_ranked": 200,
    "steps": 300,
}
NOTHING_ELSE = {"num_annealed": 0, "num_simulated": 0, "num_ranked": 0}


@pytest.fixture(scope="module")
def card():
    return referee(ORACLE, X, name="oracle", reported=-5.5, reported_as="a book", **FEW)


@pytest.fixture(scope="module")
def linear():
    """A PPCA with the oracle's weights: its log p(x) is exact, and its guide is wrong."""
    model = LinearVAE((5,), 2, scale=0.7, seed=1)
    return model, referee(model, X.float(), **FEW)


def within(number, truth):
    """Whether a mean is within its Monte Carlo error of the mean of the truth."""
    return abs(number.value - truth) <= STANDARD_ERRORS * number.monte_carlo_error


def test_every_estimate_is_within_its_error_of_the_closed_form(card):
    numbers, truth = card.part("oracle").numbers, ORACLE.log_px(X)
    assert within(numbers["elbo"], (truth - ORACLE.gap()).mean())
    assert within(numbers["gap"], ORACLE.gap())
    assert within(numbers["log_evidence"], truth.mean())
    for name in ("quadrature", "importance", "widened", "defensive", "ais", "ais-from-prior"):
        number = numbers[f"certify_{name}"]
        # Of quadrature what is left is its own rounding.
        error = STANDARD_ERRORS * number.monte_carlo_error + 1e-5
        assert abs(number.value - truth[:12].mean()) <= error, name
    assert within(numbers["missed"], 0.0)
    assert within(numbers["sandwich"], 0.0)
    assert within(numbers["sandwich_missed"], 0.0)
    assert numbers["lower"].value <= numbers["upper"].value + 0.05
    values = unlisted(card.part("oracle").per_datum["log_evidence"])
    errors = unlisted(card.part("oracle").per_datum["log_evidence_se"])
    assert (np.abs(values - truth) <= 5 * errors + 1e-5).all()


def test_bounds_are_in_order_and_below(card):
    numbers, truth = card.part("oracle").numbers, ORACLE.log_px(X).mean()
    bounds = [numbers[name].value for name in ("elbo", "iwae_5", "iwae_50", "log_evidence")]
    assert bounds == sorted(bounds)
    room = STANDARD_ERRORS * numbers["log_evidence"].monte_carlo_error
    assert bounds[-1] <= truth + room


def test_simulated_data_are_the_models(card):
    """Their log p(x) is minus the entropy of a Gaussian on average; tolerance in s.e., seed 0."""
    cov = ORACLE.W @ ORACLE.W.T + ORACLE.s**2 * np.eye(5)
    entropy = stats.multivariate_normal(ORACLE.m, cov).entropy()
    number = card.part("oracle").numbers["lower"]
    error = math.hypot(number.sampling_error, number.monte_carlo_error)
    assert abs(number.value + entropy) <= STANDARD_ERRORS * error


def test_what_is_reported_stands_beside_ours(card):
    (row,) = [row for row in card.rows if row.published is not None]
    assert row.label == "log p(x), importance sampling"
    assert (row.published, row.source) == (-5.5, "a book")
    assert row.ours == card.part("oracle").numbers["log_evidence"]


def test_of_an_exact_model_both_are_there(linear):
    model, card = linear
    found = card.part("LinearVAE")
    exact = model.log_prob(X.float()).detach().numpy()
    assert found.numbers["log_evidence"].value == pytest.approx(exact.mean(), abs=1e-4)
    assert found.numbers["log_evidence"].monte_carlo_error == 0.0
    assert found.numbers["importance"].value < exact.mean()
    assert found.protocol["exact"] == 1
    whole = unlisted(found.per_datum["gap"])[:12].mean()
    parts = [found.numbers[f"{name}_gap"] for name in ("approximation", "amortisation")]
    error = math.hypot(*(part.monte_carlo_error for part in parts))
    assert abs(sum(part.value for part in parts) - whole) <= STANDARD_ERRORS * error + 0.05
    assert "weights" in found.model_dump()
    assert len(found.weights) == 64


def test_an_error_that_is_not_to_be_trusted_is_withheld(linear):
    _, card = linear
    found = card.part("LinearVAE")
    assert found.numbers["importance"].monte_carlo_error is None
    assert found.numbers["certify_importance"].monte_carlo_error is None
    assert "one of the two is wrong" not in found.certificate
    assert found.numbers["miscalibrated"].value > 0


def test_a_calibrated_guide_and_one_that_is_too_narrow(card):
    class Exact:
        model = staticmethod(ORACLE.model)
        guide = staticmethod(ORACLE.exact_guide)

    class Narrow:
        model = staticmethod(ORACLE.model)

        @staticmethod
        def guide(x):
            A, m = torch.tensor(ORACLE.A), torch.tensor(ORACLE.m)
            with pyro.plate("data", len(x), dim=-1):
                t = torch.tensor(ORACLE.t / 3)
                pyro.sample("z", dist.Normal((x - m) @ A.T, t).to_event(1))

    few = {**NOTHING_ELSE, "num_particles": 50, "num_ranked": 300}
    right, wrong = (referee(pair(), X, **few).parts[0] for pair in (Exact, Narrow))
    assert right.numbers["miscalibrated"].value == 0
    assert wrong.numbers["miscalibrated"].value == 2
    assert any("too narrow" in note for note in wrong.notes)
    ranks = ranks_of(wrong.per_datum)
    assert float(ranks["p_holm"].min()) == pytest.approx(wrong.numbers["smallest_p"].value)


@pytest.mark.parametrize("form", ["encoder and decoder", "densities"])
def test_a_pair_out_of_plain_functions(form):
    W, m, A, t = (torch.tensor(v) for v in (ORACLE.W, ORACLE.m, ORACLE.A, ORACLE.t))
    prior = torch.distributions.Normal(torch.zeros(2, dtype=torch.double), 1.0)

    def encode(x):
        return torch.distributions.Normal((x - m) @ A.T, t)

    def decode(z):
        return torch.distributions.Normal(z @ W.T + m, ORACLE.s)

    if form == "densities":
        made = {
            "log_joint": lambda x, z: decode(z).log_prob(x).sum(-1) + prior.log_prob(z).sum(-1),
            "log_guide": lambda x, z: encode(x).log_prob(z).sum(-1),
            "sample": lambda x, k: encode(x).sample((k,)),
            "measure": "lebesgue",
        }
    else:
        made = {"encode": encode, "decode": decode, "prior": prior}
    pair = Pair.from_functions(x=X, **made)
    found = referee(pair, X, name="theirs", **FEW).part("theirs")
    number = found.numbers["log_evidence"]
    assert number.value == pytest.approx(ORACLE.log_px(X).mean(), abs=0.02)
    assert found.protocol["base_measure"] == "lebesgue"
    assert set(pair.checked) <= set(found.notes)
    if form == "densities":
        # Nothing draws from its prior, so nothing tells what the guide misses.
        assert number.monte_carlo_error is None
        assert [note for note in found.notes if note.startswith("Left out: the sandwich")]
    else:
        assert within(number, ORACLE.log_px(X).mean())
        assert within(found.numbers["sandwich"], 0.0)
        assert within(found.numbers["missed"], 0.0)


def test_what_does_not_apply_is_left_out_with_its_reason(card):
    notes = card.part("oracle").notes
    assert [note for note in notes if "has no unamortised(x)" in note]
    assert "left out exact: the model has no exact log_prob" in card.part("oracle").certificate


class Discrete:
    """A mixture of two, z not summed out by its own guide, and no way to take a gradient."""

    @staticmethod
    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Bernoulli(0.5))
            mean = (2 * z - 1).unsqueeze(-1).expand(*z.shape, 5).to(x)
            pyro.sample("x", dist.Normal(mean, 1.0).to_event(1), obs=x)

    @staticmethod
    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Bernoulli(torch.sigmoid(1.9 * x.sum(-1))))


def test_a_discrete_latent_is_weighed_and_not_annealed():
    found = referee(Discrete(), X, **{**FEW, "num_particles": 400}).part("Discrete")
    both = [stats.norm(mean, 1).logpdf(X.numpy()).sum(1) for mean in (-1, 1)]
    truth = np.logaddexp(*both) - math.log(2)
    assert found.numbers["log_evidence"].value == pytest.approx(truth.mean(), abs=0.05)
    assert "left out ais" in found.certificate
    assert [note for note in found.notes if note.startswith("Left out: the sandwich")]


def test_a_program_that_fails_ends_its_own_measurement_alone():
    class Fails:
        model = staticmethod(ORACLE.model)

        @staticmethod
        def guide(x):
            if torch.is_grad_enabled():
                raise RuntimeError("no gradients\nhere")
            ORACLE.guide(x)

    found = referee(Fails(), X, **FEW).parts[0]
    assert "RuntimeError: no gradients here" in found.certificate
    assert "log_evidence" in found.numbers
    assert "certify_importance" in found.numbers
    assert "certify_ais" not in found.numbers


def test_an_unamortised_guide_serves_its_own_data():
    vae = VAE((5,), 1, likelihood=Normal(0.7), encoder=(4,), decoder=(4,)).unamortised(X.float())
    found = referee(vae, X.float(), **{**FEW, "num_particles": 50}).parts[0]
    assert math.isfinite(found.numbers["log_evidence"].value)


def test_a_pair_of_programs_is_a_pair():
    few = {**NOTHING_ELSE, "num_particles": 200}
    found = referee((ORACLE.model, ORACLE.guide), X, **few)
    same = referee(ORACLE, X, name="model", **few)
    assert found.parts == same.parts


def test_units_of_the_data_before_they_were_standardised():
    table = torch.tensor(3.0 + 4.0 * X.numpy())
    data = Dataset.from_tensors(table[:20], test=table[20:]).standardised()
    few = {**NOTHING_ELSE, "num_particles": 100}
    vae = VAE((5,), 1, likelihood=Normal(0.7), encoder=(4,), decoder=(4,))
    card = referee(vae, data, reported=-20.0, **few)
    found = card.parts[0]
    row = next(row for row in card.rows if row.published is not None)
    shift = -np.log(table[:20].numpy().std(0)).sum()
    assert row.ours.value - found.numbers["log_evidence"].value == pytest.approx(shift, abs=1e-3)
    assert "in the original units" in row.label
    assert any("original units" in note for note in found.notes)
    assert card.data["measured"] == 20


def test_the_measure_is_the_pairs_or_what_its_model_observes():
    class Binary:
        @staticmethod
        def model(x):
            with pyro.plate("data", len(x), dim=-1):
                z = pyro.sample("z", dist.Normal(0.0, 1.0))
                pyro.sample("x", dist.Bernoulli(logits=z.unsqueeze(-1)).to_event(1), obs=x)

    class Factor:
        @staticmethod
        def model(x):
            pyro.factor("x", -(x**2).sum())

    assert measure_of(Binary, torch.ones(2, 3)) == "counting"
    assert measure_of(ORACLE, X) == "lebesgue"
    assert measure_of(Factor, X) == "unknown"
    assert measure_of(VAE((3,), 1, likelihood=Bernoulli()), torch.ones(2, 3)) == "counting"


def test_weights_are_those_of_modules_wherever_they_are():
    vae, other = (VAE((4,), 1, encoder=(3,), decoder=(3,), seed=seed) for seed in (0, 1))
    assert weights_of(vae) != weights_of(other)

    class Holds:
        def __init__(self, inner):
            self.inner = inner

    assert weights_of(Holds(vae)) != weights_of(Holds(other))
    assert weights_of(Holds(vae)) == weights_of(Holds(vae.double().float()))
    assert weights_of(ORACLE) is None


def test_a_card_is_read_back_and_checked(card, tmp_path):
    write_card(tmp_path / "oracle.json", card)
    assert read_card(tmp_path / "oracle.json") == card
    found = check(ORACLE, X, tmp_path / "oracle.json")
    assert (found.verdict, found.largest) == ("equal", 0.0)


def test_a_check_sees_other_numbers_weights_and_data(linear, tmp_path):
    model, card = linear
    path = tmp_path / "linear.json"
    write_card(path, card)
    with pytest.raises(DataError, match=r"not those of which linear\.json speaks"):
        check(model, X.float() + 1e-3, path)
    moved = LinearVAE((5,), 2, scale=0.7, seed=2)
    with pytest.raises(RunError, match="weights are not those"):
        check(moved, X.float(), path)
    said = card.parts[0]
    columns = {**said.per_datum, "elbo": [v + 1 for v in said.per_datum["elbo"]]}
    assert not compared(said.model_copy(update={"per_datum": columns}), said).holds
    of_an_experiment = card.model_copy(update={"experiment": "iwae"})
    write_card(tmp_path / "iwae.json", of_an_experiment)
    with pytest.raises(RunError, match="card of the experiment 'iwae'"):
        check(model, X.float(), tmp_path / "iwae.json")


def test_a_stopped_call_goes_on(tmp_path, monkeypatch):
    vae = VAE((5,), 1, likelihood=Normal(0.7), encoder=(4,), decoder=(4,))
    few = {**NOTHING_ELSE, "num_particles": 100}
    whole = referee(vae, X.float(), **few)
    monkeypatch.setattr("pyro_vae.inference.evidence.checkpoint._INTERVAL", 0.0)
    done = []

    def stop(*args, **kwargs):
        done.append(args)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rich.progress.Progress.update", lambda *a, **k: stop(*a, **k))
        with pytest.raises(KeyboardInterrupt):
            referee(vae, X.float(), folder=tmp_path, progress=True, **few)
    assert (tmp_path / "evidence.partial.nc").is_file()
    assert referee(vae, X.float(), folder=tmp_path, **few).parts == whole.parts
    assert not (tmp_path / "evidence.partial.nc").exists()


def test_a_page_has_a_figure_of_all_there_is(card, linear, tmp_path):
    for one, figures in ((card, 4), (linear[1], 5)):
        write_referee_page(tmp_path / "page.html", one)
        page = (tmp_path / "page.html").read_text()
        assert page.count("<img") == figures
        assert f"{one.parts[0].numbers['elbo'].value:.2f}" in page
    bare = referee(ORACLE, X[:1], num_particles=50, **NOTHING_ELSE)
    write_referee_page(tmp_path / "page.html", bare)
    assert "<img" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"reported_of": "likelihood"}, UnknownNameError, "number that is reported 'likelihood'"),
        ({"reported": math.nan}, SettingError, "reported got nan"),
        ({"num_annealed": 1}, SettingError, "num_annealed got 1: give at least 2, or 0 for none"),
        ({"num_particles": 0}, ValueError, "num_particles got 0"),
    ],
)
def test_what_cannot_be_asked(settings, error, message):
    with pytest.raises(error, match=message):
        referee(ORACLE, X, **settings)


def test_no_pair_is_refused():
    with pytest.raises(ProgramError, match="must be a module with Pyro programs"):
        referee(ORACLE.model, X)
