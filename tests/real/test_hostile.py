"""Hostile bytes while a swarm trains: strangers on the port, and a member that holds the key and sends garbage on every plane."""

from __future__ import annotations

import os
import random
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from pyfl import events
from pyfl.errors import OverlayArgument, OverlayFull
from pyfl.overlay import protocol as overlay
from pyfl.overlay.config import OverlayConfig
from pyfl.overlay.protocol import Write
from pyfl.overlay.real import RealOverlay
from pyfl.peer.herd import Herd
from pyfl.rounds import messages
from pyfl.rounds.history import HISTORY
from pyfl.rounds.records import CONTROL, ROUND, RUN
from tests.real.swarms import Story, check_probes, settings_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]

PEERS, STRIDE = 3, 64
PLANES = ("pyfl-member/1", "pyfl-ledger/1", "pyfl-watch/1", "pyfl-msg/1", "pyfl-bulk/1", "h2")
LIMIT_S = 90.0


class Attacked:
    """A swarm under attack, its story and its faults."""

    def __init__(self, directory: Path, rounds: int) -> None:
        self.settings = settings_for(directory, PEERS, f"onehot:size=4MB,stride={STRIDE},train_s=0.2", rounds, serve=False)
        self.story = Story()
        self.faults: dict[int, list[events.FaultSeen]] = {index: [] for index in range(PEERS)}

    def run(self, attack: Callable[[Attacked], Iterator[None]], after: int = 1) -> None:
        """Run to the end, one step of the attack after each event once round `after` is committed; it must be over before the run is."""
        steps: Iterator[None] | None = None
        attacked = False
        with Herd(self.settings, framework=False) as herd:
            for item in herd.events(LIMIT_S):
                if item is not None:
                    self.story.take(*item)
                    if isinstance(item[1].data, events.FaultSeen):
                        self.faults[item[0]].append(item[1].data)
                if after in self.story.committed and len(self.story.ids) == PEERS and not attacked:
                    steps = steps or attack(self)
                    attacked = next(steps, "over") == "over"
            assert attacked, "the run was over before the attack was"
            assert [e and e.code for e in herd.endings] == [0] * PEERS, herd.endings

    def check(self, directory: Path, rounds: int) -> None:
        """The run was carried through, with one model a round and everyone counted once."""
        assert sorted(self.story.committed) == list(range(rounds + 1))
        assert set(self.story.installed[rounds]) == set(range(PEERS))
        self.story.check_digests()
        check_probes(directory, self.story, STRIDE, PEERS)

    def told(self) -> str:
        """All faults as text."""
        return "\n".join(f"{where}: {fault.where}: {fault.error}" for where, faults in self.faults.items() for fault in faults)


def address_of(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host, int(port)


def shout(listen: str, payload: bytes) -> None:
    """Send bytes and read until the other side closes; it may cut the connection at any moment."""
    with suppress(OSError), socket.create_connection(address_of(listen), timeout=5.0) as connection:
        connection.sendall(payload)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def strange_tls(listen: str, plane: str, certificate: Path | None, payload: bytes) -> None:
    """TLS with a certificate of another CA, or none, then bytes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([plane])
    if certificate:
        context.load_cert_chain(certificate)
    with (
        suppress(OSError),
        socket.create_connection(address_of(listen), timeout=5.0) as connection,
        context.wrap_socket(connection) as secure,
    ):
        secure.sendall(payload)
        assert not secure.recv(65536), "a stranger was answered"


def certificate_of_another_ca(directory: Path) -> Path | None:
    """Self-signed, by the openssl command; None where there is none."""
    import shutil
    import subprocess

    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    path = directory / "stranger.pem"
    key = directory / "stranger.key"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", "/CN=stranger", "-keyout", key, "-out", path],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + key.read_text())
    return path


def test_strangers_on_the_port_change_nothing(tmp_path: Path) -> None:
    rng = random.Random(1)
    stranger = certificate_of_another_ca(tmp_path)

    def attack(swarm: Attacked) -> Iterator[None]:
        for turn in range(24):
            target = swarm.settings[turn % PEERS].listen
            shout(target, rng.choice([b"", b"GET / HTTP/1.1\r\n\r\n", rng.randbytes(rng.randint(1, 100_000)), b"\x16\x03\x01\xff\xff"]))
            yield
        for plane in PLANES:
            for certificate in (None, stranger):
                strange_tls(swarm.settings[0].listen, plane, certificate, rng.randbytes(1000))
                yield
        with RealOverlay(
            OverlayConfig(
                listen="127.0.0.1:0", swarm_key=secrets.token_hex(32), join=tuple(s.listen for s in swarm.settings), join_timeout_ms=500
            )
        ) as other:
            while not isinstance(event := other.next_event(5.0), overlay.JoinFailed):
                assert event is not None, "another swarm's member is told that it cannot join"
                yield
            assert all(f.refused for f in event.failures)
            assert other.peers() == []

    swarm = Attacked(tmp_path, 8)
    swarm.run(attack)
    swarm.check(tmp_path, 8)
    assert sum(map(len, swarm.faults.values())) >= 3, "and it is told"


class Member:
    """A valid member in this process, drained so that its own back-pressure hides nothing."""

    def __init__(self, directory: Path, swarm: Attacked) -> None:
        key = (directory / "swarm.key").read_text().strip()
        self.net = RealOverlay(OverlayConfig(listen="127.0.0.1:0", name="mallory", swarm_key=key, join=(swarm.settings[0].listen,)))
        self.records: dict[str, overlay.Record] = {}
        self.writes: dict[int, overlay.WriteDone] = {}

    def drain(self) -> None:
        """Take in what is there."""
        while event := self.net.next_event(0.0):
            match event:
                case overlay.Record():
                    self.records[event.key] = event
                case overlay.WriteDone():
                    self.writes[event.request] = event
                case _:
                    pass

    def write(self, key: str, value: bytes) -> int:
        """A write at the version that is known."""
        known = self.records.get(key)
        return self.net.write([Write(key, known.version if known else 0, value)])

    def say(self, peer: str, tag: bytes, payload: bytes) -> None:
        """A message; a full queue is how the other side defends itself."""
        with suppress(OverlayFull):
            self.net.message(peer, tag, payload)


def garbage(rng: random.Random, run: str) -> Iterator[bytes]:
    """Messages: no MessagePack, MessagePack of something else, and well-formed ones that make no sense."""
    yield from (b"", b"\xc1", b"\x91" * 5000, b"\xdf\xff\xff\xff\xff", rng.randbytes(100), rng.randbytes(1 << 20))
    yield msgspec.msgpack.encode({"kind": "report"})
    yield msgspec.msgpack.encode({"kind": "no such kind", "instance": 1})
    ready = messages.Ready(10**9, -5, tuple([127] * 1000), (), True, float("nan"), float("inf"))
    held = messages.Held(1, 1, "0" * 64, "not a digest")
    for number in (-(2**62), -1, 0, 1, 2, 3, 5, 2**62):
        score = messages.Score(number, 1, -1, float("nan"), -3)
        yield messages.encode(messages.Report(1, number, number, number, number, ready, held, score))
        yield messages.encode(messages.Report(2, 0, number, 1, 0, messages.Ready(number, 2**62, (5,), (5,), True, -1.0)))
        yield messages.encode(messages.Accuse(number, 1, "f" * 32, "x" * 10_000))
        yield messages.encode(messages.PullOpen(number, number, "f" * 64, ""))
        yield messages.encode(messages.PullWant(number, ((number, number), (0, 0))))
        yield messages.encode(messages.PullOffer(number, True, ((b"x",) * 3,), run))


def test_a_member_that_sends_garbage_on_every_plane_is_counted_and_changes_nothing(tmp_path: Path) -> None:
    rng = random.Random(2)
    outcome: dict[str, str] = {}

    def attack(swarm: Attacked) -> Iterator[None]:
        mallory = Member(tmp_path, swarm)
        try:
            yield from assault(swarm, mallory)
        finally:
            mallory.net.close()

    def assault(swarm: Attacked, mallory: Member) -> Iterator[None]:
        net = mallory.net
        victims = list(swarm.story.ids.values())
        while len(net.peers()) < PEERS or RUN not in mallory.records or ROUND not in mallory.records:
            mallory.drain()
            yield
        run = msgspec.msgpack.decode(mallory.records[RUN].value)["run"]
        for payload in garbage(rng, run):
            for peer in victims:
                mallory.say(peer, b"pyfl", payload)
            mallory.drain()
            yield
        for tag in (b"", b"\x00" * 128, b"x" * 128):
            mallory.say(victims[0], tag, b"nobody reads this")
        for tag, payload in ((b"x" * 129, b""), (b"pyfl", bytes((1 << 20) + 1))):
            with pytest.raises(OverlayArgument):
                net.message(victims[0], tag, payload)
        # Transfers that nobody posted the other end of, also under the run's own tags.
        number = msgspec.msgpack.decode(mallory.records[ROUND].value)["number"]
        buffers = [bytearray(1 << 20) for _ in range(8)]
        posted = []
        for turn, buffer in enumerate(buffers):
            for ahead in (0, 1):
                tag = f"{run}/{'ud'[turn % 2]}{number + ahead}.1.{turn}.0".encode()
                with suppress(OverlayFull):
                    posted.append(net.send(victims[turn % PEERS], tag, memoryview(buffer)))
                    posted.append(net.receive(victims[turn % PEERS], tag, memoryview(bytearray(1 << 20))))
            yield
        # Records: only control may be written by anyone, and what is there must be readable.
        writes = {key: mallory.write(key, rng.randbytes(50)) for key in (RUN, ROUND, HISTORY, "round/other")}
        writes |= {f"control{turn}": mallory.write("control/of-mine", rng.randbytes(1000)) for turn in range(2)}
        for key, value in (("", b""), ("k" * 300, b""), ("control/huge", bytes(2 << 20))):
            with pytest.raises(OverlayArgument):
                mallory.write(key, value)
        while writes.values() - mallory.writes.keys():
            mallory.drain()
            yield
        outcome.update({key: mallory.writes[request].error for key, request in writes.items()})
        for value in (rng.randbytes(64), msgspec.msgpack.encode({"state": "exploded"}), b""):
            mallory.drain()
            request = mallory.write(CONTROL, value)
            while request not in mallory.writes:
                mallory.drain()
                yield
            outcome[f"control={len(value)}"] = mallory.writes[request].error
        for transfer in posted:
            net.cancel(transfer)
        yield

    swarm = Attacked(tmp_path, 14)
    swarm.run(attack)
    swarm.check(tmp_path, 14)
    for key in (RUN, ROUND, HISTORY, "round/other"):
        assert outcome[key] == "denied", outcome
    told = swarm.told()
    for index in range(PEERS):
        assert any(f.where == "message" and "cannot be read" in f.error for f in swarm.faults[index]), f"peer {index}:\n{told}"
        assert any(f.where == "record" and "'control'" in f.error for f in swarm.faults[index]), f"peer {index}:\n{told}"
    contributors = {peer for record in swarm.story.committed.values() for peer in record.contributors}
    assert contributors <= set(swarm.story.ids.values()), "what it claimed to have trained was never counted"


def test_a_member_that_floods_is_held_back_and_the_run_goes_on(tmp_path: Path) -> None:
    """As many messages as it can send for two seconds, to everyone."""

    def attack(swarm: Attacked) -> Iterator[None]:
        mallory = Member(tmp_path, swarm)
        try:
            while len(mallory.net.peers()) < PEERS:
                mallory.drain()
                yield
            until = time.monotonic() + 2.0
            payload = os.urandom(4096)
            while time.monotonic() < until:
                for peer in swarm.story.ids.values():
                    for _ in range(50):
                        mallory.say(peer, b"pyfl", payload)
                mallory.drain()
                yield
        finally:
            mallory.net.close()

    swarm = Attacked(tmp_path, 10)
    swarm.run(attack)
    swarm.check(tmp_path, 10)
