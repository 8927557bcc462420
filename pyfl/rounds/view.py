"""What a peer knows of the swarm: the live members, the ledger's records and who leads. Shared by both roles of a machine."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from pyfl.errors import MessageError
from pyfl.overlay.protocol import PeerInfo, Record
from pyfl.rounds.history import HISTORY, HistoryRecord
from pyfl.rounds.records import CONTROL, ROUND, RUN, ControlRecord, RoundRecord, RunRecord

__all__ = ["View"]

_DECODERS = {
    RUN: msgspec.msgpack.Decoder(RunRecord),
    ROUND: msgspec.msgpack.Decoder(RoundRecord),
    HISTORY: msgspec.msgpack.Decoder(HistoryRecord),
    CONTROL: msgspec.msgpack.Decoder(ControlRecord),
}


@dataclass(slots=True)
class View:
    """Mutable; written by the machine as events come in, read by the member and the coordinator."""

    me: str
    now: float = 0.0
    peers: dict[str, PeerInfo] = field(default_factory=dict[str, PeerInfo])
    via: dict[str, str] = field(default_factory=dict[str, str])
    """Peers that cannot be connected to, and through whom they are reached."""
    leader: str = ""
    leading: bool = False
    voters: tuple[str, ...] = ()
    ledger_epoch: int = 0
    """One more after each operator's recovery; 0 while no ledger is known."""
    ledger_lost: bool = False
    ledger_lost_since: float = 0.0
    leader_since: float = 0.0
    """When the present leader was first seen here: whoever leads anew gives a phase its whole time again."""
    durable: bool = False
    """Voters make a result durable before they say that they hold it."""
    run: RunRecord | None = None
    round: RoundRecord | None = None
    reduced: RoundRecord | None = None
    """The present or last record with members: between rounds it says who sent to whom."""
    round_since: float = 0.0
    """When the round's present phase, at its present epoch, was first seen here."""
    history: HistoryRecord = field(default_factory=HistoryRecord)
    control: ControlRecord = field(default_factory=ControlRecord)
    versions: dict[str, int] = field(default_factory=dict[str, int])

    def live(self) -> set[str]:
        """The live members with this peer."""
        return {self.me, *self.peers}

    def accept(self, record: Record) -> bool:
        """Take a record in; False if it is none of ours or not newer. Raises `MessageError` for unreadable bytes."""
        decoder = _DECODERS.get(record.key)
        if decoder is None or record.version <= self.versions.get(record.key, 0):
            return False
        self.versions[record.key] = record.version  # also of one that cannot be read: the next write replaces it
        try:
            value = decoder.decode(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MessageError(
                f"Record {record.key!r} version {record.version} cannot be read: {error}. "
                "Expected this version's records; does every peer run the same pyfl?"
            ) from error
        match value:
            case RunRecord():
                self.run = value
            case RoundRecord():
                before, self.round = self.round, value
                if before is None or (before.number, before.epoch, before.phase) != (value.number, value.epoch, value.phase):
                    self.round_since = self.now
                self.reduced = value if value.members else self.reduced
            case HistoryRecord():
                self.history = value
            case ControlRecord():
                self.control = value
            case _:
                raise AssertionError(f"record {record.key!r} decoded to {type(value).__name__}")
        return True
