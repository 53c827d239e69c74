"""Machine code as nvdisasm prints it: counts by kind, and what one turn of a loop executes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Instruction", "Kernel", "Work", "loop_turn", "read_sass"]

_SECTION = re.compile(r"^\s*\.section\s+\.text\.([^,\s]+)")
_LABEL = re.compile(r"^(\.L_\w+):")
_INSTRUCTION = re.compile(
    r"^\s*/\*(?P<address>[0-9a-f]{4,})\*/\s+(?P<guard>@!?U?P\w+\s+)?(?P<code>[A-Z][\w.]*)(?P<rest>.*);"
)
_TARGET = re.compile(r"`\((\.L_\w+)\)")
_ENDS = {"EXIT", "RET", "KILL", "BPT"}


class Instruction(NamedTuple):
    """One instruction."""

    code: str  # FFMA, LDG.E.64, ..
    guarded: bool
    target: str | None  # of a branch

    @property
    def kind(self) -> str:
        """The name without what qualifies it."""
        return self.code.partition(".")[0]

    @property
    def bytes_moved(self) -> int:
        """What one thread loads or stores; of an atomic addition, what it adds."""
        for part in self.code.split(".")[1:]:
            if part in {"64", "128"}:
                return int(part) // 8
            if part in {"U8", "S8", "U16", "S16"}:
                return int(part[1:]) // 8
            if part in {"F32x2", "v2"}:
                return 8
        return 4


@dataclass
class Kernel:
    """One function: its basic blocks, in order."""

    name: str  # mangled
    blocks: list[list[Instruction]] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)  # of blocks

    def instructions(self) -> Iterator[Instruction]:
        """All of them, but for what pads the end."""
        for block in self.blocks:
            yield from (i for i in block if i.kind != "NOP")

    def kinds(self) -> Counter[str]:
        """How many of each kind stand in the code."""
        return Counter(i.kind for i in self.instructions())

    def successors(self) -> list[list[int]]:
        """Where each block may go on."""
        after: list[list[int]] = []
        for index, block in enumerate(self.blocks):
            targets = [self.labels[i.target] for i in block if i.target is not None]
            last = block[-1] if block else None
            leaves = (
                last is not None
                and not last.guarded
                and (last.kind in _ENDS or (last.target is not None and last.code != "BRA.DIV"))
            )
            if not leaves and index + 1 < len(self.blocks):
                targets.append(index + 1)
            after.append(sorted(set(targets)))
        return after


def read_sass(text: str) -> dict[str, Kernel]:
    """Read what ``nvdisasm -c`` prints, function by function."""
    kernels: dict[str, Kernel] = {}
    kernel: Kernel | None = None
    for line in text.splitlines():
        if found := _SECTION.match(line):
            kernel = kernels.setdefault(found[1], Kernel(found[1], [[]]))
        elif kernel is None:
            continue
        elif found := _LABEL.match(line):
            if kernel.blocks[-1]:
                kernel.blocks.append([])
            kernel.labels[found[1]] = len(kernel.blocks) - 1
        elif found := _INSTRUCTION.match(line):
            code = found["code"]
            # A CALL of a label within the function is a jump; of another function, it comes back.
            jumps = code.startswith(("BRA", "CALL"))
            target = _TARGET.search(found["rest"]) if jumps else None
            instruction = Instruction(
                code, found["guard"] is not None or ", `" in found["rest"], target and target[1]
            )
            kernel.blocks[-1].append(instruction)
            if target is not None or instruction.kind in _ENDS:
                kernel.blocks.append([])
    return kernels


# ------------------------------------------------------------------------------------------- loops


class Work(NamedTuple):
    """What a thread does on one way through some code."""

    instructions: int = 0
    loaded: int = 0  # bytes from global memory
    stored: int = 0  # bytes to it
    added: int = 0  # bytes, atomically
    shared: int = 0  # bytes stored to shared memory

    def then(self, more: Work) -> Work:
        """This, and then more."""
        return Work(*(a + b for a, b in zip(self, more, strict=True)))

    def times(self, count: int) -> Work:
        """This, done again and again."""
        return Work(*(count * a for a in self))

    def capped(self, need: Work) -> Work:
        """The same, not telling apart what is more than needed."""
        return Work(self[0], *(min(a, b) for a, b in zip(self[1:], need[1:], strict=True)))

    def serves(self, need: Work) -> bool:
        """Whether as much is moved as is needed, at least."""
        return all(a >= b for a, b in zip(self[1:], need[1:], strict=True))

    @staticmethod
    def of(block: Iterable[Instruction]) -> Work:
        """Add up straight code."""
        total = Work()
        column = {"LDG": 1, "LD": 1, "STG": 2, "ST": 2, "RED": 3, "REDG": 3, "ATOMG": 3, "STS": 4}
        for i in block:
            one = [1, 0, 0, 0, 0]
            if i.kind in column:
                one[column[i.kind]] = i.bytes_moved
            total = total.then(Work(*one))
        return total


@dataclass
class _Loop:
    header: int
    blocks: set[int]
    inner: list[_Loop] = field(default_factory=list)


def loop_turn(kernel: Kernel, need: Work, pass_bytes: int) -> int | None:
    """Instructions of one turn of the kernel's largest loop, inner loops included.

    Of all ways through the loop, the shortest that moves as many bytes as a turn needs: so what is
    only done now and then, or for other arguments, does not count. An inner loop is taken to make
    one pass over the thread's elements, so that the bytes it stores to shared memory in one turn
    tell how many turns it makes.

    Parameters
    ----------
    kernel : the function.
    need : bytes that every turn moves; its ``instructions`` are not looked at.
    pass_bytes : what a thread stores to shared memory in one pass.

    Returns
    -------
    None where no loop, or no way through it, moves as much.
    """
    after = kernel.successors()
    found = [
        (sum(len(kernel.blocks[b]) for b in loop.blocks), loop) for loop in _nested(_loops(after))
    ]
    for _, loop in sorted(found, key=lambda pair: -pair[0]):
        ways = [way for way in _turns(kernel, after, loop, need, pass_bytes) if way.serves(need)]
        if ways:
            return min(way.instructions for way in ways)
    return None


def _turns(
    kernel: Kernel, after: list[list[int]], loop: _Loop, need: Work, pass_bytes: int
) -> list[Work]:
    """Ways from the loop's header back to it, those left out that another one is better than."""
    # An inner loop counts as one block, which stands where its header is.
    place = {block: block for block in loop.blocks}
    content = {block: [Work.of(kernel.blocks[block])] for block in loop.blocks}
    for inner in loop.inner:
        place |= dict.fromkeys(inner.blocks, inner.header)
        content[inner.header] = [
            way.times(max(1, pass_bytes // way.shared) if way.shared else 1).capped(need)
            for way in _turns(kernel, after, inner, Work(0, *[1 << 30] * 4), pass_bytes)
        ]
    edges = {
        (place[block], place[to])
        for block in loop.blocks
        for to in after[block]
        if to in loop.blocks and to != loop.header and place[block] != place[to]
    }
    ways: dict[int, list[Work]] = {}
    for block in _in_order(set(place.values()), edges):
        before = [way for source, to in edges if to == block for way in ways[source]]
        start = [Work()] if block == loop.header else before
        ways[block] = _best(way.then(more).capped(need) for way in start for more in content[block])
    latches = {place[block] for block in loop.blocks if loop.header in after[block]}
    return _best(way for latch in latches for way in ways[latch])


def _best(ways: Iterable[Work]) -> list[Work]:
    kept: list[Work] = []
    for way in sorted(set(ways)):
        if not any(other.serves(way) for other in kept):  # and is not longer, being sorted
            kept.append(way)
    return kept


def _in_order(blocks: set[int], edges: set[tuple[int, int]]) -> list[int]:
    """Each block behind all that lead to it."""
    waiting = {block: sum(to == block for _, to in edges) for block in blocks}
    ready = [block for block, count in waiting.items() if count == 0]
    order = []
    while ready:
        block = ready.pop()
        order.append(block)
        for source, to in edges:
            if source == block:
                waiting[to] -= 1
                if waiting[to] == 0:
                    ready.append(to)
    return order


def _nested(loops: list[_Loop]) -> list[_Loop]:
    """Put each loop into the smallest that holds it; return all."""
    loops = sorted(loops, key=lambda loop: len(loop.blocks))
    for index, loop in enumerate(loops):
        for outer in loops[index + 1 :]:
            if loop.blocks < outer.blocks:
                outer.inner.append(loop)
                break
    return loops


def _loops(after: list[list[int]]) -> list[_Loop]:
    """The natural loops; those that share a header are one."""
    before: list[list[int]] = [[] for _ in after]
    for block, targets in enumerate(after):
        for to in targets:
            before[to].append(block)
    dominators = _dominators(after, before)
    found: dict[int, _Loop] = {}
    for block, targets in enumerate(after):
        for header in targets:
            if block not in dominators or header not in dominators[block]:
                continue
            loop = found.setdefault(header, _Loop(header, {header}))
            todo = [block]
            while todo:
                inside = todo.pop()
                if inside not in loop.blocks:
                    loop.blocks.add(inside)
                    todo += [b for b in before[inside] if b in dominators]
    return list(found.values())


def _dominators(after: list[list[int]], before: list[list[int]]) -> dict[int, set[int]]:
    """For each block that can be reached, those that every way to it goes through."""
    reached, todo = {0}, [0]
    while todo:
        for to in after[todo.pop()]:
            if to not in reached:
                reached.add(to)
                todo.append(to)
    dominators = {block: set(reached) for block in reached}
    dominators[0] = {0}
    changed = True
    while changed:
        changed = False
        for block in sorted(reached - {0}):
            common = set.intersection(*(dominators[b] for b in before[block] if b in reached))
            if common | {block} != dominators[block]:
                dominators[block] = common | {block}
                changed = True
    return dominators
