"""Models ranked by held-out log p(x), with the standard errors that the ranking deserves.

The same data are scored by every model, so it is the paired differences that are compared, as
ArviZ's ``compare`` does for cross-validation (Vehtari, Gelman & Gabry, 2017, arXiv 1507.04544).
"""

from __future__ import annotations

import hashlib
import html
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from pyro_vae.conversion import as_inputs, pieces, streamed_part, takes_data
from pyro_vae.data.any_dataset import AnyDataset
from pyro_vae.errors import ComparisonError
from pyro_vae.inference.engine.inputs import Inputs, count, first_rows, tensors
from pyro_vae.inference.evidence.evaluate import evaluate
from pyro_vae.inference.evidence.trust import error_of_mean, trusted, withheld_note
from pyro_vae.marginals import without_masks
from pyro_vae.on_demand import library
from pyro_vae.protocols import Facts
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Unpack

    import xarray as xr

    from pyro_vae.inference.engine.sampling import SamplingSettings

__all__ = [
    "Comparison",
    "Difference",
    "Reversal",
    "compare",
    "compare_results",
    "describe_data",
    "held_out",
]


class Difference(NamedTuple):
    """Mean paired difference of log p(x) between two models, a minus b, in nats per datum.

    Attributes
    ----------
    mean
        Its estimate.
    standard_error
        sd(d) / sqrt(n): with other data and other particles, since both are in d.
    monte_carlo
        The part of it that is due to particles, sqrt(sum (se_a^2 + se_b^2)) / n.
    sampling
        The rest, due to the data.
    p_value
        Of the two-sided paired t test that the expected difference is zero.
    """

    mean: float
    standard_error: float
    monte_carlo: float
    sampling: float
    p_value: float


class Reversal(NamedTuple):
    """Two models that log p(x) and the ELBO rank in opposite orders.

    Attributes
    ----------
    better, worse
        Names, in the order of log p(x).
    log_evidence, elbo
        Mean differences, better minus worse: the first is positive, the second negative.
    clear
        Whether both are more than two standard errors from zero.
    """

    better: str
    worse: str
    log_evidence: float
    elbo: float
    clear: bool


@dataclass(frozen=True)
class Comparison:
    """Results of several models on the same data, and what can be said of their order.

    Attributes
    ----------
    results
        Results per datum, by name, the best log p(x) first; log p(x) and ELBO in the original
        units of the data.
    """

    results: dict[str, xr.Dataset]

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"{self.table.to_html(float_format='{:.3f}'.format)}{notes}"

    @property
    def table(self) -> pd.DataFrame:
        """One row a model, the best first; all bounds in nats per datum.

        Columns: ``rank``, ``log_evidence`` with ``mc_se`` (particles) and ``sampling_se``
        (data), ``difference`` to the best with its ``dse`` and its Monte Carlo part ``dse_mc``,
        ``p_value`` (unadjusted: the best was chosen by the same data) and ``p_holm`` (Holm,
        1979), ``elbo`` and ``elbo_rank``, ``gap``, ``exact``, ``unreliable`` (share of the data
        whose error is withheld; ``mc_se`` and ``dse_mc`` are NaN where they are withheld),
        ``active_units``, ``latent_dim``, ``parameters``, ``seconds``.
        """
        best = next(iter(self.results))
        rows = {name: self._row(name, best) for name in self.results}
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.insert(0, "rank", range(1, len(table) + 1))
        elbo_rank = table["elbo"].rank(ascending=False, method="min").astype(int)
        table.insert(list(table.columns).index("elbo") + 1, "elbo_rank", elbo_rank)
        position = list(table.columns).index("p_value") + 1
        table.insert(position, "p_holm", holm(table["p_value"].to_numpy()))
        return table

    def paired(self, a: str, b: str, *, of: str = "log_evidence") -> Difference:
        """Mean paired difference of two models, a minus b.

        Parameters
        ----------
        a, b
            Names of the models.
        of
            Variable to compare: ``"log_evidence"`` or ``"elbo"``.
        """
        one, other = self.results[a], self.results[b]
        errors = [r[f"{of}_se"].values for r in (one, other)]
        return paired_difference(one[of].values - other[of].values, *errors)

    def pairwise(self) -> pd.DataFrame:
        """Difference of log p(x) for every pair, row minus column, in nats per datum."""
        names = list(self.results)
        rows = [[self.paired(a, b).mean if a != b else 0.0 for b in names] for a in names]
        return pd.DataFrame(rows, index=names, columns=names)

    @property
    def reversals(self) -> list[Reversal]:
        """Pairs that log p(x) and the ELBO rank in opposite orders.

        Not those where the lower log p(x) is the bound of a deterministic guide: it may in truth
        be the higher one.
        """
        found = []
        for better, worse in itertools.combinations(self.results, 2):
            if self.results[worse].attrs.get("deterministic_guide"):
                continue
            evidence = self.paired(better, worse)
            elbo = self.paired(better, worse, of="elbo")
            if elbo.mean < 0 < evidence.mean:
                clear = all(abs(d.mean) > 2 * d.standard_error for d in (evidence, elbo))
                found.append(Reversal(better, worse, evidence.mean, elbo.mean, clear))
        return found

    @property
    def notes(self) -> list[str]:
        """Sentences on what the table cannot be relied on for."""
        reversals = self.reversals
        clear = [reversal for reversal in reversals if reversal.clear]
        lines = [
            f"The ELBO ranks {r.worse} above {r.better} by {-r.elbo:.3g} nats, log p(x) the other "
            f"way round by {r.log_evidence:.3g}: {r.better} is the better model with the worse "
            "guide."
            for r in clear
        ]
        if len(clear) < len(reversals):
            count, more = len(reversals) - len(clear), " more" if clear else ""
            lines.append(
                f"ELBO and log p(x) disagree on the order of {count}{more} "
                f"pair{'s' if count > 1 else ''}, by less than two standard errors."
            )
        moved = [name for name, found in self.results.items() if np.any(log_jacobian_of(found))]
        if moved:
            each = any("log_jacobian" in self.results[name] for name in moved)
            by = "" if each else " by a constant"
            lines.append(
                "Densities are in the units that the data had before they were rescaled, and so "
                f"differ{by} from those that evaluate gives for {', '.join(moved)}."
            )
        for name, row in self.table.iterrows():
            if self.results[str(name)].attrs.get("deterministic_guide"):
                lines.append(
                    f"The log p(x) of {name} is the lower bound of a deterministic guide: its "
                    "true place may be higher, and its gap is not known."
                )
            elif row["unreliable"]:
                lines.append(f"{name}: {withheld_note(self.results[str(name)])}")
        return lines

    def to_json(self) -> dict[str, Any]:
        """Table, reversals and notes as plain numbers and text."""
        table = {str(name): row.to_dict() for name, row in self.table.iterrows()}
        reversals = [reversal._asdict() for reversal in self.reversals]
        return {"table": table, "reversals": reversals, "notes": self.notes}

    def __str__(self) -> str:
        columns = ["rank", "log_evidence", "mc_se", "sampling_se", "difference", "dse", "dse_mc"]
        table = self.table[[*columns, "elbo", "gap", "active_units", "parameters"]]
        text = table.round(3).to_string(na_rep="-")
        return "\n".join(["nats per datum, held-out data", text, *self.notes])

    def _row(self, name: str, best: str) -> dict[str, Any]:
        results = self.results[name]
        count = results.sizes["datum"]
        evidence, attrs = results["log_evidence"].values, results.attrs
        mc = float(np.sqrt((results["log_evidence_se"].values ** 2).sum())) / count
        spread = float(evidence.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
        given = all(math.isfinite(error_of_mean(self.results[who])) for who in (name, best))
        to_best = self.paired(name, best) if name != best else Difference(0, 0, 0, 0, math.nan)
        return {
            "log_evidence": float(evidence.mean()),
            "mc_se": error_of_mean(results),
            "sampling_se": _rest(spread, mc),
            "difference": to_best.mean,
            "dse": to_best.standard_error,
            "dse_mc": to_best.monte_carlo if given else math.nan,
            "p_value": to_best.p_value,
            "elbo": float(results["elbo"].values.mean()),
            "gap": float(results["gap"].values.mean()),
            "exact": bool(attrs.get("exact", 0)),
            "unreliable": float((~trusted(results)).mean()),
            "active_units": attrs.get("active_units", math.nan),
            "latent_dim": attrs.get("latent_dim", math.nan),
            "parameters": attrs.get("num_parameters", math.nan),
            "seconds": attrs.get("seconds", math.nan),
        }


@verb
def compare(
    models: Mapping[str, Any],
    data: AnyDataset | Inputs | Mapping[str, AnyDataset],
    *,
    num_particles: int = 1000,
    limit: int | None = None,
    iwae: Sequence[int] = (1, 5, 50, 500, 5000),
    progress: Callable[[int, int], None] | None = None,
    **sampling: Unpack[SamplingSettings],
) -> Comparison:
    """Rank models by held-out log p(x), with standard errors of the paired differences.

    Parameters
    ----------
    models
        Modules with Pyro programs ``model`` and ``guide`` by name; what else they may know of
        themselves, see ``evaluate``.
    data
        ``Dataset``, of which the test split is used; a tensor, or named tensors, of held-out
        data; or one ``Dataset`` for each model, by the model's name, where they were made with
        different preprocessing of the same data.
    num_particles
        Draws from the guide per datum.
    limit
        Use the first so many data.
    iwae
        As for ``evaluate``.
    progress
        Called with the number of data done and their total, over all models.
    **sampling
        Other arguments of ``log_weights``.

    Raises
    ------
    ComparisonError
        If the models' log p(x) are not in the same measure, or not of the same data: so also
        where one has a mechanism for missing cells, and the other none.

    Examples
    --------
    >>> from pyro_vae.models import VAE
    >>> x = torch.ones(10, 4)
    >>> pair = {"a": VAE((4,), 1, seed=0), "b": VAE((4,), 1, seed=1)}
    >>> len(compare(pair, x, num_particles=20).table)
    2
    """
    if not models:
        raise ComparisonError("models is empty: give at least one model by its name")
    results = {}
    for index, (name, model) in enumerate(models.items()):
        own: Any = data[name] if _by_name(data, models) else data  # type: ignore[index]
        if not isinstance(own, AnyDataset):
            own = as_inputs(own, model, "data")
        x, about = held_out(own, Facts(model).inputs, limit)

        def report(done: int, total: int, before: int = index) -> None:
            if progress is not None:
                progress(before * total + done, len(models) * total)

        found = evaluate(model, x, num_particles, iwae=iwae, progress=report, **sampling)
        results[name] = attach(found, about)
    return compare_results(results)


def compare_results(results: Mapping[str, xr.Dataset]) -> Comparison:
    """Rank what ``evaluate`` gave for several models on the same data.

    Parameters
    ----------
    results
        Results per datum by name; ``describe_data`` says what they were measured on.

    Raises
    ------
    ComparisonError
        If they are not of the same data, or not in the same measure.
    """
    names = list(results)
    if not names:
        raise ComparisonError("results is empty: give those of at least one model")
    for name in names[1:]:
        _check_comparable(names[0], results[names[0]], name, results[name])
    scaled = {name: _in_original_units(result) for name, result in results.items()}
    order = sorted(names, key=lambda name: -float(scaled[name]["log_evidence"].mean()))
    return Comparison({name: scaled[name] for name in order})


def paired_difference(difference: np.ndarray, *errors: np.ndarray) -> Difference:
    """Mean of paired differences with its standard error, taken apart; and its t test.

    Parameters
    ----------
    difference
        Differences per datum, ``(n,)``, in nats.
    *errors
        Monte Carlo standard errors per datum of the two that were subtracted.
    """
    count = len(difference)
    mean = float(difference.mean())
    mc = math.sqrt(sum(float((error**2).sum()) for error in errors)) / count
    if count < 2:
        return Difference(mean, math.nan, mc, math.nan, math.nan)
    total = float(difference.std(ddof=1)) / math.sqrt(count)
    p_value = (
        float(2 * library("scipy.stats").t.sf(abs(mean) / total, count - 1))
        if total > 0
        else float(mean == 0)
    )
    return Difference(mean, total, mc, _rest(total, mc), p_value)


@takes_data("x", streams=True)
def describe_data(data: AnyDataset | Inputs, x: Inputs) -> dict[str, Any]:
    """What results must say of their data to be compared, for ``attach``.

    Parameters
    ----------
    data
        The data set, or the data themselves, in the units of the model.
    x
        The data that were measured, rows of the test split.

    Returns
    -------
    dict
        ``preprocessing``; ``log_jacobian``, a number, or one per datum where cells are missing;
        ``fingerprint``, one number per datum in the original units, by which two results are
        known to be of the same data; ``observed``, a digest of which cells are missing, and
        ``observed_cells``, how many of a datum are there on average, where some are missing.
    """
    if streamed_part(x) is not None:
        return _describe_blocks(data, x)
    values = tensors(x)[0] if isinstance(x, torch.Tensor) or "x" not in x else x["x"]
    observed = None if isinstance(x, torch.Tensor) else x.get("observed")
    about: dict[str, Any] = {"preprocessing": "as given", "log_jacobian": 0.0}
    if isinstance(data, AnyDataset):
        about |= {"preprocessing": data.base_measure, "log_jacobian": data.log_jacobian}
        if data.affine is not None:
            values = data.affine.inverse(values)
    if observed is not None and not bool(observed.all()):
        values = torch.where(observed, values, 0.0)
        cells = np.packbits(observed.flatten(1).cpu().numpy(), axis=1)
        about["observed"] = hashlib.sha256(cells.tobytes()).hexdigest()[:16]
        about["observed_cells"] = float(observed.flatten(1).sum(1).double().mean())
        if isinstance(data, AnyDataset) and data.affine is not None:
            about["log_jacobian"] = data.affine.log_jacobian_of(observed.cpu()).numpy()
    if isinstance(data, AnyDataset):
        if data.schema is not None:
            return {**about, "fingerprint": data.schema.fingerprint(values.cpu().numpy())}
    flat = values.flatten(1).double().cpu()
    direction = torch.randn(
        flat.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.double
    )
    return {**about, "fingerprint": (flat @ direction).numpy()}


def _describe_blocks(data: AnyDataset | Inputs, x: Inputs) -> dict[str, Any]:
    """``describe_data`` of data that are streamed, a block after another."""
    parts, cells, seen, holes = [], hashlib.sha256(), 0, False
    for _, part in pieces(x):
        parts.append(describe_data(data, part))
        if isinstance(part, Mapping) and "observed" in part:
            observed = part["observed"].flatten(1).cpu()
            cells.update(np.packbits(observed.numpy(), axis=1).tobytes())
            seen += int(observed.sum())
            holes |= not bool(observed.all())
    found = {
        **parts[0],
        "fingerprint": np.concatenate([about["fingerprint"] for about in parts]),
    }
    shifts = [about["log_jacobian"] for about in parts]
    if any(isinstance(shift, np.ndarray) for shift in shifts):  # a number where a block is whole
        found["log_jacobian"] = np.concatenate(
            [
                np.broadcast_to(shift, about["fingerprint"].shape)
                for shift, about in zip(shifts, parts, strict=True)
            ]
        )
    if holes:
        found["observed"] = cells.hexdigest()[:16]
        found["observed_cells"] = seen / count(x)
    return found


def attach(results: xr.Dataset, about: Mapping[str, Any]) -> xr.Dataset:
    """Results that say what data they are of: ``describe_data``'s numbers and text."""
    arrays = {n: ("datum", part) for n, part in about.items() if isinstance(part, np.ndarray)}
    results = results.assign(arrays)
    results.attrs.update({name: part for name, part in about.items() if name not in arrays})
    return results


def log_jacobian_of(results: xr.Dataset) -> xr.DataArray | float:
    """What ``attach`` said of log |dy/dx|: a number, or one per datum where cells are missing."""
    per_datum = results.get("log_jacobian")
    return float(results.attrs.get("log_jacobian", 0.0)) if per_datum is None else per_datum


def _by_name(data: Any, models: Mapping[str, Any]) -> bool:
    return isinstance(data, Mapping) and all(isinstance(data.get(n), AnyDataset) for n in models)


def held_out(
    data: AnyDataset | Inputs, names: tuple[str, ...], limit: int | None, split: str = "test"
) -> tuple[Inputs, dict[str, Any]]:
    """The data to measure on, and what is to be said of them.

    Parameters
    ----------
    data
        A data set, or the data themselves.
    names
        What the model takes beside x.
    limit
        The first so many data; all of them unless given.
    split
        Which part of a data set.
    """
    x: Any = data
    if isinstance(data, AnyDataset):
        x = data.inputs(split, names)
        x = x if names else x["x"]
    x = first_rows(x, limit)
    return x, describe_data(data, x)


def _check_comparable(one: str, first: xr.Dataset, other: str, second: xr.Dataset) -> None:
    """Refuse two results whose difference would mean nothing."""
    a, b = (r.attrs.get("base_measure", "unknown") for r in (first, second))
    if a != b and without_masks(a) == without_masks(b):
        raise ComparisonError(
            f"{one} has log p under the measure {a!r} and {other} under {b!r}: where masks are "
            "data, it is log p(x, m), of other variables than log p(x) or the masks of other "
            "columns; compare models that have mechanisms for the same columns, or none"
        )
    if a != b:
        raise ComparisonError(
            f"{one} has log p(x) under the {a} measure and {other} under the {b}: a log-mass and "
            "a log-density are in different units and cannot be ranked; compare models whose "
            "likelihoods are of one kind"
        )
    a, b = (r.attrs.get("preprocessing", "as given") for r in (first, second))
    if a != b:
        raise ComparisonError(
            f"{one} was measured on data {a!r} and {other} on {b!r}: their densities are of "
            "different variables; fit both on the same form of the data"
        )
    a, b = (r.sizes["datum"] for r in (first, second))
    if a != b:
        raise ComparisonError(
            f"{one} was measured on {a} data and {other} on {b}: measure both on the same, with "
            "the same limit"
        )
    a, b = (r.attrs.get("observed", "all") for r in (first, second))
    if a != b:
        raise ComparisonError(
            f"{one} and {other} were measured on data with other missing cells, so that their "
            "log p(x) are of different variables: measure both with one observed"
        )
    ours, theirs = first["fingerprint"].values, second["fingerprint"].values
    # Room for rounding, beside the spread: an offset in the data must not hide a difference.
    spread, size = float(ours.std()), float(np.abs(ours).mean())
    room = 1e-4 * spread + min(1e-7 * size, 1e-2 * spread) if spread > 0 else 1e-4 * size
    if not np.allclose(ours, theirs, rtol=0.0, atol=room):
        raise ComparisonError(
            f"{one} and {other} were measured on different test data (another split, seed or "
            "binarisation): measure both on the same"
        )


def _in_original_units(results: xr.Dataset) -> xr.Dataset:
    """Results with log p(x) = log p(y) + log |dy/dx|; the gap does not change."""
    shift = log_jacobian_of(results)
    shifted = {name: results[name] + shift for name in ("log_evidence", "elbo")}
    return results.assign(shifted)


def _rest(total: float, part: float) -> float:
    return math.sqrt(max(total**2 - part**2, 0.0))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's (1979) adjusted p-values; NaN stays."""
    adjusted = np.full(len(p_values), math.nan)
    order = [i for i in np.argsort(p_values) if not math.isnan(p_values[i])]
    running = 0.0
    for place, index in enumerate(order):
        running = max(running, min(1.0, (len(order) - place) * float(p_values[index])))
        adjusted[index] = running
    return adjusted
