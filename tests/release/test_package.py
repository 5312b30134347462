"""What a release is made of: files, metadata, links and types, before anything is built."""

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGE = ROOT / "pyro_vae"


def test_the_version_stands_in_one_place_and_the_others_agree():
    version = PROJECT["version"]
    released = re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == version
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [version]


def test_every_file_of_the_package_goes_into_the_wheel():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    listed = {path for part in settings["package-data"]["pyro_vae"] for path in PACKAGE.glob(part)}
    ignored = {"__pycache__", ".ipynb_checkpoints"}
    there = {
        path
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix != ".py" and not ignored & set(path.parts)
    }
    assert listed == there
    # A folder without it is no package, and is left out in silence.
    modules = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder for folder in modules if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("repository", [None, "https://forge.invalid/us/pyro_vae/"])
def test_links_of_the_readme_work_from_a_page_of_an_index(repository):
    for_an_index = runpy.run_path(str(ROOT / "setup.py"))["for_an_index"]
    before = (ROOT / "README.md").read_text()
    targets = [
        target
        for target in re.findall(r"\]\(([^)]+)\)", for_an_index(before, repository))
        if not target.startswith("#")
    ]
    assert targets
    assert [target for target in targets if "://" not in target] == []
    kept = [target for target in targets if "forge.invalid" in target]
    if repository is None:
        assert kept == []
    else:
        assert f"{repository}blob/HEAD/docs/start.md" in kept
        assert f"{repository}raw/HEAD/docs/figures/iwae.png" in kept


USER = """\
from pyro_vae import VAE, data, evaluate, fit, summary

digits = data.load("digits", binarisation="stochastic", seed=0)
vae = VAE(digits.event_shape, latent_dim=8)
fit(vae, digits, epochs=60, batch_size=32, schedule="cosine", seed=0, progress=False)
results = evaluate(vae, digits.test, num_particles=2000)
reveal_type(results)
table = summary(results)
mean: float = float(table.loc["elbo", "mean"])
fit(vae, digits, epochs="five")
"""


@pytest.mark.slow
def test_types_reach_whoever_uses_the_package(tmp_path):
    """Through ``py.typed``: without it mypy sees ``Any`` and finds no mistake."""
    script = tmp_path / "user.py"
    script.write_text(USER)
    command = ["-m", "mypy", "--strict", "--config-file=", "--no-incremental"]
    # A library without stubs is the user's own affair.
    command += ["--disable-error-code=import-untyped", "--disable-error-code=import-not-found"]
    found = subprocess.run(
        [sys.executable, *command, script.name], cwd=tmp_path, capture_output=True, text=True
    ).stdout
    assert 'user.py:7: note: Revealed type is "xarray.core.dataset.Dataset"' in found, found
    errors = [
        line for line in found.splitlines() if line.startswith("user.py") and "error" in line
    ]
    assert len(errors) == 1, found
    assert 'user.py:10: error: Argument "epochs" to "fit"' in errors[0]
