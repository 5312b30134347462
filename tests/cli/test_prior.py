"""``pyro-vae prior``: from a run of the first stage to one of the second."""

import json

import pytest

from pyro_vae import data, load_model
from pyro_vae.disk.runs import Run
from pyro_vae.inference import fit
from pyro_vae.models import VAE, VQVAE
from pyro_vae.models.likelihoods import Binomial
from tests.cli.test_commands import run


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    digits = data.load("digits")
    vq = VQVAE(digits.event_shape, 8, 4, 2, likelihood=Binomial(16), encoder=(16,), decoder=(16,))
    fit(vq, digits, epochs=2, run=folder, progress=False)
    return folder


OPTIONS = ("--width", 8, "--layers", 1, "--learning-rate", 0.01)


def test_a_prior_is_learned_and_kept(first, tmp_path):
    done = run("prior", first, "--run", tmp_path / "second", "--epochs", 3, *OPTIONS)
    assert "networks and codes are frozen" in done.stdout
    assert "validation" in done.stdout
    model = load_model(tmp_path / "second")
    assert model.prior.width == 8
    assert len(Run.open(tmp_path / "second").metrics()) == 3
    again = run("prior", first, "--run", tmp_path / "second", "--epochs", 3, *OPTIONS, "--resume")
    assert "of 3: ELBO" in again.stdout
    resumed = run("fit", "--run", tmp_path / "second", "--resume").stdout
    assert resumed.splitlines()[-2].rpartition(";")[0] in again.stdout
    found = run("prior", first, "--run", tmp_path / "json", "--epochs", 1, *OPTIONS, "--json")
    assert json.loads(found.stdout)["best_epoch"] == 1


@pytest.mark.slow
def test_a_learned_prior_is_measured_and_drawn_from(first, tmp_path):
    run("prior", first, "--run", tmp_path / "second", "--epochs", 3, *OPTIONS)
    table = run("evaluate", tmp_path / "second", "--limit", 20).stdout
    assert "not an estimate of log p(x)" in table
    run("report", tmp_path / "second")
    run("sample", tmp_path / "second", "--count", 3)
    run("evaluate", first, "--limit", 20)
    ranked = run("compare", first, tmp_path / "second", "--particles", 10).stdout
    assert "second" in ranked
    assert "lower bound of a deterministic guide" in ranked
    assert "nan" not in ranked


def test_what_cannot_be_is_said(first, tmp_path):
    assert "give the new run its own" in run("prior", first, "--run", first, status=1).stderr
    digits = data.load("digits")
    vae = VAE(digits.event_shape, 2, likelihood=Binomial(16), encoder=(8,), decoder=(8,))
    fit(vae, digits, epochs=1, run=tmp_path / "vae", progress=False)
    said = run("prior", tmp_path / "vae", "--run", tmp_path / "out", status=1).stderr
    assert "holds the model vae" in said
    assert not (tmp_path / "out").exists()
    options = ("--run", tmp_path / "out", "--width", 6)
    assert "multiple of heads=4" in run("prior", first, *options, status=2).stderr
