"""Keeps a picture of the swarm fresh in the background; goes on with another peer when the one that it asks dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from streamlit_app.connection.answers import AnswerError, NotAPeer, PeerSilent, Refused, Tree, WrongToken
from streamlit_app.connection.client import PeerApi
from streamlit_app.connection.memory import Memory
from streamlit_app.connection.picture import Link, Picture
from streamlit_app.connection.targets import Target

__all__ = ["Follower"]

LOOK_S = 1.0
"""How often the peer that is followed is asked; also how often a page is drawn."""
ROUND_THE_SWARM_S = 1.0
"""How often every peer is asked what it tells only of itself; in large swarms as seldom as `A_PEER_S` for each has it."""
IDLE_S = 60.0
"""Nobody has looked for so long: the swarm is left alone."""
A_PEER_S = 0.05
AT_ONCE = 4
MOST_ASKED = 64
TREES = 16


class Follower:
    """`picture()` may be called by any thread and never blocks. `close()` ends the threads; a daemon, in case nobody calls it."""

    def __init__(self, target: Target, clock: Callable[[], float] = time.time) -> None:
        self._target, self._clock = target, clock
        self._lock = threading.Lock()
        self._memory = Memory()
        self._picture = Picture()
        self._looked = threading.Event()
        self._last_look = clock()
        self._closed = threading.Event()
        self._http: dict[str, str] = {}
        """HTTP addresses of the peers that are there, by peer."""
        self._current = ""
        self._link = Link()
        self._told_at = 0.0
        self._apis: dict[str, PeerApi] = {}
        self._token = ""
        self._trees: dict[int, tuple[object, Tree]] = {}
        self._crew = ThreadPoolExecutor(AT_ONCE, "dashboard-asks")
        self._listener: threading.Thread | None = None
        self._thread = threading.Thread(target=self._run, name="dashboard-follower", daemon=True)
        self._thread.start()

    def picture(self) -> Picture:
        """The newest."""
        self._last_look = self._clock()
        self._looked.set()
        return self._picture

    def api(self) -> PeerApi:
        """For a question of a page's own, to whoever is followed now. The caller closes it. Raises `PeerSilent` if that is nobody."""
        if not self._current:
            raise PeerSilent("No peer answers at present.", "Wait until the dashboard is connected again.")
        return PeerApi(self._current, self._target.secret())

    def tree(self, segment: int) -> Tree:
        """Who sends a segment to whom, asked once an epoch; while nobody answers, what was so last. Raises `Refused` for none such."""
        status, here = self._picture.status, len(self._picture.alive)
        version = (status.round, status.epoch, status.phase, here) if status else None
        known = self._trees.get(segment)
        if known is not None and known[0] == version:
            return known[1]
        try:
            with self.api() as api:
                tree = api.tree(segment)
        except (PeerSilent, NotAPeer, WrongToken):
            return known[1] if known is not None else Tree()
        self._trees = {**dict(list(self._trees.items())[-TREES:]), segment: (version, tree)}
        return tree

    def close(self) -> None:
        """End."""
        self._closed.set()
        self._looked.set()
        self._thread.join(10.0)
        self._crew.shutdown(wait=False, cancel_futures=True)
        for api in self._apis.values():
            api.close()

    # ---- the follower's thread

    def _run(self) -> None:
        while not self._closed.is_set():
            began = time.monotonic()
            self._look()
            self._closed.wait(max(0.05, LOOK_S - (time.monotonic() - began)))
            if self._clock() - self._last_look > IDLE_S:
                self._looked.clear()
                self._looked.wait()

    def _look(self) -> None:
        """Ask whoever is followed; if it does not answer, the next, until one does or all have been tried."""
        self._renew_token()
        wrong: AnswerError | None = None
        for address in self._candidates():
            try:
                self._take(address)
            except AnswerError as error:
                wrong = error if wrong is None or isinstance(error, WrongToken) else wrong
                if address == self._current:
                    self._current = ""
                if isinstance(error, WrongToken):
                    break  # it is the same for all peers of a swarm
            else:
                return
        self._fail(wrong)

    def _candidates(self) -> list[str]:
        before = self._link.address
        others = [*self._target.addresses, *self._http.values()]
        return list(dict.fromkeys([*filter(None, [self._current]), *(a for a in others if a != before), *filter(None, [before])]))

    def _take(self, address: str) -> None:
        api = self._api(address)
        status, peers, rounds = api.status(), api.peers(), api.rounds()
        now = self._clock()
        with self._lock:
            self._memory.status(status)
            self._memory.peers(peers, now)
            self._memory.rounds(rounds)
        self._http = {entry.peer: entry.http for entry in peers if entry.http}
        before = self._link.address
        moved = before if before and before != address else self._link.moved_from
        self._current, self._link = address, Link("live", address, seen_at=now, moved_from=moved)
        self._listen(address, status.peer)
        if now - self._told_at >= max(ROUND_THE_SWARM_S, A_PEER_S * len(peers)) - LOOK_S / 2:
            self._told_at = now
            self._ask_everyone(status.peer, address)
        self._publish()

    def _fail(self, error: AnswerError | None) -> None:
        title, problem, advice = (error.title, str(error), error.advice) if error else ("", "", "")
        seen = self._link.seen_at
        if isinstance(error, WrongToken) and not seen:
            state = "refused"
        elif seen:
            state = "stale"
        else:
            state = "unreachable" if error else "connecting"
        before = self._link
        self._link = Link(state, before.address, title, problem, advice, seen, before.moved_from)
        self._publish()

    def _publish(self) -> None:
        with self._lock:
            self._picture = self._memory.picture(self._link, self._clock())

    # ---- what every peer tells of itself

    def _ask_everyone(self, me: str, my_address: str) -> None:
        addresses = {**self._http, me: my_address}
        asked = [(peer, address) for peer, address in sorted(addresses.items())][:MOST_ASKED]
        for done in [self._crew.submit(self._ask, peer, address, listening=peer == me) for peer, address in asked]:
            done.result()
        for address in set(self._apis) - set(addresses.values()) - set(self._target.addresses):
            self._apis.pop(address).close()

    def _ask(self, peer: str, address: str, *, listening: bool) -> None:
        try:
            api = self._api(address)
            local = api.local()
            events = [] if listening else api.events(self._memory.last_event(peer))
        except (PeerSilent, NotAPeer, WrongToken, Refused):
            return  # it is seen in the list of peers whether it is gone; its own figures stay as they were
        with self._lock:
            self._memory.local(local)
            if not listening:
                self._memory.events(peer, events, self._clock())

    def _listen(self, address: str, peer: str) -> None:
        """Have a thread take in the followed peer's events as they happen."""
        if self._listener is not None and self._listener.is_alive():
            return
        token = self._token

        def listen() -> None:
            with PeerApi(address, token) as api:
                try:
                    for event in api.follow(self._memory.last_event(peer)):
                        with self._lock:
                            self._memory.events(peer, [event] if event is not None else [], self._clock())
                        if self._closed.is_set() or self._current != address:
                            return
                except AnswerError:
                    return  # `_look` meets the same and says so

        self._listener = threading.Thread(target=listen, name="dashboard-listens", daemon=True)
        self._listener.start()

    # ---- connections

    def _renew_token(self) -> None:
        token = self._target.secret()
        if token != self._token:
            self._token = token
            for api in self._apis.values():
                api.close()
            self._apis = {}

    def _api(self, address: str) -> PeerApi:
        api = self._apis.get(address)
        if api is None:
            api = self._apis.setdefault(address, PeerApi(address, self._token))
        return api
