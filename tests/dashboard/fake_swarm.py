"""A swarm that is played: peers with the real paths of the API over TCP, and a story that goes on step by step. No overlay, no training."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from pyfl import events
from pyfl.events import ObservedEvent, Stamped
from pyfl.peer.status import PeerEntry, RoundEntry, Status

NAMES = ("badger", "finch", "heron", "lynx", "marten", "otter")
TOKEN = "let-me-look"
EPOCH = 1_700_000_000.0
PHASES = {"train": "training", "reduce": "reducing", "committed": "holding"}


def identity(name: str) -> str:
    """A peer's id: 32 hexadecimal characters, the same for the same name."""
    return "".join(f"{ord(c) % 256:02x}" for c in name * 8)[:32]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._open: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.append(connection)
        return connection, address

    def hang_up(self) -> None:
        for connection in self._open:
            with contextlib.suppress(OSError):  # it was closed by the other side
                connection.shutdown(socket.SHUT_RDWR)


@dataclass
class FakePeer:
    """One peer's own side."""

    name: str
    swarm: FakeSwarm
    journal: list[Stamped] = field(default_factory=list[Stamped])
    trained: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    server: _Server | None = None
    port: int = 0

    @property
    def id(self) -> str:
        return identity(self.name)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}" if self.port else ""

    def say(self, event: ObservedEvent) -> None:
        """Into its journal."""
        self.journal.append(Stamped(len(self.journal) + 1, self.swarm.now, self.swarm.now, self.id, event))
        with self.swarm.told:
            self.swarm.told.notify_all()

    def local(self) -> dict[str, Any]:
        """What `/v1/local` answers."""
        turn = self.swarm.names.index(self.name)
        classes = {str(digit): (8 + (digit * 7 + turn * 13) % 29) * bool((digit + turn) % 4) for digit in range(10)}
        megabytes = len(self.trained) * 1_300_000
        resources = {"rss_bytes": 210_000_000 + turn * 3_000_000, "cpu_s": 4.0, "bytes_sent": megabytes, "bytes_received": megabytes - turn}
        return {"peer": self.id, "name": self.name, "classes": classes, "trained": self.trained, "resources": resources}

    def serve(self) -> FakePeer:
        """Over TCP, on a free port of the loopback."""
        self.server = _Server(("127.0.0.1", self.port), _handler(self))
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def die(self) -> None:
        """As by kill -9: it answers no more, and the others see it go."""
        self.stop()
        self.swarm.alive.discard(self.name)
        for other in self.swarm.living():
            other.say(events.PeerLeft(self.id, "refused"))

    def stop(self) -> None:
        """Close the port and every connection, as the end of a process does."""
        server, self.server = self.server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.hang_up()
        with self.swarm.told:
            self.swarm.told.notify_all()


class FakeSwarm:
    """`step()` goes to the next moment of the story: opened, trained, adding up, committed."""

    def __init__(self, names: tuple[str, ...] = NAMES, rounds: int = 10, *, token: str = TOKEN, sites: bool = False) -> None:
        self.names, self.rounds_total, self.token, self.sites = names, rounds, token, sites
        self.run = "a" * 32
        self.peers = [FakePeer(name, self) for name in names]
        self.alive = set(names)
        self.now = EPOCH
        self.number, self.phase, self.committed = 0, "", list[RoundEntry]()
        self.told = threading.Condition()
        self.predictions, self.segments = 0, 4
        for peer in self.peers:
            peer.say(events.RunAdopted(self.run, "digits", rounds, 4_810, founded=peer is self.peers[0]))
            for other in self.peers:
                if other is not peer:
                    peer.say(events.PeerJoined(other.id, other.name, f"10.0.0.{4 + names.index(other.name)}:7700"))
            peer.say(events.CoordinatorChanged(self.peers[0].id, peer is self.peers[0]))

    def __enter__(self) -> FakeSwarm:
        for peer in self.peers:
            peer.serve()
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self.peers:
            peer.stop()

    def living(self) -> list[FakePeer]:
        return [peer for peer in self.peers if peer.name in self.alive]

    def peer(self, name: str) -> FakePeer:
        return next(peer for peer in self.peers if peer.name == name)

    def step(self) -> None:
        """One moment on."""
        follows = {"": self._open, "committed": self._open, "train": self._reduce, "reduce": self._commit}
        follows[self.phase]()

    def play(self, rounds: int) -> FakeSwarm:
        """So many whole rounds."""
        for _ in range(rounds * 3):
            self.step()
        return self

    def _open(self) -> None:
        self.number, self.phase = self.number + 1, "train"
        self.now += 0.05
        for peer in self.living():
            peer.say(events.RoundOpened(self.number, 1, tuple(p.id for p in self.living())))
            peer.say(events.TrainingStarted(self.number, 1))

    def _reduce(self) -> None:
        self.phase = "reduce"
        began = self.now
        for turn, peer in enumerate(self.living()):
            took = 0.6 + 0.17 * ((turn * 5 + self.number) % 4)
            self.now = began + took
            loss = 2.2 / self.number**0.8 * (1 + 0.08 * ((turn * 3 + self.number) % 5 - 2))
            peer.trained.append(
                {
                    "round": self.number, "samples": 190 + turn, "loss": loss, "train_s": took, "finite": True,
                    "samples_per_s": 2 * (190 + turn) / took,
                }
            )  # fmt: skip
            peer.say(events.TrainingEnded(self.number, 190 + turn, loss, took, finite=True))
        self.now = began + 1.2
        here = tuple(p.id for p in self.living())
        for peer in self.living():
            peer.say(events.ReduceStarted(self.number, 1, here, ()))

    def _commit(self) -> None:
        self.phase = "committed"
        digest = f"{self.number * 7919:08x}" * 8
        here = tuple(p.id for p in self.living())
        for turn, peer in enumerate(self.living()):
            self.now += 0.02 + 0.01 * (turn % 3)
            peer.say(events.ResultHeld(self.number, 1, digest))
        accuracy = 1 - 0.62 / (self.number + 0.4) ** 1.1
        entry = RoundEntry(self.number, 1, digest, "", here, accuracy=accuracy, loss=2.0 / self.number**0.9, train_s=1.11, reduce_s=0.2)
        self.committed.append(entry)
        self.now += 0.15
        for peer in self.living():
            peer.say(
                events.RoundCommitted(
                    self.number, 1, here, digest, void=False, accuracy=accuracy, loss=entry.loss, train_s=1.11, reduce_s=0.2
                )
            )
            peer.say(events.ModelInstalled(self.number, digest, "reduced"))

    # ---- what a peer answers

    def status(self, peer: FakePeer) -> Status:
        living = self.living()
        last = self.committed[-1] if self.committed else None
        return Status(
            peer.id, peer.name, f"10.0.0.{4 + self.names.index(peer.name)}:7700", "0.1.0", run=self.run, app="digits",
            rounds=self.rounds_total,
            round=self.number if self.phase else -1, epoch=1, phase=self.phase, have=len(self.committed), digest=last.model if last else "",
            accuracy=last.accuracy if last else None, loss=last.loss if last else None, coordinator=living[0].id if living else "",
            voters=tuple(p.id for p in living[:3]), parameters=4_810, uptime_s=75.0,
            waiting="" if self.phase else "6 peers to be here (now 3), and a committee among them",
        )  # fmt: skip

    def entries(self, asked: FakePeer) -> list[dict[str, Any]]:
        living = self.living()
        found: list[dict[str, Any]] = []
        for peer in sorted(living, key=lambda p: p is not asked):
            turn = self.names.index(peer.name)
            labels = {"site": "oslo" if turn % 2 else "bergen"} if self.sites else {}
            entry = PeerEntry(
                peer.id, peer.name, f"10.0.0.{4 + turn}:7700", me=peer is asked, coordinator=peer is living[0], voter=peer in living[:3],
                phase=PHASES.get(self.phase, "joining"), have=len(self.committed), samples=190 + turn, labels=labels,
            )  # fmt: skip
            found.append({**msgspec.to_builtins(entry), "http": peer.address})
        return found

    def tree(self, segment: int) -> dict[str, Any]:
        here = [peer.id for peer in self.living()]
        if not self.committed or not here:
            return {}
        start = segment % len(here)
        order = here[start:] + here[:start]
        return {"segment": segment, "root": order[0], "parent": {peer: order[(at - 1) // 2] for at, peer in enumerate(order) if at}}

    def predict(self, picture: bytes) -> tuple[int, dict[str, Any]]:
        self.predictions += 1
        if not self.committed:
            return 409, {"error": "No round is committed yet; the first model that can be asked is that of round 1."}
        if picture == b"not a picture":
            return 422, {"error": "This cannot be read as a picture."}
        top = [{"class": str(label), "label": label, "confidence": share} for label, share in ((3, 0.934), (5, 0.041), (8, 0.012))]
        newest = self.committed[-1]
        return 200, {"predictions": [{**top[0], "top": top}], "round": newest.round, "digest": newest.model}


def _handler(peer: FakePeer) -> type[BaseHTTPRequestHandler]:
    swarm = peer.swarm

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def do_GET(self) -> None:
            if self._refused():
                return
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            match url.path:
                case "/v1/status":
                    self._json(swarm.status(peer))
                case "/v1/peers":
                    self._json(swarm.entries(peer))
                case "/v1/rounds":
                    self._json(swarm.committed[-16:])
                case "/v1/tree" if int(query["segment"]) >= swarm.segments:
                    self._json({"error": f"Segment {query['segment']} does not exist."}, 400)
                case "/v1/tree":
                    self._json(swarm.tree(int(query["segment"])))
                case "/v1/local":
                    self._json(peer.local())
                case "/v1/events" if "json" in self.headers.get("Accept", ""):
                    self._json([event for event in peer.journal if event.id > int(query.get("after", "0"))])
                case "/v1/events":
                    self._stream(int(self.headers.get("Last-Event-ID", "0")))
                case _:
                    self._json({"error": "nothing here"}, 404)

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            picture = self.rfile.read(length)
            if self._refused():
                return
            code, answer = swarm.predict(picture)
            self._json(answer, code)

        def _refused(self) -> bool:
            if self.headers.get("Authorization") == f"Bearer {swarm.token}":
                return False
            self._json({"error": "The token is missing or wrong."}, 401)
            return True

        def _json(self, value: object, code: int = 200) -> None:
            body = msgspec.json.encode(value)
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _stream(self, last: int) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            while peer.server is not None:
                for event in peer.journal[last:]:
                    self.wfile.write(b"id: %d\nevent: x\ndata: %s\n\n" % (event.id, msgspec.json.encode(event)))
                    last = event.id
                self.wfile.write(b": still here\n\n")
                self.wfile.flush()
                with swarm.told:
                    swarm.told.wait(0.2)
            self.close_connection = True

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (ConnectionError, ValueError):
                self.close_connection = True

    return Handler
