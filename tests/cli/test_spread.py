"""Groups of options as Typer sees them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from pyro_vae.cli.fit import fit
from pyro_vae.cli.grid import grid
from pyro_vae.cli.prior import prior
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


def test_an_option_of_the_training_commands_is_one_declaration():
    shared = {}
    for training in (fit, grid, prior):
        for option in inspect.signature(spread(training)).parameters.values():
            if option.name in ("batch_size", "epochs", "learning_rate", "schedule", "patience"):
                # Of one type and default, and with the help of one object.
                assert shared.setdefault(option.name, option) == option
    assert len(shared) == 5
