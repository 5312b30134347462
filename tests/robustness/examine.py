"""What the commands say of a run folder, as numbers, so that two folders can be held together."""

import contextlib
import itertools
import json
import resource
import shutil
from unittest import mock

import numpy as np
import xarray as xr
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from pyro_vae import load_data, load_model
from pyro_vae.disk.runs import Run
from pyro_vae.errors import PyroVAEError
from pyro_vae.inference.evidence.checkpoint import Checkpoint
from pyro_vae.inference.training.folder import TrainingFolder
from pyro_vae.stored.measured import further_results
from tests.robustness.children import command

_SMALL = ("--limit", 4, "--particles", 20)
#: More memory than any of these commands needs beside the libraries.
_MEMORY = 6 * 2**30


def make_runs(folder):
    """Two finished runs of a kind and a finished mixture, and two unfinished runs."""
    for name, seed in (("whole", 0), ("other", 1)):
        _fit(folder / name, "--seed", seed)
        _succeed("evaluate", folder / name, *_SMALL, "--estimator", "quadrature", "--gap")
        _succeed("sample", folder / name, "--count", 3)
        (folder / name / "figures" / "kept.png").write_bytes(b"\x89PNG")
    _fit(folder / "rival", "--model", "mixture", "--components", 2)
    _succeed("evaluate", folder / "rival", *_SMALL)
    for name, seed in (("part", 0), ("other-part", 1)):
        with _stopped_after_an_epoch():
            _fit(folder / name, "--seed", seed, status=130)
        with _kept_partial_results():
            _succeed("evaluate", folder / name, *_SMALL)
        assert (folder / name / "evidence.partial.nc").is_file()
        (folder / name / "evidence.nc").unlink()


def _fit(path, *settings, status=0):
    network = () if "mixture" in settings else ("--hidden", 4, "--latent-dim", 1)
    data = ("--data", "moons", "--epochs", 2, "--batch-size", 500)
    _succeed("fit", "--run", path, *data, *network, *settings, status=status)


def _succeed(*arguments, status=0):
    ended = command(*arguments)
    assert ended.status == status, ended
    return ended


def _stopped_after_an_epoch():
    save = TrainingFolder.save

    def stop(*arguments, **settings):
        save(*arguments, **settings)
        raise KeyboardInterrupt

    return mock.patch.object(TrainingFolder, "save", stop)


@contextlib.contextmanager
def _kept_partial_results():
    with (
        mock.patch.dict(Checkpoint.__init__.__kwdefaults__, interval=0.0),
        mock.patch.object(Checkpoint, "clear"),
    ):
        yield


def examine(base, name, spoil):
    """Spoil copies of a run in one way, and give each to one command.

    Parameters
    ----------
    base
        Folder that ``make_runs`` filled.
    name
        ``"whole"`` or ``"part"``.
    spoil
        Function of a copy, or None.

    Returns
    -------
    dict
        By command ``("refused", message)``, ``("fault", text)`` or ``("done", numbers)``.
    """
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_used_memory() + _MEMORY, limits[1]))
    found = {}
    try:
        for number, (kind, look) in enumerate(COMMANDS[name].items()):
            copy = base / f"copy-{number}" / "run"
            shutil.rmtree(copy.parent, ignore_errors=True)
            shutil.copytree(base / name, copy)
            if spoil is not None:
                spoil(copy)
            found[kind] = _outcome(look, copy, base / "rival")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    return found


def _used_memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


class RefusedError(Exception):
    """A command refused the run in words."""


class FaultError(Exception):
    """A command failed in another way."""


def _outcome(look, run, rival):
    try:
        return "done", look(run, rival)
    except RefusedError as refused:
        return "refused", str(refused)
    except FaultError as fault:
        return "fault", str(fault)


def _numbers_of(*arguments):
    """JSON that a command prints, without paths and times."""
    ended = command(*arguments)
    if ended.raised or "Traceback" in ended.stderr:
        raise FaultError("\n".join((ended.raised or ended.stderr).splitlines()[-5:]))
    if ended.status in (1, 2) and ended.stderr.splitlines()[-1:] and "error: " in ended.stderr:
        if len(ended.stderr) > 2500:
            raise FaultError(f"an error of {len(ended.stderr)} characters: {ended.stderr[:300]}")
        raise RefusedError(ended.stderr)
    if ended.status != 0:
        raise FaultError(f"exit status {ended.status} without an error: {ended.stderr}")
    return json.loads(ended.stdout) if ended.stdout else {}


def _results(path):
    with xr.open_dataset(path, engine="h5netcdf") as found:
        attributes = {name: str(value) for name, value in found.attrs.items()}
        return {**{str(n): found[n].values for n in found.variables}, "attrs": attributes}


def _load(run, _):
    """Each part of a run by itself: what is refused is so for that part."""
    parts = {
        "model": lambda: load_model(run).state_dict(),
        "description": lambda: load_model(run).description(),
        "data": lambda: {n: getattr(load_data(run), n) for n in ("train", "validation", "test")},
        "metrics": lambda: Run.open(run).metrics().to_dict("list"),
        "results": lambda: {
            name: {**found.data_vars, "attrs": {k: str(v) for k, v in found.attrs.items()}}
            for name in ("evidence.nc", "gap.nc", "evidence-quadrature.nc")
            for found in [Run.open(run).results(name)]
        },
        "further": lambda: further_results(Run.open(run)),
    }
    found = {}
    for name, read in parts.items():
        try:
            found[name] = _plain(read())
        except PyroVAEError as error:
            found[name] = RefusedError(str(error))
        except Exception as error:
            raise FaultError(f"{name}: {type(error).__name__}: {error}") from error
    return found


def _evaluate(run, _):
    printed = _numbers_of("evaluate", run, *_SMALL, "--json")
    return _plain({"printed": printed, "kept": _results(run / "evidence.nc")})


def _sample(run, _):
    _numbers_of("sample", run, "--count", 5, "--json")
    return _plain({"samples": np.load(run / "samples.npy", allow_pickle=False)})


def _report(run, _):
    with mock.patch.object(Figure, "savefig", _numbers_shown):
        _numbers_of("report", run, "--json")
    return {"html": (run / "report.html").read_text()}


def _compare(run, rival):
    return _plain(_numbers_of("compare", run, rival, *_SMALL, "--json"))


def _resume(run, _):
    printed = _numbers_of("fit", "--run", run, "--resume", "--json")
    metrics = Run.open(run).metrics().to_dict("list")
    return _plain({"model": load_model(run).state_dict(), "rows": metrics, "printed": printed})


_ALL = {"load": _load, "evaluate": _evaluate, "sample": _sample, "compare": _compare}
COMMANDS = {"whole": {**_ALL, "report": _report}, "part": {**_ALL, "resume": _resume}}

#: Clocks and paths, which differ between two runs of one command.
_NOT_COMPARED = {"run", "seconds", "written"}


def _plain(value):
    """Nested lists of floats and text, equal where every number is."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items() if k not in _NOT_COMPARED}
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | xr.DataArray):
        array = np.asarray(value)
        return [str(array.dtype), list(array.shape), repr(array.tolist())]
    return repr(value)


def _numbers_shown(figure, file, **_):
    """Write the numbers that a figure shows in the place of the picture."""
    shown = []
    for artist in figure.findobj():
        if isinstance(artist, Line2D):
            shown.append(np.asarray(artist.get_xydata()).tolist())
        elif isinstance(artist, PathCollection):
            shown.append(np.asarray(artist.get_offsets()).tolist())
        elif isinstance(artist, AxesImage):
            shown.append(np.asarray(artist.get_array()).tolist())
        elif isinstance(artist, Rectangle):
            shown.append([float(number) for number in artist.get_bbox().bounds])
        elif isinstance(artist, Text):
            shown.append(artist.get_text())
    file.write(repr(shown).encode())


def against(clean, found):
    """The outcome of a command by what it gave of the clean run: refused, same, changed, fault."""
    (_, expected), (kind, got) = clean, found
    if kind != "done":
        return kind
    if not isinstance(got, dict) or not any(
        isinstance(part, RefusedError) for part in got.values()
    ):
        return "same" if got == expected else "changed"
    kept = {name: part for name, part in got.items() if not isinstance(part, RefusedError)}
    same = all(part == expected[name] for name, part in kept.items())
    return "refused" if same else "changed"


def differences(clean, found):
    """Where numbers differ, by their names."""
    if isinstance(clean, dict) and isinstance(found, dict):
        lines = []
        for name in sorted(clean.keys() | found.keys()):
            part = found.get(name)
            if not isinstance(part, RefusedError) and part != clean.get(name):
                lines += [f"{name}: {line}" for line in differences(clean.get(name), part)]
        return lines
    if isinstance(clean, str) and isinstance(found, str) and "\n" in clean:
        both = itertools.zip_longest(clean.splitlines(), found.splitlines())
        return [f"{b!r:.150} for {a!r:.150}" for a, b in both if a != b][:3]
    return [f"{found!r:.150} for {clean!r:.150}"]
