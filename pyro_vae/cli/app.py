"""The Typer application, and what becomes of errors.

Exit status 2 for what cannot be asked, of these arguments or of this model; 1 for what is wrong
with a run or with data.
"""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer
from rich.console import Console

from pyro_vae.cli.compare import compare
from pyro_vae.cli.data import data
from pyro_vae.cli.demo import demo
from pyro_vae.cli.derive import derive
from pyro_vae.cli.evaluate import evaluate
from pyro_vae.cli.explore import explore
from pyro_vae.cli.figure import figure
from pyro_vae.cli.fit import fit
from pyro_vae.cli.grid import grid
from pyro_vae.cli.prior import prior
from pyro_vae.cli.report import report
from pyro_vae.cli.sample import sample
from pyro_vae.cli.spread import spread
from pyro_vae.cli.tour import tour
from pyro_vae.errors import ProgramError, PyroVAEError, SettingError, UnknownNameError
from pyro_vae.plugins import import_entry_points, import_parts

__all__ = ["app", "main"]

app = typer.Typer(
    help="Variational autoencoders as Pyro programs: fit them, and measure how far the ELBO is "
    "from log p(x). All bounds are in nats per datum.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_COMMANDS = (
    *(demo, tour, derive),
    *(fit, prior, evaluate, compare, grid),
    *(sample, report, figure, explore, data),
)
for command in _COMMANDS:
    app.command()(spread(command))


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
