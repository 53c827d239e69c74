"""Formulas in TeX, as the pages have them, to MathML, which browsers show without a script."""

from __future__ import annotations

import html
import re

from math_core import LatexError, LatexToMathML

__all__ = ["FormulaError", "with_mathml"]

# What pymdownx.arithmatex, with `generic`, makes of `$...$` and `$$...$$`.
_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\(?P<open>[(\[])(?P<tex>.*?)\\[)\]]</(?P=tag)>'
    r"(?P<after>[.,;:)]*)",
    re.S,
)


class FormulaError(ValueError):
    """A formula that cannot be read."""


def with_mathml(page: str) -> str:
    """HTML whose formulas are MathML.

    Raises
    ------
    FormulaError : naming the formula.
    """
    converter = LatexToMathML()

    def convert(match: re.Match[str]) -> str:
        tex = html.unescape(match["tex"]).strip()
        display = match["open"] == "["
        # Space between rows, and numbers outside of an environment, are not known to it.
        plain = re.sub(r"\\\\\[[\w.]+\]", r"\\\\", tex)
        if r"\tag" in plain:
            plain = rf"\begin{{equation}}{plain}\end{{equation}}"
        try:
            formula = converter.convert_with_local_state(plain, displaystyle=display)
        except LatexError as error:
            # Its message is a drawing in colours, whose first line is the reason.
            reason = re.sub(r"\x1b\[[\d;]*m", "", str(error)).strip().splitlines()[0]
            raise FormulaError(f"{tex!r} cannot be shown: {reason}") from error
        if display:
            return f'<div class="formula">{formula}</div>{match["after"]}'
        # What follows stays on the formula's line.
        return f'<span class="formula">{formula}{match["after"]}</span>'

    return _FORMULA.sub(convert, page)
