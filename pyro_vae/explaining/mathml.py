r"""The LaTeX of the derivation as MathML, which browsers draw without a script or a network.

Not LaTeX at large: letters, digits, operators, sub- and superscripts, ``\frac`` and the commands
below. Anything else is refused, so that no formula is drawn wrong.
"""

from __future__ import annotations

import re
from html import escape

__all__ = ["mathml"]

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[0-9]+(?:\.[0-9]+)?|\S|\s+")

_OPERATORS = {
    r"\mid": "|",
    r"\|": "∥",
    r"\geq": "≥",
    r"\neq": "≠",
    r"\int": "∫",
    r"\sum": "∑",
    r"\approx": "≈",
    r"\pm": "±",
}
_WORDS = {r"\log": "log", r"\theta": "θ"}
_SPACES = {r"\,": "0.17em", r"\;": "0.28em"}
_VARIANTS = {r"\mathbb": {"E": "𝔼"}, r"\mathcal": {"L": "ℒ"}}
_ESCAPED = {rf"\{character}": character for character in "_#$%&{}"}


def mathml(latex: str, *, block: bool = True) -> str:
    """A formula as one ``<math>`` element, its LaTeX kept as the annotation.

    Parameters
    ----------
    latex
        The formula, without dollar signs.
    block
        On a line of its own, rather than in the text.

    Raises
    ------
    ValueError
        If there is a command that is not known here, or a brace without its partner.
    """
    parser = _Parser(latex)
    body = parser.row(None)
    display = "block" if block else "inline"
    note = f'<annotation encoding="application/x-tex">{escape(latex)}</annotation>'
    return f'<math display="{display}"><semantics><mrow>{body}</mrow>{note}</semantics></math>'


class _Parser:
    def __init__(self, latex: str) -> None:
        self.latex = latex
        self.tokens = [token for token in _TOKEN.findall(latex) if not token.isspace()]
        self.position = 0

    def row(self, end: str | None) -> str:
        """Elements up to the closing token, or to the end of the formula."""
        parts: list[str] = []
        while self._peek() != end:
            if self._peek() is None:
                raise ValueError(f"latex {self.latex!r} lacks {end!r}")
            parts.append(self._scripted())
        if end is not None:
            self.position += 1
        return "".join(parts)

    def _peek(self) -> str | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def _next(self) -> str:
        token = self._peek()
        if token is None:
            raise ValueError(f"latex {self.latex!r} ends too soon")
        self.position += 1
        return token

    def _scripted(self) -> str:
        """An element with what stands below and above it."""
        base = self._element()
        below = above = ""
        while self._peek() in ("_", "^"):
            if self._next() == "_":
                below = self._element()
            else:
                above = self._element()
        if below and above:
            return f"<msubsup>{base}{below}{above}</msubsup>"
        if below:
            return f"<msub>{base}{below}</msub>"
        return f"<msup>{base}{above}</msup>" if above else base

    def _element(self) -> str:
        token = self._next()
        if token == "{":
            return f"<mrow>{self.row('}')}</mrow>"
        if token == r"\frac":
            return f"<mfrac>{self._element()}{self._element()}</mfrac>"
        if token == r"\mathrm":
            return f'<mi mathvariant="normal">{escape(self._letters())}</mi>'
        if token in _VARIANTS:
            letters = self._letters()
            return f"<mi>{''.join(_VARIANTS[token].get(c, c) for c in letters)}</mi>"
        if token in (r"\left", r"\right"):
            return f'<mo stretchy="true">{escape(self._next())}</mo>'
        return self._symbol(token)

    def _symbol(self, token: str) -> str:
        if token in _WORDS:
            space = '<mspace width="0.17em"/>' if token == r"\log" else ""
            return f"<mi>{_WORDS[token]}</mi>{space}"
        if token in _SPACES:
            return f'<mspace width="{_SPACES[token]}"/>'
        if token in _OPERATORS:
            return f"<mo>{_OPERATORS[token]}</mo>"
        if token in _ESCAPED:
            return f"<mi>{escape(_ESCAPED[token])}</mi>"
        if token.startswith("\\") or token == "}":
            raise ValueError(f"latex {self.latex!r} has {token!r}, which is not known here")
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token.isalpha():
            return f"<mi>{token}</mi>"
        sign = {"-": "−", "*": "∗"}.get(token, escape(token))
        stretch = ' stretchy="false"' if token in "()[]|" else ""
        return f"<mo{stretch}>{sign}</mo>"

    def _letters(self) -> str:
        r"""The argument of ``\mathrm`` as text, its escaped characters themselves."""
        if self._next() != "{":
            raise ValueError(f"latex {self.latex!r}: a font command needs braces")
        text = ""
        while (token := self._next()) != "}":
            text += _ESCAPED.get(token, token)
        return text
