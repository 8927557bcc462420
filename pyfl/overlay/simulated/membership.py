"""Who believes whom alive: joins, gossip's hints, refused dials and goodbyes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pyfl.overlay.protocol import Joined, LinkDown, PeerDown, PeerInfo, PeerUp, PeerUpdate

from .process import Process, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from .links import Links
    from .options import NetworkOptions
    from .scheduler import Scheduler

__all__ = ["Membership"]


class Membership:
    """Moves every process's view towards the truth, each at its own time.

    `view_changed(observer)` and `lost(observer, number, confirmed)` are called when a view changes and when an observer
    gives a peer up, so that transfers and the committee follow.
    """

    __slots__ = ("_links", "_options", "_processes", "_rng", "_scheduler", "lost", "view_changed")

    def __init__(self, scheduler: Scheduler, links: Links, options: NetworkOptions, processes: dict[int, Process]) -> None:
        self._scheduler = scheduler
        self._rng = scheduler.rng
        self._links = links
        self._options = options
        self._processes = processes
        self.lost: Callable[[Process, int, bool], None] = _ignore_loss
        self.view_changed: Callable[[Process], None] = _ignore_change

    def refresh(self) -> None:
        """Start whatever each process is bound to notice now. Call after every change of who runs or who is linked."""
        island = self._links.islands(self._processes.values())
        for observer in self._processes.values():
            here = island.get(observer.number)
            if here is None:
                continue  # stopped, ended or not joined: it notices nothing
            for number, other in self._processes.items():
                if number == observer.number:
                    continue
                reachable = island.get(number) == here and not other.goodbye_said
                self._steer(observer, other, reachable)

    def _steer(self, observer: Process, other: Process, reachable: bool) -> None:
        options = self._options
        number = other.number
        known = number in observer.view
        pending = observer.pending.get(number)
        if pending is not None and pending[0] == "certain":
            return
        if reachable and pending is not None and pending[0] == "gossip":
            self._forget(observer, number)
            pending = None
        if not reachable and pending is not None and pending[0] == "up":
            self._forget(observer, number)
            pending = None
        if pending is not None:
            return
        if reachable and not known:
            self._later(observer, number, "up", options.found_s, partial(self._up, observer, number))
        elif reachable and observer.met.get(number) is not other:
            # Another life answers: either its former one counts as dead, or only the link was down.
            if self._rng.random() < 0.5:
                call = partial(self._down, observer, number, "refused")
            else:
                call = partial(self._broken, observer, number)
            self._later(observer, number, "certain", options.refused_s, call)
        elif not reachable and known:
            seen = other.state is State.ENDED and self._links.open(observer.number, number)
            if seen and (other.ends_visibly or self._rng.random() < options.refused_probability):
                call = partial(self._down, observer, number, "refused")
                self._later(observer, number, "refused", options.refused_s, call)
            else:
                call = partial(self._down, observer, number, "gossip")
                self._later(observer, number, "gossip", options.gossip_s, call)

    def _later(self, observer: Process, number: int, what: str, within_s: tuple[float, float], call: Callable[[], None]) -> None:
        self._forget(observer, number)
        observer.pending[number] = (what, self._scheduler.schedule(self._rng.uniform(*within_s), call))

    def _forget(self, observer: Process, number: int) -> None:
        pending = observer.pending.pop(number, None)
        if pending is not None:
            pending[1].cancel()

    # What an observer learns.

    def _up(self, observer: Process, number: int) -> None:
        observer.pending.pop(number, None)
        if not observer.running or number in observer.view:
            return
        other = self._processes[number]
        info = other.info
        observer.view[number] = info
        observer.met[number] = other
        if not observer.joined:
            observer.joined = True
            observer.deliver(Joined(info.address))
            # The first peer is an event of its own.
            self._scheduler.schedule(0.0, partial(observer.deliver, _as_up(info)))
        else:
            observer.deliver(_as_up(info))
        self.view_changed(observer)

    def _down(self, observer: Process, number: int, reason: str) -> None:
        observer.pending.pop(number, None)
        if not observer.running or number not in observer.view:
            return
        peer = observer.view.pop(number).peer
        self.lost(observer, number, reason != "gossip")
        observer.deliver(PeerDown(peer, reason, reason != "gossip"))
        self.view_changed(observer)
        self.refresh()  # it may be back already

    def died(self, process: Process) -> None:
        """Let those that only missed a process until now see its connections break."""
        for observer in self._processes.values():
            pending = observer.pending.get(process.number)
            if pending is not None and pending[0] == "gossip":
                self._forget(observer, process.number)

    def said_goodbye(self, process: Process) -> None:
        """Everyone that is linked hears that this process leaves."""
        process.goodbye_said = True
        number = process.number
        for observer in self._processes.values():
            if observer.number != number and number in observer.view and self._links.linked(observer, process):
                call = partial(self._down, observer, number, "left")
                self._later(observer, number, "certain", self._options.refused_s, call)

    def _broken(self, observer: Process, number: int) -> None:
        observer.pending.pop(number, None)
        if not observer.running or number not in observer.view:
            return
        other = self._processes[number]
        if other.state is State.ENDED:
            self.refresh()  # died again meanwhile
            return
        info = other.info
        observer.view[number] = info
        observer.met[number] = other
        self.lost(observer, number, True)
        observer.deliver(LinkDown(info.peer))
        self._scheduler.schedule(0.0, partial(observer.deliver, _as_update(info)))
        self.view_changed(observer)
        self.refresh()

    def announced(self, process: Process) -> None:
        """Tell everyone that knows this process what it says of itself now."""
        for observer in self._processes.values():
            if observer is not process and process.number in observer.view:
                delay_s = self._rng.uniform(*self._options.found_s)
                self._scheduler.schedule(delay_s, partial(self._update, observer, process.number))

    def _update(self, observer: Process, number: int) -> None:
        info = self._processes[number].info
        seen = observer.view.get(number)
        if seen is None or seen == info or not observer.running:
            return
        if not self._links.linked(observer, self._processes[number]):
            # Gossip brings it round when they reach each other again, if they have not given each other up by then.
            self._scheduler.schedule(self._rng.uniform(*self._options.gossip_s), partial(self._update, observer, number))
            return
        observer.view[number] = info
        observer.deliver(_as_update(info))
        self.view_changed(observer)

    def resumed(self, process: Process) -> None:
        """A stopped process runs again: it missed what others said meanwhile."""
        self.refresh()
        for number in list(process.view):
            self._scheduler.schedule(self._rng.uniform(*self._options.found_s), partial(self._update, process, number))


def _as_up(info: PeerInfo) -> PeerUp:
    return PeerUp(info.peer, info.name, info.address, info.labels, info.meta, info.eligible)


def _as_update(info: PeerInfo) -> PeerUpdate:
    return PeerUpdate(info.peer, info.name, info.address, info.labels, info.meta, info.eligible)


def _ignore_loss(_observer: Process, _number: int, _confirmed: bool) -> None:
    """Until the network connects its parts."""


def _ignore_change(_observer: Process) -> None:
    """Until the network connects its parts."""
