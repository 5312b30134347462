"""Formulas as MathML, which browsers draw themselves: no script, and no network.

docutils has the converter; Sphinx offers only scripts, which its pages fetch from elsewhere.
"""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

_LOGGER = logging.getLogger(__name__)

#: TeX reads \frac12 as one half, the converter as twelve over what follows.
_BARE_FRACTION = re.compile(r"\\([td]?frac)\s*(\d)\s*(\d)")


#: Brackets, before which the name of a function has no space.
_OPENING = ("(", "[", "{")
_BRACES = {"\u23de", "\u23df"}
#: Bar, hat and tilde over a letter, as the converter writes them.
_ACCENTS = {"\u02c9", "^", "\u02c6", "~", "\u02dc"}


def _spaced(mathml: str) -> str:
    """The formula as TeX would set it, in the five places where the converter does not.

    A thin space between the name of a function and its argument; what is written below a brace
    below it, not beside it; lines of aligned formulas in the large style of a displayed one; the
    index of an accented letter beside it, not below; the two bars of a divergence as tall as its
    letters, whatever else stands in the line.
    """
    named = re.sub(r"&(?!amp;|lt;|gt;)\w+;", lambda found: html.unescape(found[0]), mathml)
    ET.register_namespace("", "http://www.w3.org/1998/Math/MathML")
    root = ET.fromstring(named)
    space = "{http://www.w3.org/1998/Math/MathML}"
    for element in root.iter():
        children = list(element)
        if element.tag == f"{space}mtable" and "ams-align" in element.get("class", ""):
            element.set("displaystyle", "true")
        braced = children and any(part.text in _BRACES for part in children[0])
        if element.tag in (f"{space}msub", f"{space}msup") and braced:
            element.tag = f"{space}munder" if element.tag.endswith("sub") else f"{space}mover"
        if element.tag == f"{space}munderover" and children[2].text in _ACCENTS:
            letter, index, accent = children
            accented = ET.Element(f"{space}mover", accent="true")
            accented.extend((letter, accent))
            element.tag, element[:] = f"{space}msub", [accented, index]
        for bars in children[1:-1]:
            if bars.text == "\u2016" and "minsize" not in bars.attrib:
                bars.set("stretchy", "false")
        for place, child in enumerate(children[:-1]):
            if child.text == "\u2061" and children[place + 1].text not in _OPENING:
                child.tag, child.text = f"{space}mspace", None
                child.set("width", "0.17em")
    return ET.tostring(root, encoding="unicode", short_empty_elements=False)


def to_mathml(tex: str, node: nodes.Node, *, as_block: bool) -> str:
    """The formula as MathML; what cannot be converted is a warning, hence an error of the build.

    Parameters
    ----------
    tex
        Formula, in LaTeX.
    node
        Where it stands, for the warning.
    as_block
        Whether it is displayed on a line of its own.
    """
    source = _BARE_FRACTION.sub(r"\\\1{\2}{\3}", tex)
    if as_block and r"\\" in source and r"\begin" not in source:
        source = rf"\begin{{aligned}}{source}\end{{aligned}}"
    try:
        return _spaced(str(tex2mathml(source, as_block=as_block)))
    except MathError as error:
        _LOGGER.warning("formula %r: %s", tex, error, location=node)
        return str(nodes.unescape(tex))


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    """A formula within a line."""
    self.body.append(to_mathml(node.astext(), node, as_block=False))
    raise nodes.SkipNode


def visit_displaymath(self: HTML5Translator, node: nodes.math_block) -> None:
    """A formula on its own, with its number where it has a label."""
    self.body.append(self.starttag(node, "div", CLASS="math-block"))
    self.body.append(to_mathml(node.astext(), node, as_block=True))
    if node.get("number"):
        number = get_node_equation_number(self, node)
        self.body.append(f'<span class="eqno">({number})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
