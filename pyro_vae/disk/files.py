"""Files written whole, and folders that one process at a time writes to.

A file is made in memory, written beside its place, synced and renamed: a reader, a crash, a power
cut or a full disk finds the old file or the new one. A folder's lock is the system's own on an
open file, so that it ends with the process that holds it; the file that is left means nothing.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, SoftFileLock, Timeout

from pyro_vae.errors import RunError, WriteError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from filelock import BaseFileLock

__all__ = ["is_ours", "locked", "make_folder", "sync_folder", "write_whole"]

_LOCK, _SOFT_LOCK = ".lock", ".lock.soft"

#: What a file system without locks answers.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}

_REMEDIES = {
    errno.ENOSPC: "free some room on that disk",
    errno.EDQUOT: "free some room: your quota is used up",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EROFS: "give a folder in a place where you may write",
    errno.EACCES: "give a folder in a place where you may write",
    errno.EPERM: "give a folder in a place where you may write",
    errno.ENOTDIR: "a file is in the place of a folder",
    errno.EEXIST: "something that is no folder is in its place",
}


def write_whole(path: Path, content: bytes | str | Sequence[bytes | memoryview]) -> None:
    """Put a file in its place in one step, safe on the disk when this returns.

    Parameters
    ----------
    path
        The file; its folder must be there.
    content
        What it holds, or its parts; text is written as UTF-8.

    Raises
    ------
    WriteError
        If it cannot be written; what was there is as it was.
    """
    content = content.encode() if isinstance(content, str) else content
    parts = [content] if isinstance(content, bytes) else content
    # Short, so that a name that can be had can also be written.
    scratch = path.with_name(f".{path.name[:32]}.{os.getpid()}-{threading.get_ident():x}.tmp")
    try:
        try:
            with scratch.open("wb") as file:
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        except BaseException:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise WriteError(_refusal(path, error)) from error


def sync_folder(path: Path) -> None:
    """See that the names in a folder are on the disk, where the system can."""
    # What cannot be synced, as on some network disks, is no less whole for it.
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it.

    Raises
    ------
    WriteError
        If it cannot be made.
    """
    try:
        if path.is_symlink() and not path.exists():
            raise WriteError(
                f"{path} cannot be written: it is a link to {os.readlink(path)}, which is not "
                "there; make that folder, or give another name"
            )
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise WriteError(_refusal(path, error)) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only one who writes to a folder; inside, the same thread may ask again.

    Parameters
    ----------
    folder
        A folder that is there. Its scratch files, left by a process that was killed, are removed.

    Raises
    ------
    RunError
        At once, if another process or thread is writing to it.
    WriteError
        If the folder cannot be written.
    """
    lock = _acquired(folder.resolve())
    try:
        for part in (folder, folder / "figures"):
            for scratch in part.glob(".*.tmp"):
                scratch.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def is_ours(path: Path) -> bool:
    """Whether a file is no content of a folder: its lock, or what a killed process left."""
    return path.name.startswith((_LOCK, _SOFT_LOCK)) or (
        path.name.startswith(".") and path.name.endswith(".tmp")
    )


def _acquired(folder: Path) -> BaseFileLock:
    """The folder's lock, held; a file of a process on disks without locks."""
    try:
        try:
            lock: BaseFileLock = FileLock(folder / _LOCK, timeout=0, is_singleton=True)
            lock.acquire()
        except OSError as error:
            if isinstance(error, Timeout) or error.errno not in _NO_LOCKS:
                raise
            lock = SoftFileLock(folder / _SOFT_LOCK, timeout=0, is_singleton=True)
            lock.acquire()
    except Timeout as error:
        raise RunError(
            f"{folder} is being written to by another command, process or thread: wait until it "
            "has ended, or give another folder"
        ) from error
    except OSError as error:
        raise WriteError(_refusal(folder, error)) from error
    return lock


def _refusal(path: Path, error: OSError | ValueError) -> str:
    """Why something cannot be written, and what helps."""
    name = str(path) if len(str(path)) <= 200 else f"{str(path)[:100]}...{str(path)[-60:]}"
    reason = getattr(error, "strerror", None) or str(error)
    number = getattr(error, "errno", None)
    remedy = _REMEDIES.get(number or 0, "see that the disk is there and may be written to")
    return f"{name!r} cannot be written ({reason}): {remedy}"
