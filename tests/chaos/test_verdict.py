"""The judge of a chaos run goes red on records that were forged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from msgspec import Struct
from numpy.typing import NDArray

from pyfl import events
from pyfl.chaos.chronicle import Said
from pyfl.chaos.verdict import Verdict, judge
from pyfl.chaos.witness import Found
from pyfl.events import ObservedEvent, Stamped

PEERS, ROUNDS = 4, 3
STALL_S = 20.0


def peer(index: int) -> str:
    return f"{index}" * 32


@dataclass
class Records:
    """A run of four peers and three rounds in which nothing went wrong, until a test forges it."""

    said: list[Said] = field(default_factory=list[Said])
    found: list[Found] = field(default_factory=list[Found])
    counted: dict[int, NDArray[np.float64]] = field(default_factory=dict[int, NDArray[np.float64]])
    unreadable: dict[int, str] = field(default_factory=dict[int, str])
    clock: float = 0.0

    def say(self, index: int, event: ObservedEvent, identity: str = "") -> None:
        self.clock += 0.01
        self.said.append(Said(index, Stamped(len(self.said) + 1, self.clock, self.clock, identity or peer(index), event)))

    def train(self, index: int, number: int) -> None:
        self.say(index, events.TrainingStarted(number, 1))
        self.say(index, events.TrainingEnded(number, 1, None, 0.1, True))

    def commit(self, index: int, number: int, digest: str, contributors: tuple[int, ...], epoch: int = 1) -> None:
        ids = tuple(peer(i) for i in contributors)
        self.say(index, events.RoundCommitted(number, epoch, ids, digest, False, None, None, 0.1, 0.1))
        self.say(index, events.ModelInstalled(number, digest, "reduced"))

    def round(self, number: int, contributors: tuple[int, ...] = tuple(range(PEERS))) -> None:
        for index in contributors:
            self.train(index, number)
        for index in range(PEERS):
            self.commit(index, number, f"digest {number}", contributors)
            self.found.append(Found(index, number, f"digest {number}"))
        self.counted[number] = np.array([1 / len(contributors) if i in contributors else 0.0 for i in range(PEERS)])

    def forget(self, index: int, kind: type[Struct], number: int) -> None:
        """Take one of its events out."""

        def meant(said: Said) -> bool:
            data = said.event.data
            return said.who == index and isinstance(data, kind) and getattr(data, "round", -1) == number

        self.said = [said for said in self.said if not meant(said)]

    def judged(self) -> Verdict:
        return judge(self.said, self.found, self.counted, self.unreadable, ROUNDS, STALL_S)


def records(rounds: int = ROUNDS, contributors: tuple[int, ...] = tuple(range(PEERS))) -> Records:
    made = Records()
    for index in range(PEERS):
        made.say(index, events.RunAdopted("run", "onehot", ROUNDS, 10, index == 0))
        made.say(index, events.ModelInstalled(0, "digest 0", "initial"))
        made.say(index, events.RoundCommitted(0, 1, (), "digest 0", False, None, None, 0.0, 0.0))
    for number in range(1, rounds + 1):
        made.round(number, contributors)
    return made


def broken(verdict: Verdict) -> list[str]:
    return [violation.invariant for violation in verdict.violations]


def test_a_run_without_a_flaw_has_none() -> None:
    verdict = records().judged()
    assert not verdict.violations
    assert (verdict.rounds_committed, verdict.probed) == (ROUNDS, ROUNDS)
    assert (verdict.divergent, verdict.double_counted, verdict.unlisted) == (0, 0, 0)


def test_a_peer_with_another_model_diverges() -> None:
    forged = records()
    forged.say(2, events.ModelInstalled(3, "another", "pulled"))
    verdict = forged.judged()
    assert verdict.divergent == 1
    assert broken(verdict) == ["I1"]
    assert "peer-2" in verdict.violations[0].text


def test_a_checkpoint_with_another_digest_diverges() -> None:
    forged = records()
    forged.found.append(Found(1, 2, "another"))
    assert forged.judged().divergent == 1


def test_a_damaged_checkpoint_is_told() -> None:
    forged = records()
    forged.found.append(Found(1, 2, "", "it is damaged"))
    assert broken(forged.judged()) == ["I1"]


def test_a_round_that_was_committed_again_by_others_is_told() -> None:
    forged = records()
    forged.commit(3, 2, "digest 2", (0, 1, 2), epoch=2)
    assert "I2" in broken(forged.judged())


def test_a_round_that_is_missing_is_told() -> None:
    assert "I2" in broken(records(rounds=ROUNDS - 1).judged())


def test_a_contribution_that_is_in_the_model_twice_is_counted() -> None:
    forged = records()
    forged.counted[2] = np.array([2, 1, 1, 1]) / PEERS
    verdict = forged.judged()
    assert (verdict.double_counted, verdict.unlisted) == (1, 0)
    assert "peer-0" in verdict.violations[0].text


def test_a_contribution_that_the_commit_does_not_list_is_counted() -> None:
    forged = records(contributors=(0, 1, 2))
    forged.counted[3] = np.array([1, 1, 1, 1]) / 3
    verdict = forged.judged()
    assert (verdict.double_counted, verdict.unlisted) == (0, 1)


def test_a_listed_contribution_that_is_not_in_the_model_is_counted() -> None:
    forged = records()
    forged.counted[3] = np.array([0, 1, 1, 1]) / PEERS
    assert forged.judged().double_counted + forged.judged().unlisted == 1


def test_an_update_that_missed_its_round_may_come_along_once() -> None:
    made = carrying(2)
    verdict = made.judged()
    assert (verdict.carried, verdict.double_counted, verdict.violations) == (1, 0, ())
    made.counted[3] = np.array([1, 1, 1, 3]) / PEERS
    assert made.judged().double_counted == 1


def test_an_older_update_that_the_commit_does_not_name_is_counted_twice() -> None:
    made = records()
    made.counted[3] = np.array([1, 1, 1, 2]) / PEERS
    assert (made.judged().carried, made.judged().double_counted) == (0, 1)


def test_an_older_update_that_the_commit_names_and_the_model_lacks_is_told() -> None:
    made = carrying(2)
    made.counted[3] = np.ones(PEERS) / PEERS
    assert broken(made.judged()) == ["I3"]


@pytest.mark.parametrize(("old", "why"), [(1, "which lists it, too"), (3, "which is no earlier round")])
def test_an_older_update_that_must_not_come_along_is_told(old: int, why: str) -> None:
    verdict = carrying(old).judged()
    assert broken(verdict) == ["I3"]
    assert why in verdict.violations[0].text


def test_an_older_update_that_was_not_trained_is_told() -> None:
    made = carrying(2)
    made.forget(3, events.TrainingEnded, 2)
    assert "which it has not trained" in made.judged().violations[0].text


def carrying(old: int) -> Records:
    """Round 2 goes on without peer 3, whose update of the `old` round comes along in round 3."""
    made = records(rounds=1)
    made.train(3, 2)
    made.round(2, (0, 1, 2))
    for index in range(PEERS):
        made.train(index, 3)
    ids = tuple(peer(i) for i in range(PEERS))
    for index in range(PEERS):
        made.say(index, events.RoundCommitted(3, 1, ids, "digest 3", False, None, None, 0.1, 0.1, residuals={peer(3): old}))
        made.say(index, events.ModelInstalled(3, "digest 3", "reduced"))
    made.counted[3] = np.array([1, 1, 1, 2]) / PEERS
    return made


def test_a_contributor_that_did_not_train_is_told() -> None:
    forged = records()
    forged.forget(1, events.TrainingEnded, 2)
    assert broken(forged.judged()) == ["I3"]


def test_a_contributor_of_whom_nothing_is_known_is_told() -> None:
    forged = records()
    forged.said = [s for s in forged.said if s.who != 1]
    assert set(broken(forged.judged())) == {"I3"}


def test_probes_that_contradict_each_other_are_told() -> None:
    forged = records()
    forged.unreadable[2] = "counted 0.5 in stride 1"
    assert broken(forged.judged()) == ["I3"]


def test_a_contribution_trained_on_an_older_model_is_told() -> None:
    forged = records()
    forged.forget(1, events.ModelInstalled, 1)
    assert broken(forged.judged()) == ["I6"]


def test_a_model_of_an_earlier_life_is_none_of_this() -> None:
    forged = records(rounds=1)
    forged.say(2, events.RunAdopted("run", "onehot", ROUNDS, 10, False))
    forged.round(2)
    forged.round(3)
    assert broken(forged.judged()) == ["I6"]


def test_a_stall_is_excused_by_who_said_what_it_waits_for() -> None:
    late = records(rounds=2)
    late.clock += 2 * STALL_S
    late.round(3)
    verdict = late.judged()
    assert broken(verdict) == ["I5"]
    assert verdict.stalls[0].round == 3

    told = records(rounds=2)
    told.clock += STALL_S
    told.say(0, events.Waiting(f"round 3's update from {peer(2)}"))
    told.clock += STALL_S
    told.round(3)
    verdict = told.judged()
    assert not verdict.violations
    assert verdict.stalls[0].causes == ("peer-0: round 3's update from peer-2",)
