"""A peer that is too late in every fourth round, in a run with residuals: its next update brings what was lost, and once."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.late_peer import DEADLINES
from pyfl.peer.herd import Herd
from tests.real.runs import STRIDE, Run
from tests.real.swarms import check_probes, check_sum, settings_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

PEERS, ROUNDS = 4, 8
APP = f"experiments.late_peer:late_onehot:size=4MB,stride={STRIDE},every=4"


@pytest.mark.parametrize("residuals", [True, False], ids=["residuals", "none"])
def test_a_late_update_is_part_of_the_next_one_if_the_run_says_so(tmp_path: Path, residuals: bool) -> None:
    settings = settings_for(tmp_path, PEERS, APP, ROUNDS, residuals=residuals, deadlines=DEADLINES)
    with Herd(settings, framework=False) as herd:
        run = Run(herd, settings)
        run.finish()
    late, committed = run.id_of(PEERS - 1), run.story.committed
    without = [n for n in range(1, ROUNDS) if late not in committed[n].contributors]
    assert without, f"the late peer was waited for in each of {sorted(committed)}"
    brought = {n: c.residuals[late] for n, c in committed.items() if late in c.residuals}
    assert bool(brought) == residuals, f"{without} were committed without it, and it brought {brought}"
    assert set(brought.values()) <= set(without), f"{brought}: it was counted without, in all but {without}"
    assert len(set(brought.values())) == len(brought), f"an update was brought twice: {brought}"
    assert all(old < number for number, old in brought.items())
    check_sum(tmp_path, run.story, STRIDE, PEERS)
    assert check_probes(tmp_path, run.story, STRIDE, PEERS) >= 1
