"""Every example runs as it stands, and the README's too."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_runs(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    assert "gap" in capsys.readouterr().out


def test_readme_example_prints_what_the_readme_says(capsys):
    """To the decimals printed: rounding of matrix products differs between machines."""
    text = (ROOT / "README.md").read_text()
    code, printed = re.search(r"```python\n(.*?)```\n+```text\n(.*?)```", text, re.DOTALL).groups()
    exec(compile(code, "README.md", "exec"), {})
    ours, theirs = capsys.readouterr().out.split(), printed.split()
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        if re.fullmatch(r"-?\d+\.\d+", other):
            assert float(one) == pytest.approx(float(other), rel=0.05, abs=0.05)
        else:
            assert one == other
