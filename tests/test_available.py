"""Free memory of the host, as Linux tells it of the machine and of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastpty.available import host_memory

FREE = 8 * 2**30


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    (folder / "self").mkdir(parents=True)
    lines = f"MemTotal: {FREE} kB\nMemFree: 1 kB\nMemAvailable: {FREE // 1024} kB\n"
    (folder / "meminfo").write_text(lines)
    return folder


def group(folder: Path, **content: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_without_groups(proc: Path, tmp_path: Path) -> None:
    assert host_memory(proc, tmp_path / "none") == FREE
    assert host_memory(tmp_path / "no proc", tmp_path) is None


@pytest.mark.parametrize("limit", ["max", 5000])
def test_version_2(proc: Path, tmp_path: Path, limit: str | int) -> None:
    """The group's own limit and that of the group around it; pages of files that are not in use
    are free."""
    groups = tmp_path / "cgroup"
    (proc / "self" / "cgroup").write_text("0::/job/step\n")
    stat = "anon 7\ninactive_file 300\nactive_file 20"
    group(groups / "job" / "step", memory__max=limit, memory__current=1000, memory__stat=stat)
    group(groups / "job", memory__max=6000, memory__current=2500)
    assert host_memory(proc, groups) == 3500
    group(groups / "job", memory__max="max")
    assert host_memory(proc, groups) == (FREE if limit == "max" else 4300)


def test_version_1(proc: Path, tmp_path: Path) -> None:
    """Seen from within a container, whose group is at the root; one that is full has nothing."""
    groups = tmp_path / "cgroup"
    (proc / "self" / "cgroup").write_text("5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n")
    names = {"memory__limit_in_bytes": 9000, "memory__usage_in_bytes": 4000}
    group(groups / "memory", **names, memory__stat="total_inactive_file 50\ninactive_file 7")
    assert host_memory(proc, groups) == 5050
    group(groups / "memory", memory__usage_in_bytes=9100)
    assert host_memory(proc, groups) == 0
