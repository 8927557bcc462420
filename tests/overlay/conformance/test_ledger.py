"""The ledger: compare and set, watches, barriers, leaders and the committee."""

from __future__ import annotations

import pytest

from pyfl.errors import OverlayArgument, OverlayError
from pyfl.overlay.protocol import BarrierDone, Committee, Leader, PeerDown, Record, Write, WriteDone

from .swarms import Peer, Swarm, meet, start, wait


def write(swarm: Swarm, peer: Peer, *writes: Write) -> WriteDone:
    request = peer.overlay.write(writes)
    return wait(swarm, peer, WriteDone, lambda event: event.request == request)


def committee_of(swarm: Swarm, peer: Peer, size: int) -> list[str]:
    """Wait until a peer has heard of a committee of a size, and it is the newest it heard of."""
    assert swarm.until(peer, lambda: [len(event.voters) for event in peer.of(Committee)][-1:] == [size])
    return peer.of(Committee)[-1].voters


def leader_among(swarm: Swarm, peers: list[Peer]) -> Peer:
    """Wait until one of the peers believes that it leads."""

    def leading() -> list[Peer]:
        return [peer for peer in peers if [event.me for event in peer.of(Leader)][-1:] == [True]]

    assert swarm.until(peers[0], lambda: bool(leading()))
    return leading()[0]


def test_a_record_reaches_everyone(swarm: Swarm) -> None:
    peers = start(swarm, 4, eligible=1)
    assert peers[0].overlay.read("round") is None
    assert write(swarm, peers[0], Write("round", 0, b"one")).ok
    for peer in peers:
        event = wait(swarm, peer, Record, lambda event: event.key == "round")
        assert (event.version, event.value) == (1, b"one")
        assert peer.overlay.read("round") == event


def test_watchers_see_the_newest_value_and_versions_rise(swarm: Swarm) -> None:
    peers = start(swarm, 4, eligible=1)
    for k in range(20):
        assert write(swarm, peers[0], Write("round", k, b"%d" % k)).ok
    for peer in peers:
        wait(swarm, peer, Record, lambda event: event.version == 20 and event.value == b"19")
        versions = [event.version for event in peer.of(Record)]
        indexes = [event.index for event in peer.of(Record)]
        assert versions == sorted(set(versions))
        assert indexes == sorted(indexes)


def test_a_late_joiner_is_given_the_records(swarm: Swarm) -> None:
    (one,) = start(swarm, 1)
    for k in range(3):
        assert write(swarm, one, Write("round", k, b"%d" % k), Write(f"other {k}", 0, b"x")).ok
    late = swarm.add(eligible=False)
    wait(swarm, late, Record, lambda event: event.key == "round" and event.version == 3)
    for k in range(3):
        wait(swarm, late, Record, lambda event, k=k: event.key == f"other {k}")


def test_a_write_with_another_version_is_a_conflict(swarm: Swarm) -> None:
    one, _ = start(swarm, 2)
    assert write(swarm, one, Write("round", 0, b"one")).ok
    for version in (0, 2):
        event = write(swarm, one, Write("round", version, b"two"))
        assert (event.ok, event.error) == (False, "conflict")
    assert write(swarm, one, Write("round", 1, b"two")).ok
    assert wait(swarm, one, Record, lambda event: event.version == 2).value == b"two"


def test_two_records_are_written_together_or_not_at_all(swarm: Swarm) -> None:
    one, two = start(swarm, 2)
    assert write(swarm, one, Write("a", 0, b"1"), Write("b", 0, b"1")).ok
    assert write(swarm, one, Write("a", 1, b"2"), Write("b", 7, b"2")).error == "conflict"
    assert write(swarm, one, Write("a", 1, b"3"), Write("b", 1, b"3")).ok
    for peer in (one, two):
        for key in ("a", "b"):
            event = wait(swarm, peer, Record, lambda event, key=key: event.key == key and event.version == 2)
            assert event.value == b"3"
        assert b"2" not in [event.value for event in peer.of(Record)]
        both = [peer.overlay.read(key) for key in ("a", "b")]
        assert both[0] is not None
        assert both[1] is not None
        assert both[0].index == both[1].index, "records of one write share its index"


def test_a_write_needs_records_and_each_key_once(swarm: Swarm) -> None:
    (one,) = start(swarm, 1)
    with pytest.raises(OverlayArgument):
        one.overlay.write([])
    with pytest.raises(OverlayArgument):
        one.overlay.write([Write("a", 0, b"1"), Write("a", 0, b"2")])
    with pytest.raises(OverlayArgument):
        one.overlay.write([Write("a", 0, bytes(1024 * 1024 + 1))])


def test_only_the_leader_writes_but_anyone_writes_control(swarm: Swarm) -> None:
    one, two = start(swarm, 2, eligible=1)
    wait(swarm, two, Leader, lambda event: event.leader == one.me)
    event = write(swarm, two, Write("round", 0, b"x"))
    assert (event.ok, event.error) == (False, "denied")
    assert write(swarm, two, Write("control", 0, b"pause")).ok
    event = write(swarm, two, Write("control", 0, b"again"))
    assert (event.ok, event.error) == (False, "conflict")
    assert wait(swarm, one, Record, lambda event: event.key == "control").value == b"pause"
    assert one.overlay.read("round") is None


def test_a_barrier_comes_after_the_records_before_it(swarm: Swarm) -> None:
    one, _ = start(swarm, 2)
    for k in range(10):
        assert write(swarm, one, Write("round", k, b"%d" % k)).ok
        request = one.overlay.barrier()
        done = wait(swarm, one, BarrierDone, lambda event, request=request: event.request == request)
        assert done.ok
        record = wait(swarm, one, Record, lambda event, k=k: event.version == k + 1)
        assert one.events.index(record) < one.events.index(done)


def test_a_barrier_is_the_leaders(swarm: Swarm) -> None:
    one, two = start(swarm, 2, eligible=1)
    wait(swarm, two, Leader, lambda event: event.leader == one.me)
    request = two.overlay.barrier()
    done = wait(swarm, two, BarrierDone, lambda event: event.request == request)
    assert (done.ok, done.error) == (False, "not_leader")


def test_only_eligible_peers_become_voters(swarm: Swarm) -> None:
    peers = start(swarm, 5, eligible=3)
    for peer in peers:
        assert committee_of(swarm, peer, 3) == sorted(peer.me for peer in peers[:3])
    peers[3].overlay.announce(b"", eligible=True)
    peers[4].overlay.announce(b"", eligible=True)
    for peer in peers:
        assert committee_of(swarm, peer, 5) == sorted(peer.me for peer in peers)


def test_leadership_can_be_handed_over(swarm: Swarm) -> None:
    peers = start(swarm, 3)
    committee_of(swarm, peers[0], 3)
    assert write(swarm, peers[0], Write("round", 0, b"one")).ok
    with pytest.raises(OverlayError):
        peers[1].overlay.yield_leadership()
    peers[0].overlay.yield_leadership()
    leader = leader_among(swarm, peers[1:])
    wait(swarm, peers[0], Leader, lambda event: event.leader == leader.me)
    request = leader.overlay.barrier()
    wait(swarm, leader, BarrierDone, lambda event: event.request == request)
    assert write(swarm, leader, Write("round", 1, b"two")).ok


def test_a_killed_leader_is_succeeded_and_its_records_are_kept(swarm: Swarm) -> None:
    victim = swarm.add_victim(found=True)
    peers = [swarm.add() for _ in range(3)]
    meet(swarm, peers, victim)
    for peer in peers:
        committee_of(swarm, peer, 3)
    assert write(swarm, peers[0], Write("control", 0, b"kept")).ok
    swarm.kill(victim)
    leader = leader_among(swarm, peers)
    request = leader.overlay.barrier()
    assert wait(swarm, leader, BarrierDone, lambda event: event.request == request).ok
    record = leader.overlay.read("control")
    assert record is not None
    assert (record.version, record.value) == (1, b"kept")
    assert write(swarm, leader, Write("round", 0, b"next")).ok
    for peer in peers:
        wait(swarm, peer, Record, lambda event: event.key == "round")


def test_a_dead_voter_is_replaced(swarm: Swarm) -> None:
    peers = start(swarm, 2)
    victim = swarm.add_victim()
    meet(swarm, peers, victim)
    assert victim.me in committee_of(swarm, peers[0], 3)
    late = swarm.add()
    meet(swarm, [*peers, late])
    swarm.kill(victim)
    wait(swarm, peers[0], PeerDown, lambda event: event.peer == victim.me)
    ids = sorted(peer.me for peer in [*peers, late])
    for peer in [*peers, late]:
        assert swarm.until(peer, lambda peer=peer: [e.voters for e in peer.of(Committee)][-1:] == [ids])
