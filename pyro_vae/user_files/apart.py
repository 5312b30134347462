"""Work on a user's file in a process of its own: it may print, crash, or never end.

The process is of this interpreter. It says what came of the work in a file of a folder that is
thrown away, and ends when whoever started it does.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_vae import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["run_apart"]

_JOB, _OUTCOME, _TRACE = "job.json", "outcome.json", "trace.txt"

#: Python's own package is found where this process has it, should nothing else say so.
_CHILD = (
    "import sys; sys.path.append(sys.argv[2]); "
    "from pyro_vae.user_files.apart import work; work(sys.argv[1])"
)
_PACKAGE = str(Path(errors.__file__).parent.parent)

#: Errors that come back as they are; what has arguments of its own comes as its message.
_ERRORS: dict[str, type[errors.PyroVAEError]] = {
    kind.__name__: kind
    for kind in (
        errors.ComparisonError,
        errors.DataError,
        errors.MissingDataError,
        errors.ProgramError,
        errors.RunError,
        errors.SettingError,
        errors.SupportError,
        errors.WorkerError,
        errors.WriteError,
    )
}
_AS_SETTING = ("UnknownNameError", "ValueError")

#: Seconds beyond the time given, after which a process that does not end by itself is killed.
_GRACE = 60.0

_FRAME = re.compile(r'File "([^"\n]+)", line (\d+)')


def run_apart(
    task: str,
    job: Mapping[str, Any],
    *,
    files: list[Path],
    timeout: float | None = None,
    memory: int | None = None,
) -> Any:
    """Do some work in a process of its own, whose output goes to standard error.

    Parameters
    ----------
    task
        Module and function, as in ``"package.module:function"``, called with the job.
    job
        What JSON can hold.
    files
        The user's files, lines of which are named where something fails.
    timeout
        Seconds that the work may take.
    memory
        Bytes that it may take for its data, where the system can hold it to that (Linux).

    Returns
    -------
    object
        What the function returned, as JSON gives it back.

    Raises
    ------
    PyroVAEError
        The error of the function; ``ProgramError`` where a user's file failed.
    RunError
        If the process was killed, ended without a word, or took too long.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        named = [str(file.resolve()) for file in files]
        whole = {"task": task, "job": dict(job), "files": named, "timeout": timeout}
        whole["memory"] = memory
        (folder / _JOB).write_text(json.dumps(whole))
        status = _status_of(folder, timeout)
        outcome = folder / _OUTCOME
        if outcome.is_file():
            said = json.loads(outcome.read_text())
            if "error" in said:
                raise _error_of(said["error"])
            return said["result"]
        raise _silent(status, (folder / _TRACE).read_text(errors="replace"), files, timeout)


def _status_of(folder: Path, timeout: float | None) -> int | None:
    """Exit status of the process; None if it had to be killed when its time was over."""
    (folder / _TRACE).touch()
    command = [sys.executable, "-P", "-c", _CHILD, str(folder), _PACKAGE]
    # A pipe that nothing is written to: it ends with this process, and so does the other.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=2, stderr=2, start_new_session=True
    ) as process:
        try:
            return process.wait(None if timeout is None else timeout + _GRACE)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # Processes that it started itself, too.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def _error_of(said: dict[str, str]) -> errors.PyroVAEError:
    kind, message = said["kind"], said["message"]
    if kind in _AS_SETTING:
        return errors.SettingError(message)
    return _ERRORS.get(kind, errors.ProgramError)(message)


def _silent(
    status: int | None, trace: str, files: list[Path], timeout: float | None
) -> errors.RunError:
    """What is to be said of a process that said nothing of what came of its work."""
    where = _place_in(trace, [str(file.resolve()) for file in files]) or str(files[0])
    if status is None or trace.startswith("Timeout"):
        return errors.RunError(
            f"{where}: not done after {timeout:g} seconds; give --timeout more, or find what does "
            "not end"
        )
    if status < 0:
        name = signal.Signals(-status).name
        hint = "; the memory may have been too little" if name == "SIGKILL" else ""
        return errors.RunError(f"{where}: its process was ended by {name}{hint}")
    return errors.RunError(
        f"{where}: its process ended with exit status {status} before it was measured; take "
        "os._exit and the like out of it"
    )


def _place_in(trace: str, files: list[str]) -> str:
    """The innermost line of a user's file in what ``faulthandler`` wrote, in the last stack."""
    for path, line in _FRAME.findall(trace):
        if path in files:
            return f"{path}, line {line}"
    return ""


def work(scratch: str) -> None:
    """Do the work that lies in a folder, and write there what came of it: the other process."""
    folder = Path(scratch)
    whole = json.loads((folder / _JOB).read_text())
    leash = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    threading.Thread(target=_end_with, args=(leash,), daemon=True).start()
    _bound(whole["memory"])
    with (folder / _TRACE).open("w") as trace:
        faulthandler.enable(trace)
        if whole["timeout"] is not None:
            faulthandler.dump_traceback_later(whole["timeout"], exit=True, file=trace)
        try:
            module, _, function = whole["task"].partition(":")
            said: dict[str, Any] = {
                "result": vars(importlib.import_module(module))[function](whole["job"])
            }
            text = json.dumps(said)
        # Whatever a user's file raises, SystemExit too, is told.
        except BaseException as error:
            text = json.dumps({"error": _told(error, whole["files"])})
        faulthandler.cancel_dump_traceback_later()
        (folder / "outcome.tmp").write_text(text)
        (folder / "outcome.tmp").replace(folder / _OUTCOME)
        sys.stderr.flush()
    # Threads and exit handlers of a user's have no say any more.
    os._exit(0)


def _bound(memory: int | None) -> None:
    """Let this process have so many bytes for its data: what asks for more is refused them."""
    if memory is not None and sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _end_with(leash: int) -> None:
    """End this process when the other has."""
    os.read(leash, 1)
    os._exit(1)


def _told(error: BaseException, files: list[str]) -> dict[str, str]:
    """An error as the other process raises it: with the line of the user's file."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{f.filename}, line {f.lineno}" for f in frames if f.filename in files]
    if isinstance(error, SyntaxError) and error.filename in files:
        lines = [f"{error.filename}, line {error.lineno}"]
    text = " ".join(str(error).split())
    if isinstance(error, errors.PyroVAEError):
        where = f" ({lines[-1]})" if lines else ""
        return {"kind": type(error).__name__, "message": f"{text}{where}"}
    place = lines[-1] if lines else files[0]
    if not lines and frames:
        place += f", through {frames[-1].filename}, line {frames[-1].lineno}"
    kind = type(error).__name__ if lines or not isinstance(error, ValueError) else "ValueError"
    return {"kind": kind, "message": f"{place}: {type(error).__name__}: {text}".rstrip(": ")}
