"""``data.read``: a data set of one's own, from a file or from what one holds in Python."""

from __future__ import annotations

import math
import os
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import torch

from pyro_vae.conversion.arrays import convert
from pyro_vae.conversion.frames import native_frame
from pyro_vae.conversion.labels import convert_labels
from pyro_vae.data.affine import Affine
from pyro_vae.data.binarisation import binarise, check_binarisation
from pyro_vae.data.dataset import SPLITS, Dataset
from pyro_vae.data.grey_levels import check_values, preprocess
from pyro_vae.data.hiding import cells_to_hide, parse_pattern
from pyro_vae.data.hiding import hide as hide_cells
from pyro_vae.data.missing import without_holes
from pyro_vae.data.reading.content import Content
from pyro_vae.data.reading.formats import content_of_anndata, content_of_array, read_content
from pyro_vae.data.reading.origin import Origin, checksum_of_file, find_again, name_of_file
from pyro_vae.data.reading.parts import by_column, by_share, check_shares, left_shares
from pyro_vae.data.schema.cells import cells_of_frame
from pyro_vae.data.schema.choices import parse_choices
from pyro_vae.data.schema.column import level_texts
from pyro_vae.data.schema.recognise import in_type
from pyro_vae.data.schema.schema import Schema, kind_of_table
from pyro_vae.errors import DataError, MissingDataError, SettingError
from pyro_vae.spelling import spelt
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from pyro_vae.data.kind import Kind
    from pyro_vae.data.schema.cells import Cells

__all__ = ["Form", "kept_rows", "read", "read_again"]

_DEFAULT_SHARES = (0.7, 0.1, 0.2)


@dataclass(frozen=True)
class Form:
    """What becomes of numbers that are no table: as for ``data.load``."""

    binarisation: str = "none"
    values: str | None = None
    standardise: bool = False
    total_exposure: bool = False
    hide: str | None = None
    seed: int = 0


@verb
def read(
    source: Any,
    *,
    columns: str | Path | Mapping[str, str] | None = None,
    validation: Any = None,
    test: Any = None,
    shares: Sequence[float] = _DEFAULT_SHARES,
    split_by: str | None = None,
    group: str | None = None,
    condition: Sequence[str] = (),
    drop_empty: bool = False,
    num_rows: int | None = None,
    resize: Sequence[int] | None = None,
    kind: Kind | None = None,
    name: str | None = None,
    binarisation: str = "none",
    values: str | None = None,
    standardise: bool = False,
    total_exposure: bool = False,
    hide: str | None = None,
    seed: int = 0,
) -> Dataset:
    """A data set of your own: from a file, or from a frame or an array.

    A table gets a schema: the kind of each column is told by its type and its values, and
    ``Dataset.schema`` prints it. Columns that are real, positive or dates are modelled on a scale
    of order one; log p(x) in their own units is that plus ``log_jacobian``, and draws come back
    in units, levels and columns of the table with ``Dataset.to_frame``.

    Parameters
    ----------
    source
        Path of a CSV, TSV, Parquet, Feather, NumPy, SciPy sparse, AnnData or idx file, with
        ``.gz`` behind it or not, or of a folder of images; or a pandas or polars frame, an array,
        an xarray or AnnData object.
    columns
        What to make of columns, as in ``"age=normal, stage=ordinal, hospital=covariate,
        id=drop"``; the path of a file of such lines; or a mapping. A word is a likelihood, a kind
        (real, positive, share, yes-no, category, ordinal, count, date) or a role (covariate,
        label, split, group, drop).
    validation, test
        Files, frames or arrays of the same form with those rows; then ``source`` has the others.
    shares
        Shares of rows for training, validation and test. With ``test`` given, those for training
        and validation keep their proportion; with both given, all of ``source`` is for training.
    split_by
        Column that says ``train``, ``validation`` or ``test`` of every row.
    group
        Column whose rows with the same value stay in one split, such as the patient.
    condition
        Columns that a conditional model is given, rather than models.
    drop_empty
        Leave out rows with an empty cell in a column that is used. Otherwise empty cells of
        columns that are data, and NaN of an array, are missing: see ``Dataset.observed``.
    num_rows
        Read the first so many rows only.
    resize
        Height and width that images are brought to.
    kind
        Kind of the values of an array; told by them unless given.
    name
        What to call the data; the name of the file unless given.
    binarisation, values
        What is made of grey levels of images; see ``load``.
    standardise
        Give every feature of an array mean 0 and standard deviation 1; continuous columns of a
        table always are on such a scale.
    total_exposure
        Give every row of counts its total, over the mean total, as exposure.
    hide
        Pattern of cells that are made missing, as in ``"cells(share=0.5)"``; see ``data.hide``.
    seed
        Seed of the split, of binarisation and dequantisation, and of what is hidden.

    Returns
    -------
    Dataset
        With ``schema`` where it came from a table, and ``origin``, by which a run finds it again.

    Raises
    ------
    DataError
        If something cannot be read, with row and column, and what would help.
    MissingDataError
        If a file is not there, or needs a library that is not installed.
    SettingError
        If ``columns`` or ``condition`` cannot be read or name no column.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"stage": [1, 2, 3, 2, 1] * 8, "age": [50.5, 61, 47, 70, 66] * 8})
    >>> patients = read(table, name="patients")
    >>> [f"{column.name}: {column.kind}" for column in patients.schema.columns]
    ['stage: ordinal', 'age: real']
    """
    if hide is not None:
        parse_pattern(hide)
    if source is None or (isinstance(source, str) and not source):
        raise DataError(f"source got {source!r}: give the path of a file, a frame or an array")
    given = {"all": source, "validation": validation, "test": test}
    given = {part: x for part, x in given.items() if x is not None}
    paths = {part: Path(x) for part, x in given.items() if isinstance(x, str | os.PathLike)}
    contents = {
        part: read_content(paths[part], num_rows=num_rows, resize=resize)
        if part in paths
        else _content_of(x, part)
        for part, x in given.items()
    }
    called = name or (name_of_file(paths["all"]) if "all" in paths else "table")
    origin = Origin(
        name=called,
        files={part: str(path.absolute()) for part, path in paths.items()},
        checksums={part: checksum_of_file(path) for part, path in paths.items()},
        shares=list(check_shares(shares)),
        split_by=split_by,
        group=group,
        seed=seed,
        drop_empty=drop_empty,
        num_rows=num_rows,
        resize=None if resize is None else [int(size) for size in resize],
        kind=kind,
    )
    form = Form(binarisation, values, standardise, total_exposure, hide, seed)
    if contents["all"].table is None:
        if columns is not None or condition:
            raise DataError(
                f"columns was given for {called}, which is an array and has no names of columns: "
                "leave it out, or make a frame, as pandas.DataFrame(x, columns=[...]) does"
            )
        return _dataset_of_arrays(contents, origin, form)
    choices = parse_choices(columns)
    for option, role, column in (("split_by", "split", split_by), ("group", "group", group)):
        if column is None:
            continue
        if column not in contents["all"].table:
            raise SettingError(
                f"{option} got {column!r}, and {called} has the columns "
                f"{', '.join(map(repr, contents['all'].table))}: correct the name"
            )
        choices |= parse_choices({column: role})
    schema = Schema.read(contents["all"].table, choices, name=called)
    return _dataset_of_table(contents, schema.with_covariates(condition), origin, form)


def read_again(
    origin: Origin, form: Form, *, folders: Iterable[Path] = (), on: Any = None
) -> Dataset:
    """The data that a run was fitted to, found again by their origin.

    Parameters
    ----------
    origin, form
        What the run remembers of them.
    folders
        Where to look for a file that is not where it was.
    on
        Rows that are to be the test data: a file, or what else ``read`` takes. Where the data of
        the run are not to be had, they stand for the training data too.

    Raises
    ------
    MissingDataError
        If a file is nowhere, or the data were given in Python, and there are no other rows.
    DataError
        If a file has changed, or the rows are of another schema.
    """
    if not origin.files and on is None:
        raise MissingDataError(
            f"{origin.name} was given in Python: load it there, or give a file with on=... "
            "(--on FILE)"
        )
    found: Mapping[str, Path] = {}
    try:
        found = find_again(origin, folders)
    except (MissingDataError, DataError) as error:
        if on is None:
            raise
        warnings.warn(f"{error}. Without them the rows of {on} stand for all", stacklevel=2)
    how: dict[str, Any] = {
        "num_rows": origin.num_rows,
        "resize": origin.resize,
    }
    contents = {part: read_content(path, **how) for part, path in found.items()}
    if contents:  # their own training data tell the scale, to the same bits
        origin = origin.model_copy(update={"location": None, "scale": None})
    other = None
    if on is not None:
        is_file = isinstance(on, str | os.PathLike)
        other = (
            read_content(Path(on), resize=origin.resize) if is_file else _content_of(on, "test")
        )
    called = str(on) if isinstance(on, str | os.PathLike) else "on"
    return _read_like(contents, origin, form, other, called)


def _read_like(
    contents: Mapping[str, Content],
    origin: Origin,
    form: Form,
    test: Content | None,
    called: str = "on",
) -> Dataset:
    """A data set as its origin describes it; with other test data, if such are given.

    Without any content the test data stand for the others, too.

    Raises
    ------
    DataError
        If the content is not what the schema says.
    """
    if origin.columns is None:
        return _dataset_of_arrays(contents, origin, form, test)
    schema = Schema.from_config(origin.columns)
    return _dataset_of_table(contents, schema, origin, form, test, called)


def kept_rows(origin: Origin, on: Path) -> np.ndarray:
    """Numbers of the rows of a file that ``drop_empty`` leaves in."""
    schema = Schema.from_config(origin.columns or [])
    content = read_content(on)
    if content.table is None:
        x = convert(_array(content, origin, "on"), "on").values
        return np.flatnonzero(~x.flatten(1).isnan().any(1).numpy())
    return np.flatnonzero(~schema.empty_rows(schema.cells_of(dict(content.table), str(on))))


def _content_of(given: Any, part: str) -> Content:
    """What a person holds in Python: a table where its columns have names."""
    name = "source" if part == "all" else part
    anndata, xarray = sys.modules.get("anndata"), sys.modules.get("xarray")
    if anndata is not None and isinstance(given, anndata.AnnData):
        return content_of_anndata(given)
    if xarray is not None and isinstance(given, xarray.Dataset):
        given = given.to_dataframe().reset_index()
    elif xarray is not None and isinstance(given, xarray.DataArray):
        named = given.ndim == 2 and given.dims[1] in given.coords
        given = given.to_pandas() if named else given.values
    if isinstance(native_frame(given, name), nw.DataFrame):
        return Content(table=cells_of_frame(given, name))
    return content_of_array(given)


def _dataset_of_table(
    contents: Mapping[str, Content],
    schema: Schema,
    origin: Origin,
    form: Form,
    test: Content | None = None,
    called: str = "on",
) -> Dataset:
    """A data set of tables with one schema."""
    if form.binarisation != "none" or form.values is not None or form.total_exposure:
        raise DataError(
            f"{origin.name} is a table, and binarisation, values and total_exposure are for "
            "images and counts: leave them out"
        )
    other = None
    if test is not None:
        other = _filled(schema, _table(test, called), called, origin.drop_empty)
    parts, hidden = _rows_by_split(contents, schema, origin, form, other)
    if origin.columns is None:
        schema = schema.standardised_by(parts["train"], _called("all", origin))
    encoded = {
        split: schema.encode(table, called if table is other else origin.name)
        for split, table in parts.items()
    }
    affine = schema.affine()
    originals = {split: convert(part.x, split).values for split, part in encoded.items()}
    observed = {split: ~x.isnan() for split, x in originals.items()}
    values = torch.tensor([column.stand_in for column in schema.data], dtype=torch.double)
    hidden = {s: hidden.get(s, torch.full_like(x, math.nan)) for s, x in originals.items()}
    originals = without_holes(originals, observed, values)
    stored: dict[str, Any] = {s: affine.forward(x) for s, x in originals.items()}
    for split, x in stored.items():
        _check_rounded(schema, x, originals[split], f"{origin.name}: {split}")
    kind = kind_of_table(schema)
    labelled = all(part.labels is not None for part in encoded.values())
    side: dict[str, Any] = {
        "labels": {s: part.labels for s, part in encoded.items()} if labelled else None,
        "covariates": {s: part.covariates for s, part in encoded.items()}
        if schema.of_role("covariate")
        else None,
    }
    label = schema.label
    return Dataset(
        origin.name,
        **stored,
        kind=kind,
        maximum=int(originals["train"].max()) if kind == "counts" else None,
        bounded=False,
        seed=form.seed,
        standardise=True,
        affine=affine,
        originals=originals,
        columns=schema.names,
        observed=observed,
        hide=form.hide,
        hidden=None if form.hide is None else hidden,
        levels=tuple(label.levels) if labelled and label is not None else None,
        schema=schema,
        origin=origin.model_copy(update={"columns": schema.to_config()}),
        **side,
    )


def _rows_by_split(
    contents: Mapping[str, Content],
    schema: Schema,
    origin: Origin,
    form: Form,
    other: dict[str, Cells] | None,
) -> tuple[dict[str, dict[str, Cells]], dict[str, Tensor]]:
    """Cells of each split, and what was hidden there; other rows are the test rows as they are."""
    names = {part: _called(part, origin) for part in contents}
    tables = {
        part: _filled(schema, _table(content, names[part]), names[part], origin.drop_empty)
        for part, content in contents.items()
    }
    parts = _parts(tables, schema, origin) if tables or other is None else {}
    hidden: dict[str, Tensor] = {}
    if form.hide is not None and parts:
        parts, hidden = _hidden(parts, schema, origin, form)
    if other is not None:
        parts = {**dict.fromkeys(SPLITS, other), **parts, "test": other}
        hidden.pop("test", None)
    return parts, hidden


def _hidden(
    parts: Mapping[str, dict[str, Cells]], schema: Schema, origin: Origin, form: Form
) -> tuple[dict[str, dict[str, Cells]], dict[str, Tensor]]:
    """Rows with further empty cells, and what stood in them, in the units of the columns."""
    given = {
        split: convert(schema.encode(table, origin.name).x, split).values
        for split, table in parts.items()
    }
    assert form.hide is not None
    masks = cells_to_hide(form.hide, given, seed=form.seed)
    emptied = {
        split: {
            **table,
            **{
                c.name: table[c.name]._replace(
                    empty=table[c.name].empty | masks[split][:, d].numpy()
                )
                for d, c in enumerate(schema.data)
            },
        }
        for split, table in parts.items()
    }
    return emptied, {split: x.where(masks[split], math.nan) for split, x in given.items()}


def _check_rounded(schema: Schema, x: Tensor, given: Tensor, name: str) -> None:
    """Refuse numbers that leave the support of their column in float32."""
    for d, column in enumerate(schema.data):
        if column.kind not in ("positive", "share"):
            continue
        values = x[:, d].float()
        top = 1.0 if column.kind == "share" else math.inf
        bad = (values <= 0) | (values >= top)
        if bad.any():
            row = int(bad.nonzero()[0])
            raise DataError(
                f"{name} has {float(given[row, d])!r} in row {row}, column {column.name!r}, which "
                f"float32 has as {float(values[row]):g}, outside of what a {column.kind} column "
                f"may hold: correct the cell, or say {spelt(column.name)}=real"
            )


def _called(part: str, origin: Origin) -> str:
    """What a part is called in errors: its file, or its name."""
    return origin.files.get(part, origin.name if part == "all" else f"{origin.name}: {part}")


def _table(content: Content, name: str) -> Mapping[str, Cells]:
    if content.table is None:
        raise DataError(f"{name} is an array, and the others are tables: give a table here too")
    return content.table


def _filled(
    schema: Schema, table: Mapping[str, Cells], name: str, drop_empty: bool
) -> dict[str, Cells]:
    """Cells of a schema, without the rows that have empty ones if these are to be dropped."""
    cells = schema.cells_of(dict(table), name)
    if not drop_empty:
        schema.require_filled(cells, name)  # here, where rows have their numbers in the file
        return cells
    keep = ~schema.empty_rows(cells)
    if not keep.any():
        raise DataError(
            f"{name} has no row without an empty cell: leave out the columns that are mostly empty"
        )
    return {label: column.rows(keep) for label, column in cells.items()}


def _parts(
    tables: Mapping[str, dict[str, Cells]], schema: Schema, origin: Origin
) -> dict[str, dict[str, Cells]]:
    """Rows of each split."""
    whole = tables["all"]
    given = [split for split in ("validation", "test") if split in tables]
    count = len(next(iter(whole.values())).empty)
    split_by = next(iter(schema.of_role("split")), None)
    group = next(iter(schema.of_role("group")), None)
    if split_by is not None:
        if given:
            raise DataError(
                f"split_by got {split_by.name!r}, and {given[0]} was given as well: give one or "
                "the other"
            )
        rows = by_column(level_texts(whole[split_by.name]), split_by.name)
    else:
        groups = None if group is None else np.array(level_texts(whole[group.name]))
        rows = by_share(count, left_shares(origin.shares, given), origin.seed, groups)
    found = {
        split: {label: column.rows(which) for label, column in whole.items()}
        for split, which in rows.items()
    }
    return {**found, **{split: tables[split] for split in given}}


def _dataset_of_arrays(
    contents: Mapping[str, Content], origin: Origin, form: Form, test: Content | None = None
) -> Dataset:
    """A data set of numbers without names."""
    check_binarisation(form.binarisation)
    if form.values is not None:
        check_values(form.values)
    for what in ("split_by", "group"):
        if getattr(origin, what) is not None:
            raise DataError(
                f"{what} got {getattr(origin, what)!r}, and {origin.name} is an array without "
                "named columns: leave it out, or give the splits as files of their own"
            )
    splits: dict[str, Any] = {}
    labels: dict[str, Any] | None = None
    if contents or test is None:
        splits, labels = _split_arrays(contents, origin)
    if test is not None:
        other = convert(_array(test, origin, "on"), "on").values
        splits = {**dict.fromkeys(SPLITS, other), **splits, "test": other}
        new = None if test.labels is None or labels is None else test.labels["all"]
        labels = None if labels is None or new is None else {**labels, "test": new}
    grey = next(part.grey for part in (*contents.values(), test) if part is not None)
    if grey is None and (form.binarisation != "none" or form.values is not None):
        raise DataError(
            f"{origin.name} has no grey levels, which binarisation and values are for: leave them "
            "out"
        )
    if grey is not None:
        data = _of_grey_levels(splits, labels, grey, origin, form)
    else:
        data = _of_numbers(splits, labels, origin)
    data = replace(
        data,
        origin=origin,
        binarisation=form.binarisation,
        values=form.values,
        seed=form.seed,
    )
    if form.hide is not None:
        own = [
            split for split in SPLITS if contents and not (test is not None and split == "test")
        ]
        data = hide_cells(data, form.hide, splits=own, seed=form.seed)
    if form.total_exposure:
        data = data.with_total_exposure()
    if not form.standardise:
        return data
    if origin.location is None or origin.scale is None:
        return data.standardised()
    pair = (torch.tensor(part, dtype=torch.double) for part in (origin.location, origin.scale))
    return data.standardised(Affine(*(part.reshape(data.event_shape) for part in pair)))


def _of_numbers(splits: dict[str, Any], labels: dict[str, Any] | None, origin: Origin) -> Dataset:
    """Numbers as they are; NaN is a missing cell."""
    observed = {split: ~x.isnan() for split, x in splits.items()}
    if origin.drop_empty:
        keep = {split: there.flatten(1).all(1) for split, there in observed.items()}
        splits = {split: x[keep[split]] for split, x in splits.items()}
        if labels is not None:
            labels = {split: np.asarray(of)[keep[split].numpy()] for split, of in labels.items()}
        observed = {split: there[keep[split]] for split, there in observed.items()}
    kind: Any = origin.kind or _kind_of_values(splits["train"][observed["train"]])
    return Dataset.from_tensors(
        *(splits.get(split) for split in SPLITS),
        kind=kind,
        labels=labels,
        name=origin.name,
        observed=None if all(bool(mask.all()) for mask in observed.values()) else observed,
    )


def _split_arrays(
    contents: Mapping[str, Content], origin: Origin
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Numbers, and classes where there are such, by split."""
    whole = contents["all"]
    labels = dict(whole.labels or {})
    arrays = dict(whole.arrays or {"all": _array(whole, origin, "source")})
    given = [split for split in ("validation", "test") if split in contents]
    if "all" in arrays:
        x = convert(arrays.pop("all"), origin.name).values
        if x.dim() == 0:
            raise DataError(f"{origin.name} holds a single number: give one row per datum")
        rows = by_share(len(x), left_shares(origin.shares, given), origin.seed)
        classes = labels.pop("all", None)
        arrays = {split: x[which] for split, which in rows.items()}
        if classes is not None:
            if len(classes) != len(x):
                raise DataError(
                    f"{origin.name} has {len(classes)} labels for {len(x)} rows: give one a row"
                )
            labels = {split: np.asarray(classes)[which] for split, which in rows.items()}
    for split in given:
        other = contents[split]
        arrays[split] = _array(other, origin, split)
        if other.labels is not None:
            labels[split] = other.labels["all"]
    found = {split: convert(x, f"{origin.name}: {split}").values for split, x in arrays.items()}
    return found, labels if set(labels) >= set(found) else None


def _array(content: Content, origin: Origin, name: str) -> Any:
    """All rows of a file, the test rows of one that has splits; of a table, named columns."""
    if content.arrays is not None:
        arrays = content.arrays
        return arrays["all"] if "all" in arrays else arrays.get("test", arrays["train"])
    table = _table(content, name)
    lacking = [label for label in origin.names or [] if label not in table]
    if origin.names is None or lacking:
        which = f"the columns {', '.join(map(repr, lacking))}" if lacking else "named columns"
        raise DataError(
            f"{name} is a table, and the model was fitted to an array"
            f"{'' if origin.names is None else ' of columns'} that it does not match: {which} "
            f"{'are missing' if lacking else 'it had none'}; give an array of the same form"
        )
    columns = [in_type(table[label], "number", label, name) for label in origin.names]
    return np.stack([np.where(c.empty, np.nan, c.values) for c in columns], axis=1)


def _kind_of_values(x: Tensor) -> Kind:
    """Kind of numbers without a schema."""
    if bool(((x == 0) | (x == 1)).all()):
        return "binary"
    whole = not x.is_floating_point() or bool((x == x.round()).all())
    return "counts" if whole and bool((x >= 0).all()) else "real"


def _of_grey_levels(
    splits: dict[str, Any], labels: dict[str, Any] | None, largest: int, origin: Origin, form: Form
) -> Dataset:
    """Pictures in the form that was asked for."""
    levels = {split: x.float() for split, x in splits.items()}
    for split in SPLITS:
        levels.setdefault(split, levels["train"][:0])
    if form.binarisation != "none" and form.values is not None:
        raise DataError(
            f"values got {form.values!r} with binarisation {form.binarisation!r}: binary data "
            "have no grey levels left; leave one of the two out"
        )
    named: dict[str, Any] = {}
    if labels is not None:
        numbers, words = convert_labels(labels, f"{origin.name}: labels")
        named = {"labels": numbers, "levels": words}
    if form.binarisation != "none":
        drawn: dict[str, Any] = {
            split: binarise(x / largest, form.binarisation, form.seed, split)
            for split, x in levels.items()
        }
        # Said here, as training data that are drawn every epoch are grey.
        how: dict[str, Any] = {"kind": "binary", "binarisation": form.binarisation}
        return Dataset(origin.name, **drawn, **how, **named)
    made = preprocess(levels, largest, form.values or "unit-interval", form.seed)
    stored: dict[str, Any] = dict(made.splits)
    return Dataset(
        origin.name,
        **stored,
        kind=made.kind,
        maximum=made.maximum,
        base_measure=made.base_measure,
        affine=made.affine,
        **named,
    )
