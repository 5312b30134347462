"""Work shared out among processes: the same numbers for any number of them, whatever happens."""

import os
import pickle
import signal
from functools import partial

import joblib
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import constraints

from pyro_vae.errors import ProgramError, UnknownNameError, WorkerError
from pyro_vae.inference import compare, evaluate, gap_parts
from pyro_vae.inference.checking import posterior_samples, sbc_ranks
from pyro_vae.inference.engine.weights import stream_log_weights
from pyro_vae.inference.evidence import ais, certify, conditional, impute, score
from pyro_vae.inference.evidence.checkpoint import Checkpoint
from pyro_vae.models import VAE
from pyro_vae.models.likelihoods import Normal
from pyro_vae.workers import _pickled, shared_out
from tests.cases import a_few_always

GENERATOR = torch.Generator().manual_seed(3)
X = (torch.rand(30, 5, generator=GENERATOR) < 0.4).float()
REAL = torch.randn(30, 5, generator=GENERATOR)
VAE_5 = VAE((5,), 2, seed=1)
NORMAL = VAE((5,), 2, likelihood=Normal(), missing="zeros", seed=1)
OBSERVED = torch.rand(REAL.shape, generator=GENERATOR) < 0.6
HOLED = {"x": REAL, "observed": OBSERVED}

MEASUREMENTS = {
    "evaluate": partial(evaluate, VAE_5, X, 40),
    "several at once": partial(evaluate, VAE_5, X.repeat(8, 1), 40, memory_limit=300_000),
    "gap_parts": partial(gap_parts, VAE_5, X, 40, steps=5),
    "ais": partial(ais, VAE_5.model, VAE_5.guide, X, num_temperatures=4, batch_size=8),
    "impute": partial(impute, NORMAL, HOLED, 30, draws=3),
    "score": partial(score, VAE_5, X, 30),
    "sbc_ranks": partial(sbc_ranks, VAE_5.model, VAE_5.guide, 40, 19),
    "conditional": partial(conditional, VAE_5, X, [0, 2], 30),
}


def measured(name, **settings):
    """Results without the time that they took."""
    found = MEASUREMENTS[name](**settings)
    found.attrs.pop("seconds", None)
    return found


@a_few_always("name", MEASUREMENTS, ["evaluate", "ais", "impute", "score", "sbc_ranks"])
def test_two_workers_give_the_numbers_of_one(name):
    assert measured(name, n_jobs=2).identical(measured(name, n_jobs=1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evaluate", "several at once", "ais"])
def test_four_workers_give_the_numbers_of_one(name):
    assert measured(name, n_jobs=4).identical(measured(name, n_jobs=1))


def test_several_results_are_those_of_one_worker():
    def tables(jobs):
        certificate = certify(
            VAE_5,
            X,
            num_particles=30,
            num_temperatures=3,
            estimators=["widened", "ais"],
            n_jobs=jobs,
        )
        models = {"a": VAE_5, "b": VAE((5,), 2, seed=2)}
        comparison = compare(models, X, num_particles=30, n_jobs=jobs)
        draws = posterior_samples(VAE_5.model, VAE_5.guide, X, 5, num_particles=30, n_jobs=jobs)
        terms = stream_log_weights(VAE_5.model, VAE_5.guide, X, 30, n_jobs=jobs)
        return [
            certificate.table.drop(columns="seconds").to_dict(),
            comparison.table.to_dict(),
            draws.to_dict(),
            [part.log_weights.tolist() for part in terms],
        ]

    for one, two in zip(tables(1), tables(2), strict=True):
        np.testing.assert_equal(two, one)


def process_and_threads(number):
    yield os.getpid(), torch.get_num_threads()


def test_a_worker_has_one_thread_and_joblib_chooses_it():
    def where(n_jobs):
        return set(shared_out(process_and_threads, [(n,) for n in range(6)], n_jobs))

    here = os.getpid()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert where(None) == {(here, 2)}
        assert where(1) == {(here, 1)}
        assert torch.get_num_threads() == 2
        assert all(pid != here and threads == 1 for pid, threads in where(2))
        with joblib.parallel_config("loky", n_jobs=2):
            assert here not in {pid for pid, _ in where(None)}
        # Threads would wait for each other, and do so for ever inside a verb.
        with joblib.parallel_config("threading", n_jobs=2):
            assert where(None) == {(here, 2)}
            assert evaluate(VAE_5, X[:3], 10, n_jobs=2).identical(evaluate(VAE_5, X[:3], 10))
    finally:
        torch.set_num_threads(threads)


def test_workers_have_the_parameters_of_the_store():
    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z.unsqueeze(-1), torch.ones(5)).to_event(1), obs=x)

    def guide(x):
        scale = pyro.param("scale", torch.tensor(1.0), constraint=constraints.positive)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x.sum(-1) / 6, scale))

    pyro.param("scale", torch.tensor(6.0**-0.5), constraint=constraints.positive)
    try:
        found = evaluate((model, guide), REAL, 20, n_jobs=2)
        # The guide is the posterior: every weight is p(x), in closed form.
        covariance = np.eye(5) + np.ones((5, 5))
        exact = torch.distributions.MultivariateNormal(
            torch.zeros(5), torch.tensor(covariance, dtype=torch.float32)
        ).log_prob(REAL)
        np.testing.assert_allclose(found["elbo"], exact, atol=1e-4)
        assert float(pyro.param("scale").detach()) == pytest.approx(6.0**-0.5)
    finally:
        pyro.clear_param_store()


class Killed:
    """Squares, by a process that dies at the third, as often as it may."""

    def __init__(self, folder, times):
        self.folder, self.times = folder, times

    def __call__(self, number):
        deaths = len(os.listdir(self.folder))
        if number == 3 and deaths < self.times:
            (self.folder / str(deaths)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield number**2


def squares(work):
    return list(shared_out(work, [(number,) for number in range(8)], 2))


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_no_numbers(tmp_path):
    assert squares(Killed(tmp_path, 1)) == [n**2 for n in range(8)]
    assert len(os.listdir(tmp_path)) == 1


@pytest.mark.slow
def test_workers_that_die_again_and_again_are_given_up(tmp_path):
    with pytest.raises(WorkerError, match=r"killed 3 times in a row.*fewer n_jobs"):
        squares(Killed(tmp_path, 99))
    # Those that come after are not the worse for it.
    assert squares(Killed(tmp_path, 0)) == [n**2 for n in range(8)]


def refuses(kind):
    if kind == "name":
        raise UnknownNameError("likelihood", "binominal", ["binomial", "normal"])
    raise ProgramError("no site 'z'")
    yield


def test_an_error_with_a_name_comes_back_whole():
    error = UnknownNameError("likelihood", "binominal", ["binomial", "normal"])
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (UnknownNameError, str(error))


@pytest.mark.slow
def test_errors_of_a_worker_are_those_of_the_package():
    with pytest.raises(UnknownNameError, match="Did you mean 'binomial'"):
        list(shared_out(refuses, [("name",)] * 2, 2))
    with pytest.raises(ProgramError, match="no site 'z'"):
        list(shared_out(refuses, [("program",)] * 2, 2))


def test_what_was_stopped_goes_on_with_another_number_of_workers(tmp_path):
    checkpoint = Checkpoint(tmp_path / "part.nc", "key")

    def stop(done, total):
        if done == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(VAE_5, X, 40, n_jobs=2, progress=stop, checkpoint=checkpoint)
    kept = len(next(iter(checkpoint.load().values())))
    assert kept == 17
    done = []
    found = evaluate(
        VAE_5, X, 40, n_jobs=2, progress=lambda n, _: done.append(n), checkpoint=checkpoint
    )
    assert done == list(range(18, 31))
    assert found.identical(evaluate(VAE_5, X, 40, n_jobs=1))


def test_only_the_rows_that_are_measured_are_sent():
    many = torch.zeros(100_000, 5)
    assert len(pickle.dumps(many[:3])) > 1_000_000
    assert len(_pickled({"x": many[:3]})) < 2_000


@pytest.mark.parametrize(("jobs", "reason"), [(0, "got 0"), (1.5, "got 1.5"), (True, "got True")])
def test_a_number_of_workers_is_a_whole_number(jobs, reason):
    with pytest.raises(ValueError, match=f"n_jobs {reason}: it must be a whole number"):
        evaluate(VAE_5, X, 10, n_jobs=jobs)


@pytest.mark.slow
def test_processes_of_a_dask_cluster_give_the_same_numbers():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        for name in ("evaluate", "ais"):
            assert measured(name).identical(measured(name, n_jobs=1)), name
