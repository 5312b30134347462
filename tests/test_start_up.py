"""What is imported when: little with the package, and nothing of the rest leaves a trace."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import pyro_vae
from pyro_vae import inference
from pyro_vae.cli.app import COMMANDS
from tests.cases import a_few_always


@a_few_always("steps", [["the_package"], []], ids=["the package", "everything"])
def test_in_a_process_of_its_own(steps):
    root = Path(__file__).parent.parent
    subprocess.run([sys.executable, "-m", "tests.first_import", *steps], check=True, cwd=root)


WINGS = [getattr(inference, wing) for wing in inference._WINGS]


@pytest.mark.parametrize(
    "package", [pyro_vae, inference, *WINGS], ids=lambda package: package.__name__
)
def test_type_checkers_see_the_names_that_are_there(package):
    body = ast.parse(Path(package.__file__).read_text()).body
    (seen,) = (node.body for node in body if isinstance(node, ast.If))
    imported = {alias.asname: node.module for node in seen for alias in node.names}
    inside = {pyro_vae: pyro_vae._ROOMS, inference: inference._WINGS}.get(package, ())
    expected = {**dict.fromkeys(inside, package.__name__), **package._NAMES}
    assert imported == expected
    assert set(package.__all__) - {"__version__"} == set(expected)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_with_the_first_line_of_its_help(name):
    module, summary = COMMANDS[name]
    command = getattr(importlib.import_module(module), name)
    first, _, _ = inspect.getdoc(command).partition("\n\n")
    assert summary == first.replace("\n", " ")
