"""What goes to the browser: the page, and what is new in it."""

from __future__ import annotations

import json
from importlib import resources

from fastpty.report.markup import element, join
from fastpty.report.page import contents, document
from fastpty.watch.live import View

__all__ = ["live_page", "update"]


def live_page(view: View, policy: str, nonce: str) -> str:
    """The whole page; its script asks for what is new from then on."""
    pulse = element(
        "p",
        view.note,
        id="pulse",
        role="status",
        data_version=view.version,
        data_note=view.note,
        data_written=view.written,
        data_patience=view.patience,
    )
    return document(
        view.title,
        join([pulse, view.head]),
        view.sections,
        policy=policy,
        style=_file("live.css"),
        script=_file("live.js"),
        nonce=nonce,
    )


def update(view: View) -> str:
    """The same as JSON, which the script puts in place of what is on the page."""
    return json.dumps(
        {
            "version": view.version,
            "title": view.title,
            "note": view.note,
            "header": view.head,
            "contents": contents(view.sections),
            "sections": view.sections,
            "written": view.written,
            "patience": view.patience,
        }
    )


def _file(name: str) -> str:
    return resources.files("fastpty.watch").joinpath(name).read_text("utf-8")
