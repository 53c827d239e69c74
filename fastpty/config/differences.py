"""Where two configs, as plain data, are not the same."""

from __future__ import annotations

from typing import Any

__all__ = ["differences"]


def differences(now: Any, then: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted field -> (value now, value then); items of lists of sections by their number.

    Parameters
    ----------
    prefix : goes before the fields, with its dot.
    """
    if isinstance(now, dict) and isinstance(then, dict):
        return {
            name: values
            for key in sorted(now.keys() | then.keys())
            for name, values in differences(now.get(key), then.get(key), f"{prefix}{key}.").items()
        }
    if _are_lists_of_sections(now, then):
        return {
            name: values
            for number, pair in enumerate(zip(now, then, strict=True))
            for name, values in differences(*pair, f"{prefix}{number}.").items()
        }
    return {} if now == then else {prefix.removesuffix("."): (now, then)}


def _are_lists_of_sections(now: Any, then: Any) -> bool:
    return (
        isinstance(now, list)
        and isinstance(then, list)
        and len(now) == len(then)
        and all(isinstance(item, dict) for item in [*now, *then])
    )
