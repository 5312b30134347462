"""Models by name on the command line: fitted, reported, and refused where they cannot be."""

import json

import pytest

from tests.cases import a_few_always
from tests.cli.test_commands import run
from tests.cli.test_swapping import SMALL


@a_few_always(
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


VQVAE = (("--model", "vq-vae(num_codes=8, code_dim=2)"), 0)


@a_few_always(
    ("arguments", "exact"),
    [
        (("--model", "poor-mans-vae(penalty=half-squared-norm)"), 0),
        (("--model", "pca", "--values", "dequantised", "--likelihood", "normal"), 1),
        VQVAE,
        (
            (
                *("--model", "vq-vae(num_codes=8, code_dim=2)"),
                *("--network", "convolutional-grid(channels=[4,8], hidden=[])"),
            ),
            0,
        ),
    ],
    [VQVAE],
    ids=["poor-mans-vae", "pca", "vq-vae", "vq-vae-grid"],
)
def test_a_model_with_a_prior_is_evaluated_too(tmp_path, arguments, exact):
    folder = tmp_path / "run"
    run("fit", "--run", folder, *SMALL, *arguments)
    printed = json.loads(run("evaluate", folder, "--particles", 20, "--limit", 5, "--json").stdout)
    assert printed["exact"] == exact
    if "codes_in_use" in printed:
        said = f"codebook: {printed['codes_in_use']} of 8 codes in use, perplexity"
        table = run("evaluate", folder, "--particles", 20, "--limit", 5).stdout
        assert said in table
        assert "k-hat" not in table
    run("report", folder)
    run("sample", folder, "--count", 3)
    run("derive", "--run", folder, "--particles", 200, "--epochs", 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "autoencodr"), "Did you mean 'autoencoder'"),
        (("--model", "autoencoder", "--prior", "laplace"), "--prior laplace beside --model auto"),
        (("--model", "autoencoder(depth=3)"), "cannot be made: it got an unexpected"),
        (("--model", "pca"), "normal likelihood, not binomial"),
        (("--model", "denoising-autoencoder(corruption=fog)"), "unknown corruption 'fog'"),
        (("--model", "autoencoder", "--objective", "iwae-5"), "whose loss is its own"),
        pytest.param(
            *(("--model", "poor-mans-vae", "--objective", "dreg"), "whose loss is its own"),
            marks=pytest.mark.slow,
        ),
        (("--model", "vq-vae(prior=fog)"), "unknown code prior 'fog'"),
        (("--model", "vq-vae(frozen=true)"), "frozen before it has learned anything"),
        (("--model", "vq-vae", "--objective", "stl"), "always has the same value"),
        pytest.param(
            *(("--model", "vq-vae", "--objective", "rws-4"), "always has the same value"),
            marks=pytest.mark.slow,
        ),
        (("--model", "mixture", "--objective", "dreg"), "no site to draw: train with elbo"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, arguments, message):
    refused = run("fit", "--run", tmp_path / "run", *SMALL, *arguments, status=2)
    assert message in refused.stderr
    # A run that never had an epoch leaves nothing in the way of the next.
    run("fit", "--run", tmp_path / "run", *SMALL, "--model", "autoencoder")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("--model", "vae"), "ELBO -"),
        (("--model", "vae", "--objective", "iwae-2"), "objective -"),
        (("--model", "vae", "--objective", "beta-elbo(beta=4)"), "objective -"),
        (("--model", "poor-mans-vae"), "objective -"),
    ],
)
def test_only_the_elbo_is_called_the_elbo(tmp_path, arguments, name):
    first = run("fit", "--run", tmp_path / "run", *SMALL, *arguments).stdout
    (line,) = (line for line in first.splitlines() if line.startswith("best epoch"))
    assert f": {name}" in line
    # Whatever weight the KL has in training, on held-out data it has its own.
    assert (", ELBO -" in line) == ("beta" in str(arguments))


def test_a_resumed_mixture_is_described_as_it_was(tmp_path):
    arguments = ("fit", "--run", tmp_path / "run", *SMALL, "--model", "mixture")
    before = run(*arguments).stdout
    assert "log p(x) itself, not a bound on it" in before
    after = run("fit", "--run", tmp_path / "run", "--resume").stdout
    assert before.splitlines()[:7] == after.splitlines()[:7]


def test_a_mixture_has_no_parts_of_the_elbo_and_no_other_estimator(tmp_path):
    run("fit", "--run", tmp_path / "run", *SMALL, "--model", "mixture")
    found = run("evaluate", tmp_path / "run", "--limit", 3, "--estimator", "ais,quadrature")
    assert "log p(x|z)" not in found.stdout
    assert found.stdout.replace("\n", " ").count("take the estimator exact") == 2
    refused = run("evaluate", tmp_path / "run", "--limit", 3, "--gap", status=2)
    assert "leave --gap out" in refused.stderr


def test_one_value_of_z_gives_a_bound_and_it_is_called_one(tmp_path):
    run("fit", "--run", tmp_path / "run", *SMALL, "--model", "vq-vae(prior=autoregressive-codes)")
    table = run("evaluate", tmp_path / "run", "--limit", 3).stdout
    assert "log p(x), at least" in table
    assert "bits per dimension, at most" in table
