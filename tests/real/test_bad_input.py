"""What users do wrong: each ends with its exit code and a text that says what happened, what was expected and what to do."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyfl import events
from pyfl.overlay.free_port import free_ports
from pyfl.peer.herd import Herd
from pyfl.rounds.records import Deadlines
from tests.real.programs import Programs, run_to_end
from tests.real.swarms import Story, settings_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

KEY = "ab" * 32
APP = "onehot:40KB"


def founder(directory: Path, *more: str, port: int = 0, **environment: str) -> tuple[int, str]:
    """A peer that founds a swarm, or ends before."""
    return run_to_end(directory, "127.0.0.1", str(port), "--app", APP, "--rounds", "3", "--min-peers", "2", *more, **environment)


def test_a_port_in_use_is_exit_3_and_names_who_has_it(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        code, said = founder(tmp_path, port=port)
    assert code == 3, said
    assert f"127.0.0.1:{port}" in said
    assert f"{os.getpid()}" in said, "whose port it is"
    assert "Traceback" not in said


def test_an_unreachable_bootstrap_is_exit_4_and_says_why_for_each_address(tmp_path: Path) -> None:
    (tmp_path / "swarm.key").write_text(KEY)
    one, two, own = free_ports(3)
    code, said = run_to_end(
        tmp_path, "127.0.0.1", str(own), f"127.0.0.1:{one}", f"127.0.0.1:{two}", "--join", "no.such.host.invalid:1", "--join-timeout", "1"
    )
    assert code == 4, said
    assert re.search(rf"127\.0\.0\.1:{one}: .*refused", said)
    assert re.search(rf"127\.0\.0\.1:{two}: .*refused", said)
    assert "no.such.host.invalid:1" in said
    assert "Check address and port" in said
    code, said = run_to_end(tmp_path, "127.0.0.1", str(own), f"127.0.0.1:{one}", "--join-timeout", "1")
    assert code == 4, f"it was never a member, so it does not try for ever: {said}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, r"No swarm key: .*--swarm-key.*Copy swarm\.key from a peer"),
        ("abc", r"has 3 characters; expected 64 hexadecimal"),
        ("z" * 64, r"expected 64 hexadecimal"),
        ("", r"has 0 characters; expected 64 hexadecimal"),
    ],
    ids=["missing", "short", "not-hexadecimal", "empty"],
)
def test_a_swarm_key_that_is_none_is_exit_5(tmp_path: Path, text: str | None, expected: str) -> None:
    if text is not None:
        (tmp_path / "swarm.key").write_text(text)
    code, said = run_to_end(tmp_path, "127.0.0.1", "0", "127.0.0.1:1")
    assert code == 5, said
    assert re.search(expected, said, re.DOTALL)


def test_a_swarm_key_of_bytes_is_exit_5(tmp_path: Path) -> None:
    (tmp_path / "my.key").write_bytes(b"\xff\xfe" * 32)
    code, said = founder(tmp_path, "--swarm-key", "my.key")
    assert (code, "expected 64 hexadecimal" in said) == (5, True), said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--app", "onehop"), "Did you mean 'onehot'"),
        (("--app", "onehot:size=4KB,stide=2"), "did you mean 'stride'"),
        (("--app", "onehot:size=huge"), "expected a number with a unit"),
        (("--app", "no_such_module:app"), "no_such_module"),
        (("--strategy", "fedavgn"), "fedavg"),
        (("--strategy", "fedadam:learning_rte=1"), "fedadam"),
        (("--tiers", "rotatet:4"), "Did you mean 'rotated'"),
        (("--durability", "ful"), "durability is 'ful'; expected full"),
    ],
    ids=lambda value: "=".join(value) if isinstance(value, tuple) else "",
)
def test_an_unknown_name_or_option_is_exit_5_and_names_the_near_one(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    code, said = founder(tmp_path, *arguments)
    assert code == 5, said
    assert expected in said
    assert "Traceback" not in said


def test_an_unknown_command_line_option_is_a_usage_error_that_names_the_near_one(tmp_path: Path) -> None:
    code, said = founder(tmp_path, "--round", "3")
    assert code == 2
    assert "--rounds" in said


@pytest.mark.skipif(not os.path.ismount("/proc"), reason="needs /proc, where not even root can make a directory")
def test_a_data_directory_that_cannot_be_written_is_exit_5(tmp_path: Path) -> None:
    for place in ("/proc/pyfl-data", str(tmp_path / "file" / "data")):
        (tmp_path / "file").write_text("")
        code, said = founder(tmp_path, "--data-dir", place)
        assert code == 5, said
        assert f"data_dir: {place} cannot be written" in said
        assert "choose another --data-dir" in said


def test_a_corrupt_identity_is_exit_5_and_is_not_replaced(tmp_path: Path) -> None:
    identity = tmp_path / "data" / "identity.key"
    identity.parent.mkdir()
    identity.write_text("-----BEGIN NOTHING-----\n")
    code, said = founder(tmp_path, "--data-dir", "data")
    assert code == 5, said
    assert "identity.key" in said
    assert "move the file away to get a new identity" in said
    assert identity.read_text() == "-----BEGIN NOTHING-----\n"


def test_a_model_without_trainable_weights_is_exit_5(tmp_path: Path) -> None:
    (tmp_path / "frozen.py").write_text(
        "import keras\n"
        "import pyfl\n"
        "from pyfl.datasets import digits\n"
        "def model():\n"
        "    dense = keras.layers.Dense(10, activation='softmax')\n"
        "    made = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), dense])\n"
        "    dense.trainable = False\n"
        "    made.compile('sgd', 'sparse_categorical_crossentropy')\n"
        "    return made\n"
        "app = pyfl.App(model=model, data=digits)\n"
    )
    code, said = founder(tmp_path, "--app", "frozen:app")
    assert code == 5, said
    assert re.search(r"trainable", said)
    assert "Traceback" not in said


@pytest.fixture
def swarm(tmp_path: Path) -> Iterator[tuple[Programs, str]]:
    """A founder that waits for others, and its address."""
    port = free_ports(1)[0]
    with Programs(tmp_path) as programs:
        programs.start("127.0.0.1", str(port), "--app", APP, "--rounds", "3", "--min-peers", "3", "--seed", "7", "--index", "0")
        programs.until(lambda: bool(programs.programs[0].said(events.ModelInstalled)), 60.0, "the founder has its model")
        yield programs, f"127.0.0.1:{port}"


def test_another_swarms_key_is_exit_7(tmp_path: Path, swarm: tuple[Programs, str]) -> None:
    (tmp_path / "other.key").write_text(KEY)
    code, said = run_to_end(tmp_path, "127.0.0.1", "0", swarm[1], "--swarm-key", "other.key", "--join-timeout", "2")
    assert code == 7, said
    assert re.search(rf"Refused by the swarm: {swarm[1]}.*same swarm key", said)


def test_a_joiner_that_was_told_something_else_is_exit_7_field_by_field(tmp_path: Path, swarm: tuple[Programs, str]) -> None:
    code, said = run_to_end(
        tmp_path, "127.0.0.1", "0", swarm[1], "--app", "onehot:80KB", "--rounds", "4", "--strategy", "fedavgm", "--tiers", "star"
    )
    assert code == 7, said
    for difference in ("rounds 4 here, 3 there", "strategy", "tiers", "option size 80KB here, 40KB there"):
        assert difference in said
    assert "Leave these settings out, or join another swarm" in said
    code, said = run_to_end(tmp_path, "127.0.0.1", "0", swarm[1], "--app", "linear")
    assert code == 7, said
    assert "app linear here, onehot there" in said


def test_a_joiner_with_another_model_is_exit_7_tensor_by_tensor(tmp_path: Path) -> None:
    """The same app by name, whose code differs between two machines."""
    port = free_ports(1)[0]
    text = "from tests.real.bad_apps import BadTrainer\nimport pyfl\napp = pyfl.App(trainer=lambda a, o: BadTrainer('', 0, {}))\n"
    for name, size in (("here", 100), ("there", 101)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(text.format(size))
    (tmp_path / "swarm.key").write_text(KEY)
    with Programs(tmp_path / "here", PYFL_SWARM_KEY=KEY) as programs:
        programs.start("127.0.0.1", str(port), "--app", "mine:app", "--rounds", "3", "--min-peers", "2")
        programs.until(lambda: bool(programs.programs[0].said(events.ModelInstalled)), 60.0, "the founder has its model")
        code, said = run_to_end(tmp_path / "there", "127.0.0.1", "0", f"127.0.0.1:{port}", PYFL_SWARM_KEY=KEY)
    assert code == 7, said
    assert re.search(r"model differs from the swarm's: .*array_0.*101.*100", said, re.DOTALL), said


def herd_with(tmp_path: Path, options: str, peers: int = 3, rounds: int = 4, **more: object) -> tuple[Story, dict[int, list[object]], Herd]:
    """Run a herd of bad apps to its end: its story and what each peer told."""
    settings = settings_for(tmp_path, peers, f"tests.real.bad_apps:app:{options}", rounds, serve=False, **more)
    story, told = Story(), {index: list[object]() for index in range(peers)}
    with Herd(settings, framework=False) as herd:
        for item in herd.events(75.0):
            if item is not None:
                story.take(*item)
                told[item[0]].append(item[1].data)
        assert all(herd.endings), f"not over: {herd.endings} {[t[-3:] for t in told.values()]}"
    story.check_digests()
    return story, told, herd


@pytest.mark.parametrize("fault", ["nan", "infinite"])
def test_an_update_that_is_not_finite_sits_out_and_the_others_go_on(tmp_path: Path, fault: str) -> None:
    story, told, herd = herd_with(tmp_path, f"fault={fault},who=1,at=2")
    assert [e and e.code for e in herd.endings] == [0, 0, 0], herd.endings
    assert len(story.committed[1].contributors) == 3
    for number in (2, 3, 4):
        assert not story.committed[number].void
        assert {story.index_of(p) for p in story.committed[number].contributors} == {0, 2}
    ended = [e for e in told[1] if isinstance(e, events.TrainingEnded) and not e.finite]
    assert {e.round for e in ended} == {2, 3, 4}, "and it says so"
    assert set(story.installed[4]) == {0, 1, 2}, "it takes the others' model"


def test_three_rounds_without_a_finite_update_stop_the_run(tmp_path: Path) -> None:
    story, _, herd = herd_with(tmp_path, "fault=nan,who=-1,at=2", rounds=20)
    assert [story.committed[n].void for n in range(6) if n in story.committed] == [False, False, True, True, True]
    assert len({story.committed[n].digest for n in (1, 2, 3, 4)}) == 1, "a void round changes nothing"
    for ending in herd.endings:
        assert ending is not None
        assert ending.code == 1
        assert "3 rounds in a row, up to 4, had no usable result" in ending.why


def test_a_trainer_that_raises_is_exit_1_with_its_traceback_and_the_others_go_on(tmp_path: Path) -> None:
    story, _, herd = herd_with(tmp_path, "fault=raise,who=2,at=2")
    raised, *others = reversed(herd.endings)
    assert raised is not None
    assert raised.code == 1
    assert "RuntimeError: the user's code has a defect in it" in raised.why
    assert [e and e.code for e in others] == [0, 0]
    assert len(story.committed[4].contributors) == 2


def test_a_trainer_that_never_stops_is_left_behind_at_the_deadline(tmp_path: Path) -> None:
    limits = Deadlines(train_floor_s=1.0, train_ceiling_s=3.0)
    story, _, herd = herd_with(tmp_path, "fault=forever,who=2,at=2", deadlines=limits)
    assert [e and e.code for e in herd.endings] == [0, 0, 0], herd.endings
    for number in (2, 3, 4):
        assert {story.index_of(p) for p in story.committed[number].contributors} == {0, 1}
    assert 2 in story.installed[4], "it receives what the others learn"


def test_a_trainer_that_returns_other_shapes_sits_out_and_says_so(tmp_path: Path) -> None:
    story, told, herd = herd_with(tmp_path, "fault=shape,who=1,at=2")
    assert [e and e.code for e in herd.endings] == [0, 0, 0], herd.endings
    assert len(story.committed[4].contributors) == 2
    faults = [e for e in told[1] if isinstance(e, events.FaultSeen)]
    assert any("array_0" in e.error for e in faults), faults


def test_a_corrupt_checkpoint_is_set_aside_told_and_fetched_from_the_others(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 3, "onehot:size=40KB,train_s=0.2", 12, serve=False)
    story, told, victim, kept = Story(), list[object](), -1, list[Path]()
    with Herd(settings, framework=False) as herd:
        for item in herd.events(75.0):
            if item is None:
                continue
            index, event = item
            if index == len(settings):
                told.append(event.data)
                index = victim
            story.take(index, event)
            if victim < 0 and 3 in story.committed and len(story.ids) == 3:
                victim = (story.index_of(story.coordinator) + 1) % 3
                herd.kill(victim)
                found = (tmp_path / f"peer-{victim}" / "checkpoints").glob("*.safetensors")
                kept = [path for path in found if path.with_suffix(".json").exists()]  # it may have died between the two
                assert kept
                for path in kept:
                    path.write_bytes(path.read_bytes()[:-7] + b"\x00" * 7 + b"!")
                herd.start(settings[victim])
        endings = herd.endings
    assert [e.code for i, e in enumerate(endings) if e is not None and i != victim] == [0, 0, 0], endings
    set_aside = [e.error for e in told if isinstance(e, events.FaultSeen) and e.where == "checkpoint"]
    assert len(set_aside) == len(kept), told[:10]
    assert all("is set aside as .corrupt" in error for error in set_aside)
    installed = [e for e in told if isinstance(e, events.ModelInstalled)]
    assert installed[0].how in ("initial", "pulled")
    assert any(e.how == "pulled" for e in installed)
    assert story.ids[victim] in story.committed[12].contributors
    story.check_digests()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
@pytest.mark.parametrize("durability", ["relaxed", "full"])
def test_a_full_disk_while_checkpointing_is_told_and_does_not_stop_a_relaxed_swarm(tmp_path: Path, durability: str) -> None:
    small = tmp_path / "peer-1"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.strip()}")
    try:
        app = "onehot:size=2MB,train_s=0.1"
        settings = settings_for(tmp_path, 2, app, 5, serve=False, durability=durability, voters=1)
        story, told = Story(), list[object]()
        with Herd(settings, framework=False) as herd:
            for item in herd.events(75.0):
                if item is not None:
                    story.take(*item)
                    if item[0] == 1:
                        told.append(item[1].data)
            endings = list(herd.endings)
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert [e and e.code for e in endings] == [0, 0], endings
    faults = [e.error for e in told if isinstance(e, events.FaultSeen) and e.where == "checkpoint"]
    assert faults, "it says so"
    assert "could not be written" in faults[0]
    assert "make room" in faults[0]
    assert set(story.installed[5]) == {0, 1}
    story.check_digests()
