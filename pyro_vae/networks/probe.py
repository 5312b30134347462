"""A look at what a user's own network returns, before any long work starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pyro_vae.errors import DataError
from pyro_vae.networks.table import FreeParameters

if TYPE_CHECKING:
    from torch import nn

__all__ = ["check_network"]


def check_network(name: str, network: nn.Module, size_in: int, size_out: int) -> None:
    """Refuse a network that does not map ``(..., size_in)`` to ``(..., size_out)``.

    Parameters
    ----------
    name
        What it is, as in ``"encoder"``.
    network
        The user's module, which is given zeros with two leading dimensions, since particles
        are a vectorised plate to the left of the data.
    size_in, size_out
        What it must map.

    Raises
    ------
    DataError
        If it fails, or returns anything else than a tensor of that shape.
    """
    if isinstance(network, FreeParameters):
        # It knows no datum yet.
        if network.size_out != size_out:
            raise DataError(
                f"{name} has vectors of length size_out={network.size_out}: it must give "
                f"{size_out} parameters for every datum"
            )
        return
    like = next(network.parameters(), torch.zeros(()))
    probe = torch.zeros(2, 3, size_in, dtype=like.dtype, device=like.device)
    wanted = (2, 3, size_out)
    must = (
        f"it must map {tuple(probe.shape)} to {wanted}, the leading dimensions kept and "
        f"{size_out} parameters"
    )
    # Zeros must not enter the running means of a normalising layer.
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            out = network(probe)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{name} fails on an input of shape {tuple(probe.shape)} "
            f"({type(error).__name__}: {reason}): {must}"
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode
    got = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
    if got != wanted:
        raise DataError(f"{name} maps {tuple(probe.shape)} to {got}: {must}")
