"""Small messages: in order, once, bounded."""

from __future__ import annotations

import pytest

from pyfl.errors import OverlayArgument
from pyfl.overlay.protocol import Message

from .swarms import Swarm, start, wait


def test_messages_arrive_in_order_and_once(swarm: Swarm) -> None:
    one, two, three = start(swarm, 3)
    for k in range(300):
        one.overlay.message(three.me, b"count", b"%d" % k)
        two.overlay.message(three.me, b"count", b"%d" % k)
    for sender in (one, two):
        sender.overlay.message(three.me, b"end", b"")
        wait(swarm, three, Message, lambda event, sender=sender: event.tag == b"end" and event.peer == sender.me)
        got = [event.payload for event in three.of(Message) if event.peer == sender.me and event.tag == b"count"]
        assert got == [b"%d" % k for k in range(300)]


def test_a_message_keeps_its_bytes(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    for tag, payload in ((b"", b""), (b"\x00" * 128, b"\xff\x00" * 10), (b"large", bytes(range(256)) * 4096)):
        one.overlay.message(two.me, tag, payload)
        event = wait(swarm, two, Message, lambda event, tag=tag: event.tag == tag)
        assert (event.peer, event.payload) == (one.me, payload)


def test_what_is_too_long_is_refused(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    with pytest.raises(OverlayArgument):
        one.overlay.message(two.me, b"t" * 129, b"")
    with pytest.raises(OverlayArgument):
        one.overlay.message(two.me, b"t", bytes(1024 * 1024 + 1))


def test_the_first_message_follows_its_peer_up(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    late = swarm.add()
    assert swarm.until(late, lambda: len(late.overlay.peers()) == 2)
    for peer in (one, two):
        late.overlay.message(peer.me, b"hello", b"")
        wait(swarm, peer, Message, lambda event: event.peer == late.me)
        kinds = [type(event).__name__ for event in peer.events if getattr(event, "peer", "") == late.me]
        assert kinds.index("PeerUp") < kinds.index("Message")
