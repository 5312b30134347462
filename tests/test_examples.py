"""Every example runs as it stands, and the README's too."""

import inspect
import re
import runpy
import warnings
from pathlib import Path

import pytest

import pyro_vae
from pyro_vae.inference import certify
from pyro_vae.inference.engine.inputs import take
from pyro_vae.models.guides import Guide
from pyro_vae.models.likelihoods import Likelihood
from pyro_vae.models.priors import Prior
from tests.cases import a_few_always

ROOT = Path(__file__).parent.parent
#: Settings that make a long example short.
ARGUMENTS = {
    "choose_a_schedule": [
        *("--data", "digits", "--epochs", "1", "--pairs", "50:0.001,100:0.002", "--limit", "8"),
    ],
    "depth_and_width": ["--epochs", "1", "--seeds", "1", "--figure", "{tmp}/sizes.png"],
    "make_patients": ["{tmp}"],
    "moon_phases": ["--epochs", "1", "--seeds", "1", "--figure", "{tmp}/walks.png"],
}
#: What an example is about, and prints.
SUBJECTS = {
    "choose_a_schedule": "batch 100, rate 0.002: bound",
    "depth_and_width": "squared error by depth and width",
    "make_patients": "wrote 400 rows",
    "moon_phases": "VAE: mid-points",
}
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
#: Examples and blocks that take longer than the others together; they are slow.
LONG = {"depth_and_width", "moon_phases"}
LONG_BLOCKS = {
    *("homework-1", "referee-1", "reproducing-1", "scaling-1", "sklearn-1", "sklearn-3"),
    *("speed-1", "swapping-2", "your-data-2", "your-data-3"),
}
#: What docs/peers.md needs; `make peers` has it.
PEERS = ("numpyro", "pythae", "scvi")


@pytest.fixture
def short(monkeypatch):
    """Two epochs, twenty data and as many temperatures, whatever is asked for."""
    whole_fit, whole_evaluate = pyro_vae.fit, pyro_vae.evaluate

    def fit(*programs_and_data, epochs=2, **settings):
        return whole_fit(*programs_and_data, epochs=min(epochs, 2), **settings)

    def evaluate(model, x, *particles, **settings):
        return whole_evaluate(model, take(x, slice(20)), *particles, **settings)

    monkeypatch.setitem(inspect.unwrap(certify).__kwdefaults__, "num_temperatures", 20)
    monkeypatch.setattr("pyro_vae.fit", fit)
    monkeypatch.setattr("pyro_vae.sklearn.base.fit", fit)
    monkeypatch.setattr("pyro_vae.evaluate", evaluate)


@pytest.mark.usefixtures("short")
@a_few_always(
    "path", EXAMPLES, [path for path in EXAMPLES if path.stem not in LONG], ids=lambda p: p.stem
)
def test_example_runs(path, capsys, registries, monkeypatch, tmp_path):
    arguments = [part.format(tmp=tmp_path) for part in ARGUMENTS.get(path.stem, [])]
    monkeypatch.setattr("sys.argv", [str(path), *arguments])
    runpy.run_path(str(path), run_name="__main__")
    assert SUBJECTS.get(path.stem, "gap") in capsys.readouterr().out


#: Examples of the README, each with what it prints.
PRINTED = re.findall(
    r"```python\n((?:(?!```).)*?)```\n+```text\n(.*?)```",
    (ROOT / "README.md").read_text(),
    re.DOTALL,
)


@pytest.mark.slow
@pytest.mark.parametrize(("code", "printed"), PRINTED, ids=["digits", "table"])
def test_readme_example_prints_what_the_readme_says(code, printed, capsys):
    """To the decimals printed: rounding of matrix products differs between machines."""
    exec(compile(code, "README.md", "exec"), {})
    ours, theirs = capsys.readouterr().out.split(), printed.split()
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        if re.fullmatch(r"-?\d+\.\d+", other):
            # Whether an error is withheld hangs on the largest of all the weights.
            if one == "NaN":
                assert float(other) < 0.01
                continue
            assert float(one) == pytest.approx(float(other), rel=0.05, abs=0.05)
        elif other == "NaN":
            assert one == "NaN" or float(one) < 0.01
        else:
            assert one == other


def blocks():
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        found = re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)
        for number, code in enumerate(found, start=1):
            yield f"{path.stem}-{number}", code


BLOCKS = dict(blocks())


@pytest.mark.usefixtures("short")
@a_few_always("name", BLOCKS, [name for name in BLOCKS if name not in LONG_BLOCKS])
def test_every_block_of_the_documentation_runs(name, registries):
    others = PEERS if name.startswith("peers-") else ()
    for library in others:
        pytest.importorskip(library)
    with warnings.catch_warnings():
        if others:  # whose warnings are their own
            warnings.simplefilter("ignore")
        exec(compile(BLOCKS[name], "documentation", "exec"), {})


@pytest.fixture
def registries():
    """Parts that a block defines are forgotten after it."""
    roles = (Likelihood, Prior, Guide)
    before = [dict(role.registry) for role in roles]
    yield
    for role, kept in zip(roles, before, strict=True):
        role.registry.clear()
        role.registry.update(kept)


def test_every_link_of_the_documentation_leads_somewhere():
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"
