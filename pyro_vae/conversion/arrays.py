"""Tensors, arrays, lists, sparse matrices and frames of numbers, made into plain tensors.

Nothing is rounded here: a tensor keeps its type, and others get the narrowest one that has all
their digits.
"""

from __future__ import annotations

import contextlib
import datetime
import numbers
import sys
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

import narwhals as nw
import numpy as np
import torch
from torch import Tensor

from pyro_vae.conversion.frames import DATE_ADVICE, columns_of, native_frame
from pyro_vae.conversion.places import place
from pyro_vae.errors import DataError

__all__ = ["ALLOWED", "Converted", "convert"]

#: What can be converted, for error messages.
ALLOWED = (
    "numbers as a tensor, a NumPy array, a list, a pandas or polars frame or series, or a SciPy "
    "sparse matrix"
)

# Types that PyTorch has, for those that NumPy alone can count with.
_WIDER = {"uint16": np.int32, "uint32": np.int64, "longdouble": np.float64}


class Converted(NamedTuple):
    """Numbers as a plain tensor.

    Attributes
    ----------
    values
        Dense, contiguous, without a gradient, of the type in which they came.
    columns
        Names of the columns, where they came as a frame or a series.
    """

    values: Tensor
    columns: tuple[str, ...] | None = None


def convert(given: Any, name: str, *, gradients: bool = False, holes: bool = False) -> Converted:
    """A plain tensor of what was given, without a digit lost.

    Parameters
    ----------
    given
        Tensor of any type, layout and device, NumPy array or anything that becomes one, nested
        sequence, frame or series of pandas, polars or another library that narwhals knows, or
        SciPy sparse matrix.
    name
        What the argument is called.
    gradients
        Whether a tensor stays in the graph that made it.
    holes
        Whether cells of a frame may be empty, which are then NaN.

    Raises
    ------
    DataError
        If it cannot be converted, with the place, and what would help.
    """
    frame = native_frame(given, name)
    if frame is None:
        return Converted(_values(given, name, gradients=gradients))
    columns = columns_of(frame, name, holes=holes)
    parts = [_from_array(cells, name, (label,)) for label, cells in columns.items()]
    if isinstance(frame, nw.Series):
        return Converted(parts[0], tuple(columns))
    return Converted(_stack(parts, 1), tuple(columns))


def _values(given: Any, name: str, at: tuple[int, ...] = (), gradients: bool = False) -> Tensor:
    """Tensor of anything but a frame; ``at`` is where it lies in what was given."""
    if isinstance(given, Tensor):
        return _from_tensor(given, name, gradients)
    sparse = sys.modules.get("scipy.sparse")  # whoever holds a sparse matrix has imported it
    if sparse is not None and sparse.issparse(given):
        return _from_array(given.toarray(), name, at=at)
    if isinstance(given, Sequence) and not isinstance(given, str | bytes):
        return _from_sequence(given, name, at)
    if hasattr(given, "__array__"):
        return _from_array(np.asanyarray(given), name, at=at)
    if at or isinstance(given, numbers.Number):
        return _from_array(np.array(given, dtype=object), name, at=at)
    advice = ""
    if isinstance(given, Mapping):
        advice = "; pandas.DataFrame(x) makes a frame of columns by name"
    elif isinstance(given, Iterable) and not isinstance(given, str | bytes):
        advice = "; pyro_vae.data.stream takes a DataLoader, or another iterable of batches"
    _refuse(name, _an(type(given).__name__), f"it must be {ALLOWED}{advice}")


def _refuse(name: str, got: str, rest: str) -> NoReturn:
    raise DataError(f"{name} got {got}: {rest}")


def _an(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def _from_tensor(x: Tensor, name: str, gradients: bool) -> Tensor:
    if x.is_meta:
        _refuse(
            name,
            "a meta tensor, which has a shape and no values",
            "give the numbers themselves, on a device that holds them",
        )
    if x.is_nested:
        _refuse(
            name,
            "a nested tensor, whose rows have shapes of their own",
            "bring them to one shape, as torch.nested.to_padded_tensor(x, 0.0) does",
        )
    if x.is_complex():
        _refuse(
            name,
            f"complex numbers ({x.dtype})",
            "they must be real: take x.real, abs(x), or torch.view_as_real(x) for both parts",
        )
    if x.is_quantized:
        x = x.dequantize()
    if x.layout != torch.strided:
        x = x.to_dense()
    if gradients:
        return x
    if x.requires_grad:
        x = x.detach()
    return (x if type(x) is Tensor else x.as_subclass(Tensor)).contiguous()


def _from_array(
    given: np.ndarray,
    name: str,
    columns: tuple[str, ...] | None = None,
    at: tuple[int, ...] = (),
) -> Tensor:
    """Tensor of an array's numbers; ``at`` is where the array lies in what was given."""

    def where(mask: np.ndarray) -> tuple[str, Any]:
        index = tuple(int(i[0]) for i in mask.nonzero()) if mask.ndim else ()
        return _where((*at, *index), columns), given[index]

    if isinstance(given, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(given)
        if mask.any():
            _refuse(
                name,
                f"a masked value in {where(mask)[0]}",
                "fill it, as x.filled(0.0) does, or drop such rows, as numpy.ma.compress_rows(x) "
                "does",
            )
        given = given.data
    kind = given.dtype.kind
    if kind == "V":
        _refuse(
            name,
            f"a structured array with fields {', '.join(map(repr, given.dtype.names or ()))}",
            "make columns of them, as numpy.lib.recfunctions.structured_to_unstructured(x) does, "
            "or as pandas.DataFrame(x) does",
        )
    if kind == "c":
        _refuse(name, f"complex numbers ({given.dtype})", "take x.real, or abs(x)")
    if kind in "mM":
        _refuse(name, f"times ({given.dtype})", DATE_ADVICE)
    if kind == "O":
        for index in np.ndindex(given.shape):
            if not isinstance(given[index], numbers.Real | np.bool_ | Decimal):
                _refuse_element(name, given[index], _where((*at, *index), columns))
        given = given.astype(np.float64)
    elif kind not in "biuf":
        spot, value = where(np.ones(given.shape, dtype=bool))
        _refuse_element(name, value.item() if isinstance(value, np.generic) else value, spot)
    if given.dtype == np.uint64:
        small = not given.size or given.max() <= np.iinfo(np.int64).max
        given = given.astype(np.int64 if small else np.float64)
    given = given.astype(_WIDER.get(given.dtype.name, given.dtype), copy=False)
    if given.dtype.itemsize > 8:
        given = given.astype(np.float64)
    # A copy in the machine's own byte order: nothing that is changed later changes the data.
    return torch.from_numpy(np.array(given, dtype=given.dtype.newbyteorder("="), order="C"))


def _where(index: tuple[int, ...], columns: tuple[str, ...] | None) -> str:
    return place(index, columns) if index else "its only element"


def _refuse_element(name: str, value: Any, where: str) -> NoReturn:
    """Refuse one element that is no number, and say what would help with its kind."""
    if isinstance(value, datetime.date | datetime.timedelta | np.datetime64):
        _refuse(name, f"the time {value} in {where}", DATE_ADVICE)
    if isinstance(value, str | bytes):
        advice = (
            "it must be a number: x.astype(float) reads an array of numerals, and classes go in "
            "as labels of Dataset.from_tensors"
        )
    elif isinstance(value, Sequence | np.ndarray | Tensor):
        advice = (
            "every element must be one number, and numpy.stack(list(x)) makes one array of rows "
            "of one shape"
        )
    elif isinstance(value, numbers.Complex):
        advice = "it must be a real number: take abs(x) of an array of them"
    else:
        advice = "it must be a number: drop or impute those rows"
    _refuse(name, f"{value!r} in {where}", advice)


def _from_sequence(rows: Sequence[Any], name: str, at: tuple[int, ...]) -> Tensor:
    """Tensor of nested sequences, whose rows may be arrays or tensors too."""
    if len(rows) == 0:
        return torch.empty(0)
    if isinstance(rows[0], numbers.Number | Sequence):
        # NumPy reads numbers fast; what it cannot read is gone through row by row.
        with contextlib.suppress(ValueError, TypeError, RuntimeError):
            read = np.array(rows)
            if read.dtype.kind in "biuf":
                return _from_array(read, name, at=at)
    parts: list[Tensor] = []
    for index, row in enumerate(rows):
        inner = (*at, index)
        framed = native_frame(row, name) is not None
        parts.append(convert(row, name).values if framed else _values(row, name, inner))
        if parts[-1].shape != parts[0].shape:
            _refuse(
                name,
                f"shape {tuple(parts[-1].shape)} in {place(inner)}, and shape "
                f"{tuple(parts[0].shape)} in {place((*at, 0))}",
                "all rows must have one shape, so drop the odd one, or pad it",
            )
    return _stack(parts, 0)


def _stack(parts: Sequence[Tensor], dim: int) -> Tensor:
    """Tensors of one shape stacked, in a type that has the digits of all of them."""
    kinds = {part.dtype for part in parts}
    if len(kinds) > 1:
        real = any(part.is_floating_point() for part in parts)
        parts = [part.to(torch.double if real else torch.long) for part in parts]
    return torch.stack(list(parts), dim)
