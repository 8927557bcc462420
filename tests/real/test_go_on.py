"""`--rounds` is the run's last round: a run that was interrupted goes on to it, and a new run goes on from a finished one's model."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from pyfl import events
from pyfl.overlay.free_port import free_ports
from tests.real.programs import Program, Programs, run_to_end

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]

ROUNDS = 12


def committed(program: Program) -> list[int]:
    """The rounds that a life saw committed, in order."""
    return [e.data.round for e in program.said(events.RoundCommitted) if isinstance(e.data, events.RoundCommitted) and e.data.round > 0]


def installed(program: Program) -> dict[int, str]:
    """Digests of the models that a life held."""
    return {e.data.round: e.data.digest for e in program.said(events.ModelInstalled) if isinstance(e.data, events.ModelInstalled)}


def test_an_interrupted_run_goes_on_to_its_last_round_and_a_new_run_from_there(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    alone = ["127.0.0.1", str(port), "--min-peers", "1", "--seed", "1", "--app", "linear:steps=10000,rate=0.00001"]
    with Programs(tmp_path) as swarm:
        first = swarm.start(*alone, "--rounds", str(ROUNDS), name="first")
        swarm.until(lambda: len(committed(first)) >= 3, 60.0, "three rounds")
        first.signal(signal.SIGINT)
        assert first.process.wait(30.0) == 130
        second = swarm.start(*alone, "--rounds", str(ROUNDS), name="second")
        swarm.until(lambda: bool(second.said(events.RunFinished)), 60.0, "the end")
        assert second.process.wait(30.0) == 0
        before, after = committed(first), [n for n in committed(second) if n > max(installed(first))]
        assert max(before) < ROUNDS, "it was interrupted in the middle"
        assert after == list(range(max(installed(first)) + 1, ROUNDS + 1)), "each round that was left, once"
        last = installed(second)[ROUNDS]

        code, said = run_to_end(tmp_path, *alone, "--rounds", str(ROUNDS + 5))
        assert code == 7, said
        assert f"rounds {ROUNDS + 5} here, {ROUNDS} there" in said
        assert "--from" in said

        file = tmp_path / "pyfl-data" / f"127.0.0.1-{port}" / "checkpoints" / f"round-{ROUNDS:06d}.safetensors"
        more = swarm.start(*alone, "--rounds", "2", "--data-dir", str(tmp_path / "more"), "--from", str(file), name="more")
        swarm.until(lambda: bool(more.said(events.RunFinished)), 60.0, "the new run's end")
        assert more.process.wait(30.0) == 0
        assert installed(more)[0] == last, "the new run's model 0 is the old run's last"
        assert sorted(installed(more)) == [0, 1, 2]


def test_a_file_to_start_from_that_is_not_there_ends_with_code_5(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    code, said = run_to_end(tmp_path, "127.0.0.1", str(port), "--app", "linear", "--min-peers", "1", "--from", "absent.safetensors")
    assert code == 5, said
    assert "start_from (--from): there is no file absent.safetensors" in said
