"""Laws of fetching: whatever holders do, what is fetched has the digests asked for, and one honest holder is enough."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyfl.rounds.actions import Action, CheckPart, Part, PartChecked, PostReceive, Say, TransferEnded
from pyfl.rounds.messages import PullOffer, PullOpen, PullWant
from pyfl.rounds.pull import PART_S, Pull, combined_state
from pyfl.wire import digests

SEGMENTS, VECTORS = 7, 2
MODEL = tuple(bytes([1, s]) * 16 for s in range(SEGMENTS))
STATE = tuple(tuple(bytes([2 + v, s]) * 16 for s in range(SEGMENTS)) for v in range(VECTORS))
HOLDERS = ("honest", "refuses", "dies", "wrong bytes", "wrong digests", "silent", "stalls", "loses messages")
SHAPE = (SEGMENTS,) * (1 + VECTORS)


class World:
    """Holders of every kind, and the pull among them."""

    def __init__(self, holders: list[str], order: st.DataObject) -> None:
        self.holders = {f"h{i}": kind for i, kind in enumerate(holders)}
        self.pull = Pull(4, 9, 0, digests.combine(MODEL), combined_state(STATE), SHAPE, list(self.holders))
        self.fetched: dict[Part, str] = {}
        self.now, self._order = 0.0, order
        self._inputs: list[tuple[str, object]] = []
        self._receives: dict[Part, tuple[str, PostReceive, float]] = {}
        self._lost = 0

    def run(self, until_s: float) -> None:
        self._perform(self.pull.advance(self.now))
        while not self.pull.done and self.now < until_s:
            while self._inputs:
                peer, happened = self._inputs.pop(self._order.draw(st.integers(0, len(self._inputs) - 1)))
                self._take(peer, happened)
            self.now += 0.5
            for part, (peer, receive, since) in list(self._receives.items()):
                if self.now - since > PART_S:
                    del self._receives[part]
                    self._inputs.append((peer, TransferEnded(peer, receive.tag, receive.place, False, False, "timeout")))
            self._perform(self.pull.advance(self.now))
            if self.pull.exhausted and not self._inputs:
                self._perform(self.pull.again([p for p, kind in self.holders.items() if kind != "gone"], self.now))

    def _take(self, peer: str, happened: object) -> None:
        match happened:
            case PullOffer():
                self._perform(self.pull.offered(peer, happened, self.now))
            case TransferEnded():
                self._perform(self.pull.ended(happened, self.now))
            case PartChecked():
                if happened.ok:
                    assert happened.part not in self.fetched, "a segment that was checked is not fetched again"
                    self.fetched[happened.part] = peer
                self._perform(self.pull.checked(happened, self.now))
            case "gone":
                self.holders[peer] = "gone"
                self._perform(self.pull.lost(peer, self.now))
            case _:
                raise AssertionError(f"nothing takes {happened}")

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Say(peer, PullOpen() as message):
                    self._opened(peer, message)
                case Say(peer, PullWant() as message):
                    self._wanted(peer, message)
                case PostReceive():
                    part = Part(action.tag.vector, action.tag.segment)
                    assert part not in self._receives, f"{part} is received twice at once"
                    self._receives[part] = (action.peer, action, self.now)
                case CheckPart():
                    ok = self.holders[action.peer] != "wrong bytes"
                    self._inputs.append((action.peer, PartChecked(action.part, ok, action.peer)))
                case _:
                    raise AssertionError(f"a pull does not ask for {action}")

    def _opened(self, peer: str, message: PullOpen) -> None:
        match self.holders[peer]:
            case "refuses":
                self._inputs.append((peer, PullOffer(message.pull, False)))
            case "wrong digests":
                shifted = (MODEL[1:] + MODEL[:1], *STATE)
                self._inputs.append((peer, PullOffer(message.pull, True, shifted)))
            case "silent" | "gone":
                pass
            case "loses messages" if self._loses():
                pass
            case _:
                self._inputs.append((peer, PullOffer(message.pull, True, (MODEL, *STATE))))

    def _loses(self) -> bool:
        self._lost += 1
        return self._lost % 3 != 0

    def _wanted(self, peer: str, message: PullWant) -> None:
        kind = self.holders[peer]
        if kind == "dies":
            self._inputs.append((peer, "gone"))
        if kind in ("dies", "stalls", "gone") or (kind == "loses messages" and self._loses()):
            return
        for vector, segment in message.parts:
            found = self._receives.get(Part(vector, segment))
            if found and found[0] == peer:
                del self._receives[Part(vector, segment)]
                self._inputs.append((peer, TransferEnded(peer, found[1].tag, found[1].place, False, True)))


@given(st.lists(st.sampled_from(HOLDERS), max_size=5), st.sampled_from(["honest", "loses messages"]), st.data())
def test_one_honest_holder_is_enough_among_any(others: list[str], good: str, data: st.DataObject) -> None:
    holders = data.draw(st.permutations([*others, good]))
    world = World(list(holders), data)
    world.run(600.0)
    assert world.pull.done
    assert len(world.fetched) == SEGMENTS * (1 + VECTORS)
    assert all(world.holders[peer] != "wrong bytes" for peer in world.fetched.values())


@given(st.lists(st.sampled_from([k for k in HOLDERS if k not in ("honest", "loses messages")]), max_size=4), st.data())
def test_without_an_honest_holder_nothing_is_taken_for_the_model(holders: list[str], data: st.DataObject) -> None:
    world = World(holders, data)
    world.run(60.0)
    assert not world.pull.done


@given(st.lists(st.lists(st.binary(max_size=40), max_size=10), max_size=5))
def test_an_offer_of_any_bytes_is_refused_or_is_the_models(vectors: list[list[bytes]]) -> None:
    pull = Pull(1, 1, 0, digests.combine(MODEL), combined_state(STATE), SHAPE, ["h"])
    pull.advance(0.0)
    actions = pull.offered("h", PullOffer(1, True, tuple(tuple(v) for v in vectors)), 0.1)
    assert not [a for a in actions if isinstance(a, PostReceive)]
    assert pull.exhausted
