"""What a demo came to, as the last line of `pyfl demo --json` has it. Pure."""

from __future__ import annotations

from pyfl.cli.swarm_model import SwarmModel

__all__ = ["exit_code", "summary"]


def summary(model: SwarmModel, wall_s: float) -> dict[str, object]:
    """`contributors` by name; `first_commit_s`: from the start to the first trained round's commit, None without one."""
    rounds = [
        {
            "round": event.round,
            "epoch": event.epoch,
            "contributors": [model.narrator.name(peer) for peer in event.contributors],
            "digest": event.digest,
            "accuracy": event.accuracy,
            "loss": event.loss,
            "train_s": event.train_s,
            "reduce_s": event.reduce_s,
        }
        for event in model.trained_rounds()
    ]
    first = min((at for number, at in model.committed_at.items() if number > 0), default=None)
    return {
        "event": "summary",
        "peers": len(model.names),
        "rounds": rounds,
        "digests_agree": model.digests_agree(),
        "first_commit_s": None if first is None else round(first, 3),
        "wall_s": round(wall_s, 3),
        "failures": {model.names[index]: why for index, (_, why) in sorted(model.failures.items())},
    }


def exit_code(model: SwarmModel) -> int:
    """0 only if every round was committed and everyone held the same models."""
    return 0 if model.complete() and model.digests_agree() else 1
