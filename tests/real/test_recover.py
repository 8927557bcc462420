"""The majority of the committee is gone for good: an operator recovers, the others follow, and an old voter cannot undo it."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from pyfl import events
from tests.real.homes import PEERS, Swarm, contributed, digests
from tests.real.programs import Programs, tell

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


def test_a_majority_that_is_gone_is_recovered_from_and_cannot_undo_it(tmp_path: Path) -> None:
    with Programs(tmp_path) as programs:
        swarm = Swarm(programs, tmp_path)
        first = swarm.start(0)
        programs.until(lambda: bool(first.events), 60.0, "the founder tells something")
        peers = [first, *(swarm.start(index) for index in range(1, PEERS))]
        programs.until(lambda: all(len(digests(p)) > 2 for p in peers), 90.0, "everyone sees rounds")
        running = swarm.recover(4, "--yes")
        assert running.returncode == 1
        assert "stop it first" in running.stderr

        for index in range(3):
            peers[index].signal(signal.SIGKILL)
            peers[index].process.wait()
        for index in (1, 2):  # the founder's disk comes back later
            shutil.rmtree(swarm.home(index))
        programs.until(
            lambda: all("a majority of the committee" in str(p.events[-50:]) and p.said(events.Waiting) for p in peers[3:]),
            60.0, "the survivors say what they wait for",
        )  # fmt: skip

        chosen, other = 3, 4
        peers[chosen].signal(signal.SIGTERM)
        assert peers[chosen].process.wait(20.0) == 128 + signal.SIGTERM
        known = json.loads(swarm.recover(chosen, "--dry-run", "--json").stdout)
        assert known["epoch"] == 1
        # a leader that sees one die may begin to remove it before it knows that the majority is gone
        assert len(known["voters"]) in (PEERS - 1, PEERS)
        if any(answer["index"] > known["index"] for answer in known["others"]):
            refused = swarm.recover(chosen, "--yes")
            assert refused.returncode == 1
            assert "knows more" in refused.stderr
            peers[chosen] = swarm.start(chosen)
            chosen, other = other, chosen
            peers[chosen].signal(signal.SIGTERM)
            assert peers[chosen].process.wait(20.0) == 128 + signal.SIGTERM
        before = digests(*peers)
        done = swarm.recover(chosen, "--yes", "--json")
        assert done.returncode == 0, done.stderr
        made = json.loads(done.stdout.splitlines()[-1])
        last = made["round"]
        assert made["recovered_epoch"] == 2
        assert last >= max(before)
        assert made["digest"] == before.get(last, made["digest"])

        again = swarm.start(chosen)
        for who in (again, peers[other]):
            programs.until(lambda who=who: contributed(who, again, last), 90.0, "both survivors contribute to later rounds")
        after = digests(again, peers[other])
        assert {n: d for n, d in after.items() if n in before} == {n: d for n, d in before.items() if n in after}
        assert set(range(last + 1, max(after))) <= set(after), "a round is missing"

        old = swarm.start(0)  # a voter of epoch 1, with its disk
        programs.until(lambda: contributed(old, again, last), 90.0, "the old voter is a member again")
        assert any("set aside" in e.data.error for e in old.events if isinstance(e.data, events.FaultSeen))
        assert list(swarm.home(0).glob("ledger.epoch-1-*")), "its old ledger is not kept"
        digests(again, peers[other], old)
        late = swarm.recover(0, "--dry-run")
        assert late.returncode == 1  # it runs
        tell(tmp_path, swarm.home(chosen), "stop")
        programs.until(lambda: all(p.said(events.RunFinished) for p in (again, peers[other], old)), 60.0, "the run ends")
