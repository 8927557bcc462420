"""The end of a chaos run: all records are read and judged; the last lines say what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

import msgspec

from pyfl import events
from pyfl.chaos.chronicle import Chronicle
from pyfl.chaos.injection import Injected
from pyfl.chaos.process import Exit
from pyfl.chaos.records import all_said
from pyfl.chaos.report import figures, plain_round_bytes, split_figures, spread
from pyfl.chaos.settings import ChaosSettings
from pyfl.chaos.split import broken_by, split
from pyfl.chaos.stage import Stage
from pyfl.chaos.timing import measure, members_by_round, sent_by_round
from pyfl.chaos.verdict import Violation, judge
from pyfl.chaos.witness import Witness

__all__ = ["conclude"]

STALL_S = 20.0
"""A peer says what it waits for after 10 s of waiting for the same; an election and another cause may lie between."""


def conclude(
    settings: ChaosSettings,
    stage: Stage,
    chronicle: Chronicle,
    witness: Witness,
    injected: Sequence[Injected],
    exits: Sequence[Exit],
    broken: Sequence[Violation],
    skipped: int,
) -> Iterator[dict[str, Any]]:
    """`stall` and `violation` lines, and the summary; only the records are believed. `broken`: what was seen while it ran."""
    said = all_said(stage.peers, chronicle.said)
    times = sorted(chronicle.committed_at.items())
    gaps = [later - earlier for (_, earlier), (_, later) in pairwise(times)]
    round_s = median(gaps) if gaps else 0.0
    dark = [fault.ended or fault.at for fault in injected if fault.planned.kind == "power"]
    verdict = judge(said, witness.found, witness.counted, witness.unreadable, settings.rounds, STALL_S + 3 * round_s, dark)
    unexpected = [Violation("exit", 0, f"{e.peer} ended by itself with exit code {e.code}: {e.why}") for e in exits if e.under != "disk"]
    timings = [(fault, measure(fault, said, injected)) for fault in injected]
    away = [
        Violation("I5", fault.round, f"After {fault.planned.kind} #{fault.number} not all of its victims ever held the newest model again.")
        for fault, timing in timings
        if timing.hold_s is None and not any(later.at > fault.at and set(later.victims) & set(fault.victims) for later in injected)
    ]
    splits = [(fault, sides) for fault in injected if (sides := split(fault, said, settings.peers, injected)) is not None]
    apart = [violation for fault, sides in splits for violation in broken_by(fault, sides, last=fault is injected[-1])]
    violations = [*broken, *verdict.violations, *unexpected, *away, *apart]
    for stall in verdict.stalls:
        yield {"event": "stall", **msgspec.structs.asdict(stall)}
    for violation in violations:
        yield {"event": "violation", **msgspec.structs.asdict(violation)}
    sent = sent_by_round(said)
    hit = {number for fault, timing in timings for number in range(fault.round, max(fault.round, timing.repair_round) + 2)}
    quiet = [number for number in sent if number not in hit and number > 1]
    model_bytes = 4 * max((event.data.parameters for _, event in said if isinstance(event.data, events.RunAdopted)), default=0)
    plain, how = plain_round_bytes(sent, quiet, settings.peers, model_bytes)
    members = members_by_round(said)
    repaired = [timing.repair_round for _, timing in timings if timing.repair_round in sent and timing.repair_round in members]
    resent = [max(0, sent[number] - plain * (members[number] - 1) // (settings.peers - 1)) for number in repaired]
    yield {
        "event": "summary", "rounds_committed": verdict.rounds_committed, "divergent": verdict.divergent,
        "double_counted": verdict.double_counted, "unlisted": verdict.unlisted, "faults": len(injected), "faults_left": skipped,
        **figures(timings),
        "splits": [{"number": fault.number, **split_figures(sides)} for fault, sides in splits],
        "equal_s": spread(sides.equal_s for _, sides in splits), "round_s": spread(gaps),
        "resent_bytes": spread(float(value) for value in resent),
        "round_bytes": plain, "round_bytes_are": how, "void": verdict.void, "carried": verdict.carried, "probed": verdict.probed,
        "checkpoints_read": len(witness.found), "exits": len(exits), "stalls": [msgspec.structs.asdict(stall) for stall in verdict.stalls],
        "violations": len(violations), "network": stage.network.kind, "disk": stage.disks.kind if stage.disks else "",
        "peers": settings.peers, "rounds": settings.rounds, "kinds": list(settings.faults), "app": settings.app_text,
        "seed": settings.seed, "dir": str(settings.directory),
    }  # fmt: skip
