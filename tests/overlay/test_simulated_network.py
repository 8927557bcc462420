"""The simulated network itself: repeatable, in order, and hostile in the ways that it says."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyfl.errors import OverlayClosed, OverlayFull
from pyfl.overlay.protocol import Event, LinkDown, Message, PeerDown, PeerUp, Received, Sent
from pyfl.overlay.simulated import (
    NETWORK_FAULTS,
    Fault,
    FaultPlan,
    NetworkOptions,
    SimulatedNetwork,
    SimulatedOverlay,
)

LAST = 10**9
ORDERLY = tuple(kind for kind in NETWORK_FAULTS if kind not in ("duplicate", "reorder"))
"""What a real connection may do too: it ends, but gives nothing twice and nothing in another order."""


class Chatter:
    """Sends numbered messages and transfers to everyone it knows, and remembers how all of it ended."""

    def __init__(self, chat: Chat, overlay: SimulatedOverlay) -> None:
        self.chat = chat
        self.overlay = overlay
        self.heard: dict[tuple[str, bytes], list[int]] = {}
        self.posted: dict[int, tuple[bytearray | bytes, bytes]] = {}
        self.over: dict[int, str] = {}
        self.given_back: list[tuple[bytearray, bytes]] = []
        self.known: set[str] = set()
        self.serial = 0
        self.life = b"%d" % len(chat.chatters)
        overlay.on_event = self.on_event
        overlay.schedule(1.0, self.tick)

    def on_event(self, event: Event) -> None:
        if isinstance(event, PeerUp):
            assert event.peer not in self.known, "a peer comes up once"
            self.known.add(event.peer)
        elif isinstance(event, PeerDown):
            assert event.peer in self.known, "only a peer that was up goes down"
            self.known.discard(event.peer)
        elif isinstance(event, Message):
            life, number = event.tag, int(event.payload)
            numbers = self.heard.setdefault((event.peer, life), [])
            assert not numbers or numbers[-1] < number, "in order, none twice"
            numbers.append(number)
        elif isinstance(event, (Sent, Received)):
            assert event.transfer not in self.over, "a transfer ends once"
            self.over[event.transfer] = event.error
            buffer, expected = self.posted[event.transfer]
            if isinstance(event, Received) and event.ok:
                assert buffer == expected, "the bytes are right"
            if isinstance(buffer, bytearray):
                self.given_back.append((buffer, bytes(buffer)))

    def tick(self) -> None:
        if self.chat.quiet:
            return
        rng = self.chat.rng
        self.overlay.schedule(rng.uniform(0.05, 0.4), self.tick)
        for info in self.overlay.peers():
            self.serial += 1
            self.overlay.message(info.peer, self.life, b"%d" % self.serial)
        others = [info.peer for info in self.overlay.peers()]
        if not others:
            return
        other = rng.choice(others)
        # Both sides know what the bytes of a tag are, so that each can post on its own.
        slot = rng.randrange(4)
        size = (0, 1, 1000, 70_000)[slot]
        sending = rng.random() < 0.5
        source, sink = (self.overlay.me, other) if sending else (other, self.overlay.me)
        tag = f"{source[:4]}{sink[:4]}{slot}".encode()
        content = random.Random(tag).randbytes(size)
        number = self.chat.network.number_of(other)
        if number is None or (number, tag, sending) in self.overlay.process.posts:
            return
        timeout_s = rng.choice((0.0, 0.5, 5.0))
        if sending:
            buffer: bytearray | bytes = content
            transfer = self.overlay.send(other, tag, memoryview(buffer), timeout_s)
        else:
            buffer = bytearray(b"\xaa" * size)
            transfer = self.overlay.receive(other, tag, memoryview(buffer), timeout_s)
        self.posted[transfer] = (buffer, content)
        if rng.random() < 0.3:
            self.overlay.schedule(rng.random() * 0.1, lambda: self.cancel(transfer))

    def cancel(self, transfer: int) -> None:
        ended = self.overlay.cancel(transfer)
        buffer, _ = self.posted[transfer]
        if ended and isinstance(buffer, bytearray):
            self.given_back.append((buffer, bytes(buffer)))


class Chat:
    def __init__(self, seed: int, peers: int, kinds: tuple[str, ...] = ORDERLY) -> None:
        self.network = SimulatedNetwork(seed)
        self.rng = random.Random(seed)
        self.quiet = False
        self.chatters: list[Chatter] = []
        self.network.on_started = self.start
        for k in range(peers):
            self.start(self.network.add_peer(found=k == 0))
        self.plan = FaultPlan.random(seed, self.network.overlays, 15.0, kinds)
        self.network.run(until=2.0)
        self.plan.apply(self.network)

    def start(self, overlay: SimulatedOverlay) -> None:
        self.chatters.append(Chatter(self, overlay))

    def finish(self) -> None:
        self.network.run(until=40.0)
        self.network.heal()
        self.quiet = True
        self.network.run(until=80.0)
        for chatter in self.chatters:
            if chatter.overlay.alive:
                for info in chatter.overlay.peers():
                    chatter.overlay.message(info.peer, chatter.life, b"%d" % LAST)
        self.network.run(until=90.0)


@pytest.mark.parametrize("block", range(5))
def test_every_seed_keeps_what_the_network_promises(block: int) -> None:
    for seed in range(block * 20, block * 20 + 20):
        chat = Chat(seed, 3 + seed % 5)
        try:
            chat.finish()
            live = {overlay.me for overlay in chat.network.alive}
            for chatter in chat.chatters:
                for buffer, content in chatter.given_back:
                    assert buffer == content, "a buffer given back is not written to"
                if not chatter.overlay.alive:
                    continue
                assert {info.peer for info in chatter.overlay.peers()} == live - {chatter.overlay.me}
                assert chatter.known == live - {chatter.overlay.me}, "events and list agree"
                final = {peer for (peer, _), numbers in chatter.heard.items() if numbers[-1] == LAST}
                assert final == live - {chatter.overlay.me}, "in calm every message arrives"
                waiting = set(chatter.posted) - set(chatter.over)
                assert waiting == set(chatter.overlay.process.transfers), "what has not ended is posted"
        except Exception as error:
            told = "\n".join(f"{when:8.3f} {what}" for when, what in chat.network.fault_log)
            raise AssertionError(f"seed {seed}: {error}\n{chat.plan}\n-- what happened\n{told}") from error


def test_the_seeds_show_every_kind_of_ending() -> None:
    errors: set[str] = set()
    kinds: set[type] = set()
    for seed in range(40):
        chat = Chat(seed, 5)
        for chatter in chat.chatters:
            inner = chatter.on_event

            def record(event: Event, inner: object = inner) -> None:
                kinds.add(type(event))
                inner(event)  # type: ignore[operator]

            chatter.overlay.on_event = record
        chat.finish()
        for chatter in chat.chatters:
            errors |= set(chatter.over.values())
    assert errors >= {"", "cancelled", "timeout", "peer_lost"}
    assert {LinkDown, PeerDown, PeerUp, Message} <= kinds


def digest(seed: int) -> str:
    chat = Chat(seed, 5)
    chat.finish()
    return chat.network.trace_digest


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**63))
def test_a_seed_gives_one_trace(seed: int) -> None:
    assert digest(seed) == digest(seed)


def test_seeds_give_different_traces() -> None:
    assert len({digest(seed) for seed in range(20)}) == 20


def test_the_trace_does_not_depend_on_the_hash_seed() -> None:
    program = "from tests.overlay.test_simulated_network import digest; print(digest(7))"
    traces = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1")
    }
    assert len(traces) == 1


@given(seed=st.integers(), peers=st.integers(1, 9), horizon_s=st.floats(0.1, 100.0))
def test_a_plan_reads_back_from_its_text(seed: int, peers: int, horizon_s: float) -> None:
    plan = FaultPlan.random(seed, [f"peer-{k}" for k in range(peers)], horizon_s)
    assert FaultPlan.parse(str(plan)) == plan
    assert FaultPlan.random(seed, [f"peer-{k}" for k in range(peers)], horizon_s) == plan
    assert sum(fault.kind in ("kill", "leave") for fault in plan.faults) * 2 < peers
    assert all(0.0 <= fault.at_s <= horizon_s + 0.001 for fault in plan.faults)


def test_a_line_that_is_no_fault_is_refused_with_the_line() -> None:
    with pytest.raises(ValueError, match="at 1 explode"):
        Fault.parse("at 1 explode peer-0")


def pair(seed: int = 1, **options: object) -> tuple[SimulatedNetwork, SimulatedOverlay, SimulatedOverlay]:
    network = SimulatedNetwork(seed, options=NetworkOptions(stall_probability=0.0, **options))  # type: ignore[arg-type]
    one, two = network.add_peer(found=True), network.add_peer()
    network.run(until=2.0)
    return network, one, two


def events(overlay: SimulatedOverlay) -> list[Event]:
    return list(iter(lambda: overlay.next_event(0.0), None))


def test_touching_a_posted_buffer_is_an_assertion() -> None:
    for way in ("send", "receive"):
        network, one, two = pair()
        buffer, other = bytearray(100_000), bytearray(100_000)
        if way == "send":
            one.send(two.me, b"t", memoryview(buffer))
            two.receive(one.me, b"t", memoryview(other))
        else:
            one.receive(two.me, b"t", memoryview(buffer))
            two.send(one.me, b"t", memoryview(other))
        network.run(until=2.0001)
        buffer[50_000] = 1
        with pytest.raises(AssertionError, match="buffer changed while the overlay owned it"):
            network.run(until=10.0)


def test_a_transfer_cut_short_leaves_part_of_its_bytes() -> None:
    partial = 0
    for seed in range(30):
        network, one, two = pair(seed, received_without_sent_probability=0.0, bandwidth_bytes_s=(1e6, 1e6))
        size = 1_000_000
        buffer = bytearray(b"\xaa" * size)
        one.send(two.me, b"t", memoryview(b"b" * size))
        two.receive(one.me, b"t", memoryview(buffer))
        network.run(until=2.5)
        network.kill(one)
        network.run(until=30.0)
        ends = [event for event in events(two) if isinstance(event, Received)]
        assert len(ends) == 1
        if not ends[0].ok:
            moved = buffer.count(b"b")
            assert buffer == b"b" * moved + b"\xaa" * (size - moved)
            partial += 0 < moved < size
    assert partial > 20


def test_a_stopped_peer_gets_its_backlog_in_order_and_a_full_one_pushes_back() -> None:
    network, one, two = pair()
    network.stop(two)
    for k in range(1024):
        one.message(two.me, b"t", b"%d" % k)
    with pytest.raises(OverlayFull):
        one.message(two.me, b"t", b"one too many")
    network.run(until=3.0)
    assert two.next_event(0.0) is None
    network.resume(two)
    network.run(until=4.0)
    assert [event.payload for event in events(two) if isinstance(event, Message)] == [b"%d" % k for k in range(1024)]
    assert not [event for event in events(one) if isinstance(event, PeerDown)], "nobody noticed"


def test_a_peer_stopped_for_long_is_only_hinted_at_and_comes_back() -> None:
    network, one, two = pair()
    events(one)
    network.stop(two)
    network.run(until=10.0)
    network.resume(two)
    network.run(until=12.0)
    assert [(type(e), getattr(e, "reason", ""), getattr(e, "confirmed", None)) for e in events(one)][:2] == [
        (PeerDown, "gossip", False),
        (PeerUp, "", None),
    ]


def test_a_timer_of_a_peer_waits_while_it_is_stopped_and_dies_with_it() -> None:
    network, _, two = pair()
    fired: list[float] = []
    two.schedule(1.0, lambda: fired.append(network.now))
    network.stop(two)
    network.run(until=5.0)
    assert fired == []
    network.resume(two)
    network.run(until=6.0)
    assert fired == [5.0]
    two.schedule(1.0, lambda: fired.append(network.now))
    network.kill(two)
    network.run(until=10.0)
    assert fired == [5.0]
    with pytest.raises(OverlayClosed):
        two.peers()


def test_dropped_messages_are_lost_and_the_rest_keeps_its_order() -> None:
    network, one, two = pair()
    network.drop_messages(0.5)
    for k in range(200):
        one.message(two.me, b"t", b"%d" % k)
    network.run(until=5.0)
    got = [int(event.payload) for event in events(two) if isinstance(event, Message)]
    assert 50 < len(got) < 150
    assert got == sorted(set(got))


def test_a_restarted_peer_is_another_process_of_the_same_id() -> None:
    network, one, two = pair()
    again = network.restart(two)
    assert (again.me, again.name, again.address) == (two.me, two.name, two.address)
    assert not two.alive
    network.run(until=5.0)
    assert {info.peer for info in again.peers()} == {one.me}
    one.message(again.me, b"t", b"hello")
    network.run(until=6.0)
    assert [event.payload for event in events(again) if isinstance(event, Message)] == [b"hello"]
