"""The command line in processes of its own, forked from one that has it imported.

A child can hang, run out of memory or be killed, and nothing else does.
"""

import contextlib
import io
import multiprocessing
import sys
import traceback
import warnings
from dataclasses import dataclass
from unittest import mock

import torch

from pyro_vae.cli import main
from pyro_vae.cli.app import COMMANDS

#: What commands import when they are called.
PRELOADED = (
    *(listed.module for listed in COMMANDS.values()),
    *("arviz", "lightning_fabric", "scipy.stats", "sklearn.cluster", "sklearn.datasets"),
)

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(list(PRELOADED))


@dataclass(frozen=True)
class Ended:
    """How a command ended; ``raised`` is the traceback that a user would have seen."""

    status: int
    stdout: str
    stderr: str
    raised: str = ""


def command(*arguments):
    """Run ``pyro-vae`` in this process."""
    out, err = io.StringIO(), io.StringIO()
    raised, status = "", 0
    with (
        mock.patch.object(sys, "argv", ["pyro-vae", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(action="default"),
    ):
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
        except Exception:
            raised, status = traceback.format_exc(), 1
    return Ended(status, out.getvalue(), err.getvalue(), raised)


def _answer(sender, function, arguments):
    torch.set_num_threads(1)
    sender.send(function(*arguments))


def in_a_child(function, *arguments, seconds=120):
    """What a function returns in a child; its name in words where there is no answer."""
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_answer, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        if not receiver.poll(seconds):
            return "hang"
        return receiver.recv()
    except EOFError:
        process.join()
        return f"death with {process.exitcode}"
    finally:
        process.kill()
        process.join()
        receiver.close()
