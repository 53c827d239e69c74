"""setup_cuda.py: which toolkit it finds, what it says without one, what it compiles anew."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / "setup_cuda.py").is_file(), reason="needs a source checkout, not an installation"
)

# An nvcc in as many words: it answers setup_cuda's questions, and "compiles" by copying.
NVCC = """#!/bin/sh
out= depends= source= last=
for word; do
  case "$word" in
    --version) echo 'Cuda compilation tools, release {release}, V{release}.1'; exit ;;
    --list-gpu-arch) printf 'compute_80\\ncompute_90\\ncompute_120\\n'; exit ;;
    --dryrun) echo '#$ LIBRARIES=  "-L{home}/lib64/stubs" "-L{home}/lib64"' >&2; exit ;;
  esac
  case "$word" in *.cu|*.cuh) source=$word ;; esac
  case "$last" in -o) out=$word ;; -MF) depends=$word ;; esac
  last=$word
done
echo "$source" >> '{home}/compiled'
if [ -e '{home}/broken' ]; then echo 'x.h(1): error: what a host compiler' >&2; exit 1; fi
echo 'ptxas info' > "$out"
if [ -n "$depends" ]; then echo "x.o : $source \\\\\\\\\\n    csrc/x.h" > "$depends"; fi
"""


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module, looking at a tree of its own with one kernel and one header."""
    spec = importlib.util.spec_from_file_location("fastpty_setup_cuda", ROOT / "setup_cuda.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # its dataclass looks there
    spec.loader.exec_module(module)
    source = tmp_path / "source"
    (source / "csrc").mkdir(parents=True)
    for name in ("x.cu", "x.h"):
        (source / "csrc" / name).write_text("")
    monkeypatch.setattr(module, "ROOT", source)
    return module


def toolkit(tmp_path: Path, release: str = "13.0", runtime: str = "lib64") -> Path:
    """A toolkit's folder."""
    home = tmp_path / "cuda"
    (home / "bin").mkdir(parents=True)
    nvcc = home / "bin" / "nvcc"
    nvcc.write_text(NVCC.format(release=release, home=home))
    nvcc.chmod(0o755)
    (home / runtime).mkdir()
    (home / runtime / "libcudart_static.a").write_text("")
    return home


def environment(**named: object) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **{name: str(value) for name, value in named.items()}}


def test_cuda_can_be_declined(build: ModuleType, tmp_path: Path) -> None:
    chosen = build.choose_toolkit(environment(FASTPTY_CUDA="0", CUDA_HOME=toolkit(tmp_path)))
    assert chosen == (None, "built without CUDA kernels: FASTPTY_CUDA=0")


def test_other_words_are_refused(build: ModuleType) -> None:
    with pytest.raises(SystemExit, match="FASTPTY_CUDA: must be auto, 0 or 1, found 'yes'"):
        build.choose_toolkit({"FASTPTY_CUDA": "yes"})


@pytest.mark.parametrize("name", ["CUDA_HOME", "CUDA_PATH"])
@pytest.mark.parametrize("runtime", ["lib64", "lib"])
def test_a_named_toolkit_is_taken(
    build: ModuleType, tmp_path: Path, name: str, runtime: str
) -> None:
    home = toolkit(tmp_path, runtime=runtime)
    found, note = build.choose_toolkit(environment(**{name: home}))
    assert found.nvcc == str(home / "bin" / "nvcc")
    assert found.version == (13, 0)
    assert found.archs == (80, 90, 120)
    assert found.runtime == str(home / runtime / "libcudart_static.a")
    assert note == "built with CUDA kernels by nvcc 13.0"


def test_a_toolkit_on_the_path_is_found(build: ModuleType, tmp_path: Path) -> None:
    home = toolkit(tmp_path)
    path = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    assert build.find_nvcc({"PATH": path}) == str(home / "bin" / "nvcc")


def no_nvcc(home: Path) -> None:
    (home / "bin" / "nvcc").unlink()


def no_runtime(home: Path) -> None:
    (home / "lib64" / "libcudart_static.a").unlink()


def broken(home: Path) -> None:
    (home / "broken").touch()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_nvcc, "CUDA_HOME is '{home}', and there is no '{home}/bin/nvcc'"),
        (no_runtime, "the toolkit of '{home}/bin/nvcc' has no libcudart_static.a"),
        (broken, "'{home}/bin/nvcc' fails: x.h(1): error: what a host compiler"),
    ],
)
def test_what_is_missing_is_named(
    build: ModuleType, tmp_path: Path, spoil: object, said: str
) -> None:
    home = toolkit(tmp_path)
    spoil(home)
    said = said.format(home=home)
    found, note = build.choose_toolkit(environment(CUDA_HOME=home))
    assert found is None
    assert note.startswith(f"built without CUDA kernels: {said}")
    assert "\n" not in note
    with pytest.raises(SystemExit) as refusal:
        build.choose_toolkit(environment(CUDA_HOME=home, FASTPTY_CUDA="1"))
    assert f"FASTPTY_CUDA=1 asks for CUDA kernels, but {said}" in str(refusal.value)
    assert "FASTPTY_CUDA=0 builds fastpty for the CPU alone" in str(refusal.value)


def test_an_old_toolkit_is_named(build: ModuleType, tmp_path: Path) -> None:
    home = toolkit(tmp_path, release="11.8")
    _, note = build.choose_toolkit(environment(CUDA_HOME=home))
    assert note.endswith("is version 11.8, and 12.4 or newer is needed")


def test_no_toolkit_at_all(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.shutil, "which", lambda *_, **__: None)
    _, note = build.choose_toolkit({})
    assert "nvcc was not found (looked in CUDA_HOME, CUDA_PATH, PATH" in note


def test_default_architectures_are_those_that_nvcc_has(build: ModuleType) -> None:
    assert build.choose_archs({}, (75, 80, 86, 89, 90)) == (80, 86, 89, 90)
    every = (75, 80, 86, 87, 89, 90, 100, 103, 120)
    assert build.choose_archs({}, every) == (80, 86, 89, 90, 100, 120)


@pytest.mark.parametrize("text", ["80 90 120", " 120,80;90 90"])
def test_architectures_can_be_named(build: ModuleType, text: str) -> None:
    chosen = build.choose_archs({"FASTPTY_CUDA_ARCHS": text}, (80, 90, 120))
    assert chosen == (80, 90, 120)
    assert build.targets(chosen) == ["sm_80", "sm_90", "sm_120", "compute_90"]


def test_ptx_is_of_the_newest_where_there_is_no_90(build: ModuleType) -> None:
    assert build.targets((80, 86)) == ["sm_80", "sm_86", "compute_86"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("80 sm_90", "must be architecture numbers, such as '80 90 120', found 'sm_90'"),
        ("80 70", "this nvcc has 80, 90, found 70"),
    ],
)
def test_wrong_architectures_are_refused(build: ModuleType, text: str, message: str) -> None:
    with pytest.raises(SystemExit, match=f"FASTPTY_CUDA_ARCHS: {message}"):
        build.choose_archs({"FASTPTY_CUDA_ARCHS": text}, (80, 90))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, []),
        ({"CXX": "g++-13"}, ["-ccbin", "g++-13"]),
        ({"CXX": "ccache g++-13 -pthread"}, ["-ccbin", "g++-13"]),
        ({"CXX": "g++-13", "NVCC_CCBIN": "g++-12"}, []),
    ],
)
def test_host_compiler(build: ModuleType, given: dict[str, str], expected: list[str]) -> None:
    assert build.host_compiler(given) == expected


def test_only_what_changed_is_compiled(build: ModuleType, tmp_path: Path) -> None:
    home = toolkit(tmp_path)
    here = environment(CUDA_HOME=home)
    found = build.find_toolkit(here)

    def compilations(archs: tuple[int, ...] = (80,), **named: str) -> int:
        (home / "compiled").write_text("")
        assert build.compile_objects(found, archs, {**here, **named}) == ["build/cuda/csrc/x.o"]
        return (home / "compiled").read_text().count("x.cu")

    assert compilations() == 1
    assert compilations() == 0
    for name in ("x.cu", "x.h"):
        path = build.ROOT / "csrc" / name
        in_an_hour = path.stat().st_mtime + 3600
        os.utime(path, (in_an_hour, in_an_hour))
        assert compilations() == 1, name
        os.utime(path, (0, 0))
        assert compilations() == 0, name
    assert compilations((80, 90)) == 1
    assert compilations((80, 90), NVCC_APPEND_FLAGS="-lineinfo") == 1
    (build.ROOT / "csrc" / "x.h").unlink()
    assert compilations((80, 90), NVCC_APPEND_FLAGS="-lineinfo") == 1


def test_a_failed_compilation_shows_what_nvcc_said(build: ModuleType, tmp_path: Path) -> None:
    home = toolkit(tmp_path)
    found = build.find_toolkit(environment(CUDA_HOME=home))
    broken(home)
    with pytest.raises(SystemExit) as refusal:
        build.compile_objects(found, (80,), environment(CUDA_HOME=home))
    assert "error: what a host compiler" in str(refusal.value)
    assert "nvcc could not compile csrc/x.cu" in str(refusal.value)
    assert not list((build.ROOT / "build").rglob("*.o"))
