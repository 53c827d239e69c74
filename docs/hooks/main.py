"""What the documentation site has beyond the pages in ``docs/``: mkdocs calls these functions.

Pages from elsewhere in the repository, notebooks, pages that are written from the code, formulas as
MathML.
"""

from __future__ import annotations

import logging
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from cli_page import cli_page
from config_page import config_page
from formulas import FormulaError, with_mathml
from mkdocs.structure.files import File, Files, InclusionLevel
from notebook_page import notebook_page
from source_links import PAGES, file_page, linked_files, page_of, relink

from fastpty.cli import app
from fastpty.config import ReconConfig
from fastpty.simulate import SimulateConfig

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

# A warning under mkdocs' own logger fails a strict build.
_log = logging.getLogger("mkdocs.hooks.fastpty")

_ROOT = Path(__file__).resolve().parents[2]
_SOURCES = {page: source for source, page in PAGES.items()}

_RECON = """\
Every field of what `fastpty recon` reads, written from the code. `fastpty init` writes a config
with all of them for a data file, and `--set optimise.phase.lr=1e-3` sets one by its dotted name.
Lengths are in Ångström, with `units: pixel` in pixels of the object."""

_SIMULATE = """\
Every field of what `fastpty simulate` reads, written from the code;
[simulation](simulation.md) says how to use them. Lengths are in Ångström."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in ``docs/``."""
    pages: dict[str, str | bytes] = {}
    for source, page in PAGES.items():
        path = _ROOT / source
        if path.suffix == ".ipynb":
            pages[page], pictures = notebook_page(path)
            folder = posixpath.dirname(page)
            pages |= {f"{folder}/{name}": content for name, content in pictures.items()}
        else:
            pages[page] = path.read_text(encoding="utf-8")
    pages["config.md"] = config_page(ReconConfig, "Config fields", _RECON)
    pages["config-simulate.md"] = config_page(SimulateConfig, "Config of a simulation", _SIMULATE)
    pages["cli.md"] = cli_page(app, "fastpty")
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    for source in sorted(linked_files(_ROOT)):
        files.append(
            File.generated(
                config,
                page_of(source),
                content=file_page(source, _ROOT),
                inclusion=InclusionLevel.NOT_IN_NAV,
            )
        )
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links to files of the repository links to pages of the site."""
    name = page.file.src_uri
    return relink(markdown, _SOURCES.get(name, f"docs/{name}"), _ROOT)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn formulas into MathML."""
    try:
        return with_mathml(html)
    except FormulaError as error:
        _log.warning("%s: the formula %s", page.file.src_uri, error)
        return html
