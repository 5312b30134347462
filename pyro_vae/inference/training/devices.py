"""Where training runs: a Lightning Fabric, or a sentence on why it cannot run there."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.errors import SettingError
from pyro_vae.on_demand import library

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightning_fabric import Fabric

__all__ = ["PRODUCTS", "fabric_on", "is_alone", "is_first_process", "matrix_products"]

#: Precisions of numbers of 32 bits, and what PyTorch calls that of their matrix products; None
#: for what it is set to.
PRODUCTS = {"32-true": None, "32-high": "high", "32-medium": "medium"}

_BY_NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"


def fabric_on(accelerator: str, devices: int, precision: str) -> Fabric:
    """A Fabric of these settings.

    Parameters
    ----------
    accelerator, devices, precision
        As for ``fit``.

    Raises
    ------
    SettingError
        If this machine has no such device, there is no such setting, several processes are
        asked for where the script that they would each run again is not in a file, or
        ``torchrun`` started another number of them.
    """
    lightning = _lightning()
    misconfiguration = library("lightning_fabric.utilities.exceptions").MisconfigurationException
    here, machines = _of_torchrun(devices) if _started_by_torchrun() else (devices, 1)
    strategy = "auto"
    if not is_alone(devices):
        # A program may have parameters that no step uses.
        strategy = library("lightning_fabric.strategies").DDPStrategy(static_graph=True)
    try:
        fabric = lightning.Fabric(
            accelerator=accelerator,
            strategy=strategy,
            devices=here,
            num_nodes=machines,
            precision="32-true" if precision in PRODUCTS else precision,
        )
    except (misconfiguration, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SettingError(
            f"accelerator={accelerator!r}, devices={devices}, precision={precision!r} cannot be "
            f"had on this machine: {reason} Beside these there are the precisions "
            f"{' and '.join(list(PRODUCTS)[1:])}. accelerator='cpu' with devices=1 and "
            "precision='32-true' runs everywhere."
        ) from error
    if devices > 1 and not (_started_by_a_launcher() or _runs_from_a_file()):
        raise SettingError(
            f"devices got {devices}: every process runs the script again, and there is no file "
            "of it where Python reads from standard input, from -c or in a notebook; save it and "
            "run the file, or take devices=1"
        )
    return fabric


@contextmanager
def matrix_products(precision: str) -> Iterator[None]:
    """Matrix products as a precision has them, which PyTorch keeps for the whole process."""
    wanted = PRODUCTS.get(precision)
    if wanted is None:
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(wanted)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _lightning() -> Any:
    """Lightning Fabric, which takes as long to import as PyTorch does.

    It sets for the whole process that PyTorch looks for a GPU by loading NVML: a quarter of a
    millisecond each time instead of one microsecond, and ``torch.optim`` asks at every step. That
    serves processes that are forked, which none of ours is.
    """
    before = os.environ.get(_BY_NVML)
    found = library("lightning_fabric")
    if before is None:
        os.environ.pop(_BY_NVML, None)
    return found


def is_alone(devices: int) -> bool:
    """Whether a training of so many devices is that of one process."""
    return devices == 1 and os.environ.get("WORLD_SIZE", "1") == "1"


def is_first_process() -> bool:
    """Whether this is the first of the processes that share the work."""
    # On several machines each has a process of local rank 0.
    return os.environ.get("RANK", _rank_from_launcher()) in (None, "0")


def _started_by_torchrun() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


def _of_torchrun(devices: int) -> tuple[int, int]:
    """Processes on each machine, and machines, as ``torchrun`` started them."""
    here, everywhere = (int(os.environ[name]) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    if devices not in (1, here):
        raise SettingError(
            f"devices got {devices}, and torchrun started {here} processes on this machine: leave "
            "devices (--devices) out, and say it with --nproc-per-node"
        )
    return here, everywhere // here


def _started_by_a_launcher() -> bool:
    return _rank_from_launcher() is not None


def _rank_from_launcher() -> str | None:
    """Number of this process among those of this machine; None where nothing launched it."""
    return os.environ.get("LOCAL_RANK")


def _runs_from_a_file() -> bool:
    if hasattr(sys, "ps1"):  # an interactive session, notebooks among them
        return False
    return sys.modules["__main__"].__spec__ is not None or Path(sys.argv[0]).is_file()
