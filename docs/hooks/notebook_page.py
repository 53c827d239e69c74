"""A notebook, with the outputs that it was saved with, as a page."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["notebook_page"]


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """Markdown, and the pictures in it by the names that it has for them."""
    pieces: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            pieces.append(source)
            continue
        pieces.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{path.stem}_{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode(data["image/png"])
                pieces.append(f"![Figure {len(pictures)}]({name})")
            else:
                pieces.append(f"```text\n{_text(output, data).rstrip()}\n```")
    return "\n\n".join(pieces) + "\n", pictures


def _text(output: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    return "".join(output["text"] if output["output_type"] == "stream" else data["text/plain"])
