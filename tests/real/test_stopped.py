"""Peers stopped by SIGSTOP in each phase of a round: the others go on, and the stopped one contributes again once it goes on.

The next round is the first whose opening expects the peer, after it holds the newest committed model. A peer counts as returned
when its report says so: an opening that was decided before the report was in need not expect it, so that one round may lie between.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import msgspec
import pytest

from pyfl import events
from pyfl.events import Stamped
from pyfl.peer.herd import Herd
from pyfl.rounds.records import Deadlines
from tests.real.programs import tell
from tests.real.runs import STRIDE, Run
from tests.real.swarms import check_sum, settings_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

PEERS = 4
APP = f"onehot:size=16MB,stride={STRIDE},train_s=1.0"
FAST = Deadlines(train_floor_s=2.0, progress_s=4.0, suspect_s=3.0)
LIMIT_S = 200.0  # a watchdog, not a claim
PHASES: dict[str, tuple[type[events.ObservedEvent], ...]] = {
    "train": (events.TrainingStarted,),
    "trained": (events.TrainingEnded,),
    "reduce": (events.ReduceStarted,),
    "held": (events.ResultHeld,),
    "between": (events.ModelInstalled, events.RoundCommitted),
}
"""What a peer in this phase told last."""
MOVES = (*(kind for kinds in PHASES.values() for kind in kinds), events.RoundOpened, events.PullStarted)

_decode = msgspec.json.Decoder(Stamped).decode


def state_of(pid: int) -> str:
    """A process's state, as `ps` names it: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def last_move(run: Run, index: int) -> events.ObservedEvent:
    """What a peer, which is stopped, did last, from its journal: its pipe may hold more than was read."""
    lines = (Path(run.settings[index].data_dir) / "events.jsonl").read_bytes().split(b"\n")[:-1]  # the last is empty, or torn
    told = [_decode(line).data for line in lines]
    return [event for event in told if isinstance(event, MOVES)][-1]


def stop_in(run: Run, victim: int, phase: str) -> int:
    """Stop it there; returns the round. Where it was stopped too late for the phase, it goes on at once, and a later round is tried."""
    kinds = PHASES[phase]
    for number in range(3, 30):
        run.until(lambda n=number: any(getattr(e, "round", 0) >= n for e in run.said(victim, kinds[0])), f"{phase} of round {number}")
        run.herd.signal(victim, signal.SIGSTOP)
        while (state := state_of(run.herd.pids[victim])) != "T":
            assert state != "Z", f"the peer ended before it was stopped\n{run.where()}"
        last = last_move(run, victim)
        if isinstance(last, kinds):
            return getattr(last, "round", 0)
        run.herd.signal(victim, signal.SIGCONT)
    raise AssertionError(f"the peer could not be stopped in {phase}")


def check_stop(directory: Path, phase: str, *, coordinator: bool, stop_s: float, **more: object) -> str:
    """One peer of four is stopped for so long; what came of it, in words."""
    settings = settings_for(directory, PEERS, APP, 10_000, **more)
    with Herd(settings, framework=False) as herd:
        run = Run(herd, settings, LIMIT_S + stop_s)
        story = run.story
        run.until(lambda: run.committed(2) and len(story.ids) == PEERS, "round 2")
        leader = story.index_of(story.coordinator)
        victim = leader if coordinator else next(i for i in range(PEERS) if i != leader)
        me = run.id_of(victim)
        number = stop_in(run, victim, phase)
        stopped = time.monotonic()
        run.until(lambda: time.monotonic() - stopped >= stop_s and max(story.committed) > number + 1, "the others go on")
        meanwhile = max(story.committed)
        herd.signal(victim, signal.SIGCONT)
        resumed = time.monotonic()
        run.until(lambda: any(n > meanwhile and me in c.contributors for n, c in story.committed.items()), "it contributes again")
        again = min(n for n, c in story.committed.items() if n > meanwhile and me in c.contributors)
        run.until(lambda: run.committed(again + 2), "two rounds more")
        tell(directory, Path(settings[victim].data_dir), "stop")
        run.finish()
    told = [event for life in run.told.values() for event in life]
    committed_at = first_seen(told, events.RoundCommitted)
    opened_at = first_seen(told, events.RoundOpened)
    returned = next(
        e.monotonic for e in run.told[victim]
        if e.monotonic > resumed and isinstance(e.data, events.ModelInstalled)
        and e.data.round == max(n for n, at in committed_at.items() if at <= e.monotonic)
    )  # fmt: skip
    first = min(n for n, at in opened_at.items() if at > returned)
    opened = [e.data for e in told if isinstance(e.data, events.RoundOpened)]
    expecting = min(e.round for e in opened if opened_at[e.round] > returned and me in e.expected)
    check_sum(directory, story, STRIDE, PEERS)
    assert expecting <= first + 1, f"it was back before round {first} opened, and round {expecting} is the first that waits for it"
    assert again <= expecting, f"round {expecting} waited for it, and it contributed to round {again}"
    return (
        f"{phase}, {'coordinator' if coordinator else 'member'}: stopped in round {number}; committed meanwhile: "
        f"{sum(stopped < at < resumed for at in committed_at.values())}; after SIGCONT: current in {returned - resumed:.1f} s, contributed "
        f"in {committed_at[again] - resumed:.1f} s, {again - meanwhile - 1} rounds without it; round {first} was the first opened after it "
        f"was current, {expecting} the first that expected it, {again} the first it contributed to"
    )


def first_seen(told: list[Stamped], kind: type[events.RoundCommitted | events.RoundOpened]) -> dict[int, float]:
    """By round when any peer told of it first; all have one clock."""
    found: dict[int, float] = {}
    for event in told:
        if isinstance(event.data, kind):
            found[event.data.round] = min(event.monotonic, found.get(event.data.round, event.monotonic))
    return found


@pytest.mark.parametrize(("phase", "coordinator", "residuals"), [("reduce", False, False), ("train", True, True)])
def test_a_stopped_peer_contributes_in_the_next_round(tmp_path: Path, phase: str, coordinator: bool, residuals: bool) -> None:
    """A few seconds longer than it takes the others to go on without it."""
    print(check_stop(tmp_path, phase, coordinator=coordinator, stop_s=8.0, deadlines=FAST, residuals=residuals))


@pytest.mark.soak
@pytest.mark.parametrize("coordinator", [False, True], ids=["member", "coordinator"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_peer_stopped_for_a_minute_contributes_in_the_next_round(tmp_path: Path, phase: str, coordinator: bool) -> None:
    print(check_stop(tmp_path, phase, coordinator=coordinator, stop_s=60.0))
