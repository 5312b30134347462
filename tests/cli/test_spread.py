"""Groups of options as Typer sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from pyro_vae.cli.app import app
from pyro_vae.cli.spread import spread


@dataclass(frozen=True)
class Walk:
    """How to go."""

    steps: Annotated[int, typer.Option(min=1, help="How many.")] = 3
    back: Annotated[bool, typer.Option("--back", help="And return.")] = False


def command(
    place: Annotated[str, typer.Argument(help="Where to.")],
    *,
    walk: Walk,
    pace: Annotated[float, typer.Option(help="How fast.")] = 1.5,
) -> None:
    """Go somewhere."""
    print(place, walk, pace)


@pytest.fixture
def invoke():
    small = typer.Typer(rich_markup_mode=None, add_completion=False)
    small.command()(spread(command))
    return lambda *arguments: CliRunner().invoke(small, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "walk"),
    [
        (("home",), Walk()),
        (("home", "--steps", "7"), Walk(steps=7)),
        (("home", "--back"), Walk(back=True)),
    ],
)
def test_the_command_is_given_the_group(invoke, arguments, walk):
    assert invoke(*arguments).output == f"home {walk} 1.5\n"


def test_help_has_every_option_in_the_place_of_its_group(invoke):
    text = invoke("--help").output
    assert "Go somewhere." in text
    places = [text.index(word) for word in ("--steps", "How many.", "--back", "--pace")]
    assert places == sorted(places)
    assert "default: 3" in text


def test_the_types_of_the_options_are_checked(invoke):
    refused = invoke("home", "--steps", "0")
    assert refused.exit_code == 2
    assert "--steps" in refused.output


def test_an_option_of_the_training_commands_is_the_same_in_each():
    commands = typer.main.get_command(app).commands
    declared = {}
    for name in ("fit", "grid", "prior"):
        for option in commands[name].params:
            if option.name in ("batch_size", "epochs", "learning_rate", "schedule", "patience"):
                found = (option.help, option.default)
                assert declared.setdefault(option.name, found) == found
    assert len(declared) == 5
