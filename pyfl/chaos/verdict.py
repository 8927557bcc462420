"""Whether what was promised was kept (I1 to I6 of docs/protocol.md), judged from the peers' own records. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyfl import events
from pyfl.chaos.chronicle import Said
from pyfl.chaos.witness import Found

__all__ = ["Stall", "Verdict", "Violation", "judge"]

AFTER_SILENCE = -1
TOLERANCE = 0.01
"""Of a whole contribution."""


class Violation(msgspec.Struct, frozen=True):
    """A broken promise."""

    invariant: str
    round: int
    text: str


class Stall(msgspec.Struct, frozen=True):
    """A time without a commit that is longer than training, deadlines and elections explain; `causes` as peers told them."""

    round: int
    seconds: float
    causes: tuple[str, ...]


class Verdict(msgspec.Struct, frozen=True):
    """What the records say of a whole run."""

    rounds_committed: int
    void: int
    divergent: int
    """Rounds of which there are two digests."""
    double_counted: int
    """Contributions that are in a model more often than they should."""
    unlisted: int
    """Contributions in a model whose commit does not list them, or listed without being in it."""
    carried: int
    """Contributions that brought an update along which had missed an earlier round."""
    probed: int
    """Rounds in which contributions were counted in the model itself."""
    stalls: tuple[Stall, ...]
    violations: tuple[Violation, ...]


def judge(
    said: Sequence[Said],
    found: Iterable[Found],
    counted: Mapping[int, NDArray[np.float64]],
    unreadable: Mapping[int, str],
    rounds: int,
    stall_s: float,
    silences: Sequence[float] = (),
) -> Verdict:
    """`said` oldest first; `counted` and `unreadable` as a `Witness` has them; within `stall_s` the next commit needs no excuse.

    `silences`: when nobody was left that could say anything, monotonic seconds; a stall begins anew with the next word.
    """
    broken: list[Violation] = []
    commits = _commits(said, broken)
    divergent = _digests(said, found, commits, broken)
    broken += [Violation("I2", n, f"Round {n} was not committed.") for n in range(1, rounds + 1) if n not in commits]
    listed = _Listed(said, commits)
    _contributors_trained(listed, commits, broken)
    _carried_once(listed, commits, broken)
    _held_before(said, commits, broken)
    double, unlisted, carried = _count(counted, commits, listed, broken)
    for number, why in unreadable.items():
        broken.append(Violation("I3", number, why))
    stalls = _stalls(said, stall_s, silences, listed.name)
    broken += [
        Violation("I5", s.round, f"No commit for {s.seconds:g} s, and no peer said what it waited for.") for s in stalls if not s.causes
    ]
    return Verdict(
        sum(number > 0 for number in commits), sum(c.void for c in commits.values()), divergent, double, unlisted, carried,
        len(counted), tuple(stalls), tuple(broken),
    )  # fmt: skip


def _commits(said: Sequence[Said], broken: list[Violation]) -> dict[int, events.RoundCommitted]:
    """By round, as first seen; who saw another is told of."""
    commits: dict[int, events.RoundCommitted] = {}
    for index, event in said:
        data = event.data
        if not isinstance(data, events.RoundCommitted):
            continue
        first = commits.setdefault(data.round, data)
        if (first.digest, first.epoch, sorted(first.contributors)) != (data.digest, data.epoch, sorted(data.contributors)):
            text = f"Round {data.round} was committed twice: {_what(first)}; and as peer-{index} saw it, {_what(data)}."
            broken.append(Violation("I2", data.round, text))
    return commits


def _what(commit: events.RoundCommitted) -> str:
    return f"epoch {commit.epoch}, {len(commit.contributors)} contributors, {commit.digest[:16]}"


def _digests(said: Sequence[Said], found: Iterable[Found], commits: Mapping[int, events.RoundCommitted], broken: list[Violation]) -> int:
    """I1: one model a round, in every life of every peer, on disk too. Returns the rounds of which that is not so."""
    seen: defaultdict[int, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for number, commit in commits.items():
        seen[number][commit.digest].append("the commit")
    for index, event in said:
        match event.data:
            case events.RoundCommitted(round=number, digest=digest):
                seen[number][digest].append(f"the commit at peer-{index}")
            case events.ModelInstalled(round=number, digest=digest):
                seen[number][digest].append(f"peer-{index}")
            case _:
                pass
    for checkpoint in found:
        if checkpoint.error:
            broken.append(Violation("I1", checkpoint.round, f"peer-{checkpoint.peer}: {checkpoint.error}"))
        else:
            seen[checkpoint.round][checkpoint.digest].append(f"peer-{checkpoint.peer}'s disk")
    several = {number: digests for number, digests in seen.items() if len(digests) > 1}
    for number, digests in several.items():
        text = "; ".join(f"{digest[:16]} at {', '.join(sorted(set(places)))}" for digest, places in digests.items())
        broken.append(Violation("I1", number, f"Round {number} has {len(digests)} models: {text}."))
    return len(several)


class _Listed:
    """Who is who, who trained what, and which of it was listed."""

    def __init__(self, said: Sequence[Said], commits: Mapping[int, events.RoundCommitted]) -> None:
        self.index_of = {event.peer: index for index, event in said}
        self.trained: set[tuple[str, int]] = set()
        """(id, round) of finite updates."""
        for _, event in said:
            if isinstance(event.data, events.TrainingEnded) and event.data.finite:
                self.trained.add((event.peer, event.data.round))
        self.contributions = {(peer, number) for number, commit in commits.items() for peer in commit.contributors}

    def not_to_carry(self, peer: str, number: int, old: int) -> str:
        """Why the peer's update of the older round must not come along with its update of this one; empty: it may."""
        if old >= number:
            return "which is no earlier round"
        if (peer, old) in self.contributions:
            return "which lists it, too"
        return "" if (peer, old) in self.trained else "which it has not trained"

    def name(self, text: str) -> str:
        """The same text with names for ids."""
        for peer, index in self.index_of.items():
            text = text.replace(peer, f"peer-{index}")
        return text


def _contributors_trained(listed: _Listed, commits: Mapping[int, events.RoundCommitted], broken: list[Violation]) -> None:
    for number, commit in commits.items():
        for peer in commit.contributors:
            if peer not in listed.index_of:
                broken.append(Violation("I3", number, f"Round {number} lists {peer}, of whom nothing is known."))
            elif (peer, number) not in listed.trained:
                broken.append(Violation("I3", number, f"Round {number} lists {listed.name(peer)}, which has not trained it."))


def _carried_once(listed: _Listed, commits: Mapping[int, events.RoundCommitted], broken: list[Violation]) -> None:
    """An update that missed its round comes along with one later update of its peer at most."""
    brought: dict[tuple[str, int], int] = {}
    for number, commit in sorted(commits.items()):
        for peer, old in commit.residuals.items():
            why = "which it does not list" if peer not in commit.contributors else listed.not_to_carry(peer, number, old)
            first = brought.setdefault((peer, old), number)
            why = why or (f"which came along in round {first} already" if first != number else "")
            if why:
                text = f"Round {number} has {listed.name(peer)}'s update of round {old}, {why}."
                broken.append(Violation("I3", number, text))


def _held_before(said: Sequence[Said], commits: Mapping[int, events.RoundCommitted], broken: list[Violation]) -> None:
    """I6: whoever contributes to a round held the model before it, with the committed digest, when it began to train."""
    have: dict[str, tuple[int, str]] = {}
    base: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
    for _, event in said:
        match event.data:
            case events.RunAdopted():
                have.pop(event.peer, None)  # another process
            case events.ModelInstalled(round=number, digest=digest):
                have[event.peer] = (number, digest)
            case events.TrainingStarted(round=number):
                base[event.peer, number].append(have.get(event.peer, (-1, "")))
            case _:
                pass
    for number, commit in commits.items():
        before = commits.get(number - 1)
        if before is None:
            continue
        for peer in commit.contributors:
            bases = base.get((peer, number), [])
            if bases and (number - 1, before.digest) not in bases:
                text = ", ".join(f"round {n} ({digest[:16]})" for n, digest in bases)
                broken.append(Violation("I6", number, f"Round {number} has an update of {peer[:8]} that was trained on {text}."))


def _count(
    counted: Mapping[int, NDArray[np.float64]], commits: Mapping[int, events.RoundCommitted], listed: _Listed, broken: list[Violation]
) -> tuple[int, int, int]:
    """I3 by the bytes: (more often than listed, not as listed, with an earlier update) of all contributions in all models."""
    double = unlisted = carried = 0
    for number, shares in counted.items():
        commit = commits.get(number)
        if commit is None:
            continue
        expected = Counter(listed.index_of[peer] for peer in commit.contributors if peer in listed.index_of)
        carriers = Counter(listed.index_of[peer] for peer in commit.residuals if peer in listed.index_of)
        for index, share in enumerate(shares):
            times = float(share) * max(1, len(commit.contributors))
            listed_times = expected[index] + carriers[index]
            if abs(times - listed_times) <= TOLERANCE:
                carried += carriers[index]
                continue
            if times > listed_times and expected[index]:
                double += 1
            else:
                unlisted += 1
            text = f"Round {number} lists peer-{index} {listed_times} times and has it {times:.3f} times."
            broken.append(Violation("I3", number, text))
    return double, unlisted, carried


def _stalls(said: Sequence[Said], stall_s: float, silences: Sequence[float], name: Callable[[str], str]) -> list[Stall]:
    """Between commits: a run that never commits again is told of while it runs."""
    committed: dict[int, float] = {}
    waits: list[tuple[float, str]] = []
    for index, event in said:
        if isinstance(event.data, events.RoundCommitted):
            committed.setdefault(event.data.round, event.monotonic)
        elif isinstance(event.data, events.Waiting):
            waits.append((event.monotonic, f"peer-{index}: {name(event.data.what)}"))
    words = [event.monotonic for _, event in said]
    again = [words[place] for silence in silences if (place := bisect_right(words, silence)) < len(words)]
    moments = sorted([*((when, number) for number, when in committed.items()), *((when, AFTER_SILENCE) for when in again)])
    stalls: list[Stall] = []
    for (begin, _), (until, number) in pairwise(moments):
        if number != AFTER_SILENCE and until - begin > stall_s:
            causes = tuple(dict.fromkeys(what for when, what in waits if begin <= when <= until))
            stalls.append(Stall(number, round(until - begin, 2), causes))
    return stalls
