"""Settings of a wrong type or out of range are refused by their name, whoever takes them."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from pyro_vae import data, fit, inference
from pyro_vae.errors import MissingDataError, SettingError
from pyro_vae.inference.engine import ConjugateNormal
from pyro_vae.models import VAE, VQVAE, HierarchicalVAE, LinearVAE, MixtureModel
from pyro_vae.models.likelihoods import Normal
from pyro_vae.models.priors import StandardNormal

PAIR = ConjugateNormal()
X = torch.linspace(-1, 1, 4, dtype=torch.double)


def small_fit(**settings):
    vae = VAE((2,), 1, likelihood=Normal(), encoder=(3,), decoder=(3,))
    given = {"epochs": 1, "batch_size": 4, "progress": False, **settings}
    return fit(vae, torch.zeros(8, 2) + torch.arange(2), **given)


def small_evaluate(**settings):
    return inference.evaluate((PAIR.model, PAIR.guide), X, **{"num_particles": 30, **settings})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 1.5),
        ("epochs", "3"),
        ("epochs", True),
        ("epochs", 0),
        ("batch_size", 2.5),
        ("patience", 1.5),
        ("devices", 0),
        ("devices", "auto"),
        ("seed", 1.5),
        ("seed", -1),
        ("seed", 2**32),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("learning_rate", "0.1"),
        ("clip_norm", 0.0),
    ],
)
def test_fit_refuses(name, value):
    with pytest.raises(ValueError, match=f"^{name} got "):
        small_fit(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_particles", 1.5),
        ("num_particles", [1, 5]),
        ("iwae", (1.5,)),
        ("iwae", 5),
        ("seed", 0.5),
        ("chunk_size", 0),
        ("memory_limit", -1),
        ("prior_share", 1.0),
        ("prior_share", "half"),
    ],
)
def test_evaluate_refuses(name, value):
    with pytest.raises(ValueError, match=f"^{name} got "):
        small_evaluate(**{name: value})


def test_a_setting_that_is_passed_on_is_refused_before_any_work():
    vae = VAE((2,), 1, likelihood=Normal(), encoder=(3,), decoder=(3,))
    with pytest.raises(ValueError, match=r"^chunk_size got 0"):
        inference.gap_parts(vae, torch.zeros(2, 2), 30, steps=10**9, chunk_size=0)


def test_numbers_of_numpy_are_numbers(tmp_path):
    settings = {"epochs": np.int64(2), "seed": np.uint8(3), "learning_rate": np.float32(1e-3)}
    ours = small_fit(**settings, run=tmp_path / "run")
    theirs = small_fit(epochs=2, seed=3, learning_rate=float(np.float32(1e-3)))
    assert ours.metrics["train_elbo"].tolist() == theirs.metrics["train_elbo"].tolist()


@pytest.mark.parametrize("gave", [float("nan"), -1.0, "fast"])
def test_a_schedule_that_gives_no_rate_is_refused(gave):
    with pytest.raises(ValueError, match=r"^schedule gave"):
        small_fit(schedule=lambda share: gave)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda part: VAE((2,), 1, prior=part), "prior"),
        (lambda part: VAE((2,), 1, likelihood=part), "likelihood"),
        (lambda part: VAE((2,), 1, guide=part), "guide"),
        (lambda part: HierarchicalVAE((2,), (2, 1), guide=part), "guide"),
        (lambda part: HierarchicalVAE((2,), (2, 1), prior=part), "prior"),
        (lambda part: HierarchicalVAE((2,), (2, 1), likelihood=part), "likelihood"),
        (lambda part: MixtureModel(2, part), "likelihood"),
        (lambda part: LinearVAE((2,), 1, guide=part), "guide"),
        (lambda part: VQVAE((2,), 4, 2, prior=part), "prior"),
        (lambda part: VQVAE((2,), 4, 2, likelihood=part), "likelihood"),
    ],
)
@pytest.mark.parametrize(("part", "got"), [("normal", "'normal'"), (Normal, "the class Normal")])
def test_a_part_of_a_model_that_is_none_is_refused(make, name, part, got):
    if part is Normal and name == "prior":
        part, got = StandardNormal, "the class StandardNormal"
    with pytest.raises(SettingError, match=f"{name} got {got}: it must be a .* object, such as"):
        make(part)


@pytest.mark.parametrize(
    "settings",
    [{"accelerator": "cuda", "devices": 99}, {"accelerator": "abacus"}, {"precision": "33"}],
)
def test_a_device_that_is_not_there_is_refused(settings):
    with pytest.raises(SettingError, match="cannot be had on this machine") as caught:
        small_fit(**settings)
    assert "\n" not in str(caught.value)


def test_an_objective_that_is_none_is_refused():
    with pytest.raises(SettingError, match="objective got int"):
        small_fit(objective=3)


@pytest.mark.slow
def test_several_processes_of_a_script_from_standard_input_are_refused():
    code = (
        "import torch\n"
        "from pyro_vae import VAE, fit\n"
        "from pyro_vae.models.likelihoods import Normal\n"
        "fit(VAE((2,), 1, likelihood=Normal()), torch.randn(8, 2), batch_size=4, devices=2)\n"
    )
    done = subprocess.run(
        [sys.executable, "-"], input=code, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("pyro_vae.errors.SettingError: devices")


def test_torchvision_of_another_build_is_said(monkeypatch, tmp_path):
    # Beside another torch it is there, and its import fails.
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{name}-ubyte").write_bytes(b"")
    with pytest.raises(MissingDataError, match="of different builds"):
        data.load("mnist", data_root=tmp_path)
