"""Strangers' bytes give a message or `MessageError`, and no message, however wild, stops a machine."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyfl.errors import MessageError
from pyfl.overlay import protocol as overlay
from pyfl.rounds import messages
from pyfl.rounds.messages import Accuse, Held, Message, PullOffer, PullOpen, PullWant, Ready, Report, Score
from tests.rounds.story import Table, peer_id

numbers = st.one_of(st.integers(-2, 12), st.sampled_from([-(2**63), 2**31, 2**40, 2**63, 2**64 - 1]))
floats = st.one_of(st.floats(), st.just(1.0))
names = st.one_of(st.text(max_size=6), st.sampled_from(["0" * 64, *(peer_id(name) for name in "abcde")]))
exponents = st.lists(numbers, max_size=3).map(tuple)
readies = st.builds(Ready, numbers, numbers, exponents, exponents, st.booleans(), floats, st.one_of(st.none(), floats))
helds = st.builds(Held, numbers, numbers, names, names, st.booleans(), st.booleans())
scores = st.builds(Score, numbers, numbers, numbers, floats, st.one_of(st.none(), numbers))
anything: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Report, numbers, numbers, numbers, numbers, numbers, st.one_of(st.none(), readies), st.one_of(st.none(), helds),
        st.one_of(st.none(), scores),
    ),
    st.builds(Accuse, numbers, numbers, names, names),
    st.builds(PullOpen, numbers, numbers, names, names),
    st.builds(PullOffer, numbers, st.booleans(), st.lists(st.lists(st.binary(max_size=33), max_size=4).map(tuple), max_size=3).map(tuple)),
    st.builds(PullWant, numbers, st.lists(st.tuples(numbers, numbers), max_size=6).map(tuple)),
)  # fmt: skip


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_message_error(payload: bytes) -> None:
    try:
        message = messages.decode(payload)
    except MessageError as error:
        assert "Expected" in str(error)  # noqa: PT017
    else:
        assert isinstance(message, Message)


@given(anything)
def test_what_is_read_is_what_was_said(message: Message) -> None:
    again = messages.decode(messages.encode(message))
    assert messages.encode(again) == messages.encode(message)


@given(anything, st.data())
def test_a_message_cut_or_changed_anywhere_is_a_message_or_a_message_error(message: Message, data: st.DataObject) -> None:
    payload = bytearray(messages.encode(message))
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place] = data.draw(st.integers(0, 255))
    try:
        messages.decode(bytes(payload[: data.draw(st.integers(0, len(payload)))]))
    except MessageError:
        return


@pytest.mark.parametrize(
    "payload",
    [
        messages.encode(PullWant(1, ((0, 0),) * (messages.LONGEST + 1))),
        messages.encode(PullOffer(1, True, ((b"",) * (messages.LONGEST + 1),))),
        b"\xdf\xff\xff\xff\xff",  # a map of four thousand million entries
        b"\x91" * 100_000,  # lists in lists
    ],
)
def test_more_than_a_message_may_list_is_refused(payload: bytes) -> None:
    with pytest.raises(MessageError):
        messages.decode(payload)


def test_messages_are_told_apart_by_kind() -> None:
    kinds = {msgspec.msgpack.decode(messages.encode(m))["kind"] for m in (Accuse(1, 1, "p", ""), PullOpen(1, 1, "", ""), PullWant(1, ()))}
    assert kinds == {"accuse", "pull_open", "pull_want"}


commands = st.sampled_from([
    "trained a b c d", "trained b", "trained d finite=no", "freeze", "thaw", "dies d", "restarts c", "joins e", "wait 1", "wait 12",
    "cut b c", "mend b c", "leads b", "leads a", "stops c", "continues c", "wrong d",
])  # fmt: skip


@settings(max_examples=200)
@given(st.lists(st.one_of(commands, st.tuples(st.sampled_from("abcd"), st.sampled_from("abcde"), anything)), max_size=25))
def test_no_message_from_anyone_at_any_moment_stops_a_machine(story: list[str | tuple[str, str, Message]]) -> None:
    table = Table()
    table.play("swarm a b c d")
    for part in story:
        if isinstance(part, str):
            verb, *who = part.split()
            if verb == "joins" and "e" in table.seats:
                continue
            if verb == "trained":  # only those that train
                who = [w for w in who if "=" in w or table.trains(w)]
            table.play(" ".join([verb, *who]))
        else:
            to, sender, message = part
            table.seats[to].inputs.append(overlay.Message(peer_id(sender), b"pyfl", messages.encode(message)))
            table.play("wait 0")
