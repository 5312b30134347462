"""Inference without an encoder: free parameters of q(z | x) for every datum."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pyro_vae.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["FreeParameters"]


@final
class FreeParameters(nn.Module):
    """One free vector for every datum, in the place of an encoder's output.

    Training it closes the amortisation gap of Cremer, Li & Duvenaud (2018), arXiv 1801.03558:
    what is left of log p(x) - ELBO is the guide family's own. A datum is known by its content
    (the 128-bit BLAKE2b digest of its float32 values), so batches, order and leading
    dimensions do not matter, and equal data share a vector. Momentum, as in Adam, also moves
    the vectors of data outside the batch.

    Parameters
    ----------
    num_rows
        Number of different data that it can hold.
    size_out
        Length of a vector.
    start
        Where the vectors start: ``(size_out,)``, or ``(num_rows, size_out)`` in the order of
        enrolment; zero unless given.

    Raises
    ------
    ValueError
        If a size is not a positive integer, or ``start`` has another shape.

    Examples
    --------
    >>> table = FreeParameters(num_rows=2, size_out=3)
    >>> x = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    >>> table.enrol(x)
    >>> table(x).shape
    torch.Size([2, 3])
    """

    keys: Tensor

    def __init__(self, num_rows: int, size_out: int, start: Tensor | None = None) -> None:
        super().__init__()
        for name, size in (("num_rows", num_rows), ("size_out", size_out)):
            if not isinstance(size, int) or size <= 0:
                raise ValueError(f"{name} got {size!r}: it must be a positive integer")
        if start is None:
            start = torch.zeros(size_out)
        if tuple(start.shape) not in ((size_out,), (num_rows, size_out)):
            raise ValueError(
                f"start has shape {tuple(start.shape)}: it must be ({size_out},), the same for "
                f"all data, or ({num_rows}, {size_out})"
            )
        self.num_rows, self.size_out = num_rows, size_out
        self.values = nn.Parameter(start.detach().expand(num_rows, size_out).clone())
        # A digest is two integers; both are zero in a row that is free.
        self.register_buffer("keys", torch.zeros(num_rows, 2, dtype=torch.int64))
        self._rows: dict[bytes, int] = {}
        self.register_load_state_dict_post_hook(_index_keys)

    def enrol(self, features: Tensor) -> None:
        """Give a vector to every datum that has none.

        Parameters
        ----------
        features
            Data ``(n, D)``, as the encoder would get them.

        Raises
        ------
        DataError
            If there are more different data than rows; then none is enrolled.
        """
        new = [digest for digest in dict.fromkeys(_digests(features)) if digest not in self._rows]
        taken, needed = len(self._rows), len(self._rows) + len(new)
        if needed > self.num_rows:
            raise DataError(
                f"{needed} different data do not fit into num_rows={self.num_rows}: make "
                "FreeParameters with num_rows at least as large as all data together"
            )
        if not new:
            return
        keys = np.frombuffer(b"".join(new), dtype="<i8").reshape(-1, 2).astype(np.int64)
        self.keys[taken:needed] = torch.from_numpy(keys)
        self._rows.update(zip(new, range(taken, needed), strict=True))

    def forward(self, features: Tensor) -> Tensor:
        """Vectors ``(..., size_out)`` of data ``(..., D)`` that were enrolled.

        Raises
        ------
        DataError
            If a datum was not.
        """
        found = [self._rows.get(digest, -1) for digest in _digests(features)]
        if -1 in found:
            raise DataError(
                f"{found.count(-1)} of {len(found)} data have no free parameters, the first of "
                f"them datum {found.index(-1)}: call enrol(features) on all data first, on the "
                "scale on which the encoder gets them"
            )
        rows = torch.tensor(found, dtype=torch.int64, device=self.values.device)
        return F.embedding(rows.reshape(features.shape[:-1]), self.values)


def _digests(features: Tensor) -> list[bytes]:
    """Digest of every datum of ``(..., D)``, in row-major order."""
    flat = features.detach().reshape(-1, features.shape[-1]).to("cpu", torch.float32)
    # Adding zero turns -0.0, which is equal to 0.0 but not alike in memory, into 0.0.
    content = (flat + 0.0).contiguous().numpy()
    return [hashlib.blake2b(row.data, digest_size=16).digest() for row in content]


def _index_keys(table: FreeParameters, incompatible: Any) -> None:
    """Find the rows again by the keys that were loaded."""
    keys = table.keys.cpu().numpy().astype("<i8")
    table._rows = {key.tobytes(): row for row, key in enumerate(keys) if key.any()}
