"""A user's own likelihoods, priors, guides and architectures, for the command line.

A part registers itself where its class is defined, so all that is needed is to import its
module: by name, from a file, or because an installed distribution names it as an entry point
of the group ``pyro_vae.parts``. A run's folder never says what to import: its files hold names
and numbers, and whoever opens it says where the names come from.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from pyro_vae.errors import SettingError
from pyro_vae.on_demand import library

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["ENTRY_POINTS", "import_entry_points", "import_parts"]

#: Group of entry points whose modules are imported by the command line.
ENTRY_POINTS = "pyro_vae.parts"


def import_parts(source: str) -> None:
    """Import a module that defines parts.

    Parameters
    ----------
    source
        Name of a module, which may lie in the current folder, or path of a Python file.

    Raises
    ------
    SettingError
        If there is no such module or file.
    """
    if not source.endswith(".py"):
        if "" not in sys.path:
            sys.path.insert(0, "")  # the current folder, as `python -m` has it
        try:
            _send_along(importlib.import_module(source))
        except ModuleNotFoundError as error:
            if error.name is None or not source.startswith(error.name):
                raise  # the module is there, and something that it needs is not
            raise SettingError(
                f"--import got {source!r}: there is no such module; give a module's name, or the "
                "path of a file that ends in .py"
            ) from error
        return
    path = Path(source)
    if not path.is_file():
        raise SettingError(f"--import got {source!r}: there is no such file")
    name = path.stem
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    _send_along(module, by_value=True)


def import_entry_points() -> None:
    """Import what installed distributions offer."""
    for point in entry_points(group=ENTRY_POINTS):
        point.load()
        _send_along(sys.modules[point.module])


def _send_along(module: ModuleType, *, by_value: bool = False) -> None:
    """Have workers know the parts of a module, too."""
    library("pyro_vae.workers").send_along(module, by_value=by_value)
