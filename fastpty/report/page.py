"""The page: its sections in order, and what is around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from string import Template

from fastpty.report.images import (
    fit_section,
    further_section,
    object_section,
    positions_section,
    probe_section,
    unknowns_section,
)
from fastpty.report.markup import Html, element, join
from fastpty.report.numbers import (
    config_section,
    data_section,
    header,
    preprocess_section,
    provenance_section,
    quality_section,
)
from fastpty.report.source import Source
from fastpty.report.stages import convergence_section, plan_section

__all__ = ["contents", "document", "render", "sections"]

_POLICY = "img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

# Name of the anchor, heading, what fills it; one that comes back empty is left out.
_SECTIONS = (
    ("object", "Object", object_section),
    ("data", "Data and calibration", data_section),
    ("preprocessing", "Preprocessing", preprocess_section),
    ("plan", "Plan", plan_section),
    ("convergence", "Convergence", convergence_section),
    ("probe", "Probe", probe_section),
    ("positions", "Positions", positions_section),
    ("unknowns", "Tilt, thickness and the like", unknowns_section),
    ("fit", "Fit to the patterns", fit_section),
    ("figures", "Further figures", further_section),
    ("quality", "Quality in numbers", quality_section),
    ("provenance", "Time and provenance", provenance_section),
    ("configuration", "Configuration", config_section),
)
_TITLES = {anchor: title for anchor, title, _ in _SECTIONS}


def render(source: Source) -> str:
    """The whole page of a run, to be kept as a file."""
    title = f"{source.title}: fastpty report"
    return document(title, header(source), sections(source))


def sections(source: Source) -> dict[str, Html]:
    """Every section by its anchor, in order, but those that have nothing to say."""
    found = {}
    for anchor, title, fill in _SECTIONS:
        if body := fill(source):
            found[anchor] = element("section", element("h2", title), body, id=anchor)
    return found


def contents(anchors: Iterable[str]) -> Html:
    """Links to the sections."""
    links = (
        element("li", element("a", _TITLES[anchor], href=f"#{anchor}"), id=f"to-{anchor}")
        for anchor in anchors
    )
    return element("nav", element("ol", join(links)), aria_label="Contents")


def document(
    title: str,
    head: Html,
    parts: Mapping[str, Html],
    *,
    policy: str = _POLICY,
    style: str = "",
    script: str = "",
    nonce: str | None = None,
) -> str:
    """A page of sections.

    Parameters
    ----------
    head : what stands above them.
    parts : as :func:`sections` returns them.
    policy : what the page may load, after "nothing" (Content Security Policy, level 3).
    style, script : more of them, after the page's own.
    nonce : of the script, where the policy asks for one.
    """
    return Template(_file("page.html")).substitute(
        policy=element(
            "meta",
            http_equiv="Content-Security-Policy",
            content=f"default-src 'none'; {policy}",
        ),
        title=element("title", title),
        style=element("style", Html(_file("page.css") + style)),
        script=element("script", Html(_file("page.js") + script), nonce=nonce),
        header=head,
        contents=contents(parts),
        sections=join(parts.values()),
    )


def _file(name: str) -> str:
    return resources.files("fastpty.report").joinpath(name).read_text("utf-8")
