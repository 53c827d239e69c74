"""What the installation says about itself."""

from __future__ import annotations

import json
import sys

import pytest
import torch

import fastpty
from fastpty.info import installation


def test_versions_and_threads() -> None:
    content = installation()
    assert content["fastpty"] == fastpty.__version__
    assert content["packages"]["torch"] == torch.__version__
    assert content["threads"] == torch.get_num_threads()
    assert len(content["cuda devices"]) == torch.cuda.device_count()
    assert json.loads(json.dumps(content)) == content


def test_the_native_core_speaks_for_itself() -> None:
    core = pytest.importorskip("fastpty._core", reason="the native core is not built")
    assert installation()["native core"]["cpu features"] == core.cpu_features()


def test_without_the_native_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(fastpty, "_core", raising=False)
    monkeypatch.setitem(sys.modules, "fastpty._core", None)
    assert installation()["native core"] is None


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    import fastpty.info as module

    def missing(name: str) -> str:
        raise module.PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", missing)
    assert set(installation()["packages"].values()) == {None}
