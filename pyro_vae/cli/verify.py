"""``pyro-vae verify``: a student's objective, estimator or likelihood, marked."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pyro_vae.cli.options import Json, Seed
from pyro_vae.cli.output import print_json
from pyro_vae.errors import SettingError
from pyro_vae.inference.checking.verify import Check, Report
from pyro_vae.user_files.apart import run_apart
from pyro_vae.user_files.marked import __name__ as _marked
from pyro_vae.user_files.named import reference_of

__all__ = ["verify"]

_MIB = 2**20


def verify(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="FILE.py:NAME",
            help="A pyro.infer.ELBO, a function of (model, guide, x, num_particles) that gives "
            "log p(x), or a Likelihood; or what makes one without arguments.",
        ),
    ],
    particles: Annotated[
        int, typer.Option(min=2, help="Particles where a check needs several.")
    ] = 5,
    timeout: Annotated[
        float, typer.Option(help="Seconds that the file's process may take.")
    ] = 300,
    memory: Annotated[
        int, typer.Option(min=256, help="MiB that its data may take, on Linux.")
    ] = 4096,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Check an objective, estimator or likelihood of a file against models whose answer is known.

    What fails is named, with the two numbers. The file is run in a process of its own. Exit
    status 1 where a check fails, 2 where there is nothing to check.
    """
    reference = reference_of(subject)
    if reference is None or not reference.file.is_file():
        raise SettingError(
            f"the subject got {subject!r}: give FILE.py:NAME of a file that is there"
        )
    if not timeout > 0:
        raise SettingError(f"--timeout got {timeout:g}: give seconds above zero")
    found = run_apart(
        f"{_marked}:mark_apart",
        {"subject": str(reference), "num_particles": particles, "seed": seed},
        files=[reference.file],
        timeout=timeout,
        memory=memory * _MIB,
    )
    report = Report(found["subject"], [Check(**c) for c in found["checks"]], found["seed"])
    if as_json:
        print_json({"passed": report.passed, **found})
    else:
        print(report)
    if not report.passed:
        sys.exit(1)
