"""The same zeros and ones in every form in which a person may hold them."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse
import torch

ROWS = [[0, 1, 1], [1, 0, 1], [0, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 0]]
NAMES = ["a", "b", "c"]


def plain(rows=ROWS):
    return torch.tensor(rows, dtype=torch.float32)


#: Every form, made of rows of zeros and ones.
KINDS = {
    **{
        f"tensor {dtype}".replace("torch.", ""): lambda rows, dtype=dtype: torch.tensor(
            rows, dtype=dtype
        )
        for dtype in (
            torch.bool,
            torch.uint8,
            torch.int64,
            torch.float16,
            torch.bfloat16,
            torch.float64,
        )
    },
    "sparse COO tensor": lambda rows: plain(rows).to_sparse(),
    "sparse CSR tensor": lambda rows: _csr(rows),
    "transposed tensor": lambda rows: plain(rows).T.contiguous().T,
    "tensor with gradient": lambda rows: plain(rows).clone().requires_grad_(),
    "parameter": lambda rows: torch.nn.Parameter(plain(rows).clone()),
    "array of float64": lambda rows: np.array(rows, dtype=np.float64),
    "array of bool": lambda rows: np.array(rows, dtype=bool),
    "array of uint16": lambda rows: np.array(rows, dtype=np.uint16),
    "array of uint64": lambda rows: np.array(rows, dtype=np.uint64),
    "array of long doubles": lambda rows: np.array(rows, dtype=np.longdouble),
    "array of big-endian": lambda rows: np.array(rows, dtype=">f8"),
    "array backwards": lambda rows: np.array(rows[::-1], dtype=np.float32)[::-1],
    "array of objects": lambda rows: np.array(rows, dtype=object),
    "masked array without a mask": lambda rows: np.ma.array(rows),
    "read-only array": lambda rows: _read_only(rows),
    "list": lambda rows: [list(row) for row in rows],
    "tuple of lists of floats": lambda rows: tuple([float(v) for v in row] for row in rows),
    "list of tensors": lambda rows: list(plain(rows).clone().requires_grad_()),
    "list of arrays": lambda rows: list(np.array(rows)),
    "pandas frame": lambda rows: pd.DataFrame(rows, columns=NAMES),
    "pandas frame of several types": lambda rows: pd.DataFrame(rows, columns=NAMES).astype(
        {"a": bool, "b": "Int64", "c": "float32"}
    ),
    "pandas frame with columns by number": lambda rows: pd.DataFrame(rows),
    "pandas frame of sparse columns": lambda rows: pd.DataFrame(rows, dtype=pd.SparseDtype(float)),
    "pandas frame with an index": lambda rows: pd.DataFrame(
        rows, columns=NAMES, index=[f"row {i}" for i in range(len(rows))]
    ),
    "polars frame": lambda rows: pl.DataFrame(rows, schema=NAMES, orient="row"),
    "lazy polars frame": lambda rows: pl.LazyFrame(rows, schema=NAMES, orient="row"),
    "polars frame of several types": lambda rows: pl.DataFrame(
        rows, schema=NAMES, orient="row"
    ).with_columns(pl.col("a").cast(pl.Boolean), pl.col("b").cast(pl.UInt8)),
    "SciPy sparse matrix": lambda rows: scipy.sparse.csr_matrix(np.array(rows, dtype=float)),
    "SciPy sparse array": lambda rows: scipy.sparse.coo_array(np.array(rows)),
}


def _csr(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch calls its CSR layout a beta
        return plain(rows).to_sparse_csr()


def _read_only(rows):
    array = np.array(rows, dtype=np.float32)
    array.setflags(write=False)
    return array
