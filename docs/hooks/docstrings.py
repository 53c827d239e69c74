"""The code's docstrings as Markdown, for mkdocstrings.

They have sections as numpy's do, with ``name : what it is`` in one line since types stand in the
signature; roles such as ``:func:`name```; and blocks after ``::``, as in reStructuredText.
"""

from __future__ import annotations

import ast
import importlib.util
import logging
import re
import textwrap
from collections.abc import Callable, Iterator

import griffe

__all__ = ["Docstrings", "as_markdown"]

_log = logging.getLogger("mkdocs.hooks.docstrings")

_SECTIONS = (
    "Parameters",
    "Attributes",
    "Returns",
    "Yields",
    "Raises",
    "Warns",
    "Notes",
    "Examples",
)
_ROLE = re.compile(r":(?:func|class|meth|mod|attr|data|exc):`~?([\w.]+)`")
_ITEM = re.compile(r"(\S.*?)\s:(?:\s+(.*))?$")
_CODE = re.compile(r"(``.+?``|`.+?`)", re.S)

#: The link that a role becomes: of a name to the path of what it means, if that is ours.
Resolve = Callable[[str], "str | None"]


class Docstrings(griffe.Extension):
    """Rewrites every docstring of a package once it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_: object) -> None:
        """Rewrite the docstrings of a package and of all that it holds."""
        for found in _all(pkg):
            if found.docstring is None:
                continue

            def resolve(name: str, found: griffe.Object = found) -> str | None:
                path = _resolved(name, found, pkg)
                if path is None and importlib.util.find_spec(name.partition(".")[0]) is None:
                    _log.warning("%s names %s, which does not exist", found.path, name)
                return path

            found.docstring.value = as_markdown(found.docstring.value, resolve)


def _all(found: griffe.Object) -> Iterator[griffe.Object]:
    yield found
    for member in found.members.values():
        if isinstance(member, griffe.Object):
            yield from _all(member)


def _resolved(name: str, found: griffe.Object, package: griffe.Module) -> str | None:
    """The full path of what a role in the docstring of ``found`` names."""
    if name == package.name:
        return name
    if name.startswith(f"{package.name}."):
        return _path_in(package, name.removeprefix(f"{package.name}."))
    scope: griffe.Object | None = found
    while scope is not None:
        path = _path_in(scope, name)
        if path is not None:
            return path
        scope = scope.parent
    return None


def _path_in(scope: griffe.Object, name: str) -> str | None:
    """The full path of a name in ``scope``; of a function, where its module is of that name too."""
    try:
        meant = scope[name]
    except (KeyError, griffe.GriffeError):
        return None
    last = name.rpartition(".")[2]
    if isinstance(meant, griffe.Module) and last in meant.members:
        meant = meant[last]
    return str(meant.path)


def as_markdown(text: str, resolve: Resolve) -> str:
    """A docstring as Markdown."""
    lines = text.expandtabs().splitlines()
    out: list[str] = []
    i = 0
    while i < len(lines):
        title = lines[i].strip()
        if title in _SECTIONS and set("".join(lines[i + 1 : i + 2])) == {"-"}:
            out += ["", f"**{title}**", ""]
            i = _items(lines, i + 2, out)
        elif title.endswith("::"):
            i = _block(lines, i, out)
        else:
            out.append(lines[i])
            i += 1
    return _inline("\n".join(out), resolve)


def _items(lines: list[str], i: int, out: list[str]) -> int:
    """Add the items of a section as a list; return the line where the section ends."""
    while i < len(lines):
        line = lines[i]
        if line.strip() and not line.startswith(" "):
            item = _ITEM.match(line)
            if item is None:
                break
            names = ", ".join(f"`{name.strip()}`" for name in item[1].split(","))
            line = f"-   {names}: {item[2] or ''}"
        out.append(line)
        i += 1
    return i


def _block(lines: list[str], i: int, out: list[str]) -> int:
    """Add a line that ends with ``::`` and the block below it; return the line after them."""
    introduction = lines[i].rstrip()
    margin = " " * _indent(introduction)
    end = i + 1
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > len(margin)):
        end += 1
    code = textwrap.dedent("\n".join(lines[i + 1 : end])).strip("\n").splitlines()
    fenced = [f"```{_language(code)}", *code, "```"]
    out += [introduction[:-1], "", *(margin + line for line in fenced), ""]
    return end


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _language(code: list[str]) -> str:
    """Formulas have the form of a code block too."""
    try:
        ast.parse("\n".join(code))
    except SyntaxError:
        return "text"
    return "python"


def _inline(text: str, resolve: Resolve) -> str:
    """Roles as links, and characters that Markdown would take for its own as they are."""

    def link(match: re.Match[str]) -> str:
        name = match[1]
        path = resolve(name)
        shown = f"<code>{name}</code>"
        if path is None:
            return shown
        return f'<autoref identifier="{path}" optional>{shown}</autoref>'

    pieces = re.split(r"(^[ ]*```.*?^[ ]*```$)", text, flags=re.M | re.S)
    for i in range(0, len(pieces), 2):
        parts = _CODE.split(_ROLE.sub(lambda m: f"\0{m[1]}\0", pieces[i]))
        for j in range(0, len(parts), 2):
            plain = re.sub(r"(?<![\\*])\*(?!\*)|(?<!\w)_(?=\w)", lambda m: f"\\{m[0]}", parts[j])
            parts[j] = plain.replace("<", "&lt;")
        pieces[i] = re.sub("\0(.*?)\0", link, "".join(parts))
    return "".join(pieces)
