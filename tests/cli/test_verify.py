"""``pyro-vae verify`` as a grader runs it: on files that are right, wrong, endless and greedy."""

import json

import pytest

from tests.cli.test_commands import run

FILE = """
import math
import time
import torch
from pyro_vae.inference import log_weights

print("the file speaks")

def right(model, guide, x, num_particles):
    return log_weights(model, guide, x, num_particles).logsumexp(0) - math.log(num_particles)

def minus(model, guide, x, num_particles):
    return -right(model, guide, x, num_particles)

def endless(model, guide, x, num_particles):
    while True:
        time.sleep(0.1)

def greedy(model, guide, x, num_particles):
    return torch.zeros(2**34)

def broken(model, guide, x, num_particles):
    return x.number_of_rows
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "homework.py"
    path.write_text(FILE)
    return path


@pytest.mark.slow
def test_what_fails_is_named_with_two_numbers_for_people_and_graders(file):
    found = run("verify", f"{file}:minus", "--json", status=1)
    report = json.loads(found.stdout)
    assert not report["passed"]
    signs = [check for check in report["checks"] if check["name"] == "sign"]
    assert {(check["value"], check["expected"]) for check in signs} == {(0.0, 1.0)}


@pytest.mark.slow
def test_what_is_right_passes(file):
    found = run("verify", f"{file}:right")
    assert "checks passed" in found.stdout.splitlines()[0]
    assert "FAILED" not in found.stdout
    assert "the file speaks" not in found.stdout


REFUSED = {
    "endless": (("--timeout", "12"), 1, "not done after 12 seconds"),
    "greedy": ((), 2, "can't allocate memory"),
    "broken": ((), 2, "line 23: AttributeError"),
    "nobody": ((), 2, "unknown name"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_marked_is_told_of(file, name):
    options, status, words = REFUSED[name]
    found = run("verify", f"{file}:{name}", *options, status=status)
    assert words in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("homework",), "give FILE.py:NAME"),
        (("nowhere.py:name",), "give FILE.py:NAME of a file that is there"),
        (("{file}:right", "--timeout", "0"), "seconds above zero"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(file, arguments, words):
    found = run("verify", *(a.format(file=file) for a in arguments), status=2)
    assert words in found.stderr
