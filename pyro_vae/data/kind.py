"""What kind of values a feature takes."""

from __future__ import annotations

from typing import Literal

__all__ = ["Kind"]

#: Zeros and ones; numbers from 0 to 1; whole numbers from 0; any real numbers; columns that
#: differ, as a schema says.
Kind = Literal["binary", "unit-interval", "counts", "real", "mixed"]
