"""Who may import whom: rooms, the wings of inference, files; and what no module may be called.

Imports for type checkers alone are arrows too.
"""

import ast
import graphlib
import re
import sys
from pathlib import Path

import pytest

import pyro_vae

ROOT = Path(pyro_vae.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
#: A function fits on a screen: lines of its body, at most.
LONGEST_BODY = 60

#: What each room, a folder or a file at the root of the package, may import.
MAY_IMPORT = {
    "errors": set(),
    "formulas": set(),
    "isolation": {"on_demand"},
    "marginals": {"errors", "protocols"},
    "on_demand": {"errors"},
    "recording": {"isolation"},
    "settings": {"errors"},
    "plots": {"on_demand"},
    "progress": {"on_demand"},
    # What may be offered is said on the ground, where whoever asks can see it.
    "protocols": set(),
    "spelling": {"errors"},
    "workers": {"errors", "on_demand", "progress"},
    "verbs": {"isolation", "progress", "settings"},
    # What a person holds is made into tensors at one door, by whatever is given it.
    "conversion": {"errors", "protocols"},
    "disk": {"errors", "spelling"},
    "data": {"conversion", "disk", "errors", "isolation", "on_demand", "spelling", "verbs"},
    "networks": {"disk", "errors", "on_demand", "protocols"},
    "models": {
        "conversion",
        "disk",
        "errors",
        "formulas",
        "isolation",
        "marginals",
        "networks",
        "on_demand",
        "protocols",
        "recording",
        "settings",
        "spelling",
    },
    # What was written elsewhere, as pairs: of the package's models they know nothing.
    "pairs": {"conversion", "errors", "isolation", "networks", "on_demand", "recording"},
    # Never a concrete model: inference serves any pair.
    "inference": {
        "conversion",
        "data",
        "disk",
        "errors",
        "formulas",
        "isolation",
        "marginals",
        "on_demand",
        "progress",
        "protocols",
        "recording",
        "settings",
        "spelling",
        "verbs",
        "workers",
    },
    "explaining": {
        "conversion",
        "errors",
        "inference",
        "isolation",
        "models",
        "on_demand",
        "protocols",
        "verbs",
    },
    "pictures": {
        "conversion",
        "data",
        "errors",
        "inference",
        "isolation",
        "models",
        "protocols",
    },
    "stored": {
        "conversion",
        "data",
        "disk",
        "errors",
        "inference",
        "marginals",
        "models",
        "protocols",
        "spelling",
        "verbs",
    },
    "lecture": {
        "data",
        "disk",
        "errors",
        "inference",
        "isolation",
        "models",
        "networks",
        "plots",
        "progress",
    },
    "pages": {"disk", "explaining"},
    # Inside it, `import sklearn` is the library: imports are written from the package's root.
    "sklearn": {
        "data",
        "errors",
        "inference",
        "isolation",
        "models",
        "networks",
        "on_demand",
        "settings",
    },
    "figures": {
        "data",
        "disk",
        "errors",
        "explaining",
        "formulas",
        "inference",
        "isolation",
        "models",
        "pictures",
        "plots",
        "protocols",
        "stored",
    },
    "tour": {
        "data",
        "disk",
        "errors",
        "inference",
        "models",
        "pictures",
        "plots",
        "protocols",
        "stored",
    },
    "cards": {"disk", "errors", "inference", "pages", "plots", "stored"},
    "referee": {
        "cards",
        "conversion",
        "data",
        "disk",
        "errors",
        "inference",
        "isolation",
        "models",
        "pages",
        "pairs",
        "plots",
        "progress",
        "protocols",
        "settings",
        "stored",
        "verbs",
    },
    "user_files": {
        "errors",
        "inference",
        "isolation",
        "marginals",
        "models",
        "pairs",
        "protocols",
    },
    "reproduction": {
        "cards",
        "data",
        "disk",
        "errors",
        "inference",
        "models",
        "networks",
        "plots",
        "progress",
        "spelling",
        "stored",
        "verbs",
    },
    "cli": {
        "cards",
        "data",
        "disk",
        "errors",
        "explaining",
        "figures",
        "formulas",
        "inference",
        "lecture",
        "models",
        "networks",
        "on_demand",
        "pages",
        "pictures",
        "plots",
        "progress",
        "protocols",
        "referee",
        "reproduction",
        "settings",
        "spelling",
        "stored",
        "tour",
        "user_files",
        "workers",
    },
}

#: Each wing of inference imports only those before it.
WINGS = ("engine", "training", "evidence", "checking", "latents")

#: What the engine rests on.
BELOW_THE_ENGINE = {"numpy", "pyro", "torch"}

#: Parts of models that are swapped for each other: none knows of another kind, or of a model.
PARTS = ("guides", "likelihoods", "mechanisms", "priors")
BELOW_THE_PARTS = {
    "autoregressive",
    "cholesky",
    "component",
    "densities",
    "log_gamma",
    "softplus",
}


def name_of(path):
    names = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


MODULES = {name_of(path): path for path in FILES}


def imported(path):
    """Names of the modules that a file imports, of other packages too, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written from the package's root"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


ARROWS = {
    name: {found for found in imported(path) if found.split(".")[0] == "pyro_vae"}
    for name, path in MODULES.items()
}


def rooms(folder):
    """Arrows between what lies in a folder of the package: by name, the names it imports."""
    found = {}
    for name, arrows in ARROWS.items():
        if not name.startswith(f"{folder}."):
            continue
        room = name.removeprefix(f"{folder}.").split(".")[0]
        inside = {a.removeprefix(folder).split(".", 2)[1] for a in arrows if f"{folder}." in a}
        found.setdefault(room, set()).update(inside - {room})
        # A folder's __init__ is its face, for those outside of it.
        assert folder not in arrows, f"{name} imports {folder} itself, in which it lies"
    return found


def test_every_room_imports_what_lies_below_it():
    found = rooms("pyro_vae")
    assert found.pop("__main__") == {"cli"}
    assert found.keys() == MAY_IMPORT.keys()
    above = {room: found[room] - MAY_IMPORT[room] for room in found}
    assert {room: names for room, names in above.items() if names} == {}


def test_rooms_are_on_floors():
    graphlib.TopologicalSorter(MAY_IMPORT).prepare()


def test_every_wing_imports_those_before_it():
    found = rooms("pyro_vae.inference")
    assert found.keys() == set(WINGS)
    for place, wing in enumerate(WINGS):
        assert found[wing] <= set(WINGS[:place]), wing


def test_the_engine_rests_on_pyro_alone():
    for name, path in MODULES.items():
        if name.startswith("pyro_vae.inference.engine"):
            others = {found.split(".")[0] for found in imported(path)}
            others -= {"pyro_vae", *sys.stdlib_module_names}
            assert others <= BELOW_THE_ENGINE, name


def test_parts_know_no_other_kind_of_part():
    found = rooms("pyro_vae.models")
    for part in PARTS:
        assert found[part] <= BELOW_THE_PARTS, part


def test_no_file_is_in_a_circle():
    graphlib.TopologicalSorter(ARROWS).prepare()


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in FILES}), ids=lambda p: name_of(p / "__init__.py")
)
def test_a_room_says_what_is_in_it(folder):
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


def body_lines(function):
    """Lines of a function's body, from its first statement after the docstring to its last."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_functions_fit_on_a_screen(path):
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions)]
    too_long = {node.name: lines for node in nodes if (lines := body_lines(node)) > LONGEST_BODY}
    assert not too_long


def test_keywords_that_are_handed_on_have_names():
    """Otherwise: `Unpack` of a `TypedDict`, `ParamSpec`, or the keywords themselves."""
    found = {
        (name.removeprefix("pyro_vae."), node.name)
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.args.kwarg is not None
        if node.args.kwarg.annotation is None or ast.unparse(node.args.kwarg.annotation) == "Any"
    }
    overridden = {("models.latent_variable_model", name) for name in ("model", "guide")}
    # Each says why in a comment.
    assert found == {*overridden, ("cli.app", "__init__")}


def test_no_drawer_for_odds_and_ends():
    names = {part for name in MODULES for part in name.split(".")}
    assert not names & {"utils", "helpers", "common", "misc", "util"}


def test_links_at_the_root_of_the_repository():
    for name in ("models", "inference"):
        link = ROOT.parent / name
        if not link.is_symlink():
            pytest.skip("not a checkout")
        assert link.resolve() == (ROOT / name).resolve()


def test_a_contributor_is_told_of_every_room_and_sent_to_files_that_are_there():
    page = ROOT.parent / "CONTRIBUTING.md"
    if not page.is_file():
        pytest.skip("not a checkout")
    text = page.read_text()
    for room in [*MAY_IMPORT, *WINGS]:
        assert re.search(rf"`{room}(/|\.py)?`", text), room
    for named in re.findall(r"`((?:pyro_vae|tests|docs|examples|benchmarks)/[\w./-]+)`", text):
        assert (ROOT.parent / named).exists(), named
