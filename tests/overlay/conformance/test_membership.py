"""Who is here: joining, announcing, leaving, dying."""

from __future__ import annotations

import pytest

from pyfl.errors import NoSuchPeer, OverlayArgument, OverlayClosed
from pyfl.overlay.protocol import PeerDown, PeerUp, PeerUpdate, Wake

from .swarms import Swarm, drain, meet, start, wait


def test_peers_find_each_other(swarm: Swarm) -> None:
    peers = start(swarm, 4)
    for peer in peers:
        others = {other.me for other in peers if other is not peer}
        assert {info.peer for info in peer.overlay.peers()} == others
        ups = [event.peer for event in peer.of(PeerUp)]
        assert sorted(ups) == sorted(others), "each is told of once"


def test_ids_are_32_hexadecimal_characters_and_differ(swarm: Swarm) -> None:
    peers = start(swarm, 3)
    assert len({peer.me for peer in peers}) == 3
    for peer in peers:
        assert len(peer.me) == 32
        assert set(peer.me) <= set("0123456789abcdef")


def test_what_a_peer_announces_reaches_the_others(swarm: Swarm) -> None:
    one, two, three = start(swarm, 3, eligible=1)
    two.overlay.announce(b"ready", eligible=True)
    for peer in (one, three):
        event = wait(swarm, peer, PeerUpdate, lambda event: event.meta == b"ready")
        assert event.peer == two.me
        assert event.eligible
        assert [info.meta for info in peer.overlay.peers() if info.peer == two.me] == [b"ready"]


def test_more_than_256_bytes_of_announcement_are_refused(swarm: Swarm) -> None:
    (one,) = start(swarm, 1)
    one.overlay.announce(b"x" * 256, eligible=True)
    with pytest.raises(OverlayArgument):
        one.overlay.announce(b"x" * 257, eligible=True)


def test_a_goodbye_says_left(swarm: Swarm) -> None:
    one, two, three = start(swarm, 3)
    three.overlay.leave()
    three.overlay.close()
    for peer in (one, two):
        event = wait(swarm, peer, PeerDown, lambda event: event.peer == three.me)
        assert (event.reason, event.confirmed) == ("left", True)
        assert three.me not in [info.peer for info in peer.overlay.peers()]


def test_a_killed_peer_is_down_and_confirmed(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    victim = swarm.add_victim()
    meet(swarm, [one, two], victim)
    swarm.kill(victim)
    for peer in (one, two):
        event = wait(swarm, peer, PeerDown, lambda event: event.peer == victim.me)
        assert (event.reason, event.confirmed) == ("refused", True)


def test_a_late_joiner_finds_everyone(swarm: Swarm) -> None:
    peers = start(swarm, 3)
    late = swarm.add()
    meet(swarm, [*peers, late])


def test_a_wake_ends_a_wait(swarm: Swarm) -> None:
    (one,) = start(swarm, 1)
    one.overlay.wake(b"now")
    assert wait(swarm, one, Wake).payload == b"now"


def test_a_closed_overlay_says_so_once_drained(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    two.overlay.close()
    two.overlay.close()
    drain(two)
    with pytest.raises(OverlayClosed):
        two.overlay.next_event(0.0)
    with pytest.raises(OverlayClosed):
        two.overlay.message(one.me, b"", b"")


def test_a_stranger_is_no_such_peer(swarm: Swarm) -> None:
    (one,) = start(swarm, 1)
    for peer in ("0" * 32, one.me):
        with pytest.raises(NoSuchPeer):
            one.overlay.message(peer, b"t", b"")
        with pytest.raises(NoSuchPeer):
            one.overlay.send(peer, b"t", memoryview(bytearray(3)))
