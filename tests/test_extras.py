"""Libraries that few calls need: without one, the call names the extra that brings it."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pyro_vae import data, on_demand
from pyro_vae.errors import MissingDataError
from pyro_vae.inference import posterior_samples
from pyro_vae.inference.checking import to_inference_data
from pyro_vae.pairs import data_of_scvi, from_numpyro, from_pythae, from_scvi
from tests.oracles import LinearGaussian

ORACLE = LinearGaussian()
X = ORACLE.draw(2)


def of_mnist(folder):
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"")
    data.load("mnist", data_root=folder)


def of_a_parquet_file(folder):
    (folder / "table.parquet").write_bytes(b"PAR1")
    data.read(folder / "table.parquet")


CALLS = {
    "numpyro": (lambda _: from_numpyro(ORACLE.model, ORACLE.guide, {}, X), "peers"),
    "pythae": (lambda _: from_pythae(ORACLE, X), "peers"),
    "scvi": (lambda _: from_scvi(ORACLE, {"x": X}), "peers"),
    "scvi of data": (lambda _: data_of_scvi(ORACLE), "peers"),
    "torchvision": (of_mnist, "images"),
    "pyarrow": (of_a_parquet_file, "files"),
    "arviz": (lambda _: to_inference_data(ORACLE.model, ORACLE.guide, X, 5), "arviz"),
    "arviz of NUTS": (
        lambda _: posterior_samples(
            ORACLE.model, ORACLE.guide, X, 4, "hmc", num_chains=1, warmup_steps=2
        ),
        "arviz",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_missing_is_named_with_the_command(name, monkeypatch, tmp_path):
    call, extra = CALLS[name]
    missing = name.split()[0]
    monkeypatch.setattr(
        on_demand, "find_spec", lambda asked: None if asked == missing else find_spec(asked)
    )
    with pytest.raises(MissingDataError, match=rf"needs {missing}.*pyro-vae\[{extra}\]'`"):
        call(tmp_path)


#: What an installation without extras does, in a process where those cannot be imported.
WITHOUT = """
import sys
for name in ("arviz", "torchvision", "anndata", "distributed", "ipywidgets"):
    sys.modules[name] = None
from pyro_vae import VAE, MixtureModel, compare, data, evaluate, fit, summary
from pyro_vae.cli import main
from pyro_vae.models.likelihoods import Bernoulli

digits = data.load("digits", binarisation="stochastic")
models = {"VAE": VAE((8, 8), 2), "mixture": MixtureModel(2, Bernoulli(), (8, 8))}
for model in models.values():
    fit(model, digits, epochs=1, batch_size=500, progress=False)
print(summary(evaluate(models["VAE"], digits.test[:9], num_particles=50)))
print(compare(models, digits, num_particles=50, limit=9))
run = ["--run", sys.argv[1], "--data", "digits", "--binarisation", "stochastic"]
commands = [["fit", *run, "--epochs", "1"], ["evaluate", sys.argv[1], "--limit", "9"]]
for arguments in [*commands, ["report", sys.argv[1]], ["data"]]:
    sys.argv[1:], kept = arguments, sys.argv[1]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, arguments
    sys.argv[1:] = [kept]
"""


@pytest.mark.slow
def test_an_installation_without_extras_fits_evaluates_compares_and_has_its_commands(tmp_path):
    arguments = [sys.executable, "-c", WITHOUT, str(tmp_path / "run")]
    root = Path(__file__).parent.parent
    done = subprocess.run(arguments, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
