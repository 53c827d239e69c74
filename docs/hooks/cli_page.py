"""The page that lists every command with its arguments and options, written from typer's app."""

from __future__ import annotations

from typing import Any

import typer
from markdown_text import cell, table

__all__ = ["cli_page"]


def cli_page(app: typer.Typer, name: str) -> str:
    """Markdown: for each command a heading, what it does, its usage, and a table of what it takes.

    It is the text of ``--help``, asked of each parameter, whose order is the code's.
    """
    group: Any = typer.main.get_command(app)
    lines = [
        "# Commands",
        "",
        f"`{name} COMMAND --help` prints the same. Errors in the input exit with code 2, "
        "a run that Ctrl-C has stopped and saved with code 130.",
    ]
    for command_name, command in group.commands.items():
        context = command.make_context(f"{name} {command_name}", [], resilient_parsing=True)
        usage = " ".join(command.get_usage(context).split()).removeprefix("Usage: ")
        rows = []
        for parameter in command.params:
            record = parameter.get_help_record(context)
            if record is not None:
                names, text = record
                rows.append([f"`{names.replace('|', chr(92) + '|')}`", cell(text)])
        lines += ["", f"## {command_name}", "", command.help or "", ""]
        lines += ["```sh", usage, "```", ""]
        lines += table(["argument or option", ""], rows)
    return "\n".join(lines) + "\n"
