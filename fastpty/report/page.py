"""The page: its sections in order, and what is around them."""

from __future__ import annotations

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

__all__ = ["render"]

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


def render(source: Source) -> str:
    """The whole document."""
    found = [(anchor, title, fill(source)) for anchor, title, fill in _SECTIONS]
    filled = [(anchor, title, body) for anchor, title, body in found if body]
    links = join(
        element("li", element("a", title, href=f"#{anchor}")) for anchor, title, _ in filled
    )
    sections = join(
        element("section", element("h2", title), body, id=anchor) for anchor, title, body in filled
    )
    return Template(_file("page.html")).substitute(
        title=element("title", f"{source.title}: fastpty report"),
        style=element("style", Html(_file("page.css"))),
        script=element("script", Html(_file("page.js"))),
        header=header(source),
        contents=element("nav", element("ol", links), aria_label="Contents"),
        sections=sections,
    )


def _file(name: str) -> str:
    return resources.files("fastpty.report").joinpath(name).read_text("utf-8")
