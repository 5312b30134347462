"""The referee: all that can be measured of a pair on some data, on one card."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from pyro_vae.cards.card import Card, Found, Number, Row, listed
from pyro_vae.cards.machine import machine, versions
from pyro_vae.cards.of_results import found_of_results
from pyro_vae.conversion import as_inputs
from pyro_vae.conversion.streamed import refuse_streamed
from pyro_vae.data.any_dataset import AnyDataset
from pyro_vae.disk.sealed import checksum_of_arrays
from pyro_vae.errors import SettingError, UnknownNameError
from pyro_vae.inference.engine.inputs import count
from pyro_vae.inference.evidence.checkpoint import Checkpoint
from pyro_vae.inference.evidence.compare import attach, held_out
from pyro_vae.inference.evidence.evaluate import settle, takes_one_model
from pyro_vae.models import LatentVariableModel
from pyro_vae.pairs import Pair
from pyro_vae.progress import measuring
from pyro_vae.protocols import Facts, HasLogProb, HasParameters, offers
from pyro_vae.referee.measuring import (
    Measured,
    TwoPrograms,
    about_evidence,
    certified,
    importance_sampled,
    parts_of_gap,
    ranked,
    reason_of,
    sandwiched,
)
from pyro_vae.referee.settings import MeasuringSettings, Settings
from pyro_vae.stored.measured import measure_notes, seal_of_data
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Unpack

    import xarray as xr

    from pyro_vae.inference.engine.inputs import Inputs

__all__ = ["REFEREE", "about_data", "measured_part", "referee", "weights_of"]

#: What such a card is of, where others have the name of an experiment.
REFEREE = "referee"

#: What a card keeps of every datum, so that it can be held against other cards.
_KEPT = ("elbo", "elbo_se", "log_evidence", "log_evidence_se", "gap", "gap_se")
_JUDGED = ("doubt", "gap_doubt", "top_share", "gap_top_share")

#: What it keeps of the results as a whole, among the settings.
_ATTRIBUTES = (
    *("base_measure", "preprocessing", "log_jacobian", "observed", "observed_cells"),
    *("bound", "exact", "deterministic_guide", "num_features", "num_parameters", "latent_dim"),
    *("active_units", "particles"),
)


@takes_one_model
@verb
def referee(
    model: Any,
    data: AnyDataset | Inputs,
    *,
    name: str | None = None,
    split: str = "test",
    limit: int | None = None,
    reported: float | None = None,
    reported_as: str = "",
    reported_of: str = "log_evidence",
    folder: str | Path | None = None,
    tell: Callable[[str], None] | None = None,
    progress: bool | None = None,
    **settings: Unpack[MeasuringSettings],
) -> Card:
    """Measure anybody's model in every way that applies, and put it on a card.

    ELBO, IWAE_K and log p(x) by importance sampling, with errors that are withheld where they
    are not to be trusted; on the first of the data the other estimates of log p(x), annealing
    among them, and the gap in its parts; on data simulated from the model a sandwich of bounds,
    and the calibration of the guide. What does not apply is left out, and the card says why.

    Parameters
    ----------
    model
        Module, or any object, with Pyro programs ``model`` and ``guide``; or a pair of them.
    data
        ``Dataset``, of which one split is used; or the data themselves, a tensor or named ones.
    name
        What the card calls it; the name of its class unless given.
    split, limit
        Part of a data set, and how many of it; all of them unless given.
    reported, reported_as, reported_of
        A number that others report, in nats per datum and in the original units of the data;
        where it was read; and what it is of: ``"log_evidence"``, ``"elbo"``, ``"iwae_K"`` or
        ``"bits_per_dim"``.
    folder
        Where log p(x) of the data that are done is kept, so that a call that was stopped goes on.
    tell
        Called with a line on what is done next.
    progress
        Show bars; by default in a terminal.
    **settings
        ``num_particles``, ``iwae``, ``num_annealed``, ``num_temperatures``, ``num_chains``,
        ``num_simulated``, ``num_ranked``, ``steps`` and ``seed``: see the page on the referee.

    Returns
    -------
    Card
        With one part, whose numbers are in nats per datum unless they are named otherwise.

    Raises
    ------
    ProgramError
        If ``model`` is no pair.
    DataError
        If the data are not the model's.

    Examples
    --------
    >>> from pyro_vae.models import LinearVAE
    >>> vae = LinearVAE((4,), 1, scale=0.5)
    >>> card = referee(vae, torch.zeros(3, 4), num_particles=50, num_annealed=0, num_simulated=0,
    ...     num_ranked=0, progress=False)
    >>> sorted(card.part("LinearVAE").numbers)[:4]
    ['active_units', 'elbo', 'gap', 'importance']
    """
    asked = Settings(**settings)  # type: ignore[arg-type]
    pair = TwoPrograms(*model) if isinstance(model, tuple) else model
    _check_reported(reported, reported_of, asked)
    x, about = data_of(pair, data, limit, split)
    title = (
        Facts(model if not isinstance(model, tuple) else model[0]).name if name is None else name
    )
    place = None if folder is None else Path(folder)
    found = measured_part(
        pair, x, about, asked, name=title, folder=place, tell=tell, progress=progress
    )
    return Card(
        experiment=REFEREE,
        title=title,
        source="",
        command="",
        plan={
            **asked.as_json(),
            "limit": limit,
            "split": split if isinstance(data, AnyDataset) else None,
            "reported": reported,
            "reported_as": reported_as,
            "reported_of": reported_of,
        },
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        versions=versions(),
        machine=machine(),
        data=about_data(data, x),
        parts=[found],
        rows=_rows(found, reported, reported_as, reported_of),
        differs=[],
    )


def _check_reported(reported: float | None, of: str, settings: Settings) -> None:
    """Refuse a number that would stand beside nothing, before the long work."""
    known = ["log_evidence", "elbo", "bits_per_dim", *(f"iwae_{k}" for k in settings.iwae)]
    if of not in known:
        raise UnknownNameError("number that is reported", of, known)
    if reported is not None and not np.isfinite(reported):
        raise SettingError(f"reported got {reported}: give a finite number, as in -101.3")


def data_of(
    pair: Any, data: AnyDataset | Inputs, limit: int | None, split: str = "test"
) -> tuple[Inputs, dict[str, Any]]:
    """The data that are measured, and what is to be said of them."""
    if not isinstance(data, AnyDataset):
        refuse_streamed(data, "data", REFEREE)
        data = as_inputs(data, pair.model if isinstance(pair, TwoPrograms) else pair, "data")
    x, about = held_out(data, Facts(pair).inputs, limit, split)
    refuse_streamed(x, "data", REFEREE)
    return x, about


def about_data(data: AnyDataset | Inputs, x: Inputs) -> dict[str, Any]:
    """Name, number, form and checksum of the data that are measured."""
    known = isinstance(data, AnyDataset)
    return {
        "name": data.name if isinstance(data, AnyDataset) else "data",
        "measured": count(x),
        "form": repr(data) if known else f"{count(x)} data as given",
        "checksum": seal_of_data(x),
    }


def weights_of(pair: Any) -> str | None:
    """Checksum of what a pair has learned; None where it is no module, and has none."""
    programs = (pair.model, pair.guide) if isinstance(pair, TwoPrograms) else (pair,)
    owners = [Facts(program).owner for program in programs]
    arrays = [array for owner in owners for array in _arrays_of(owner)]
    return checksum_of_arrays(arrays) if arrays else None


def _arrays_of(owner: Any) -> Iterator[np.ndarray]:
    """Parameters and buffers of a module, or of the modules that an object has."""
    if isinstance(owner, nn.Module):
        for name, value in sorted(owner.state_dict().items()):
            yield np.array(name)
            # NumPy has no bfloat16; float64 has all of its values.
            wide = value.double() if value.is_floating_point() else value
            yield wide.detach().cpu().numpy()
    elif offers(owner, HasParameters):
        yield from (p.detach().double().cpu().numpy() for p in owner.parameters())
    else:
        try:
            held = vars(owner)
        except TypeError:  # it has slots, or is built in
            return
        for name in sorted(held):
            if isinstance(held[name], nn.Module):
                yield from _arrays_of(held[name])


def measured_part(
    pair: Any,
    x: Inputs,
    about: dict[str, Any],
    settings: Settings,
    *,
    name: str,
    folder: Path | None = None,
    tell: Callable[[str], None] | None = None,
    progress: bool | None = None,
) -> Found:
    """All that is measured of a pair, as the part of a card."""
    weights = weights_of(pair)
    checkpoint = None
    if folder is not None and weights is not None:
        key = f"{settings.as_json()} {weights} {seal_of_data(x)}"
        checkpoint = Checkpoint(folder / "evidence.partial.nc", key)
    amortised = Facts(pair).amortised
    described = pair.description() if isinstance(pair, LatentVariableModel) else ""
    bars = _Bars(tell, progress)
    with bars.next("ELBO, IWAE and log p(x)") as bar:
        pair_of_data = settle(pair, x, settings.seed)
        results = about_evidence(pair_of_data, x, settings, bar, checkpoint)
    results = attach(results, about)
    found = found_of_results(name, name, results)
    measured = [_of_evidence(results)]
    if isinstance(pair, Pair):
        measured.append(Measured(notes=list(pair.checked)))
    for title, measure, asked in _further(pair, settings):
        if not asked:
            continue
        if not amortised:
            why = "its guide has parameters of each datum, and serves no others"
            measured.append(_left_out(title, why))
            continue
        with bars.next(title) as bar:
            measured.append(_tried(title, measure, pair, x, settings, bar))
    if checkpoint is not None:
        checkpoint.clear()
    return _joined(found, measured).model_copy(
        update={
            "model": described,
            "weights": weights,
            "protocol": {
                **settings.as_json(),
                "data": count(x),
                **{k: results.attrs[k] for k in _ATTRIBUTES if k in results.attrs},
            },
        }
    )


class _Bars:
    """A line, and a bar, for each measurement."""

    def __init__(self, tell: Callable[[str], None] | None, show: bool | None) -> None:
        self._tell, self._show = tell, show

    def next(self, title: str) -> Any:
        if self._tell is not None:
            self._tell(f"measuring {title}")
        return measuring(title, show=self._show)


def _further(pair: Any, settings: Settings) -> list[tuple[str, Any, bool]]:
    """What is measured beside the evidence: its title, how, and whether it is asked for."""
    return [
        ("importance sampling", importance_sampled, offers(pair, HasLogProb)),
        ("other estimates of log p(x)", certified, settings.num_annealed > 0),
        ("the sandwich on simulated data", sandwiched, settings.num_simulated > 0),
        ("the parts of the gap", parts_of_gap, settings.num_annealed > 0),
        ("calibration of the guide", ranked, settings.num_ranked > 0),
    ]


def _tried(
    title: str, measure: Any, pair: Any, x: Inputs, settings: Settings, bar: Any
) -> Measured:
    """A measurement, or the reason why there is none: it does not end the others."""
    try:
        found: Measured = measure(pair, x, settings, bar)
    # Anybody's program may fail in its own way.
    except Exception as error:
        return _left_out(title, reason_of(error))
    return found


def _left_out(title: str, reason: str) -> Measured:
    return Measured(notes=[f"Left out: {title}. {reason.rstrip('.')}."])


def _of_evidence(results: xr.Dataset) -> Measured:
    """What ``evaluate`` gave of every datum, by which cards are compared."""
    columns = {key: listed(results[key].values, 6) for key in _KEPT}
    columns |= {key: listed(results[key].values, 4) for key in _JUDGED}
    columns["khat"] = listed(results["khat"].values, 2)
    # As many digits of what tells data apart as its spread needs.
    values = results["fingerprint"].values
    spread = float(values.std()) or float(np.abs(values).mean()) or 1.0
    columns["fingerprint"] = listed(values, 6 - int(np.floor(np.log10(spread))))
    if "log_jacobian" in results:
        columns["log_jacobian"] = listed(results["log_jacobian"].values, 6)
    return Measured(per_datum=columns, notes=measure_notes(results))


def _joined(found: Found, measured: list[Measured]) -> Found:
    numbers = dict(found.numbers)
    columns: dict[str, list[float | None]] = {}
    for part in measured:
        numbers |= part.numbers
        columns |= part.per_datum
    return found.model_copy(
        update={
            "numbers": {name: number for name, number in numbers.items() if _is_known(number)},
            "per_datum": columns,
            "notes": [*found.notes, *(note for part in measured for note in part.notes)],
            "certificate": "\n".join(part.certificate for part in measured if part.certificate),
        }
    )


def _is_known(number: Number) -> bool:
    """Whether JSON has a number and its errors: what is infinite or NaN is left out."""
    known = (number.value, number.sampling_error, number.monte_carlo_error)
    return all(value is None or np.isfinite(value) for value in known)


def _rows(found: Found, reported: float | None, reported_as: str, of: str) -> list[Row]:
    """The table: what others report beside it."""
    about = found.protocol
    shift = float(np.mean(log_jacobian_of_card(found)))
    known = "exact" if about.get("exact") else "importance sampling"
    few = min(about["num_annealed"], about["data"])
    labels = {
        "elbo": "ELBO",
        **{f"iwae_{k}": f"IWAE, K = {k:,}" for k in about["iwae"]},
        "log_evidence": f"log p(x), {known}",
        "importance": "log p(x), importance sampling",
        "bits_per_dim": "bits per dimension",
        "gap": "gap, log p(x) less ELBO",
        "approximation_gap": f"of it the guide's family, first {few} data",
        "amortisation_gap": f"of it the encoder, first {few} data",
        "certify_importance": f"log p(x) of the first {few} data, importance sampling",
        "certify_ais": f"log p(x) of the first {few} data, annealing",
        "missed": "annealing over importance sampling",
        "sandwich": "simulated data: upper less lower bound of log p(x)",
        "sandwich_missed": "simulated data: upper bound over importance sampling",
    }
    in_units = {"elbo", "log_evidence", *(f"iwae_{k}" for k in about["iwae"])}
    rows = []
    for name, label in labels.items():
        number = found.numbers.get(name)
        if number is None:
            continue
        if shift and name in in_units:
            number = number.model_copy(update={"value": number.value + shift})
            label = f"{label}, in the original units"
        said = reported if name == of else None
        source = (reported_as or "as reported") if said is not None else ""
        rows.append(Row(label=label, published=said, ours=number, source=source))
    return rows


def log_jacobian_of_card(found: Found) -> np.ndarray:
    """Log |dy/dx| of every datum, or of all."""
    columns = found.per_datum.get("log_jacobian")
    return np.asarray(found.protocol.get("log_jacobian", 0.0) if columns is None else columns)
