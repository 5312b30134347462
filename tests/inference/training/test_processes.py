"""Several processes that share a batch train what one process trains."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from pyro_vae.inference import fit
from pyro_vae.inference.training.whole_draws import WholeDraws
from tests.inference.training.shared_batches import CASES, REFUSED, SETTINGS, trained

#: What stands before a normalisation has no gradient but rounding, which Adam divides by its size.
NORMED = [name for name in CASES if name.startswith("batch-norm")]
ALWAYS = ["batch-norm", "codebook", "own-program", "iwae-3", "patience", "streamed"]
NO_SUM = ["beta-tc-elbo(beta=4)", "free-bits(nats=0.5)"]


def by_torchrun(names, folder, processes=2):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", "-m", "tests.inference.training.shared_batches"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    subprocess.run([*command, ",".join(names), str(folder)], check=True, env=environment)
    return folder


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    names = [*ALWAYS, "free-bits(nats=0.5)", *REFUSED, "resumed"]
    return by_torchrun(names, tmp_path_factory.mktemp("some"))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    names = [name for name in CASES if name not in ALWAYS]
    return by_torchrun(names, tmp_path_factory.mktemp("others"))


def hold(folder, name):
    weights, metrics, stopped = torch.load(folder / f"{name}.pt", weights_only=False)
    ours, our_metrics, our_stopped = trained(name)
    assert stopped == our_stopped
    assert weights.keys() == ours.keys()
    atol = 1e-7 if name in NORMED else 1e-10
    for key, value in ours.items():
        torch.testing.assert_close(weights[key], value, rtol=1e-9, atol=atol)
    # Fabric sums losses in float32.
    assert len(metrics) == len(our_metrics)
    assert (metrics - our_metrics).abs().max().max() <= 1e-6 * our_metrics.abs().max().max()


@pytest.mark.parametrize("name", ALWAYS)
def test_two_processes_give_what_one_gives(some, name):
    hold(some, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name not in [*ALWAYS, *NO_SUM]])
def test_every_part_and_objective(others, name):
    hold(others, name)


def test_a_run_goes_on_to_the_bit_with_any_number_of_processes(some, tmp_path):
    whole, stopped = (some / run for run in ("whole", "stopped"))
    for file in ("weights", "checkpoint"):
        one, two = (load_file(run / f"{file}.safetensors") for run in (whole, stopped))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)
    # One process can take over: its numbers are those of two to rounding.
    model, data, _ = CASES["codebook"]()
    settings = SETTINGS | {"epochs": 4, "schedule": lambda _: 1.0}
    found = fit(model.double(), data, run=whole, resume=True, **settings)
    assert found.stopped == "epochs"


def said(folder, name):
    return torch.load(folder / f"{name}.pt", weights_only=False)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("free-bits(nats=0.5)", "FreeBits cannot be trained by 2 processes: free-bits is no sum"),
        ("torch-batch-norm", "BatchNorm1d cannot be trained by 2 processes: it would normalise"),
        ("lone-last-row", "batch_size got 5, which leaves 1 of the 21 training data for the last"),
        ("not-finite", "the loss is nan at step"),
        ("other-number", "devices got 3, and torchrun started 2 processes on this machine"),
    ],
)
def test_what_cannot_be_shared_is_refused_in_a_sentence(some, name, sentence):
    assert said(some, name).startswith(sentence)


@pytest.mark.slow
def test_objectives_of_a_batch_are_refused(others):
    for name in NO_SUM:
        if name not in ALWAYS:
            assert "no sum over the data of a batch" in said(others, name)


# The draws, without processes


class OneOfTwo:
    """The second of two processes, of a batch of 5."""

    size, num_own, own = 5, 2, slice(1, None, 2)

    def __init__(self, whole):
        self.whole = whole

    def rows(self, part):
        # One particle in the axis of the data.
        assert torch.equal(part[:, 0], self.whole[self.own])
        return self.whole[:, None]


DRAWS = {
    "normal": lambda x: torch.normal(x, x.abs() + 1),
    "normal of a number": lambda x: torch.normal(0.0, 1.0, x.shape),
    "randn": lambda x: torch.randn(x.shape),
    "rand": lambda x: torch.rand(*x.shape),
    "randint": lambda x: torch.randint(7, x.shape),
    "rand_like": torch.rand_like,
    "uniform_": lambda x: torch.empty_like(x).uniform_(),
    "exponential_": lambda x: torch.empty_like(x).exponential_(),
    "bernoulli": lambda x: torch.bernoulli(x.sigmoid()),
    "bernoulli_": lambda x: torch.empty_like(x).bernoulli_(0.3),
    "multinomial": lambda x: torch.multinomial(x.exp(), 2),
    "gamma": lambda x: torch._standard_gamma(x.exp()),
    "poisson": lambda x: torch.poisson(x.exp()),
    "dropout": lambda x: torch.nn.functional.dropout(x, 0.4),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_is_rows_of_that_of_the_whole_batch(name):
    x, y = torch.linspace(-1, 1, 20).reshape(5, 4), torch.linspace(0, 1, 9)
    torch.manual_seed(3)
    expected = DRAWS[name](x), torch.rand_like(y)
    torch.manual_seed(3)
    with WholeDraws(OneOfTwo(of_draw(name, x)), num_particles=1):
        found = DRAWS[name](x[1::2]), torch.rand_like(y)  # no axis of y is that of data
    assert torch.equal(found[0], expected[0][1::2])
    assert torch.equal(found[1], expected[1])


def of_draw(name, x):
    """What the operation is given, which processes gather."""
    made = {"bernoulli": x.sigmoid(), "dropout": x}
    return made.get(name, x.exp())


def test_particles_lie_to_the_left_of_the_data():
    torch.manual_seed(3)
    apart, joined = torch.randn(3, 5, 4), torch.rand(15, 2)
    torch.manual_seed(3)
    with WholeDraws(OneOfTwo(None), num_particles=3):
        found = torch.randn(3, 2, 4), torch.rand(6, 2)
    assert torch.equal(found[0], apart[:, 1::2])
    assert torch.equal(found[1], joined.reshape(3, 5, 2)[:, 1::2].reshape(6, 2))


def test_a_generator_of_its_own_is_left_alone():
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    with WholeDraws(OneOfTwo(None), num_particles=1):
        found = torch.rand(2, 4, generator=generators[0])
    assert torch.equal(found, torch.rand(2, 4, generator=generators[1]))
