"""`pyfl bench repair` on small models: the killed peer is gone, the others commit, and the figures are there."""

from __future__ import annotations

from typing import Any

import pytest

from pyfl.peer.bench_repair import KILLED, repair

pytestmark = pytest.mark.real


@pytest.mark.timeout(150)
@pytest.mark.parametrize("coordinator", [False, True], ids=["member", "coordinator"])
def test_a_killed_peer_is_done_without(coordinator: bool) -> None:
    kill: dict[str, Any]
    summary: dict[str, Any]
    kill, summary = repair(3, 40.0, 1, coordinator=coordinator)
    assert kill["digests_agree"]
    assert kill["epoch"] == 2, f"nobody was missed in round {KILLED}'s reduce"
    assert kill["contributors"] == 2
    assert kill["detect_s"] <= kill["again_s"] <= kill["held_s"] <= kill["repair_s"]
    assert (kill["elected_s"] is not None) == coordinator
    assert summary["victim"] == ("coordinator" if coordinator else "member")
    assert summary["repair_s"]["median"] == kill["repair_s"]
