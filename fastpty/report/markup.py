"""HTML from pieces, in which plain text is always escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

__all__ = ["Html", "element", "facts", "join", "table"]

_EMPTY = frozenset({"img", "input", "meta"})


class Html(str):
    """Text that is HTML already; every other text is escaped when it is put into an element."""

    __slots__ = ()


def join(pieces: Iterable[object]) -> Html:
    """Pieces one after the other."""
    return Html("".join(p if isinstance(p, Html) else html.escape(str(p)) for p in pieces))


def element(name: str, *content: object, **attributes: object) -> Html:
    """``<name attributes>content</name>``.

    Parameters
    ----------
    content : escaped, unless :class:`Html`.
    attributes : ``class_`` stands for ``class``, underscores for hyphens; True is an attribute
        without a value, None and False are none.
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        word = key.rstrip("_").replace("_", "-")
        words.append(word if value is True else f'{word}="{html.escape(str(value))}"')
    opened = f"<{' '.join(words)}>"
    return Html(opened if name in _EMPTY else f"{opened}{join(content)}</{name}>")


def table(
    head: Sequence[object], rows: Iterable[Sequence[object]], *, numbers: bool = False
) -> Html:
    """A table whose first column names the rows.

    Parameters
    ----------
    numbers : all columns but the first hold numbers, and are set flush right.
    """
    titles = element("tr", join(element("th", cell, scope="col") for cell in head))
    body = join(
        element(
            "tr",
            element("th", first, scope="row"),
            join(element("td", cell) for cell in rest),
        )
        for first, *rest in rows
    )
    drawn = element(
        "table",
        element("thead", titles),
        element("tbody", body),
        class_="numbers" if numbers else None,
    )
    return element("div", drawn, class_="scroll")


def facts(pairs: Iterable[tuple[object, object]], class_: str = "facts") -> Html:
    """Names and what they stand for."""
    return element(
        "dl",
        join(element("div", element("dt", name), element("dd", value)) for name, value in pairs),
        class_=class_,
    )
