"""Where training runs: a Lightning Fabric, or a sentence on why it cannot run there."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pyro_vae.errors import SettingError
from pyro_vae.on_demand import library

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["fabric_on", "is_first_process"]


def fabric_on(accelerator: str, devices: int, precision: str) -> Fabric:
    """A Fabric of these settings.

    Parameters
    ----------
    accelerator, devices, precision
        As for ``fit``.

    Raises
    ------
    SettingError
        If this machine has no such device, there is no such setting, or several processes are
        asked for where the script that they would each run again is not in a file.
    """
    # It takes as long to import as PyTorch does.
    lightning = library("lightning_fabric")
    misconfiguration = library("lightning_fabric.utilities.exceptions").MisconfigurationException
    try:
        fabric = lightning.Fabric(accelerator=accelerator, devices=devices, precision=precision)
    except (misconfiguration, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SettingError(
            f"accelerator={accelerator!r}, devices={devices}, precision={precision!r} cannot be "
            f"had on this machine: {reason} accelerator='cpu' with devices=1 and "
            "precision='32-true' runs everywhere."
        ) from error
    if devices > 1 and not (_started_by_a_launcher() or _runs_from_a_file()):
        raise SettingError(
            f"devices got {devices}: every process runs the script again, and there is no file "
            "of it where Python reads from standard input, from -c or in a notebook; save it and "
            "run the file, or take devices=1"
        )
    return fabric


def is_first_process() -> bool:
    """Whether this is the first of the processes that share the work on this machine."""
    return _rank_from_launcher() in (None, "0")


def _started_by_a_launcher() -> bool:
    return _rank_from_launcher() is not None


def _rank_from_launcher() -> str | None:
    """Number of this process among those of this machine; None where nothing launched it."""
    return os.environ.get("LOCAL_RANK")


def _runs_from_a_file() -> bool:
    if hasattr(sys, "ps1"):  # an interactive session, notebooks among them
        return False
    return sys.modules["__main__"].__spec__ is not None or Path(sys.argv[0]).is_file()
