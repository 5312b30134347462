"""Corrupted runs are refused in words, or give the numbers of the clean run: never others."""

import collections
import shutil
from functools import partial

import numpy as np
import pytest

from tests.robustness.children import in_a_child
from tests.robustness.corruption import MARKER, corrupt
from tests.robustness.examine import COMMANDS, against, differences, examine, make_runs

CORRUPTIONS = 1000
#: So many of them are tried by one test.
BLOCK = 50
#: Those that the ordinary tests try.
FEW = 8
SEED = 20131220
BLAMED = ("fault", "changed", "hang", "code run")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    make_runs(folder)
    return folder


@pytest.fixture(scope="module")
def clean(base):
    found = {name: examine(base, name, None) for name in COMMANDS}
    for name, outcomes in found.items():
        for kind, (status, _) in outcomes.items():
            assert status == "done", (name, kind, outcomes[kind])
    return found


@pytest.fixture(scope="module")
def _the_same_again(base, clean):
    for name, outcomes in clean.items():
        again = examine(base, name, None)
        for kind, outcome in outcomes.items():
            assert against(outcome, again[kind]) in ("same", "refused"), (name, kind)


def spoil(base, seed, folder):
    rng = np.random.default_rng([SEED, seed])
    other = {"whole": "other", "part": "other-part"}[which(seed)]
    return corrupt(folder, base / other, rng)


def which(seed):
    """Three of ten corruptions are of an unfinished run."""
    return "part" if seed % 10 in (2, 5, 8) else "whole"


def examine_spoilt(base, seed):
    found = examine(base, which(seed), partial(spoil, base, seed))
    if any(base.glob(f"copy-*/**/{MARKER}")):
        found["code"] = ("code run", "")
    return found


def description(base, seed, scratch):
    folder = scratch / "described"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base / which(seed), folder)
    return spoil(base, seed, folder)


def judge(base, clean, seed, found, scratch):
    """Outcomes by command, and a line for each that is not one of the two that may be."""
    said = f"corruption {seed}, {which(seed)} run, {description(base, seed, scratch)}"
    if isinstance(found, str):
        return {"all": "hang"}, [f"{said}: {found}"]
    outcomes, blamed = {}, []
    for kind, outcome in found.items():
        expected = clean[which(seed)].get(kind)
        outcomes[kind] = outcome[0] if expected is None else against(expected, outcome)
        if outcomes[kind] == "changed" and is_without_a_part(base, seed, kind, outcome, scratch):
            outcomes[kind] = "without"
        if outcomes[kind] in BLAMED:
            detail = outcome[1]
            if outcomes[kind] == "changed":
                detail = differences(expected[1], outcome[1])
            blamed.append(f"{said}, {kind}: {outcomes[kind]}: {detail}")
    return outcomes, blamed


def is_without_a_part(base, seed, kind, outcome, scratch):
    """Whether a run is told as one that never had a result which is now no file."""
    folder = scratch / "described"
    gone = [
        name
        for name in ("gap.nc", "evidence-quadrature.nc")
        if (base / which(seed) / name).is_file() and not (folder / name).is_file()
    ]
    if not gone:
        return False
    never = examine(base, which(seed), lambda run: [(run / name).unlink() for name in gone])
    return against(never[kind], outcome) in ("same", "refused")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FEW))
def test_a_few_corruptions(base, clean, seed, tmp_path):
    if "a_pipe" in description(base, seed, tmp_path):
        pytest.skip("opening a pipe can hang, which is for a child")
    _, blamed = judge(base, clean, seed, examine_spoilt(base, seed), tmp_path)
    assert not blamed


@pytest.mark.slow
@pytest.mark.usefixtures("_the_same_again")
@pytest.mark.parametrize("first", range(0, CORRUPTIONS, BLOCK))
def test_corruptions(base, clean, first, tmp_path):
    counts, blamed = collections.Counter(), []
    for seed in range(first, first + BLOCK):
        found = in_a_child(examine_spoilt, base, seed, seconds=90)
        outcomes, lines = judge(base, clean, seed, found, tmp_path)
        counts.update(outcomes.items())
        blamed += lines
    print(f"corruptions {first} to {first + BLOCK - 1}:", dict(counts))
    assert not blamed, "\n".join(blamed)
