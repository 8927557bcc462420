"""Bulk transfers: posted buffers, matched by tag and size."""

from __future__ import annotations

import random
from weakref import WeakKeyDictionary

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pyfl.errors import OverlayArgument
from pyfl.overlay.protocol import Message, Received, Sent

from .swarms import Peer, Swarm, meet, start, wait

SEGMENT = 4 * 1024 * 1024


def ended(swarm: Swarm, peer: Peer, kind: type[Sent] | type[Received], transfer: int) -> Sent | Received:
    return wait(swarm, peer, kind, lambda event: event.transfer == transfer)


def exchange(swarm: Swarm, one: Peer, two: Peer) -> None:
    """Send a message there and one back: whatever was on its way before has arrived."""
    tag = b"echo %d" % len(one.events)
    one.overlay.message(two.me, tag, b"")
    wait(swarm, two, Message, lambda event: event.tag == tag)
    two.overlay.message(one.me, tag, b"")
    wait(swarm, one, Message, lambda event: event.tag == tag)


_pairs: WeakKeyDictionary[Swarm, list[Peer]] = WeakKeyDictionary()


@given(size=st.integers(0, 300_000))
@example(size=0)
@example(size=1)
@example(size=SEGMENT + 1)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_bytes_are_right(swarm: Swarm, size: int) -> None:
    # The examples share one swarm: starting it takes longer than the transfers.
    one, two = _pairs.get(swarm) or _pairs.setdefault(swarm, start(swarm, 2))
    payload = random.Random(size).randbytes(size)
    into = bytearray(b"\xaa" * size)
    tag = b"size %d %d" % (size, len(two.events))
    sent = one.overlay.send(two.me, tag, memoryview(payload))
    received = two.overlay.receive(one.me, tag, memoryview(into))
    event = ended(swarm, two, Received, received)
    assert (event.ok, event.error, event.bytes, event.peer, event.tag) == (True, "", size, one.me, tag)
    assert into == payload
    event = ended(swarm, one, Sent, sent)
    assert (event.ok, event.error, event.bytes, event.peer, event.tag) == (True, "", size, two.me, tag)


def test_a_send_waits_until_the_receive_is_posted(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    sent = one.overlay.send(two.me, b"t", memoryview(b"abc" * 1000))
    exchange(swarm, one, two)
    assert one.of(Sent) == []
    into = bytearray(3000)
    received = two.overlay.receive(one.me, b"t", memoryview(into))
    assert ended(swarm, one, Sent, sent).ok
    assert ended(swarm, two, Received, received).ok
    assert into == b"abc" * 1000


def test_a_receive_waits_until_the_send_is_posted(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    into = bytearray(3)
    received = two.overlay.receive(one.me, b"t", memoryview(into))
    exchange(swarm, one, two)
    assert two.of(Received) == []
    one.overlay.send(two.me, b"t", memoryview(b"abc"))
    assert ended(swarm, two, Received, received).ok
    assert into == b"abc"


def test_tags_are_matched_not_order(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    buffers = {b"%d" % k: bytearray(1000) for k in range(20)}
    for tag, buffer in buffers.items():
        two.overlay.receive(one.me, tag, memoryview(buffer))
    for tag in reversed(buffers):
        one.overlay.send(two.me, tag, memoryview(tag * (1000 // len(tag))))
    assert swarm.until(two, lambda: len(two.of(Received)) == 20)
    for tag, buffer in buffers.items():
        assert buffer == tag * (1000 // len(tag))


def test_both_ways_at_once_with_one_tag(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    into = bytearray(1), bytearray(1)
    one.overlay.send(two.me, b"t", memoryview(b"1"))
    two.overlay.send(one.me, b"t", memoryview(b"2"))
    first = one.overlay.receive(two.me, b"t", memoryview(into[0]))
    second = two.overlay.receive(one.me, b"t", memoryview(into[1]))
    assert ended(swarm, one, Received, first).ok
    assert ended(swarm, two, Received, second).ok
    assert (into[0], into[1]) == (b"2", b"1")


def test_different_sizes_fail_both_sides(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    into = bytearray(b"\xaa" * 1001)
    sent = one.overlay.send(two.me, b"t", memoryview(bytes(1000)))
    received = two.overlay.receive(one.me, b"t", memoryview(into))
    for event in (ended(swarm, one, Sent, sent), ended(swarm, two, Received, received)):
        assert (event.ok, event.error) == (False, "size")
    assert into == b"\xaa" * 1001


def test_a_cancelled_receive_leaves_its_buffer_alone(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    first, second = bytearray(b"\xaa" * 1000), bytearray(1000)
    received = two.overlay.receive(one.me, b"t", memoryview(first))
    assert two.overlay.cancel(received)
    event = ended(swarm, two, Received, received)
    assert (event.ok, event.error) == (False, "cancelled")
    assert not two.overlay.cancel(received)
    one.overlay.send(two.me, b"t", memoryview(b"b" * 1000))
    assert ended(swarm, two, Received, two.overlay.receive(one.me, b"t", memoryview(second))).ok
    assert first == b"\xaa" * 1000
    assert second == b"b" * 1000


def test_a_send_that_one_receive_withdrew_from_serves_the_next(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    sent = one.overlay.send(two.me, b"t", memoryview(b"b" * SEGMENT))
    first, second = bytearray(SEGMENT), bytearray(SEGMENT)
    if two.overlay.cancel(two.overlay.receive(one.me, b"t", memoryview(first))):
        kept = bytes(first)
        assert ended(swarm, two, Received, two.overlay.receive(one.me, b"t", memoryview(second))).ok
        assert second == b"b" * SEGMENT
        assert first == kept, "nothing is written to a buffer after cancel returned"
    assert ended(swarm, one, Sent, sent).ok


def test_a_cancelled_send_says_so(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    sent = one.overlay.send(two.me, b"t", memoryview(b"abc"))
    assert one.overlay.cancel(sent)
    event = ended(swarm, one, Sent, sent)
    assert (event.ok, event.error) == (False, "cancelled")
    # The tag is free again.
    into = bytearray(3)
    one.overlay.send(two.me, b"t", memoryview(b"def"))
    assert ended(swarm, two, Received, two.overlay.receive(one.me, b"t", memoryview(into))).ok
    assert into == b"def"


def test_a_tag_is_posted_once_at_a_time(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    one.overlay.send(two.me, b"t", memoryview(b"abc"))
    with pytest.raises(OverlayArgument):
        one.overlay.send(two.me, b"t", memoryview(b"abc"))
    one.overlay.receive(two.me, b"t", memoryview(bytearray(3)))  # the other direction is another post


def test_a_receive_needs_a_buffer_it_can_write(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    with pytest.raises(OverlayArgument):
        one.overlay.receive(two.me, b"t", memoryview(b"abc"))


def test_a_post_that_nobody_answers_times_out(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    sent = one.overlay.send(two.me, b"t", memoryview(b"abc"), 0.2)
    received = one.overlay.receive(two.me, b"t", memoryview(bytearray(3)), 0.2)
    assert ended(swarm, one, Sent, sent).error == "timeout"
    assert ended(swarm, one, Received, received).error == "timeout"


def test_the_loss_of_a_peer_fails_its_transfers(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    victim = swarm.add_victim()
    meet(swarm, [one, two], victim)
    sent = one.overlay.send(victim.me, b"t", memoryview(b"abc"))
    received = one.overlay.receive(victim.me, b"t", memoryview(bytearray(3)))
    other = one.overlay.receive(two.me, b"t", memoryview(bytearray(3)))
    swarm.kill(victim)
    assert ended(swarm, one, Sent, sent).error == "peer_lost"
    assert ended(swarm, one, Received, received).error == "peer_lost"
    # A transfer with somebody else is none of its business.
    two.overlay.send(one.me, b"t", memoryview(b"abc"))
    assert ended(swarm, one, Received, other).ok


def test_stats_count_what_was_sent(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    before = one.overlay.stats()["bytes_sent"], two.overlay.stats()["bytes_received"]
    sent = one.overlay.send(two.me, b"t", memoryview(bytes(100_000)))
    assert one.overlay.stats()["posted"] == 1
    received = two.overlay.receive(one.me, b"t", memoryview(bytearray(100_000)))
    ended(swarm, one, Sent, sent)
    ended(swarm, two, Received, received)
    assert one.overlay.stats()["bytes_sent"] - before[0] >= 100_000
    assert two.overlay.stats()["bytes_received"] - before[1] >= 100_000
    assert one.overlay.stats()["posted"] == 0
