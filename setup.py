"""The README as an index of packages shows it; everything else is in ``pyproject.toml``.

A page of an index is not in the repository: a link to one of its files is written out with the
address of ``[project.urls] Repository``, and where there is none only its text is kept.
"""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+://|#)([^)]+)\)")


def for_an_index(text: str, repository: str | None) -> str:
    """Links that lead somewhere from a page outside the repository."""

    def written(link: re.Match[str]) -> str:
        picture, label, target = link.groups()
        if repository:
            return f"{picture}[{label}]({repository.rstrip('/')}/{_kind(picture)}/HEAD/{target})"
        return "" if picture else label

    return LINK.sub(written, text)


def _kind(picture: str) -> str:
    return "raw" if picture else "blob"


if __name__ == "__main__":
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"].get("urls", {})
    setup(
        long_description=for_an_index(
            (ROOT / "README.md").read_text(encoding="utf-8"), urls.get("Repository")
        ),
        long_description_content_type="text/markdown",
    )
