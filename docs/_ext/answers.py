"""Answers that open when asked: an admonition of class ``dropdown`` folds, without a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def fold(app: Sphinx, tree: nodes.document) -> None:
    """Mark what Sphinx then writes as the elements ``details`` and ``summary``."""
    for node in tree.findall(nodes.Admonition):
        if "dropdown" in node.get("classes", []):
            node["collapsible"] = "closed"


def setup(app: Sphinx) -> dict[str, Any]:
    """Fold when a page has been read."""
    app.connect("doctree-read", fold)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
