"""Every exercise fails in the identity that docs/homework.md names for it; its answer passes."""

import difflib
import json
import re
from pathlib import Path

import pytest
import torch
from pyro.infer import SVI
from pyro.optim import Adam

from pyro_vae import VAE, fit
from pyro_vae.inference.training.objectives import BetaELBO
from pyro_vae.models.likelihoods import Likelihood, Normal
from pyro_vae.user_files.marked import mark
from pyro_vae.user_files.named import reference_of, value_at
from tests.cases import a_few_always
from tests.cli.test_commands import run

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "exercises"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
#: A likelihood is marked in a tenth of a second, all else in several.
QUICK = ["in_chunks", "learned_scale", "whole_datum", "zero_inflated"]
#: A check that only a kind has.
OF_A_KIND = {
    "objective": "one particle",
    "estimator": "unbiased",
    "likelihood": "adds up to one",
}
#: Lines that a student has to change, at most.
LINES = 6

ROW = re.compile(
    r"^\| \[`(\w+)`\]\(\.\./exercises/\w+\.py\) .*? \| \[[^]]+\]\(tutorials/([\w-]+)\.md\) "
    r"\| (\w+) \| .*? \| `([\w ]+)` \|$",
    re.MULTILINE,
)
TABLE = {
    name: (tutorial, kind, identity)
    for name, tutorial, kind, identity in ROW.findall((ROOT / "docs" / "homework.md").read_text())
}


@pytest.fixture(autouse=True)
def likelihoods():
    """Those that a file defines are forgotten after it."""
    before = dict(Likelihood.registry)
    yield
    Likelihood.registry.clear()
    Likelihood.registry.update(before)


def code(name, folder="exercises"):
    return (ROOT / folder / f"{name}.py").read_text()


def subject(name, folder="exercises"):
    """What the docstring of a file says is to be marked."""
    found = re.search(r"^    pyro-vae verify (\S+)$", code(name, folder), re.MULTILINE)
    assert found[1].startswith(f"{folder}/{name}.py:")
    return f"{ROOT}/{found[1]}"


def test_every_exercise_has_an_answer_a_row_and_a_tutorial():
    assert len(NAMES) >= 10
    assert sorted(path.stem for path in (FOLDER / "answers").glob("*.py")) == NAMES
    assert sorted(TABLE) == NAMES
    for name, (tutorial, _, _) in TABLE.items():
        text = (ROOT / "docs" / "tutorials" / f"{tutorial}.md").read_text()
        asked, answers = text.split("\n## Exercises\n")[1].split("\n## Answers\n")
        assert f"(../../exercises/{name}.py)" in asked, name
        assert f"{{literalinclude}} ../../exercises/answers/{name}.py" in answers, name
        place = subject(name).removeprefix(f"{ROOT}/")
        assert f"pyro-vae verify {place}`" in asked, name


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_is_its_exercise_but_for_a_few_lines(name):
    """Docstrings of the files apart, which say what is wrong."""
    files = (code(name, folder) for folder in ("exercises", "exercises/answers"))
    bodies = [text.split('"""', 2)[2] for text in files]
    changed = [
        line
        for line in difflib.ndiff(*(body.splitlines() for body in bodies))
        if line.startswith(("- ", "+ ")) and line[2:].strip() not in ("", "import math")
    ]
    assert 0 < len(changed) <= LINES, changed


@a_few_always("name", NAMES, QUICK)
def test_an_exercise_fails_in_the_identity_that_it_names(name):
    _, kind, identity = TABLE[name]
    report = mark(reference_of(subject(name)))
    failed = {check.name: check for check in report.failed}
    assert identity in failed, str(report)
    assert failed[identity].value != failed[identity].expected
    assert OF_A_KIND[kind] in {check.name for check in report.checks}


@a_few_always("name", NAMES, QUICK)
def test_an_answer_passes(name):
    report = mark(reference_of(subject(name, "exercises/answers")))
    assert report.passed, str(report)


def answer(name):
    """What an answer defines, made where it is a class."""
    found = value_at(reference_of(subject(name, "exercises/answers")))
    return found() if isinstance(found, type) else found


def of_kind(kind):
    return [name for name in NAMES if TABLE[name][1] == kind]


@pytest.mark.parametrize("name", of_kind("likelihood"))
def test_the_likelihood_of_an_answer_trains(name):
    rate = torch.arange(12.0).reshape(4, 3)
    torch.manual_seed(0)
    x = torch.poisson(rate.repeat(10, 1))
    vae = VAE((3,), 1, likelihood=answer(name), encoder=(8,), decoder=(8,))
    trained = fit(vae, x, epochs=5, batch_size=8, learning_rate=0.02, seed=0, progress=False)
    bounds = trained.metrics["train_elbo"]
    assert bounds.iloc[-1] > bounds.iloc[0]


@pytest.mark.parametrize("name", of_kind("objective"))
def test_the_objective_of_an_answer_trains(name):
    torch.manual_seed(0)
    x = torch.randn(40, 3) + torch.tensor([3.0, -2.0, 1.0])
    vae = VAE((3,), 1, likelihood=Normal(1.0), encoder=(8,), decoder=(8,))
    step = SVI(vae.model, vae.guide, Adam({"lr": 0.02}), answer(name))
    losses = [step.step(x) for _ in range(50)]
    assert losses[-1] < losses[0]


def test_the_gradient_of_the_value_at_beta_one_is_that_at_a_quarter():
    """What the mark does not see."""
    torch.manual_seed(0)
    x = torch.randn(20, 3)
    vae = VAE((3,), 1, likelihood=Normal(1.0), encoder=(8,), decoder=(8,))
    found = {}
    for name, objective in {
        "answer": answer("beta_trained"),
        "quarter": BetaELBO(beta=0.25),
        "elbo": BetaELBO(),
    }.items():
        torch.manual_seed(1)
        vae.zero_grad()
        loss = objective.loss_and_grads(vae.model, vae.guide, x)
        found[name] = loss, torch.cat([p.grad.flatten() for p in vae.parameters()])
    assert found["answer"][0] == pytest.approx(found["elbo"][0], rel=1e-6)
    torch.testing.assert_close(found["answer"][1], found["quarter"][1])
    assert (found["answer"][1] - found["elbo"][1]).abs().max() > 0.1


@pytest.mark.slow
def test_the_command_marks_an_exercise_and_its_answer():
    name = "learned_scale"
    found = json.loads(run("verify", subject(name), "--json", status=1).stdout)
    (failed,) = [check for check in found["checks"] if not check["passed"]]
    assert failed["name"] == TABLE[name][2]
    assert failed["value"] != failed["expected"]
    assert "6 of 6 checks passed" in run("verify", subject(name, "exercises/answers")).stdout
