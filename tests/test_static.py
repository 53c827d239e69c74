"""bench.static: what it reads from ptxas and nvdisasm, and what it objects to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bench.sass import Work

sass = pytest.importorskip("bench.sass", reason="needs a source checkout, not an installation")
static = pytest.importorskip("bench.static", reason="needs a source checkout")

NAME = "_ZN7fastpty4cuda6kernelILi2EEEvi"

# A loop of eight turns (3 instructions) inside a loop that may skip 2 instructions and may take a
# detour of 3 that stores to global memory.
SASS = f"""
	.section	.text.{NAME},"ax",@progbits
{NAME}:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/                   LDG.E.64.CONSTANT R2, desc[UR4][R4.64] ;
        /*0020*/               @P1 BRA `(.L_x_3) ;
        /*0030*/                   FFMA R2, R2, R3, R4 ;
        /*0040*/                   FADD R2, R2, R3 ;
.L_x_3:
        /*0050*/              @!P2 BRA `(.L_x_4) ;
        /*0060*/                   STG.E.128 desc[UR4][R4.64], R8 ;
        /*0070*/                   FMUL R2, R2, R3 ;
.L_x_4:
        /*0080*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
.L_x_2:
        /*0090*/                   STS.64 [R2], R4 ;
        /*00a0*/                   FFMA2 R2, R2, R3, R4 ;
        /*00b0*/               @P0 BRA `(.L_x_2) ;
        /*00c0*/               @P3 BRA `(.L_x_1) ;
        /*00d0*/                   EXIT ;
.L_x_9:
        /*00e0*/                   BRA `(.L_x_9);
        /*00f0*/                   NOP;
"""

PTXAS = f"""
ptxas info    : Compiling entry function '{NAME}' for 'sm_90'
ptxas info    : Function properties for {NAME}
    32 bytes stack frame, 28 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 64 bytes smem
"""


def test_instructions_are_counted_without_the_padding() -> None:
    kinds = sass.read_sass(SASS)[NAME].kinds()
    assert kinds["LDG"] == kinds["STG"] == kinds["STS"] == kinds["FFMA"] == kinds["EXIT"] == 1
    assert kinds["BRA"] == 5
    assert kinds["NOP"] == 0


@pytest.mark.parametrize(
    ("need", "turn"),
    [
        # load, branch, branch, barrier; eight times three; branch
        (sass.Work(loaded=8, shared=64), 4 + 24 + 1),
        (sass.Work(loaded=8, stored=16, shared=64), 6 + 24 + 1),
        (sass.Work(loaded=16), None),
    ],
)
def test_a_turn_is_the_shortest_way_that_does_the_work(need: Work, turn: int | None) -> None:
    assert sass.loop_turn(sass.read_sass(SASS)[NAME], need, pass_bytes=64) == turn


def test_resource_usage() -> None:
    assert static.resource_usage(PTXAS) == {
        NAME: {
            "registers": 128,
            "stack_bytes": 32,
            "spill_store_bytes": 28,
            "spill_load_bytes": 20,
            "static_shared_bytes": 64,
        }
    }


def test_a_row_has_both() -> None:
    (row,) = static.describe("x.cu", static.resource_usage(PTXAS), sass.read_sass(SASS))
    assert row["kernel"] == "kernel<2>"
    assert row["registers"] == 128
    assert row["kinds"]["FFMA"] == 2
    assert row["instructions"] == 15


@pytest.mark.parametrize(
    ("full", "plain"),
    [
        ("void fastpty::cuda::kernel<128, true>(fastpty::cuda::A, int)", "kernel<128, true>"),
        ("void fastpty::cuda::(anonymous namespace)::f<g<(int)3> >(int)", "f<g<(int)3> >"),
        ("__internal_slowpath", "__internal_slowpath"),
    ],
)
def test_plain_name(full: str, plain: str) -> None:
    assert static.plain_name(full) == plain


def row(kernel: str, **more: object) -> dict[str, object]:
    return {"kernel": kernel, "source": "x.cu", **more}


@pytest.mark.parametrize(
    "bad",
    [
        {"stack_bytes": 8},
        {"spill_store_bytes": 4},
        {"spill_load_bytes": 4},
        {"kinds": {"LDL": 1}},
        {"per_element_and_slice": None},
    ],
)
def test_every_spill_is_a_finding(bad: dict[str, object]) -> None:
    assert static.judge("sm_80", [row("good", stack_bytes=0)]) == []
    (finding,) = static.judge("sm_80", [row("good"), row("bad", **bad)])
    assert finding.startswith("sm_80 x.cu bad: ")


def test_limits_are_held_and_not_forgotten() -> None:
    forward = "on_chip_forward_kernel<128, 128, false>"
    backward = "on_chip_backward_kernel<128, 128, false, false>"
    rows = [row(forward, per_element_and_slice=105.0), row(backward, per_element_and_slice=112.5)]
    assert static.judge("sm_90", rows) == [
        f"sm_90 {backward}: 112.5 instructions per element and slice, the limit is 112"
    ]
    assert static.judge("sm_90", rows[:1]) == [f"sm_90: no kernel {backward}, which has a limit"]
