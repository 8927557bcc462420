"""Events as sentences, with names for the peers that were met."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from pyfl import events
from pyfl.events import ObservedEvent, Stamped

__all__ = ["Narrator", "until", "with_names"]

PREPARATION = 0  # the round in which statistics are added up, where a run asks for some; nothing trains in it
PEER_ID = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{32}(?![0-9a-zA-Z])")


def with_names(text: str, names: Mapping[str, str]) -> str:
    """The text with the ids of peers that have a name replaced by it; others stay whole, so that they can be looked up."""
    return PEER_ID.sub(lambda found: names.get(found[0]) or found[0], text)


def until(what: str, seconds: float | None, then: str) -> str:
    """What is waited for, with the time that is left and what happens after it, where a rule ends the wait."""
    return what if seconds is None else f"{what}; in {seconds:.0f} s {then}"


class Narrator:
    """Learns names from `PeerJoined`; unknown peers are told by the first eight characters of their id."""

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self._names = dict(names or {})

    def meet(self, peer: str, name: str) -> None:
        """Call a peer by this name from now on."""
        if name:
            self._names[peer] = name

    def name(self, peer: str) -> str:
        """What a peer is called."""
        return self._names.get(peer) or peer[:8] or "nobody"

    def named(self, text: str) -> str:
        """A text of a peer's own, with names for the ids that are known."""
        return with_names(text, self._names)

    def line(self, stamped: Stamped) -> str:
        """One line of a log: local time, number, sentence."""
        clock = time.strftime("%H:%M:%S", time.localtime(stamped.time))
        return f"{clock} {stamped.id:>4}  {self.sentence(stamped.data)}"

    def sentence(self, event: ObservedEvent) -> str:
        """What happened, in a sentence without its full stop."""
        match event:
            case events.RunAdopted():
                verb = "founded" if event.founded else "joined"
                return f"{verb} run {event.run[:8]}: {event.app}, {event.rounds} rounds, {event.parameters:,} parameters"
            case events.PeerJoined():
                self.meet(event.peer, event.name)
                return f"{self.name(event.peer)} joined from {event.address}"
            case events.PeerLeft():
                how = {"left": "left", "refused": "died", "gossip": "may have died"}.get(event.reason, event.reason)
                return f"{self.name(event.peer)} {how}"
            case events.PeerRemoved():
                return f"round {event.round} goes on without {self.name(event.peer)}: {self.named(event.why)}"
            case events.CoordinatorChanged():
                if event.me:
                    return "this peer coordinates"
                return f"{self.name(event.coordinator)} coordinates" if event.coordinator else "no coordinator: an election is on"
            case events.RoundOpened():
                return f"round {event.round} opened{_epoch(event.epoch)} for {len(event.expected)} peers"
            case events.TrainingStarted() if event.round == PREPARATION:
                return "adding up the statistics of this peer's data"
            case events.TrainingStarted():
                return f"training for round {event.round}"
            case events.TrainingEnded():
                if not event.finite:
                    return f"round {event.round}: the update has NaN or infinity and is not sent"
                return f"trained on {event.samples} samples in {event.train_s:.2f} s{_figure(', loss', event.loss)}"
            case events.ReduceStarted():
                return f"round {event.round}: adding up {len(event.contributors)} updates{_epoch(event.epoch)}"
            case events.LinkAccused():
                return f"round {event.round}: no exchange with {self.name(event.peer)}: {self.named(event.why)}"
            case events.LinkRouted():
                if not event.via:
                    return f"connects to {self.name(event.peer)} again"
                return f"cannot connect to {self.name(event.peer)} and reaches it through {self.name(event.via)}"
            case events.ResultHeld():
                return f"holds round {event.round}'s result {event.digest[:8]}"
            case events.RoundCommitted() if event.round == PREPARATION and event.contributors:
                return f"the statistics of {len(event.contributors)} peers' data are agreed on; the model is still {event.digest[:8]}"
            case events.RoundCommitted():
                if event.void:
                    return f"round {event.round} committed as void: the model stays {event.digest[:8]}"
                who = f"{len(event.contributors)} contributors"
                return f"round {event.round} committed: {event.digest[:8]}, {who}{_figure(', accuracy', event.accuracy)}"
            case events.ModelInstalled() if event.round < PREPARATION:
                return f"has model 0 before the preparation: {event.digest[:8]} ({event.how})"
            case events.ModelInstalled():
                return f"has model {event.round}: {event.digest[:8]} ({event.how})"
            case events.PullStarted():
                return f"fetching model {event.round} from {', '.join(self.name(peer) for peer in event.holders)}"
            case events.Waiting():
                return f"waiting: {self.named(until(event.what, event.until_s, event.then))}"
            case events.FaultSeen():
                return f"refused bad input ({event.where}): {self.named(event.error)}"
            case events.ResourcesUsed():
                mib = 1024 * 1024
                return f"round {event.round}: {event.bytes_sent / mib:.1f} MiB sent so far, memory {event.rss_peak_bytes / mib:.0f} MiB"
            case events.RunFinished():
                return f"the run is finished: {event.round} rounds"


def _epoch(epoch: int) -> str:
    return f" (epoch {epoch})" if epoch > 1 else ""


def _figure(name: str, value: float | None) -> str:
    return "" if value is None else f"{name} {value:.4f}"
