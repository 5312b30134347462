"""Work that is shared out among processes, by joblib, with one thread in each.

Which processes, on which machines, is for joblib to say: ``joblib.parallel_config`` chooses among
its own, those of Dask and any other backend. What is asked of the work is that the results of a
task depend on that task alone: then they are the same, to the bit, for any number of workers.
"""

from __future__ import annotations

import importlib
import inspect
import io
import os
import pickle
import signal
import sys
import threading
import uuid
import warnings
from collections import ChainMap
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import pyro
import torch

from pyro_vae.errors import WorkerError
from pyro_vae.on_demand import library
from pyro_vae.progress import no_bars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["send_along", "shared_out", "shares_out"]

R = TypeVar("R")

#: Times in a row that workers may die before anything more is done.
_DEATHS = 3

#: Modules that every worker imports, by name with their source where no name would be found.
_SENT_ALONG: dict[str, str | None] = {}

#: The work that a worker did last, by its key: what it keeps for itself is of use once more.
_UNPACKED: dict[str, Any] = {}


def send_along(module: ModuleType, *, by_value: bool = False) -> None:
    """Have every worker import a module, whose classes register themselves.

    Parameters
    ----------
    module
        The module.
    by_value
        Whether its source is sent, since nobody could import it by its name.
    """
    _SENT_ALONG[module.__name__] = inspect.getsource(module) if by_value else None


def shared_out(
    work: Callable[..., Iterable[R]], tasks: Sequence[tuple[Any, ...]], n_jobs: int | None
) -> Iterator[R]:
    """The results of all the tasks, in their order, from as many processes as are asked for.

    Parameters
    ----------
    work
        Takes the arguments of a task, and gives its results one after the other. It is sent to
        a worker once, with whatever it refers to and with Pyro's parameters.
    tasks
        Arguments.
    n_jobs
        As joblib has it: -1 for all cores, None for what ``joblib.parallel_config`` says, and
        without that for this process with all its threads. With a number every worker has one
        thread, this process too where it is the only one.

    Raises
    ------
    WorkerError
        If workers die again and again, or are threads of this process.
    """
    if shares_out(n_jobs) and len(tasks) > 1:
        yield from _by_workers(work, tasks, n_jobs)
        return
    for task in tasks:
        results = work(*task)
        yield from results if n_jobs is None else _with_one_thread(results)


def shares_out(n_jobs: int | None) -> bool:
    """Whether that is more than one process: not where joblib has threads, which take turns."""
    if n_jobs is None and "joblib" not in sys.modules:
        return False  # nobody can have said anything to it
    joblib = library("joblib")
    backend, _ = joblib.parallel.get_active_backend(prefer="processes")
    threads = getattr(backend, "supports_sharedmem", False)
    return not threads and joblib.effective_n_jobs(n_jobs) > 1


def _with_one_thread(results: Iterable[R]) -> Iterator[R]:
    """Results that are made with one thread; whoever consumes them has his own."""
    iterator = iter(results)
    while True:
        with _one_thread():
            try:
                found = next(iterator)
            except StopIteration:
                return
        yield found


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _by_workers(
    work: Callable[..., Iterable[R]], tasks: Sequence[tuple[Any, ...]], n_jobs: int | None
) -> Iterator[R]:
    """The same from other processes; those that die are replaced, and their tasks done again."""
    joblib = library("joblib")
    key, packed = uuid.uuid4().hex, _packed(work)
    done = deaths = 0
    while done < len(tasks):
        calls = (
            joblib.delayed(_in_worker)(packed, key, os.getpid(), task) for task in tasks[done:]
        )
        results = joblib.Parallel(n_jobs, return_as="generator", prefer="processes")(calls)
        try:
            for found in results:
                yield from pickle.loads(found)
                done, deaths = done + 1, 0
        except BrokenProcessPool as error:
            deaths += 1
            if deaths == _DEATHS:
                raise WorkerError(
                    f"workers were killed {_DEATHS} times in a row, most likely since memory ran "
                    "out: ask for fewer n_jobs, each of which needs room for the model, the data "
                    "and a chunk of particles"
                ) from error
        finally:
            with warnings.catch_warnings():
                # That what was begun is thrown away is what an interruption is.
                warnings.simplefilter("ignore", UserWarning)
                results.close()


def _packed(work: Callable[..., Any]) -> np.ndarray:
    """What a worker needs, as bytes in an array: joblib hands on a large one by its file."""
    # Apart, since what a worker imports must be there before the rest is read.
    rest = _pickled((work, pyro.get_param_store().get_state()))
    return np.frombuffer(_pickled((_SENT_ALONG, rest)), dtype=np.uint8)


def _pickled(content: Any) -> bytes:
    """Programs and results, without the memory that tensors share with others."""
    pickler = library("cloudpickle").Pickler

    class Compact(pickler):  # type: ignore[misc, valid-type]
        dispatch_table: ClassVar[Any] = ChainMap(
            {torch.Tensor: _of_its_own}, pickler.dispatch_table
        )

    file = io.BytesIO()
    Compact(file).dump(content)
    return file.getvalue()


def _of_its_own(x: torch.Tensor) -> Any:
    """How a tensor is pickled: a view would take with it all that it is a view of."""
    if x.layout is torch.strided and x.untyped_storage().nbytes() > x.nbytes:
        x = x.detach().clone().requires_grad_(x.requires_grad)
    return x.__reduce_ex__(pickle.HIGHEST_PROTOCOL)


def _import(name: str, source: str | None) -> None:
    """Import a module by its name, or from its source."""
    if name in sys.modules:
        return
    if source is None:
        importlib.import_module(name)
        return
    sys.modules[name] = module = ModuleType(name)
    exec(compile(source, name, "exec"), vars(module))  # as an import would


def _in_worker(packed: np.ndarray, key: str, parent: int, task: tuple[Any, ...]) -> bytes:
    """Do a task in the process of a worker."""
    if os.getpid() == parent:
        raise WorkerError(
            "the workers of this joblib backend are threads of one process, which draws one "
            "thing at a time: give it workers that are processes, as in "
            "LocalCluster(processes=True)"
        )
    no_bars()
    if threading.current_thread() is threading.main_thread():
        # Ctrl-C reaches the whole group of processes: it is for the one that sent the task.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if key not in _UNPACKED:
        _UNPACKED.clear()
        modules, rest = pickle.loads(packed.tobytes())
        for name, source in modules.items():
            _import(name, source)
        _UNPACKED[key], store = pickle.loads(rest)
        pyro.get_param_store().set_state(store)
    return _pickled(list(_with_one_thread(_UNPACKED[key](*task))))
