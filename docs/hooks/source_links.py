"""Links between files of the repository, as links between pages of the site.

On GitHub a link is relative to the file that holds it, and may lead anywhere in the repository. The
site has the pages in ``docs/`` at the same places, some others under a name of their own, and shows
any other file that is linked on a page in ``files/``.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from markdown_text import outside_code

__all__ = ["PAGES", "file_page", "linked_files", "page_of", "relink"]

#: Pages of the site whose source is not a page in docs/.
PAGES = {
    "docs/tutorials/python.ipynb": "tutorials/python.md",
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "ARCHITECTURE.md": "architecture.md",
    "bench/README.md": "benchmarks.md",
}

_LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
# A search finds what explains a word before the files that use it.
_NOT_SEARCHED = "---\nsearch:\n  exclude: true\n---\n"
_LANGUAGES = {".yaml": "yaml", ".py": "python", ".toml": "toml", ".sh": "sh"}


def page_of(source: str) -> str:
    """The page of the site, relative to its root, that shows a file of the repository."""
    if source in PAGES:
        return PAGES[source]
    return source.removeprefix("docs/") if source.startswith("docs/") else f"files/{source}.md"


def relink(text: str, source: str, root: Path) -> str:
    """The text of the file ``source`` with its links to other files as the site has them.

    What does not exist is left as it is, for mkdocs to complain about.
    """
    here = posixpath.dirname(page_of(source))

    def replaced(match: re.Match[str]) -> str:
        target = _target(match[2], source, root)
        if target is None:
            return match[0]
        return f"{match[1]}{posixpath.relpath(page_of(target), here or '.')}{match[3]}"

    pieces = outside_code(text)
    pieces[::2] = [_LINK.sub(replaced, piece) for piece in pieces[::2]]
    return "".join(pieces)


def linked_files(root: Path) -> set[str]:
    """The files outside ``docs/`` that pages of the site link to, those in ``PAGES`` left out."""
    found = set()
    for source in [*PAGES, *(p.relative_to(root).as_posix() for p in root.glob("docs/**/*.md"))]:
        for piece in outside_code((root / source).read_text(encoding="utf-8"))[::2]:
            targets = (_target(match[2], source, root) for match in _LINK.finditer(piece))
            found |= {t for t in targets if t and t not in PAGES and not t.startswith("docs/")}
    return found


def file_page(source: str, root: Path) -> str:
    """Markdown that shows a file of the repository."""
    path = root / source
    language = _LANGUAGES.get(path.suffix, "text")
    content = path.read_text(encoding="utf-8")
    return f"{_NOT_SEARCHED}# {source}\n\n````{language}\n{content}\n````\n"


def _target(link: str, source: str, root: Path) -> str | None:
    """The file of the repository that a link in ``source`` leads to, if there is one."""
    if re.match(r"[a-z]+:", link):
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    return target if (root / target).is_file() else None
