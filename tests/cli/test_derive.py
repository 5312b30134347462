"""``pyro-vae derive`` as a user runs it."""

import json
from unittest import mock

import pyro.distributions as dist
import pytest
from typer.testing import CliRunner

from pyro_vae.cli import derive as command
from pyro_vae.cli.app import app
from pyro_vae.inference.engine.conjugate import ConjugateNormal
from tests.cli.test_commands import run

SHORT = ("--epochs", 20, "--particles", 500)


def test_toy(tmp_path):
    done = run("derive", "--out", tmp_path, *SHORT)
    for words in ("L_b and the gap", "[check] holds", "guide: z", "E-step 1 leaves log p(x)"):
        assert words in done.stdout
    assert "DOES NOT HOLD" not in done.stdout
    html = (tmp_path / "derivation.html").read_text()
    assert html.count("data:image/png;base64,") == 3
    assert "http" not in html
    markdown = (tmp_path / "derivation.md").read_text()
    assert r"\mathcal{L}_{b}" in markdown
    for name in ("bars", "training", "em"):
        assert f"figures/{name}.png" in markdown
        assert (tmp_path / "figures" / f"{name}.png").is_file()


def test_json_through_typer(tmp_path):
    arguments = ["derive", "--out", tmp_path, *SHORT, "--datum", 2, "--seed", 3, "--json"]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["holds"]
    assert document["seed"] == 3
    step = document["steps"][3]
    assert step["left"]["value"] == pytest.approx(step["value"] + step["residual"])
    assert step["sites"] == ["model: x", "model: z", "guide: z"]
    assert len(document["claims"]) > 10


class OffNormal(dist.Normal):
    """A normal whose log-probability is too high."""

    def log_prob(self, value):
        return super().log_prob(value) + 0.5


class OffToy(ConjugateNormal):
    def posterior(self, x):
        right = super().posterior(x)
        return OffNormal(right.loc, right.scale)


def test_a_fault_fails_and_names_its_line(tmp_path):
    with mock.patch.object(command, "ConjugateNormal", OffToy):
        done = run("derive", "--out", tmp_path, "--epochs", 20, status=1)
    assert "The derivation, line 4 (L_b and the gap) does not hold" in done.stderr
    assert "DOES NOT HOLD" in done.stdout
    assert "DOES NOT HOLD" in (tmp_path / "derivation.md").read_text()


class LeakyToy(ConjugateNormal):
    @property
    def guide_parameters(self):
        return [self.phi, self.log_width, self.theta]


@pytest.mark.slow
def test_a_claim_that_fails_is_named(tmp_path):
    with mock.patch.object(command, "ConjugateNormal", LeakyToy):
        done = run("derive", "--out", tmp_path, *SHORT, status=1)
    assert "E-step and M-step, line 2 (E-step 1 leaves log p(x)) does not hold" in done.stderr


def test_run(tmp_path):
    folder = tmp_path / "moons"
    run(
        "fit",
        "--data",
        "moons",
        "--scale",
        "latent",
        "--latent-dim",
        1,
        "--epochs",
        2,
        "--run",
        folder,
    )
    done = run("derive", "--run", folder, "--datum", 1, "--epochs", 60, "--particles", 1000)
    claims = ("the E-step leaves theta", "the E-step raises L_b")
    for words in ("quadrature", *claims, "objective alone"):
        assert words in done.stdout
    page = (folder / "derivation" / "derivation.html").read_text()
    assert page.count("data:image/png;base64,") == 3


def test_run_of_a_mixture(tmp_path):
    folder = tmp_path / "mixture"
    run("fit", "--model", "mixture", "--components", 3, "--epochs", 1, "--run", folder)
    done = run("derive", "--run", folder, "--out", tmp_path / "out")
    assert "no bound to derive" in done.stdout
    assert "There is no E-step to show" in done.stdout
    assert (tmp_path / "out" / "derivation.md").is_file()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--datum", 999), 1, "datum got 999"),
        (("--run", "{tmp}/nothing"), 1, "does not exist"),
        (("--epochs", 1), 2, "epochs"),
    ],
)
def test_bad_arguments(tmp_path, arguments, status, message):
    given = [str(a).format(tmp=tmp_path) for a in arguments]
    done = run("derive", "--out", tmp_path / "out", *given, status=status)
    assert message in done.stderr
    assert not (tmp_path / "out").exists()
