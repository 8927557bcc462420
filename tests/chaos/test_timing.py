"""Times and bytes of a fault, from a told story."""

from __future__ import annotations

from pyfl import events
from pyfl.chaos.chronicle import Said
from pyfl.chaos.injection import Injected
from pyfl.chaos.plan import Planned
from pyfl.chaos.timing import measure, members_by_round, sent_by_round
from pyfl.events import ObservedEvent, Stamped

A, B, C = "a" * 32, "b" * 32, "c" * 32


def at(when: float, who: int, event: ObservedEvent) -> Said:
    return Said(who, Stamped(1, when, when, (A, B, C)[who], event))


def committed(number: int, *contributors: str) -> events.RoundCommitted:
    return events.RoundCommitted(number, 1, contributors, f"digest {number}", False, None, None, 0.0, 0.0)


def trained(number: int) -> events.TrainingEnded:
    return events.TrainingEnded(number, 1, None, 0.1, True)


def killed(when: float, ended: float | None, number: int = 1) -> Injected:
    planned = Planned(3, "kill", "train", False, "", 0.0, 0.0, 0.0)
    return Injected(number, planned, 3, "train", (1,), frozenset({B}), False, when, 2, ended, 3)


STORY = [
    at(9.0, 0, events.PeerLeft(B, "gossip")),
    at(10.1, 0, events.PeerLeft(C, "left")),
    at(10.3, 0, events.PeerLeft(B, "refused")),
    at(11.0, 0, committed(2, A, B, C)),
    at(12.0, 2, committed(3, A, C)),
    at(14.0, 1, events.ModelInstalled(3, "digest 3", "pulled")),
    at(15.0, 1, trained(4)),
    at(16.0, 0, committed(4, A, C)),
    at(17.0, 1, trained(5)),
    at(18.0, 0, committed(5, A, B, C)),
]


def test_a_fault_is_timed_from_what_others_say_and_from_what_its_victim_does() -> None:
    timing = measure(killed(10.0, 13.0), STORY)
    assert (timing.detect_s, timing.detected_by) == (0.3, "peer_left")
    assert (timing.repair_s, timing.repair_round) == (2.0, 3)
    assert (timing.hold_s, timing.rejoin_s) == (1.0, 5.0)


def test_what_comes_after_the_next_fault_of_a_victim_is_not_its_own() -> None:
    timing = measure(killed(10.0, 13.0), STORY, [killed(14.5, None, 2)])
    assert (timing.hold_s, timing.rejoin_s) == (1.0, None)


def test_a_fault_that_has_not_ended_has_nobody_back() -> None:
    timing = measure(killed(10.0, None), STORY)
    assert (timing.hold_s, timing.rejoin_s) == (None, None)


def test_bytes_are_those_between_two_models_and_count_anew_in_another_process() -> None:
    used = [(0, 1, 100), (1, 1, 50), (0, 2, 250), (1, 3, 30), (0, 3, 300)]
    said = [at(float(place), who, events.ResourcesUsed(number, sent, 0, 0, 0.0, "")) for place, (who, number, sent) in enumerate(used)]
    assert sent_by_round(said) == {1: 150, 2: 150, 3: 80}


def test_members_are_those_of_the_last_reduce() -> None:
    said = [at(1.0, 0, events.ReduceStarted(2, 1, (A, B, C), ())), at(2.0, 0, events.ReduceStarted(2, 2, (A,), (C,)))]
    assert members_by_round(said) == {2: 2}
