"""A small immutable data set: three splits of tensors, and what kind of values they hold."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch

from pyro_vae.conversion import cast, check_finite, convert, convert_labels, place
from pyro_vae.conversion.rounding import keeps_digits
from pyro_vae.data.affine import Affine
from pyro_vae.data.any_dataset import SPLITS, AnyDataset
from pyro_vae.data.binarisation import check_binarisation, draw, stream
from pyro_vae.data.grey_levels import check_values
from pyro_vae.data.kind import Kind
from pyro_vae.data.missing import checked_observed, stand_ins, without_holes
from pyro_vae.data.reading.origin import Origin
from pyro_vae.data.side_information import (
    checked_covariates,
    checked_exposure,
    checked_labels,
    one_hot,
)
from pyro_vae.errors import DataError, UnknownNameError
from pyro_vae.on_demand import library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd
    from torch import Tensor

    from pyro_vae.data.schema.schema import Schema

__all__ = ["SPLITS", "Dataset"]


_SIDE_INFORMATION = ("labels", "covariates", "exposure", "observed")


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(AnyDataset):
    """Training, validation and test data.

    Attributes
    ----------
    name
        Name of the data set.
    train, validation, test
        Float32 tensors ``(n, *event_shape)``; float64 where float32 would move a feature by
        more than a thousandth of its standard deviation, or change a count, as only a model in
        float64 can use them. With dynamic binarisation ``train`` holds the grey levels, of which
        ``epoch_train`` draws; validation and test are drawn once.
    kind
        What the values are: ``"binary"``, ``"unit-interval"``, ``"counts"``, ``"real"``, or
        ``"mixed"`` of a table whose columns differ. With dynamic binarisation it is
        ``"binary"``, as ``epoch_train`` gives.
    maximum
        Largest count that a feature can take; None unless the kind is ``"counts"``.
    bounded
        Whether no count may be above ``maximum``; otherwise it is the largest of the training
        data.
    labels
        Class of each datum by split, int64; a model sees them only where it is conditional.
    levels
        Names of the classes 0, 1, ..., where the labels came as strings or categories.
    columns
        Names of the features, where the data came as a frame.
    binarisation, values
        What became of grey levels; see ``load``.
    seed
        Seed of the binarisation, the dequantisation, or the simulation.
    standardise
        Whether features have mean 0 and standard deviation 1 over the training data.
    covariates
        Vector ``(C,)`` known of each datum, by split, float32 ``(n, C)``.
    exposure
        Positive number by split, float32 ``(n,)``, that multiplies the rate of each datum's
        counts.
    total_exposure
        Whether the exposure is that of ``with_total_exposure``.
    base_measure
        What log p(x) is measured against: the data ``"as given"``, ``"levels 0 to 255"`` (a
        mass), ``"dequantised levels 0 to 255"`` (a density of level + u) or ``"unit interval"``
        (a density of level / 255). Two densities can be compared only where these agree and
        ``log_jacobian`` was added to both.
    affine
        Map from the units of ``base_measure`` to those of the splits; None for the identity.
    originals
        Splits in the units of ``base_measure``, where the splits that are stored have been
        rounded or rescaled.
    schema
        What each column is, where the data came as a table; see ``data.read``.
    origin
        Where the data were read from, by which a run finds them again.
    observed
        Which cells are there, by split, bool ``(n, *event_shape)``; None where all are. In the
        others stands a value that the feature could have, at which no model that takes
        ``observed`` looks.
    hide
        Pattern by which cells were hidden on purpose; see ``pyro_vae.data.hide``.
    hidden
        What stood in them, by split, in the units of ``base_measure``, float64
        ``(n, *event_shape)``; NaN elsewhere. No model is given it.
    num_validation
        Number of validation data that was asked for; None for the set's own split.

    Raises
    ------
    DataError
        If there are no training data, shapes differ, or values are not of the kind.
    UnknownNameError
        If the kind or the binarisation is not one of those there are.
    """

    name: str
    train: Tensor
    validation: Tensor
    test: Tensor
    kind: Kind
    maximum: int | None = None
    labels: Mapping[str, Tensor] | None = None
    binarisation: str = "none"
    seed: int = 0
    values: str | None = None
    standardise: bool = False
    covariates: Mapping[str, Tensor] | None = None
    exposure: Mapping[str, Tensor] | None = None
    total_exposure: bool = False
    base_measure: str = "as given"
    affine: Affine | None = None
    bounded: bool = True
    levels: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    originals: Mapping[str, Tensor] | None = None
    schema: Schema | None = None
    origin: Origin | None = None
    observed: Mapping[str, Tensor] | None = None
    hide: str | None = None
    hidden: Mapping[str, Tensor] | None = None
    num_validation: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UnknownNameError("kind of data", self.kind, get_args(Kind))
        check_binarisation(self.binarisation)
        if self.values is not None:
            check_values(self.values)
        self._check_types()
        if self.train.dim() < 2:
            raise DataError(
                f"{self.name}: train has shape {tuple(self.train.shape)}, and must be "
                "(n, *event_shape); a single column is (n, 1)"
            )
        if self.train.numel() == 0:
            raise DataError(
                f"{self.name}: the training data are empty, of shape {tuple(self.train.shape)}; "
                "give at least one row of at least one value"
            )
        for split in SPLITS:
            self._check_split(split, getattr(self, split))
        self._check_maximum()
        for split in SPLITS:
            self._check_values(split, getattr(self, split))
        self._drop_other_originals()
        self._check_side_information("labels", checked_labels)
        self._check_side_information("covariates", checked_covariates)
        self._check_side_information("exposure", checked_exposure)
        if self.observed is not None:
            splits = {split: self._split(split) for split in SPLITS}
            masks = checked_observed(self.name, self.observed, splits)
            object.__setattr__(self, "observed", masks)

    @classmethod
    def from_tensors(
        cls,
        train: Any,
        validation: Any = None,
        test: Any = None,
        *,
        name: str = "tensors",
        kind: Kind | None = None,
        maximum: int | None = None,
        labels: Any = None,
        covariates: Any = None,
        exposure: Any = None,
        observed: Any = None,
    ) -> Dataset:
        """Make a data set of your own numbers.

        Parameters
        ----------
        train, validation, test
            Numbers ``(n, *event_shape)``: tensors of any type and layout, NumPy arrays, lists,
            pandas or polars frames (columns are matched by name) or series (one column), or
            SciPy sparse matrices. A split that is left out is empty.
        name
            What to call it.
        kind
            Kind of the values; binary if all are 0 or 1, else real, unless given.
        maximum
            Largest count that a feature can take, in any split; the largest of the training
            data unless given, and then other splits may have larger ones.
        labels, covariates, exposure
            Class ``(n,)``, vector ``(n, C)`` and positive number ``(n,)`` of each datum by
            split; a split that is empty may be left out, and what is no mapping is that of
            the training data. Classes are whole numbers, strings or categories, which become
            numbers in the order of ``levels``.
        observed
            Which cells are there, true or 1, of the shape of the data, by split; what is no
            mapping is that of the training data. The others may hold anything, NaN too. In a
            split that is left out all are there.

        Raises
        ------
        DataError
            If something cannot be converted, has NaN or infinity, or does not fit the rest.
        """
        given, columns = _converted(name, (train, validation, test), holes=observed is not None)
        if observed is not None:
            by_split = observed if _by_split(observed) else {"train": observed}
            observed = checked_observed(name, by_split, given)
        if kind is None:
            binary = (given["train"] == 0) | (given["train"] == 1)
            if observed is not None:
                binary = binary | ~observed["train"]
            kind = "binary" if bool(binary.all()) else "real"
        if observed is not None:
            values = stand_ins(given["train"], observed["train"], kind)
            given = without_holes(given, observed, values)
        for split, x in given.items():
            check_finite(x, f"{name}: {split}", columns)
        whole = given["train"]
        largest = maximum
        if kind == "counts" and maximum is None and whole.numel():
            largest = int(whole.max())
        side: dict[str, Any] = {"labels": labels, "covariates": covariates, "exposure": exposure}
        side = {what: x if x is None or _by_split(x) else {"train": x} for what, x in side.items()}
        if side["labels"] is not None:
            side["labels"], side["levels"] = convert_labels(side["labels"], f"{name}: labels")
        # All of them or none, so that all splits are of one type.
        like, counts = given["train"], kind == "counts"
        keep = all(keeps_digits(x, like, counts=counts) for x in given.values())
        dtype = torch.float32 if keep else torch.float64
        remedy = "subtract an offset, such as the first row"
        how: dict[str, Any] = {"like": like, "counts": counts, "remedy": remedy}
        stored: dict[str, Any] = {
            split: cast(x, dtype, f"{name}: {split}", columns, **how) for split, x in given.items()
        }
        rounded = any(not torch.equal(stored[s].double(), given[s].double()) for s in SPLITS)
        return cls(
            name,
            **stored,
            kind=kind,
            maximum=largest,
            bounded=maximum is not None,
            columns=columns,
            originals={s: x.double() for s, x in given.items()} if rounded else None,
            observed=observed,
            origin=Origin(name=name, kind=kind, names=None if columns is None else list(columns)),
            **side,
        )

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        columns: Any = None,
        validation: Any = None,
        test: Any = None,
        name: str = "table",
        seed: int = 0,
    ) -> Dataset:
        """Make a data set of a frame with columns of any kind.

        Parameters
        ----------
        frame, columns, validation, test, name, seed
            As for ``data.read``, which takes files too, and has further arguments.
        """
        read = library("pyro_vae.data").read
        return read(frame, columns=columns, validation=validation, test=test, name=name, seed=seed)

    def to_frame(self, values: str | Tensor = "train") -> pd.DataFrame:
        """Data as a frame in the user's own units, levels and columns.

        Parameters
        ----------
        values
            Name of a split; or draws, means or reconstructions on the scale of the splits,
            ``(n, D)``. A mean becomes the nearest level, which for a category, whose levels have
            no order, says nothing: take draws. Missing cells of a split are empty.

        Raises
        ------
        DataError
            If a datum is no row of a table.
        """
        if len(self.event_shape) != 1:
            raise DataError(
                f"{self.name} has data of shape {self.event_shape}, which are no rows of a table: "
                "flatten them first"
            )
        there = None
        if isinstance(values, str):
            x = self.original(values)
            there = None if self.observed is None else self.observed[values].numpy()
        else:
            x = self.in_original_units(values.detach().cpu())
        if self.schema is not None:
            return self.schema.decode(x.numpy(), observed=there)
        found = library("pandas").DataFrame(x.numpy(), columns=self.columns)
        return found if there is None else found.where(there)

    def completed(self, values: Any, split: str = "test") -> list[pd.DataFrame]:
        """Complete tables in the user's own units, levels and columns, one for each draw.

        Parameters
        ----------
        values
            Draws of whole rows on the scale of the splits, ``(S, n, D)``, such as ``draws`` of
            ``inference.impute``: of all rows of the split, or its first n. The cells that are
            there stay as they are.
        split
            Name of the split.

        Raises
        ------
        DataError
            If a datum is no row of a table, or there are more rows than in the split.
        """
        draws = torch.as_tensor(np.asarray(values))
        before = self.to_frame(split)
        if draws.dim() != 3 or draws.shape[1] > len(before) or draws.shape[2] != before.shape[1]:
            raise DataError(
                f"values has shape {tuple(draws.shape)}: give draws of the {len(before)} rows of "
                f"{split}, (S, n, {before.shape[1]})"
            )
        before = before.iloc[: draws.shape[1]]
        if self.observed is None:
            return [before.copy() for _ in draws]
        there = self.observed[split][: draws.shape[1]].numpy()
        return [_filled(before, there, self.to_frame(draw)) for draw in draws]

    @property
    def num_missing(self) -> int:
        """Number of cells that are missing, in all splits."""
        masks = () if self.observed is None else self.observed.values()
        return sum(int((~mask).sum()) for mask in masks)

    def log_jacobians(self, split: str) -> Tensor:
        """``log_jacobian`` of each datum, over its observed cells, float64 ``(n,)``."""
        x = self._split(split)
        if self.affine is None or self.observed is None:
            return torch.full((len(x),), self.log_jacobian, dtype=torch.double)
        return self.affine.log_jacobian_of(self.observed[split])

    def original(self, split: str) -> Tensor:
        """Data of a split in the units of ``base_measure``, ``(n, *event_shape)``.

        With all the digits that they came with. With dynamic binarisation, ``"train"`` gives the
        grey levels.
        """
        x = self._split(split)
        if self.originals is not None:
            return self.originals[split]
        return x if self.affine is None else self.affine.inverse(x).float()

    def standardised(self, by: Affine | None = None) -> Dataset:
        """Data with mean 0 and standard deviation 1 per feature over the training split.

        Computed in float64 from the numbers that were given, and rounded to float32 after. A
        feature that is constant there keeps its scale.

        Parameters
        ----------
        by
            Location and scale to take, rather than those of the training split.

        Raises
        ------
        DataError
            If the data are binary or counts.
        """
        if self.standardise:
            return self
        if self.kind not in ("real", "unit-interval"):
            raise DataError(
                f"{self.name}: {self.kind} data cannot be standardised, which would leave their "
                "support: leave it out, or load grey levels with values='unit-interval' or "
                "values='dequantised'"
            )
        originals = {split: self.original(split) for split in SPLITS}
        # In the units of the splits, of which those of the base measure have all the digits.
        given = originals if self.affine is None else {s: self._split(s) for s in SPLITS}
        there = None if self.observed is None else self.observed["train"]
        affine = Affine.standardising(given["train"], there) if by is None else by
        rescaled: dict[str, Any] = {split: affine.forward(x) for split, x in given.items()}
        return replace(
            self,
            **rescaled,
            kind="real",
            standardise=True,
            affine=affine.after(self.affine),
            originals=originals,
        )

    def remembered(self) -> dict[str, Any] | None:
        """What a run keeps of data that have no name in the catalogue, for JSON: see ``Origin``.

        Only numbers and names; None for data that ``load`` has.
        """
        if self.origin is None:
            return None
        found = self.origin.model_dump(exclude={"streamed"})
        if self.standardise and self.schema is None and self.affine is not None:
            location, scale = (part.flatten().tolist() for part in self.affine)
            found |= {"location": location, "scale": scale}
        return found

    def with_total_exposure(self) -> Dataset:
        """Counts with the exposure of each row: its total, over the mean training total.

        The library size of single-cell counts, as in Lopez et al. (2018).

        Raises
        ------
        DataError
            If the data are not counts, or a row is all zero or has missing cells.
        """
        if self.kind != "counts":
            raise DataError(f"{self.name}: the data are {self.kind}, and only counts have totals")
        if self.observed is not None:
            raise DataError(
                f"{self.name}: a row with missing cells has no total: give exposure=..., or leave "
                "such rows out"
            )
        totals = {split: self._split(split).double().flatten(1).sum(1) for split in SPLITS}
        for split, total in totals.items():
            if not bool(total.all()):
                raise DataError(
                    f"{self.name}: {split} has only zeros in row {int((total == 0).nonzero()[0])}"
                    ", whose exposure would be zero: drop such rows"
                )
        mean = totals["train"].mean()
        exposure = {split: total / mean for split, total in totals.items()}
        return replace(self, exposure=exposure, total_exposure=True)

    def inputs(self, split: str, names: Iterable[str] = ()) -> dict[str, Tensor]:
        """Data of a split with the side information that a conditional model takes.

        Parameters
        ----------
        split
            ``"train"``, ``"validation"`` or ``"test"``.
        names
            Out of ``"labels"``, ``"covariates"``, ``"exposure"`` and ``"observed"``.

        Returns
        -------
        dict
            ``"x"``, the stored data; ``"condition"``, float32 ``(n, C)``, one-hot labels and then
            covariates, where either is named; ``"exposure"``, ``(n,)``, where it is named;
            ``"observed"``, bool of the shape of ``"x"``, where it is named.

        Raises
        ------
        DataError
            If the data have no such information, labels that the training data have not, or
            missing cells that are not asked for by ``"observed"``.
        UnknownNameError
            If a name or the split is unknown.
        """
        names = (names,) if isinstance(names, str) else tuple(names)
        found = {}
        for name in names:
            if name not in _SIDE_INFORMATION:
                raise UnknownNameError("side information", name, _SIDE_INFORMATION)
            found[name] = getattr(self, name)
            if found[name] is None and name != "observed":
                remedy = "Dataset.from_tensors takes them"
                if name == "exposure":
                    remedy += ", and with_total_exposure makes them of counts"
                raise DataError(f"{self.name} has no {name}: {remedy}")
        self.require_taken(names)
        inputs = {"x": self._split(split)}
        condition = []
        if "labels" in found:
            condition.append(one_hot(self.name, found["labels"], split, self.levels))
        if "covariates" in found:
            condition.append(found["covariates"][split])
        if condition:
            inputs["condition"] = torch.cat(condition, dim=1)
        if "exposure" in found:
            inputs["exposure"] = found["exposure"][split]
        if "observed" in found:
            whole = torch.ones(inputs["x"].shape, dtype=torch.bool)
            inputs["observed"] = whole if self.observed is None else self.observed[split]
        return inputs

    def require_taken(self, names: Iterable[str]) -> None:
        """Refuse to be given to a model that would take missing cells for data.

        Parameters
        ----------
        names
            What the model takes beside x.

        Raises
        ------
        DataError
            If there are missing cells, and ``"observed"`` is none of the names.
        """
        self._require_observed(names)

    @property
    def _holes(self) -> str:
        return f"{self.num_missing} missing cells"

    def rows(self, table: Any) -> Tensor:
        """Rows of another table of the same schema, on the scale of the splits.

        Parameters
        ----------
        table
            A frame with the columns of the schema, in any order; the rest are left out.

        Returns
        -------
        Tensor
            Float32 ``(n, D)``, as a model of these data takes them; NaN in empty cells.

        Raises
        ------
        DataError
            If the data are no table, a column is missing, or a cell cannot be.
        """
        if self.schema is None or self.affine is None:
            raise DataError(
                f"{self.name} has no schema to read rows by: data.read makes a data set that has"
            )
        cells = self.schema.cells_of(table, "table")
        return self.affine.forward(torch.from_numpy(self.schema.encode(cells, "table").x))

    def epoch_train(self, epoch: int) -> Tensor:
        """Training data of an epoch: a fresh draw of the grey levels if binarised dynamically.

        Parameters
        ----------
        epoch
            Number of the epoch; the same seed and epoch give the same draw.
        """
        if self.binarisation != "dynamic":
            return self.train
        return draw(self.train, stream(self.seed, "train", epoch))

    def _repr_html_(self) -> str:
        rows = "" if self.schema is None else self.schema._repr_html_()
        return f"<p>{html.escape(repr(self))}</p>{rows}"

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(getattr(self, split))} {split}" for split in SPLITS)
        counts = f" 0..{self.maximum}" if self.maximum is not None else ""
        shape = "x".join(map(str, self.event_shape))
        how = "" if self.binarisation == "none" else f", binarisation {self.binarisation}"
        how += ", dequantised" if self.values == "dequantised" else ""
        how += ", standardised" if self.standardise and self.schema is None else ""
        if self.observed is not None:
            cells = torch.cat([mask.flatten() for mask in self.observed.values()])
            how += f", {1 - float(cells.double().mean()):.1%} of the cells missing"
        return f"Dataset {self.name}: {sizes}; {shape}, {self.kind}{counts}{how}"

    def _check_types(self) -> None:
        """Float32 tensors; or all float64, if float32 would not do for one of them."""
        given = {split: getattr(self, split) for split in SPLITS}
        wide = {
            s: isinstance(x, torch.Tensor) and x.dtype == torch.float64 for s, x in given.items()
        }
        like, counts = self.train, self.kind == "counts"
        if all(wide.values()) and not all(
            keeps_digits(x, like, counts=counts) for x in given.values()
        ):
            return
        for split, x in given.items():
            if not isinstance(x, torch.Tensor) or x.dtype != torch.float32:
                got = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
                raise DataError(
                    f"{self.name}: {split} got {got}, and must be a float32 tensor: "
                    "Dataset.from_tensors converts other numbers"
                )

    def _check_split(self, split: str, x: Tensor) -> None:
        if tuple(x.shape[1:]) != self.event_shape:
            raise DataError(
                f"{self.name}: {split} has events of shape {tuple(x.shape[1:])}, and train of "
                f"{self.event_shape}: all splits must have the same"
            )
        check_finite(x, f"{self.name}: {split}", self.columns)

    def _check_maximum(self) -> None:
        if self.kind != "counts":
            if self.maximum is not None:
                raise DataError(
                    f"{self.name}: maximum got {self.maximum}, and is for counts alone: say "
                    f"kind='counts' (it is {self.kind!r}), or leave it out"
                )
        elif not isinstance(self.maximum, int) or self.maximum < 0:
            raise DataError(
                f"{self.name}: maximum got {self.maximum!r}, and counts need a whole number, the "
                "largest that a feature can take"
            )

    def _check_values(self, split: str, x: Tensor) -> None:
        kind = (
            "unit-interval" if self.binarisation == "dynamic" and split == "train" else self.kind
        )
        for bad, allowed in self._outside(kind, split, x):
            if bool(bad.any()):
                index = tuple(int(i) for i in bad.nonzero()[0])
                raise DataError(
                    f"{self.name}: {split} holds {x[index].item():.9g} in "
                    f"{place(index, self.columns)}, and {kind} data are {allowed}"
                )

    def _outside(self, kind: str, split: str, x: Tensor) -> list[tuple[Tensor, str]]:
        """Values that data of a kind cannot have, and what they can, with a remedy."""
        if kind == "binary":
            return [
                ((x != 0) & (x != 1), "0 and 1; binarise grey levels, or say kind='real'"),
            ]
        if kind == "unit-interval":
            return [((x < 0) | (x > 1), "numbers from 0 to 1; divide by the maximum")]
        if kind in ("real", "mixed"):
            return []
        found = [
            (x < 0, "not negative; drop or impute codes for what is missing, or say kind='real'"),
            (x != x.round(), "whole numbers; round them, or say kind='real'"),
        ]
        if self.bounded or split == "train":
            text = f"whole numbers from 0 to maximum={self.maximum}; raise the maximum"
            found.append((x > (self.maximum or 0), text))
        return found

    def _drop_other_originals(self) -> None:
        """Forget originals of other data: ``dataclasses.replace`` may have changed the splits."""
        if self.originals is None:
            return
        for split in SPLITS:
            x, original = self._split(split), self.originals[split]
            same = original.shape == x.shape
            if same and self.affine is None:
                same = torch.equal(original.to(x.dtype), x)
            elif same and self.affine is not None:
                # Two maps in a row are one map up to rounding.
                same = torch.allclose(self.affine.forward(original), x, rtol=1e-5, atol=1e-5)
            if not same:
                object.__setattr__(self, "originals", None)
                return

    def _check_side_information(
        self, what: str, check: Callable[..., Mapping[str, Tensor]]
    ) -> None:
        given = getattr(self, what)
        if given is not None:
            rows = {split: len(self._split(split)) for split in SPLITS}
            given = {
                split: convert(x, f"{self.name}: {what} of {split}").values
                for split, x in given.items()
            }
            object.__setattr__(self, what, check(self.name, given, rows))


def _filled(before: pd.DataFrame, there: np.ndarray, drawn: pd.DataFrame) -> pd.DataFrame:
    """A table whose empty cells are those of another, each column in the type of a whole one."""
    made = before.copy()
    for d, name in enumerate(before.columns):
        if not there[:, d].all():
            made[name] = before[name].where(there[:, d], drawn[name]).astype(drawn[name].dtype)
    return made


def _by_split(given: Any) -> bool:
    """Whether side information is a mapping from splits, and not a frame."""
    return isinstance(given, Mapping) and not hasattr(given, "columns")


def _converted(
    name: str, splits: Sequence[Any], *, holes: bool
) -> tuple[dict[str, Tensor], tuple[str, ...] | None]:
    """Splits of one shape, one that is left out empty, and names of columns where there are."""
    converted = {
        split: convert(x, f"{name}: {split}", holes=holes)
        for split, x in zip(SPLITS, splits, strict=True)
        if split == "train" or x is not None
    }
    columns = converted["train"].columns
    given = {}
    for split, (x, names) in converted.items():
        if names is not None:
            x = _in_order(f"{name}: {split}", x, names, columns)
        if not holes:
            check_finite(x, f"{name}: {split}", columns)
        given[split] = x.cpu()
    whole = given["train"]
    for split, x in given.items():
        if x.shape[1:] != whole.shape[1:]:
            raise DataError(
                f"{name}: {split} has events of shape {tuple(x.shape[1:])}, and train of "
                f"{tuple(whole.shape[1:])}: give rows of one shape in all splits"
            )
    for split in SPLITS:
        given.setdefault(split, whole.new_empty(0, *whole.shape[1:]))
    return given, columns


def _in_order(
    name: str, x: Tensor, columns: Sequence[str], wanted: Sequence[str] | None
) -> Tensor:
    """The columns of a frame in the order of the training data's; a series as one column."""
    if x.dim() == 1:
        x = x.unsqueeze(1)
    if wanted is None or tuple(columns) == tuple(wanted) or x.shape[1] == len(wanted) == 1:
        return x
    if set(columns) != set(wanted):
        lacking = [c for c in wanted if c not in columns]
        more = [c for c in columns if c not in wanted]
        parts = [
            f"{what} {', '.join(map(repr, found))}"
            for what, found in (("lacks", lacking), ("has beside them", more))
            if found
        ]
        raise DataError(
            f"{name} {' and '.join(parts)} of the columns of train: give every split the same "
            "columns"
        )
    return x[:, [list(columns).index(c) for c in wanted]]
