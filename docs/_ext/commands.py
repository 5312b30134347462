"""The directive ``commands``: a section for each command of ``pyro-vae``, with its help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from typer.main import get_command
from typer.testing import CliRunner

from pyro_vae.cli.app import app as application

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_WIDTH = 92


def help_of(*command: str) -> str:
    """What ``pyro-vae command --help`` prints, at a width that fits the page."""
    arguments = [*command, "--help"]
    environment = {"COLUMNS": str(_WIDTH), "TERMINAL_WIDTH": str(_WIDTH), "NO_COLOR": "1"}
    result = CliRunner().invoke(application, arguments, prog_name="pyro-vae", env=environment)
    if result.exit_code:
        raise RuntimeError(f"pyro-vae {' '.join(arguments)} failed: {result.output}")
    return result.output.strip()


class Commands(SphinxDirective):
    """Sections in the order in which the commands are registered."""

    def run(self) -> list[nodes.Node]:
        """Help of the program, then of each of its commands."""
        names = list(get_command(application).commands)  # type: ignore[attr-defined]
        general = nodes.literal_block("", help_of(), language="text")
        return [general, *(self._section(name) for name in names)]

    def _section(self, name: str) -> nodes.section:
        section = nodes.section(ids=[f"pyro-vae-{name}"], names=[name])
        section += nodes.title("", f"pyro-vae {name}")
        section += nodes.literal_block("", help_of(name), language="text")
        self.state.document.note_explicit_target(section)
        return section


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("commands", Commands)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
