"""How much of the host's memory this process may still take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["host_memory"]


def host_memory(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that are free, or can be freed without swapping, on this machine and in every control
    group that the process is in; None where the system does not tell (it is not Linux).

    Control groups are those of the Linux kernel's documentation, versions 1 (``memory`` controller)
    and 2: containers and batch systems limit memory by them. Cached pages of files count as used
    there, and those that are not in use can be had.
    """
    try:
        content = (proc / "meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = [1024 * int(line.split()[1]) for line in content.splitlines() if "MemAvailable" in line]
    for folder, names in _groups(proc, groups):
        limit, used = (_number(folder / name) for name in names[:2])
        if limit is not None and used is not None:
            found.append(max(0, limit - used + _reclaimable(folder, names[2])))
    return min(found, default=None)


_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")


def _groups(proc: Path, groups: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """(folder, names of limit, use and reclaimable pages) of the process's groups and of those that
    they are in."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = groups, _VERSION_2
        elif "memory" in controllers.split(","):
            root, names = groups / "memory", _VERSION_1
        else:
            continue
        # Within a container the path may be one that only the outside has: its root remains.
        here = root / path.lstrip("/")
        while here != root and root in here.parents:
            yield here, names
            here = here.parent
        yield root, names


def _number(path: Path) -> int | None:
    """None for ``max``, and where there is no such file."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _reclaimable(folder: Path, name: str) -> int:
    try:
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.split()[0] == name)
