"""Which cases of a parametrised test are tried each time; the others are slow."""

import pytest


def a_few_always(names, cases, always=1, *, ids=None):
    """Parametrise a test with every case, most of them slow.

    Parameters
    ----------
    names, cases, ids
        What ``pytest.mark.parametrize`` takes.
    always
        The first so many of the cases, or a list of those that are tried each time.
    """
    cases = list(cases)
    kept = cases[:always] if isinstance(always, int) else always
    unknown = [case for case in kept if case not in cases]
    if unknown or not kept:
        raise ValueError(f"always got {always}: {unknown} are no cases; name some of {cases}.")
    several = not isinstance(names, str) or "," in names
    return pytest.mark.parametrize(
        names, [case if case in kept else slow(case, several) for case in cases], ids=ids
    )


def slow(case, several):
    """The case, of one value or of several, run by ``make test-slow`` alone."""
    values = case if several else (case,)
    return pytest.param(*values, marks=pytest.mark.slow)
