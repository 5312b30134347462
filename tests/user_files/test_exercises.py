"""Every exercise fails in the identity that docs/homework.md names for it; its answer passes."""

import difflib
import json
import re
from pathlib import Path

import pytest

from pyro_vae.models.likelihoods import Likelihood
from pyro_vae.user_files.marked import mark
from pyro_vae.user_files.named import reference_of
from tests.cases import a_few_always
from tests.cli.test_commands import run

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "exercises"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
#: A likelihood is marked in a tenth of a second, all else in several.
QUICK = ["in_chunks", "learned_scale", "whole_datum", "zero_inflated"]
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
    kinds = {18: "objective", 35: "estimator", 6: "likelihood"}
    assert kinds[len(report.checks)] == kind


@a_few_always("name", NAMES, QUICK)
def test_an_answer_passes(name):
    report = mark(reference_of(subject(name, "exercises/answers")))
    assert report.passed, str(report)


@pytest.mark.slow
def test_the_command_marks_an_exercise_and_its_answer():
    name = "learned_scale"
    found = json.loads(run("verify", subject(name), "--json", status=1).stdout)
    (failed,) = [check for check in found["checks"] if not check["passed"]]
    assert failed["name"] == TABLE[name][2]
    assert failed["value"] != failed["expected"]
    assert "6 of 6 checks passed" in run("verify", subject(name, "exercises/answers")).stdout
