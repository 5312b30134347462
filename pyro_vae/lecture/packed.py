"""Arrays as text, for a page that may ask for no second file, and what is said of them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["mean_of", "packed"]


def packed(values: Tensor) -> str:
    """Values of any shape in row-major order, little-endian float32, in base64."""
    array = values.detach().cpu().numpy().astype("<f4")
    return base64.b64encode(array.tobytes()).decode("ascii")


def mean_of(values: Tensor) -> dict[str, float]:
    """Mean of ``(n,)`` numbers and its standard error, ``"mean"`` and ``"error"``."""
    return {"mean": float(values.mean()), "error": float(values.std() / len(values) ** 0.5)}
