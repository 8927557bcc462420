"""A peer's model memory: base, contribution, result, server state and scratch; and the arithmetic on their segments.

Three models in all, whatever the swarm's size. Vectors are touched by the driver's thread alone, but for the contribution,
which the trainer fills between `StartTraining` and `Trained`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyfl import kernels
from pyfl.aggregation import fixedpoint
from pyfl.aggregation.strategy import Strategy, server_step
from pyfl.rounds.actions import Part, Place
from pyfl.rounds.pull import combined_state
from pyfl.rounds.records import PREPARATION, RoundRecord
from pyfl.rounds.sums import Sums
from pyfl.training.layout import Layout
from pyfl.wire import digests
from pyfl.wire.segments import cut, pieces

__all__ = ["Buffers"]

Flat = NDArray[np.float32]

SCRATCH_BYTES = 24 * 1024 * 1024  # partials on their way in: enough to keep both cores busy on 100 MB models


class Buffers:
    """The memory of one model in one run. `numbers`: how many int64 the statistics have that the run prepares."""

    def __init__(self, layout: Layout, strategy: Strategy, numbers: int = 0) -> None:
        self.layout = layout
        self._step = server_step(strategy)
        self.segments = cut(layout.size)
        self.state_segments = cut(layout.trainable_size)
        self._pieces = [pieces(layout.bounds, s) for s in self.segments]
        self.base: Flat = np.zeros(layout.size, np.float32)
        self.contribution: Flat = np.empty(layout.size, np.float32)
        self.result: Flat = np.empty(layout.size, np.float32)
        self.state: list[Flat] = [np.zeros(layout.trainable_size, np.float32) for _ in range(self._step.state_vectors)]
        self.sums = Sums(numbers) if numbers else None
        if self.sums is not None:
            self.state.append(self.sums.own.view(np.float32).copy())  # only bits: nothing is computed with them as floats
        self.next_state: list[Flat] = [np.empty_like(v) for v in self.state]
        self._cuts = [self.segments, *([self.state_segments] * self.step_vectors)]
        self._cuts += [self.sums.segments] if self.sums is not None else []
        longest = max(s.size for cuts in self._cuts for s in cuts)
        count = max(2, min(16, SCRATCH_BYTES // max(1, longest * 4)))
        self.scratch: list[NDArray[np.int32]] = [np.empty(longest, np.int32) for _ in range(count)]
        self.base_digests: list[list[bytes]] = []
        self.result_digests: list[list[bytes]] = []
        self._record: RoundRecord | None = None
        self._summing = False
        self._share = 0.0
        self._multipliers = self._clips = np.zeros(0, np.float32)
        self._inverse = np.zeros(0, np.float32)
        self._ratio = 1.0
        self._limits: dict[tuple[str, ...], NDArray[np.uint32]] = {}
        self._finite = True
        self.aside = 0
        """The round whose update waits in the result's memory to be added to the next contribution; 0: none does."""

    # ---- whole models

    def seal_base(self) -> tuple[str, str]:
        """Take the digests of base and server state: (model, state)."""
        self.base_digests = [digests.of_vector(self.base), *(digests.of_vector(v) for v in self.state)]
        return self.digest_of(self.base_digests)

    @staticmethod
    def digest_of(vectors: list[list[bytes]]) -> tuple[str, str]:
        """(model, state) digests from segment digests."""
        return digests.combine(vectors[0]), combined_state(tuple(tuple(v) for v in vectors[1:]))

    def install(self) -> None:
        """The result is committed: it becomes the base, and the old base the room for the next result."""
        self.base, self.result = self.result, self.base
        self.state, self.next_state = self.next_state, self.state
        self.base_digests, self.result_digests = self.result_digests, self.base_digests

    def announce(self) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
        """(the update's exponents, the base weights' exponents, whether the update is finite)."""
        update, finite = kernels.exponents(self.contribution, self.layout.bounds)
        weights, _ = kernels.exponents(self.base, self.layout.bounds)
        return tuple(update.tolist()), tuple(weights.tolist()), finite

    # ---- an update that its round did not count

    def set_aside(self, number: int) -> None:
        """The contribution, round `number`'s update, makes room for the next and waits in the result's memory."""
        self.contribution, self.result = self.result, self.contribution
        self.aside = number

    def bring_back(self) -> int:
        """The new contribution is of no use: the old one is the contribution again. Returns its round."""
        self.contribution, self.result = self.result, self.contribution
        number, self.aside = self.aside, 0
        return number

    def add_aside(self) -> int:
        """Add the trainable part of the old update to the contribution: a mean of statistics has no use for old ones. Returns its round."""
        trainable = slice(0, self.layout.trainable_size)
        with np.errstate(over="ignore"):  # `announce` finds what is not finite
            np.add(self.contribution[trainable], self.result[trainable], out=self.contribution[trainable])
        number, self.aside = self.aside, 0
        return number

    # ---- places

    def view(self, place: Place) -> memoryview:
        """The bytes at a place."""
        if place.buffer == "scratch":
            segment = self._cuts[place.vector][place.segment]
            return self.scratch[place.scratch][: segment.size].data.cast("B")
        if place.buffer == "beside":
            segment = self.segments[place.segment]
            return self.next_state[place.vector - 1][segment.start : segment.stop].data.cast("B")
        return self._vector(place.buffer, Part(place.vector, place.segment)).data.cast("B")

    def _vector(self, buffer: str, part: Part) -> Flat:
        segment = self._cuts[part.vector][part.segment]
        if part.vector == 0:
            whole = self.base if buffer == "base" else self.result
        else:
            whole = (self.state if buffer == "base" else self.next_state)[part.vector - 1]
        return whole[segment.start : segment.stop]

    # ---- one reduce

    def begin(self, record: RoundRecord, me: str) -> None:
        """The scales of this record apply from now on."""
        self.aside = 0
        self._record = record
        self._summing = record.number == PREPARATION
        member = record.member(me)
        self._share = member.samples / record.total_samples if member else 0.0
        self._multipliers = fixedpoint.multipliers(self._share, record.exponents)
        self._clips = fixedpoint.clips(record.caps)
        self._inverse = fixedpoint.inverse_scales(record.exponents)
        self._ratio = fixedpoint.ratio_from_bits(record.ratio_bits)
        self._limits.clear()
        self._finite = True
        self.result_digests = self._no_digests()

    def _no_digests(self) -> list[list[bytes]]:
        return [[b""] * len(cuts) for cuts in self._cuts]

    @property
    def epoch(self) -> tuple[int, int]:
        """(round, epoch) of the reduce that the result's memory serves."""
        return (self._record.number, self._record.epoch) if self._record else (-1, 0)

    def begin_pull(self) -> None:
        """The result is about to be fetched."""
        self.aside = 0
        self.result_digests = self._no_digests()
        self._finite = True

    def fill(self, index: int) -> None:
        """result[segment] = this peer's quantised contribution, or zero for a receiver."""
        total = self._sum(index)
        if self._summing and self.sums is not None:
            self.sums.fill(total, index, contributes=self._share > 0.0)
            return
        segment = self.segments[index]
        if self._share == 0.0:
            total.fill(0)
            return
        bounds, first, last = self._pieces[index]
        kernels.quantise(
            total, self.contribution[segment.start : segment.stop], bounds, self._multipliers[first:last], self._clips[first:last]
        )

    def _sum(self, index: int) -> NDArray[np.int32]:
        vector = len(self._cuts) - 1 if self._summing else 0
        return self._vector("result", Part(vector, index)).view(np.int32)

    def add(self, index: int, scratch: int, contributors: tuple[str, ...]) -> int:
        """Add a partial if all of it is within what its contributors announced; returns how many values are not."""
        if self._summing and self.sums is not None:
            return self.sums.add(self._sum(index), self.scratch[scratch][: self.sums.segments[index].size], len(contributors))
        bounds, first, last = self._pieces[index]
        partial = self.scratch[scratch][: self.segments[index].size]
        return kernels.add_bounded(self._sum(index), partial, bounds, self._limit(contributors)[first:last])

    def _limit(self, contributors: tuple[str, ...]) -> NDArray[np.uint32]:
        if contributors not in self._limits:
            record = self._record
            if record is None:
                raise AssertionError("a partial without a reduce")
            members = [m for m in record.members if m.peer in contributors]
            shares = [m.samples / record.total_samples for m in members]
            self._limits[contributors] = fixedpoint.limits([m.announced() for m in members], shares, record.exponents, record.caps)
        return self._limits[contributors]

    def finish(self, index: int) -> None:
        """result[segment]: the sum becomes the mean update, then the new weights and server state; takes the digests.

        In the preparation the sum is what is wanted.
        """
        if self._summing:
            self.result_digests[-1][index] = digests.of_segment(self._sum(index).view(np.float32))
            return
        segment, boundary = self.segments[index], self.layout.trainable_size
        bounds, first, last = self._pieces[index]
        values = self.result[segment.start : segment.stop]
        base = self.base[segment.start : segment.stop]
        kernels.dequantise(values, values.view(np.int32), bounds, self._inverse[first:last], self._ratio)
        trainable = max(0, min(segment.stop, boundary) - segment.start)
        if trainable:
            span = slice(segment.start, segment.start + trainable)
            self._step(
                values[:trainable], base[:trainable], values[:trainable], [v[span] for v in self._step_vectors(self.state)],
                [v[span] for v in self._step_vectors(self.next_state)],
            )  # fmt: skip
        if trainable < segment.size:  # BatchNorm's statistics and their like: the plain weighted mean
            kernels.step_plain(values[trainable:], base[trainable:], values[trainable:], 1.0)
        self._seal(index)

    def adopt(self, index: int) -> None:
        """result[segment] is finished: from the epoch before, or because it came so from another peer."""
        if self._summing:
            self.result_digests[-1][index] = digests.of_segment(self._sum(index).view(np.float32))
        else:
            self._seal(index)

    def _seal(self, index: int) -> None:
        segment = self.segments[index]
        values = self.result[segment.start : segment.stop]
        if segment.size:
            self._finite &= kernels.exponents(values, np.array([0, segment.size], np.int64))[1]
        self.result_digests[0][index] = digests.of_segment(values)

    def seal_result(self) -> tuple[str, str, bool]:
        """(model, state, finite) of the finished result."""
        before, after = [self.base, *self.state], [self.result, *self.next_state]
        for vector, values in enumerate(after):
            if self._stays(vector):
                np.copyto(values, before[vector])
                self.result_digests[vector] = list(self.base_digests[vector])
            elif vector and not self._summing:
                self.result_digests[vector] = digests.of_vector(values)
        return (*self.digest_of(self.result_digests), self._finite)

    def _stays(self, vector: int) -> bool:
        """The preparation changes the statistics' sum alone, and every other round all but that."""
        is_sum = self.sums is not None and vector == len(self._cuts) - 1
        return is_sum != self._summing

    def _step_vectors(self, state: list[Flat]) -> list[Flat]:
        return state[: self.step_vectors]

    @property
    def step_vectors(self) -> int:
        """How many vectors of the server state are the strategy's."""
        return self._step.state_vectors

    @property
    def statistics(self) -> NDArray[np.int32]:
        """The sum of the statistics in the base, as limbs; empty where nothing is prepared. Not a copy."""
        return self.state[-1].view(np.int32) if self.sums is not None else np.zeros(0, np.int32)

    def seal_restored_result(self) -> tuple[str, str]:
        """Take the digests of a result that came from disk: (model, state)."""
        self.result_digests = [digests.of_vector(self.result), *(digests.of_vector(v) for v in self.next_state)]
        return self.digest_of(self.result_digests)

    # ---- pulls

    def check(self, part: Part, digest: bytes) -> bool:
        """Whether a fetched segment of the result has the digest it should have."""
        found = digests.of_segment(self._vector("result", part))
        self.result_digests[part.vector][part.segment] = found
        return found == digest

    def offer(self, buffer: str) -> tuple[tuple[bytes, ...], ...]:
        """The segment digests of base or result, vector by vector."""
        return tuple(tuple(v) for v in (self.base_digests if buffer == "base" else self.result_digests))
