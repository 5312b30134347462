"""Models by name on the command line: fitted, reported, and refused where they cannot be."""

import json

import pytest

from tests.cli.test_commands import run
from tests.cli.test_swapping import SMALL


@pytest.mark.parametrize(
    "model",
    [
        "autoencoder",
        "denoising-autoencoder(corruption=salt-and-pepper-noise(share=0.5))",
        "denoising-autoencoder",
    ],
)
def test_a_model_without_a_prior_is_fitted_and_reported_but_not_evaluated(tmp_path, model):
    folder = tmp_path / "run"
    fitted = run("fit", "--run", folder, *SMALL, "--model", model).stdout
    assert "NOT a bound" in fitted
    assert "ELBO" not in fitted
    assert f"next: pyro-vae report {folder}" in fitted
    run("report", folder)
    text = (folder / "report.html").read_text()
    assert "Without a prior there is no log p(x)" in text
    assert "data:image/png" in text
    refused = run("evaluate", folder, "--limit", 3, status=2)
    assert "log p(x) is not defined" in refused.stderr
    assert "nothing to draw x from" in run("sample", folder, status=2).stderr


@pytest.mark.parametrize(
    ("arguments", "exact"),
    [
        (("--model", "poor-mans-vae(penalty=half-squared-norm)"), 0),
        (("--model", "pca", "--values", "dequantised", "--likelihood", "normal"), 1),
        (("--model", "vq-vae(num_codes=8, code_dim=2)"), 0),
        (
            (
                *("--model", "vq-vae(num_codes=8, code_dim=2)"),
                *("--network", "convolutional-grid(channels=[4,8], hidden=[])"),
            ),
            0,
        ),
    ],
    ids=["poor-mans-vae", "pca", "vq-vae", "vq-vae-grid"],
)
def test_a_model_with_a_prior_is_evaluated_too(tmp_path, arguments, exact):
    folder = tmp_path / "run"
    run("fit", "--run", folder, *SMALL, *arguments)
    printed = json.loads(run("evaluate", folder, "--particles", 20, "--limit", 5, "--json").stdout)
    assert printed["exact"] == exact
    run("report", folder)
    run("sample", folder, "--count", 3)
    run("derive", "--run", folder, "--particles", 200, "--epochs", 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "autoencodr"), "Did you mean 'autoencoder'"),
        (("--model", "autoencoder", "--prior", "laplace"), "--prior laplace beside --model auto"),
        (("--model", "autoencoder(depth=3)"), "cannot be made"),
        (("--model", "pca"), "normal likelihood, not binomial"),
        (("--model", "denoising-autoencoder(corruption=fog)"), "unknown corruption 'fog'"),
        (("--model", "autoencoder", "--objective", "iwae-5"), "improper prior"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, arguments, message):
    refused = run("fit", "--run", tmp_path / "run", *SMALL, *arguments, status=2)
    assert message in refused.stderr
