"""Who may import whom, and what no module may be called."""

import ast
from pathlib import Path

import pytest

import pyro_vae

ROOT = Path(pyro_vae.__file__).parent
EVERYTHING = {
    "cli",
    "conversion",
    "data",
    "errors",
    "explaining",
    "explorer",
    "figures",
    "files",
    "formulas",
    "gallery",
    "held_out",
    "inference",
    "isolation",
    "latent_paths",
    "loading",
    "models",
    "networks",
    "on_demand",
    "plots",
    "plugins",
    "report",
    "schema",
    "sealed",
    "settings",
    "spelling",
    "tour",
    "verbs",
}
MAY_IMPORT = {
    "errors": set(),
    "formulas": set(),
    "latent_paths": {"errors"},
    "spelling": {"errors"},
    "plugins": {"errors"},
    "files": {"errors"},
    "isolation": {"on_demand"},
    "on_demand": set(),
    "schema": {"errors"},
    "sealed": {"errors", "files", "schema"},
    "settings": {"errors"},
    "verbs": {"isolation", "settings"},
    "networks": {"errors", "on_demand", "schema"},
    # What a person holds is made into tensors at one door, by whatever is given it.
    "conversion": {"errors"},
    "models": {
        "conversion",
        "errors",
        "formulas",
        "isolation",
        "networks",
        "on_demand",
        "schema",
        "settings",
        "spelling",
    },
    "data": {"conversion", "errors", "on_demand", "spelling", "verbs"},
    # Never a concrete model: inference serves any pair.
    "inference": {
        "conversion",
        "data",
        "errors",
        "files",
        "formulas",
        "isolation",
        "on_demand",
        "schema",
        "sealed",
        "spelling",
        "verbs",
    },
    "plots": {"errors", "on_demand"},
    "loading": {"data", "errors", "inference", "models", "verbs"},
    "held_out": {"data", "errors", "inference", "loading", "models", "sealed"},
    "explorer": {
        "data",
        "errors",
        "files",
        "inference",
        "isolation",
        "models",
        "networks",
        "plots",
    },
    # Its page saves figures as the report does; no other module of it looks up there.
    "explaining": {
        "conversion",
        "errors",
        "files",
        "inference",
        "models",
        "on_demand",
        "report",
        "verbs",
    },
    "figures": EVERYTHING - {"cli"},
    "gallery": EVERYTHING - {"cli"},
    "report": EVERYTHING - {"cli"},
    "tour": EVERYTHING - {"cli"},
    "cli": EVERYTHING,
}
FILES = sorted(ROOT.rglob("*.py"))
#: A function fits on a screen: lines of its body, at most.
LONGEST_BODY = 60


def imported_parts(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("pyro_vae."):
                yield name.split(".")[1]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows(path):
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if part in ("__init__", "__main__"):
        return
    assert set(imported_parts(path)) <= MAY_IMPORT[part] | {part}


def body_lines(function):
    """Lines of a function's body, from its first statement after the docstring to its last."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_functions_fit_on_a_screen(path):
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions)]
    too_long = {node.name: lines for node in nodes if (lines := body_lines(node)) > LONGEST_BODY}
    assert not too_long


def test_no_drawer_for_odds_and_ends():
    names = {part for path in FILES for part in (path.stem, *path.parts)}
    assert not names & {"utils", "helpers", "common", "misc", "util"}


def test_links_at_the_root_of_the_repository():
    for name in ("models", "inference"):
        link = ROOT.parent / name
        if not link.is_symlink():
            pytest.skip("not a checkout")
        assert link.resolve() == (ROOT / name).resolve()
