"""The training loop: it learns, it repeats itself to the bit, and it survives being killed."""

import math
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from safetensors.torch import load_file

from pyro_vae.data import Dataset, load
from pyro_vae.disk.runs import Run
from pyro_vae.errors import (
    NonFiniteLossError,
    ProgramError,
    RunError,
    SupportError,
    UnknownNameError,
)
from pyro_vae.inference import evaluate, fit, summary
from pyro_vae.models import VAE, MixtureModel
from pyro_vae.models.likelihoods import Bernoulli, Normal
from pyro_vae.stored.loading import load_data, load_model

SMALL = {"epochs": 4, "batch_size": 64, "progress": False}
#: Where calls of the programs are counted: a slow machine would record a graph of them.
BY_HANDLERS = {**SMALL, "compile": "off"}


class Interrupting(VAE):
    """Ctrl-C at a call of the guide."""

    calls, at = 0, 1

    def guide(self, x):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return super().guide(x)


@pytest.fixture(scope="module")
def digits():
    return load("digits", binarisation="stochastic")


def small_vae(seed=0):
    return VAE((8, 8), 2, encoder=(32,), decoder=(32,), seed=seed)


def same(one, two):
    return all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.slow
def test_it_reaches_the_optimum_of_a_linear_gaussian_model():
    """A linear VAE with a learned scale: its optimum is probabilistic PCA's likelihood."""
    from sklearn.datasets import load_iris
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    table = StandardScaler().fit_transform(load_iris().data)
    x = torch.as_tensor(table, dtype=torch.float32)
    vae = VAE((4,), 2, likelihood=Normal("shared"), encoder=(), decoder=())
    fit(vae, x, epochs=300, batch_size=150, learning_rate=0.05, schedule="cosine")
    table_of = summary(evaluate((vae.model, vae.guide), x, 500))
    assert table_of.loc["log_evidence", "mean"] == pytest.approx(
        PCA(2).fit(table).score(table), abs=0.03
    )


@pytest.mark.slow
def test_same_seed_same_numbers_to_the_bit(digits):
    one, two, other = small_vae(), small_vae(), small_vae()
    first = fit(one, digits, seed=3, **SMALL)
    second = fit(two, digits, seed=3, **SMALL)
    fit(other, digits, seed=4, **SMALL)
    assert same(one.state_dict(), two.state_dict())
    columns = ["train_elbo", "validation_elbo"]
    pd.testing.assert_frame_equal(first.metrics[columns], second.metrics[columns])
    assert not same(one.state_dict(), other.state_dict())


def test_the_bound_reported_is_the_objectives(digits):
    """With a step size of nearly nothing, the epoch's mean is that of the starting weights."""
    vae = small_vae()
    vae.initialise(digits.train)
    result = fit(vae, digits, epochs=3, learning_rate=1e-12, batch_size=100, progress=False)
    losses = torch.tensor(
        [Trace_ELBO().loss(vae.model, vae.guide, digits.train) / 1257 for _ in range(30)]
    )
    error = float(losses.std()) * math.sqrt(1 / 3 + 1 / 30)
    assert abs(result.metrics["train_elbo"].mean() + float(losses.mean())) < 5 * error


def test_gradients_are_clipped_to_the_norm(digits, monkeypatch):
    found, real = [], torch.optim.Adam.step

    def spy(optimiser, *args, **kwargs):
        gradients = [p.grad for group in optimiser.param_groups for p in group["params"]]
        found.append(float(torch.nn.utils.get_total_norm(gradients)))
        return real(optimiser, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    settings = {"epochs": 1, "batch_size": 200, "progress": False}
    fit(small_vae(), digits, **settings)
    steps = len(found)
    assert min(found) > 0.5  # there is something to clip
    fit(small_vae(), digits, clip_norm=0.5, **settings)
    assert found[steps:] == pytest.approx([0.5] * steps, rel=1e-4)


def test_best_weights_are_kept_and_patience_stops(digits):
    vae = small_vae()
    result = fit(vae, digits, epochs=300, batch_size=64, learning_rate=0.05, patience=5)
    assert result.stopped == "patience"
    assert len(result.metrics) == result.best_epoch + 5
    best = result.metrics["validation_elbo"].idxmax()
    assert result.metrics["epoch"][best] == result.best_epoch
    # They are what the model holds: its bound by the same draws is the best one.
    vae.eval()
    torch.manual_seed(0)
    loss = vae.default_objective().loss(vae.model, vae.guide, digits.validation)
    expected = result.metrics["validation_elbo"].max()
    assert -loss / len(digits.validation) == pytest.approx(expected, abs=1e-4)
    assert result.metrics["validation_elbo"].iloc[-1] < expected - 0.01


def test_schedule_clipping_and_objective(digits):
    vae = small_vae()
    result = fit(
        vae,
        digits,
        TraceMeanField_ELBO(),
        schedule="cosine",
        clip_norm=1.0,
        learning_rate=0.01,
        **SMALL,
    )
    expected = [0.01 * 0.5 * (1 + math.cos(math.pi * e / 4)) for e in range(4)]
    assert result.metrics["learning_rate"].tolist() == pytest.approx(expected)


def test_an_objective_is_told_how_much_of_the_training_is_done(digits):
    shares = []

    class Told(Trace_ELBO):
        def at(self, share):
            shares.append(share)

    fit(small_vae(), digits, Told(), **SMALL)
    assert shares == [0, 0.25, 0.5, 0.75]


def test_interrupted_in_its_first_epoch_a_model_is_as_it_started(digits):
    vae = Interrupting((8, 8), 2, encoder=(32,), decoder=(32,))
    vae.initialise(digits.train)
    before = {key: value.clone() for key, value in vae.state_dict().items()}
    vae.at = 8
    result = fit(vae, digits, **BY_HANDLERS)
    assert (result.stopped, len(result.metrics)) == ("interrupt", 0)
    assert same(vae.state_dict(), before)


def test_interrupted_runs_resume_to_the_bit(digits, tmp_path):
    whole = small_vae()
    fit(whole, digits, run=tmp_path / "whole", **BY_HANDLERS)
    cut = small_vae()
    real, calls = cut.guide, 0

    def interrupting(x):
        nonlocal calls
        calls += 1
        if calls == 50:  # in the middle of the third epoch
            raise KeyboardInterrupt
        return real(x)

    cut.guide = interrupting
    result = fit(cut, digits, run=tmp_path / "cut", **BY_HANDLERS)
    assert result.stopped == "interrupt"
    assert len(result.metrics) == 2
    again = small_vae()
    fit(again, digits, run=tmp_path / "cut", resume=True, **BY_HANDLERS)
    assert same(again.state_dict(), whole.state_dict())
    for name in ("weights", "checkpoint"):
        one, two = (load_file(tmp_path / r / f"{name}.safetensors") for r in ("whole", "cut"))
        assert same(one, two)
    columns = ["epoch", "train_elbo", "validation_elbo", "learning_rate"]
    one, two = (Run.open(tmp_path / r).metrics()[columns] for r in ("whole", "cut"))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert Run.open(tmp_path / "cut").metrics()["seconds"].is_monotonic_increasing
    # A finished run has nothing left to do.
    assert (
        fit(small_vae(), digits, run=tmp_path / "cut", resume=True, **BY_HANDLERS).stopped
        == "epochs"
    )


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_bit(tmp_path):
    command = [sys.executable, "-m", "pyro_vae", "fit", "--binarisation", "dynamic"]
    command += ["--epochs", "60", "--hidden", "300,300", "--latent-dim", "4", "--json"]
    subprocess.run([*command, "--run", str(tmp_path / "whole")], check=True, capture_output=True)
    killed = tmp_path / "killed"
    process = subprocess.Popen([*command, "--run", str(killed)], stdout=subprocess.DEVNULL)
    metrics = killed / "metrics.csv"
    while not (metrics.exists() and len(metrics.read_text().splitlines()) > 10):
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(metrics.read_text().splitlines()) < 61
    resume = [sys.executable, "-m", "pyro_vae", "fit", "--run", str(killed), "--resume", "--json"]
    subprocess.run(resume, check=True, capture_output=True)
    for name in ("weights", "checkpoint"):
        one, two = (load_file(r / f"{name}.safetensors") for r in (tmp_path / "whole", killed))
        assert one.keys() == two.keys()
        assert same(one, two)
    assert not list(killed.glob(".*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16-mixed", "32-medium"])
def test_fewer_bits_hardly_move_log_px(digits, precision):
    """Differences of a few hundredths of a nat, paired over the test data."""
    found = []
    for trained_in in ("32-true", precision):
        vae = small_vae()
        fit(vae, digits, epochs=20, precision=trained_in, progress=False)
        found.append(evaluate(vae, digits.test, 200)["log_evidence"].values)
    # Products are rounded on some processors only.
    assert precision == "32-medium" or not np.array_equal(*found)
    assert abs(np.mean(found[0] - found[1])) < 0.1


@pytest.mark.slow
def test_two_processes_share_a_batch(tmp_path):
    """The gradient is that of the whole batch: without noise in q, the same fit to rounding."""
    command = [sys.executable, "-m", "pyro_vae", "fit", "--model", "mixture", "--json"]
    command += ["--components", "5", "--epochs", "4", "--learning-rate", "0.01"]
    for devices in ("1", "2"):
        run = str(tmp_path / devices)
        subprocess.run([*command, "--devices", devices, "--run", run], check=True)
    one, two = (load_file(tmp_path / d / "weights.safetensors") for d in ("1", "2"))
    for key in one:
        torch.testing.assert_close(one[key], two[key], atol=1e-4, rtol=1e-3)
    bounds = [Run.open(tmp_path / d).metrics()["train_elbo"].to_numpy() for d in ("1", "2")]
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-4)


def test_saved_run_gives_the_model_and_the_data_back(digits, tmp_path):
    vae = small_vae()
    fit(vae, digits, run=tmp_path / "run", **SMALL)
    again = load_model(tmp_path / "run")
    assert same(again.state_dict(), vae.state_dict())
    assert torch.equal(load_data(tmp_path / "run").test, digits.test)
    x = digits.test[:3]
    torch.testing.assert_close(
        torch.as_tensor(evaluate((again.model, again.guide), x, 100)["log_evidence"].values),
        torch.as_tensor(evaluate((vae.model, vae.guide), x, 100)["log_evidence"].values),
        rtol=0,
        atol=0,
    )


def test_non_finite_loss_names_step_site_and_remedy():
    class Exploding(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.vae = VAE((2,), 1, likelihood=Normal("shared"), encoder=(4,), decoder=(4,))
            self.calls = 0

        def model(self, x):
            return self.vae.model(x)

        def guide(self, x):
            self.calls += 1
            if self.calls >= 6:
                with torch.no_grad():
                    self.vae.encoder.output.bias.fill_(float("inf"))
            return self.vae.guide(x)

    program = Exploding()
    with pytest.raises(NonFiniteLossError) as caught:
        fit(program, torch.randn(40, 2), epochs=10, batch_size=10, progress=False)
    message = str(caught.value)
    assert "step 5 (epoch 2)" in message
    assert "'z' in the guide" in message
    assert "learning_rate" in message
    # The last good weights: those at the end of the first epoch.
    assert all(torch.isfinite(p).all() for p in program.parameters())


def test_bad_settings_are_refused_before_training(digits, tmp_path):
    vae = small_vae()
    with pytest.raises(ValueError, match="epochs got 0"):
        fit(vae, digits, epochs=0)
    with pytest.raises(ValueError, match="learning_rate got -1"):
        fit(vae, digits, learning_rate=-1)
    with pytest.raises(UnknownNameError, match="Did you mean 'cosine'"):
        fit(vae, digits, schedule="cosin")
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        fit(object(), digits)
    with pytest.raises(SupportError):
        fit(vae, Dataset.from_tensors(torch.rand(10, 8, 8)), batch_size=5)


def test_gradients_that_are_off_are_refused_before_a_run_is_made(digits, tmp_path):
    for off in (torch.no_grad, torch.inference_mode):
        with off(), pytest.raises(ProgramError, match=r"inside torch\.no_grad\(\)"):
            fit(small_vae(), digits, epochs=1, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_without_parameters_before_it_has_seen_data_has_all_its_epochs():
    result = fit(MixtureModel(2, Bernoulli()), torch.rand(40, 3).round(), epochs=3, batch_size=40)
    assert len(result.metrics) == 3


def test_batch_larger_than_the_data_says_so():
    x = (torch.rand(10, 4) < 0.5).float()
    with pytest.warns(UserWarning, match="batch_size 128 is larger than the 10"):
        fit(VAE((4,), 1, encoder=(4,), decoder=(4,)), x, epochs=1)


def test_run_folder_that_exists(digits, tmp_path):
    fit(small_vae(), digits, run=tmp_path / "run", **SMALL)
    with pytest.raises(RunError, match="--resume"):
        fit(small_vae(), digits, run=tmp_path / "run", **SMALL)
    fit(small_vae(), digits, run=tmp_path / "run", overwrite=True, **SMALL)
    with pytest.raises(RunError, match=r"other settings of fit \(seed\)"):
        fit(small_vae(), digits, run=tmp_path / "run", resume=True, seed=9, **SMALL)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="is not a run"):
        fit(small_vae(), digits, run=tmp_path / "mine", overwrite=True, **SMALL)
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_unwritable_run_folder_is_found_before_training(digits, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        fit(small_vae(), digits, run=tmp_path / "file" / "run", **SMALL)


@pytest.fixture(scope="module")
def whole_run(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    fit(small_vae(), digits, run=folder, **SMALL)
    return folder


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors", "metrics.csv"])
@pytest.mark.parametrize("damage", ["truncate", "foreign", "remove"])
def test_damaged_runs_are_refused(whole_run, tmp_path, name, damage):
    shutil.copytree(whole_run, tmp_path / "run")
    path = tmp_path / "run" / name
    if damage == "remove":
        path.unlink()
    elif damage == "foreign":
        path.write_bytes(b"\x00\x01 something else")
    else:
        path.write_bytes(path.read_bytes()[: 0 if name == "metrics.csv" else 40])

    def read():
        run = Run.open(tmp_path / "run")
        load_model(run)
        run.metrics()

    with pytest.raises(RunError, match=name if damage != "remove" else "run|missing"):
        read()
