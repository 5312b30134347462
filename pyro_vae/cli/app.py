"""The Typer application, and what becomes of errors.

Exit status 2 for what cannot be asked, of these arguments or of this model; 1 for what is wrong
with a run or with data.
"""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from pyro_vae.cli.plugins import import_entry_points, import_parts
from pyro_vae.cli.spread import spread
from pyro_vae.errors import ProgramError, PyroVAEError, SettingError, UnknownNameError
from pyro_vae.on_demand import without_trace

__all__ = ["COMMANDS", "app", "main"]


class _Listed(NamedTuple):
    """A command as the help of ``pyro-vae`` has it, for which its module is not imported."""

    module: str
    summary: str


#: Every command: where its function of that name is, and the first line of its docstring.
COMMANDS = {
    "demo": _Listed(
        "pyro_vae.cli.demo",
        "Fit and measure VAEs and mixtures on the handwritten digits; write report.html.",
    ),
    "tour": _Listed(
        "pyro_vae.cli.tour",
        "Fit PCA, autoencoders, VAEs, a mixture and VQ-VAEs at one code size; write report.html.",
    ),
    "derive": _Listed(
        "pyro_vae.cli.derive",
        "Derive the ELBO for one datum, every line checked; write derivation.html and .md.",
    ),
    "fit": _Listed(
        "pyro_vae.cli.fit",
        "Fit a model by stochastic variational inference, and keep the run in a folder.",
    ),
    "prior": _Listed(
        "pyro_vae.cli.prior",
        "Learn p(z) over the codes of a fitted VQ-VAE, whose networks and codes stay as they are.",
    ),
    "evaluate": _Listed(
        "pyro_vae.cli.evaluate",
        "Measure a run: ELBO, IWAE bounds, log p(x) with errors, and the gap, per datum.",
    ),
    "score": _Listed(
        "pyro_vae.cli.score",
        "Score rows: log p(x) with its error, percentile among training rows, and every column.",
    ),
    "impute": _Listed(
        "pyro_vae.cli.impute",
        "Fill in missing cells by draws from p(missing | observed), with intervals; write tables.",
    ),
    "compare": _Listed(
        "pyro_vae.cli.compare",
        "Rank runs by log p(x) of their test data, with standard errors of the paired "
        "differences.",
    ),
    "grid": _Listed(
        "pyro_vae.cli.grid",
        "Fit every combination of parts, and rank them by held-out log p(x).",
    ),
    "verify": _Listed(
        "pyro_vae.cli.verify",
        "Check an objective, estimator or likelihood of a file against models whose answer is "
        "known.",
    ),
    "reproduce": _Listed(
        "pyro_vae.cli.reproduce",
        "Do a published experiment again: its table beside ours, with errors, on a card to check.",
    ),
    "referee": _Listed(
        "pyro_vae.cli.referee",
        "Measure anybody's model: log p(x), gap, and what vouches for both, on a card to check.",
    ),
    "sample": _Listed(
        "pyro_vae.cli.sample",
        "Draw z from the prior and x from p(x | z); write them, and a picture of images.",
    ),
    "report": _Listed(
        "pyro_vae.cli.report",
        "Draw the figures of an evaluated run, and write report.html.",
    ),
    "figure": _Listed(
        "pyro_vae.cli.figure",
        "Write a figure as NAME.pdf and NAME.png, for slides and papers.",
    ),
    "lecture": _Listed(
        "pyro_vae.cli.lecture",
        "Write one HTML file for a class: from PCA to the VAE, each step a panel to play with.",
    ),
    "explore": _Listed(
        "pyro_vae.cli.explore",
        "Write one HTML file to explore: the bound, importance sampling, the run's decoder.",
    ),
    "data": _Listed(
        "pyro_vae.cli.data",
        "List the data sets; download one; or show what the columns of a file of yours are.",
    ),
}

_plain_typer = functools.partial(
    typer.Typer, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


class _Commands(TyperGroup):
    """The commands, the module of one imported when it is called."""

    # Typer's own keywords, which are those of its version: `Any`, and handed on unread.
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, listed in COMMANDS.items():
            self.add_command(TyperCommand(name, help=listed.summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """The command that the arguments name, ready to run, and the arguments left to it."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, _command(name) if name and listed else listed, rest


def _command(name: str) -> Any:
    with without_trace():
        module = importlib.import_module(COMMANDS[name].module)
    alone = _plain_typer()
    alone.command(name)(spread(getattr(module, name)))
    return get_command(alone)


app = _plain_typer(
    cls=_Commands,
    help="Variational autoencoders as Pyro programs: fit them, and measure how far the ELBO is "
    "from log p(x). All bounds are in nats per datum.",
    no_args_is_help=True,
)


@app.callback()
def prepare(
    parts: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="MODULE",
            help="Module, or file, that defines likelihoods, priors or guides of your own.",
        ),
    ] = None,
) -> None:
    """Import the user's own parts before any command looks a name up."""
    import_entry_points()
    for source in parts or ():
        import_parts(source)


def main() -> None:
    """Run the command line; errors that a user can act on are printed without a traceback."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(message: Warning | str, *_: object, **__: object) -> None:
        console.print(f"note: {message}", markup=False)

    warnings.showwarning = say
    try:
        app()
    except (SettingError, UnknownNameError, ProgramError) as error:
        console.print(f"error: {error}", markup=False)
        sys.exit(2)
    except PyroVAEError as error:
        console.print(f"error: {error}", markup=False)
        sys.exit(1)
    except ValueError as error:
        console.print(f"error: {error}", markup=False)
        sys.exit(2)
    except OSError as error:  # of standard output, or of a temporary file
        console.print(f"error: {error.strerror or error}", markup=False)
        sys.exit(1)
    except SystemExit as ended:
        # Typer makes a silent exit of Ctrl-C.
        if isinstance(getattr(ended.__context__, "__cause__", None), KeyboardInterrupt):
            console.print("interrupted", markup=False)
        raise
