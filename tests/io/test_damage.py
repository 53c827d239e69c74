"""Files with a few wrong bytes: read, or refused, and never a traceback."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.io import open_scan
from tests.io.writers import write_dm, write_mib

STACK = np.arange(6 * 8 * 8, dtype=np.uint16).reshape(6, 8, 8)


def mib(path: Path) -> Path:
    return write_mib(path, STACK, "U16")


def npy(path: Path) -> Path:
    with path.open("wb") as stream:
        np.save(stream, STACK)
    return path


def npz(path: Path) -> Path:
    with path.open("wb") as stream:
        np.savez_compressed(stream, data=STACK)
    return path


def tiff(path: Path) -> Path:
    imwrite = pytest.importorskip("tifffile").imwrite
    imwrite(path, STACK, photometric="minisblack", compression="zlib")
    return path


def mat(path: Path) -> Path:
    savemat = pytest.importorskip("scipy.io").savemat
    savemat(path, {"data": STACK}, appendmat=False)
    return path


def dm4(path: Path) -> Path:
    pytest.importorskip("rsciio")
    return write_dm(path, STACK, [(1, "")] * 3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [mib, npy, npz, tiff, mat, dm4])
def test_wrong_bytes(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path / "scan")
    whole = path.read_bytes()
    chance = random.Random(make.__name__)
    refused = 0
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(chance.choice([1, 2, 5])):
            # Most of what a parser trusts stands at the beginning.
            place = chance.randrange(min(len(content), chance.choice([64, 600, 4000])))
            content[place] = chance.choice([0, 1, 255, chance.randrange(256)])
        path.write_bytes(content)
        try:
            with open_scan(path) as scan:
                if scan.shape[0] * scan.shape[1] * scan.shape[2] < 1e6:
                    scan.read(0, scan.shape[0])
        except DataError:
            refused += 1
    assert refused > 5
