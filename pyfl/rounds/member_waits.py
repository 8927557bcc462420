"""What a member waits for, by name, and until when: sentences for people, from where it stands. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from pyfl.rounds.records import NOTHING, RoundRecord
from pyfl.rounds.reduction import Reduction
from pyfl.rounds.view import View
from pyfl.rounds.waits import Wait, first_of

__all__ = ["Standing", "wait_of_member"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a member stands: the round that it holds, that it trains, whose model it fetches (NOTHING: none), and its reduce."""

    have: int
    trains: int
    fetches: int
    reduction: Reduction | None


def wait_of_member(view: View, stands: Standing) -> Wait:
    """What it waits for when the ledger can be reached; as to time it knows what the record says, and when that was seen."""
    what, run, record = _what(view, stands), view.run, view.round
    if run is None or record is None or record.number == run.first or not _done_with(record, stands) or _short(view):
        return Wait(what)
    if record.phase == "train":
        left = run.training_s(record) - (view.now - max(view.round_since, view.leader_since))
        return first_of(what, [(left, "the round closes without the late, or is opened again where too few are ready")])
    return Wait(what)


def _short(view: View) -> bool:
    return view.run is not None and len(view.live()) < view.run.min_contributors


def _done_with(record: RoundRecord, stands: Standing) -> bool:
    """Nothing of its own keeps this peer from the round's end."""
    return stands.trains == stands.fetches == NOTHING and stands.have == record.number - 1


def _what(view: View, stands: Standing) -> str:
    run, record, live = view.run, view.round, len(view.live())
    if run is None:
        return "the run's record, written by the peer that founded the swarm"
    if stands.have == stands.fetches == NOTHING:
        return "its model to be built"
    if stands.trains != NOTHING and record is not None and stands.trains < record.number:
        return f"its own training of round {stands.trains} to stop at the end of a batch"
    if stands.trains != NOTHING:
        return ""
    if stands.fetches != NOTHING:
        return f"round {stands.fetches}'s model, from a peer that holds it"
    if record is None:
        return "the first round to open"
    if view.control.state == "paused" and record.phase == "committed":
        return f"the run to be resumed; it was paused by {view.control.by or 'an operator'}"
    if record.phase == "reduce" and stands.reduction and not stands.reduction.finished:
        return f"round {record.number}'s segments from or to {', '.join(stands.reduction.waiting_for())}"
    if record.number == run.first and record.phase == "reduce":
        return f"{run.min_peers} peers to be here (now {live}), and a committee among them"
    if record.phase == "train" and _short(view):
        return f"{run.min_contributors} peers to contribute to round {record.number}, of which {live} are here"
    who = "this peer" if view.leading else (view.leader or "a coordinator, which the committee is electing")
    return {
        "train": f"round {record.number}'s other members to train; {who} coordinates",
        "reduce": f"round {record.number} to be committed by {who}",
        "committed": f"round {record.number + 1} to be opened by {who}",
    }[record.phase]
