"""Arrays as text, for a page that may ask for no second file."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["packed"]


def packed(values: Tensor) -> str:
    """Values of any shape in row-major order, little-endian float32, in base64."""
    array = values.detach().cpu().numpy().astype("<f4")
    return base64.b64encode(array.tobytes()).decode("ascii")
