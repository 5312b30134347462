"""A file system of 3 MB that fills at many points: a sentence, and the same bits after."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

#: Free room in KiB when the command begins, always less than it takes.
POINTS = {
    "fit": (0, 4, 12, 100, 200, 400, 600, 700, 900, 1000),
    "evaluate": (0, 4, 8, 12, 16, 20, 24),
}
#: A mount of one's own: as root, and as anybody where the system allows it.
OWN_MOUNT = ("unshare", "--user", "--map-root-user", "--mount", "--fork")


def why_not():
    if shutil.which("unshare") is None:
        return "there is no command unshare"
    mount = 'mount -t tmpfs -o size=3m tmpfs "$(mktemp -d)"'
    tried = subprocess.run([*OWN_MOUNT, "sh", "-c", mount], capture_output=True, text=True)
    return tried.stderr.strip() if tried.returncode else ""


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_point(tmp_path):
    if reason := why_not():
        pytest.skip(f"no file system can be mounted here: {reason}")
    ended = subprocess.run(
        [*OWN_MOUNT, sys.executable, "-m", "tests.robustness.full_disk", tmp_path],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    print(ended.stdout)
    assert ended.returncode == 0, ended.stderr
