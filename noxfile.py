"""The tests on every Python that is found, with the oldest and the newest dependencies allowed.

``make matrix``, or ``nox``; ``nox --list`` names the sessions, ``nox -s "tests-3.13(newest)"``
runs one, and what follows ``--`` is for pytest: ``nox -- tests/models``.
"""

import os
from pathlib import Path

import nox

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
#: How uv chooses versions: lower bounds of ``pyproject.toml``, or the latest.
RESOLUTIONS = {"oldest": "lowest-direct", "newest": "highest"}
#: Old libraries beside newer ones of their own say that they are old.
OLD = ("-W", "default::DeprecationWarning", "-W", "default::FutureWarning")

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["tests"]
# pyenv keeps its interpreters off the path, but for the one that is chosen.
for folder in sorted(Path("~/.pyenv/versions").expanduser().glob("*/bin")):
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


@nox.session(python=PYTHONS)
@nox.parametrize("dependencies", list(RESOLUTIONS), ids=list(RESOLUTIONS))
def tests(session: nox.Session, dependencies: str) -> None:
    """Those that are not slow; Pythons that are not on this machine are skipped."""
    # Compiled at once: warnings about another library's syntax are no failures of ours.
    how = ("--compile-bytecode", "--only-binary", ":all:")
    session.install(*how, "--resolution", RESOLUTIONS[dependencies], "--editable", ".[dev]")
    session.run("uv", "pip", "freeze", silent=False, external=True)
    warned = OLD if dependencies == "oldest" else ()
    session.run("python", "-m", "pytest", "-m", "not slow", *warned, *session.posargs)
