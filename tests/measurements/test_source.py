"""Batches: what comes, from wherever the patterns lie, and that copies and work wait for each
other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fastpty.measurements import Patterns, PatternSource
from fastpty.measurements import patterns as patterns_module


def some_patterns(kind: str = "u2") -> Patterns:
    return Patterns(np.random.default_rng(0).integers(1, 99, (23, 3, 4)).astype(kind))


def some_order(seed: int = 1) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(23)


@pytest.mark.parametrize("size", [1, 5, 23, 30])
def test_batches_where_the_patterns_lie(size: int) -> None:
    patterns, order = some_patterns(), some_order()
    batches = list(PatternSource(patterns).batches(order, size))
    assert [len(b.index) for b in batches[:-1]] == [size] * (len(batches) - 1)
    assert torch.cat([b.index for b in batches]).tolist() == order.tolist()
    for batch in batches:
        assert torch.equal(patterns.scaled(batch.recorded), patterns.batch(batch.index))


def keep(found: list[torch.Tensor], values: torch.Tensor) -> None:
    found.append(values.clone())


Action = Callable[[], object]


@dataclass
class Moment:
    """An event: how often it was set, and how often that has come to pass."""

    set: int = 0
    passed: int = 0


@dataclass
class Adversary:
    """Copies and work that happen as late, or as early, as the order allows."""

    random: np.random.Generator
    queues: tuple[list[Action | tuple[Moment, int]], ...] = field(default_factory=lambda: ([], []))
    host_waited: int = 0

    def buffers(self, patterns: Patterns, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        return patterns.recorded_buffer(count), patterns.recorded_buffer(count)

    def event(self) -> Moment:
        return Moment()

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        self.queues[0].append(partial(target.copy_, source))

    def work(self, action: Action) -> None:
        self.queues[1].append(action)

    def mark_copies(self, event: Moment) -> None:
        self._mark(0, event)

    def mark_work(self, event: Moment) -> None:
        self._mark(1, event)

    def _mark(self, queue: int, event: Moment) -> None:
        event.set += 1
        number = event.set

        def pass_by() -> None:
            event.passed = number

        self.queues[queue].append(pass_by)

    def hold_copies(self, event: Moment) -> None:
        self.queues[0].append((event, event.set))

    def hold_work(self, event: Moment) -> None:
        self.queues[1].append((event, event.set))

    def hold_host(self, event: Moment) -> None:
        while event.passed < event.set:
            self.host_waited += 1
            assert self.advance(), "host and device wait for each other"

    def advance(self) -> bool:
        """One action of either queue, if any can go on."""
        for queue in self.random.permutation(2):
            waiting = self.queues[queue]
            if not waiting:
                continue
            first = waiting[0]
            if isinstance(first, tuple):
                if first[0].passed < first[1]:
                    continue
            else:
                first()
            del waiting[0]
            return True
        return False


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[Patterns]:
    """Patterns that are not where they are used."""
    patterns = some_patterns()
    monkeypatch.setattr(Patterns, "on_device", False)
    yield patterns


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("size", [2, 5, 23])
def test_copies_and_work_wait_for_each_other(elsewhere: Patterns, size: int, seed: int) -> None:
    adversary = Adversary(np.random.default_rng(seed))
    source = PatternSource(elsewhere, adversary)
    found: list[torch.Tensor] = []
    orders = [some_order(seed), some_order(seed + 1)]
    for order in orders:
        for batch in source.batches(order, size):
            recorded = batch.recorded
            # Read in two halves, between which others may come.
            for half in (recorded[:, :, :2], recorded[:, :, 2:]):
                adversary.work(partial(keep, found, half))
            for _ in range(adversary.random.integers(0, 4)):
                adversary.advance()
    while adversary.advance():
        pass
    assert not any(adversary.queues)
    expected = [
        elsewhere.recorded(part)[:, :, columns]
        for order in orders
        for part in torch.from_numpy(order).split(size)
        for columns in (slice(0, 2), slice(2, 4))
    ]
    assert all(torch.equal(f, e) for f, e in itertools.zip_longest(found, expected))


def test_the_host_runs_ahead_of_the_device(elsewhere: Patterns) -> None:
    """Of the first batches it waits for none, of later ones not for the latest."""
    adversary = Adversary(np.random.default_rng(0))
    batches = PatternSource(elsewhere, adversary).batches(some_order(), 2)
    for _ in range(2):
        next(batches)
    assert adversary.host_waited == 0


def test_a_loop_that_is_broken_off_leaves_all_in_order(elsewhere: Patterns) -> None:
    adversary = Adversary(np.random.default_rng(0))
    source = PatternSource(elsewhere, adversary)
    found: list[torch.Tensor] = []
    for batch in source.batches(some_order(1), 5):
        adversary.work(partial(keep, found, batch.recorded))
        break
    order = some_order(2)
    for batch in source.batches(order, 5):
        adversary.work(partial(keep, found, batch.recorded))
    while adversary.advance():
        pass
    assert torch.equal(found[0], elsewhere.recorded(torch.from_numpy(some_order(1)[:5])))
    assert torch.equal(torch.cat(found[1:]), elsewhere.recorded(torch.from_numpy(order)))


def test_buffers_grow_with_the_batch(elsewhere: Patterns) -> None:
    adversary = Adversary(np.random.default_rng(0))
    source = PatternSource(elsewhere, adversary)
    for size in (3, 7, 2):
        found: list[torch.Tensor] = []
        for batch in source.batches(some_order(), size):
            adversary.work(partial(keep, found, batch.recorded))
        while adversary.advance():
            pass
        assert torch.equal(torch.cat(found), elsewhere.recorded(torch.from_numpy(some_order())))


def test_recorded_values_of_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns_module.Patterns, "on_device", False)
    for kind in ("u1", "u2", "f2", "f4"):
        patterns, found = some_patterns(kind), []
        adversary = Adversary(np.random.default_rng(0))
        for batch in PatternSource(patterns, adversary).batches(np.arange(23), 23):
            adversary.work(partial(keep, found, batch.recorded))
        while adversary.advance():
            pass
        assert torch.equal(patterns.counts_of(found[0]), patterns.counts(torch.arange(23)))
