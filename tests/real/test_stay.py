"""Peers with --stay: they serve after the run's end, give the last model to whoever comes, and end when the swarm is stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyfl import events
from pyfl.overlay.free_port import free_ports
from tests.real.programs import Program, Programs, tell

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]

ROUNDS = 3


def digest_of_the_last(program: Program) -> str:
    """Of the last round's model, once a peer has installed it; empty before."""
    held = [e.data for e in program.said(events.ModelInstalled) if isinstance(e.data, events.ModelInstalled)]
    return next((event.digest for event in held if event.round == ROUNDS), "")


def lent(home: Path, places: list[Path]) -> int:
    """Bytes of models that these peers say they lent."""
    return sum(int(json.loads(tell(home, place, "status", "--json"))["counters"]["bytes_lent"]) for place in places)


@pytest.mark.parametrize("founder_stays", [True, False], ids=["everyone stays", "all but the founder stay"])
def test_those_who_stay_serve_a_late_joiner_and_end_with_the_stop(tmp_path: Path, founder_stays: bool) -> None:
    with Programs(tmp_path) as swarm:
        ports = free_ports(4)
        founded = ["--app", "linear:steps=50", "--rounds", str(ROUNDS), "--min-peers", "3"]
        peers = [swarm.start("127.0.0.1", str(ports[0]), *founded, *(["--stay"] if founder_stays else []))]
        swarm.until(lambda: bool(peers[0].events), 60.0, "the founder tells something")
        peers += [swarm.start("127.0.0.1", str(port), f"127.0.0.1:{ports[0]}", "--stay") for port in ports[1:3]]
        swarm.until(lambda: all(p.said(events.RunFinished) for p in peers), 60.0, "the run ends")
        staying = peers if founder_stays else peers[1:]
        if not founder_stays:
            assert peers[0].process.wait(30.0) == 0
        places = [tmp_path / "pyfl-data" / f"127.0.0.1-{port}" for port in ports[3 - len(staying) : 3]]
        before = lent(tmp_path, places)
        late = swarm.start("127.0.0.1", str(ports[3]), f"127.0.0.1:{ports[1]}")
        swarm.until(lambda: bool(late.said(events.RunFinished)), 60.0, "the late joiner hears of the end")
        assert late.process.wait(30.0) == 0
        assert digest_of_the_last(late) == digest_of_the_last(peers[1]) != ""
        assert all(p.process.poll() is None for p in staying)
        place = tmp_path / "pyfl-data" / f"127.0.0.1-{ports[1]}"
        status = json.loads(tell(tmp_path, place, "status", "--json"))
        assert (status["control"], status["have"], status["waiting"]) == ("finished", ROUNDS, "")
        model = 4 * status["parameters"]
        swarm.until(lambda: lent(tmp_path, places) - before >= model, 30.0, "those who stay tell of the model that they lent")
        tell(tmp_path, place, "stop")
        assert swarm.codes(60.0) == [0] * 4, swarm.logs()
