"""What viewers cost: a swarm's rounds with and without 20 clients that ask a peer for its status every second and follow its events.

Two peers on this machine learn MNIST's subset. The clients come and go every few rounds, so that what else it does hits both alike; the
round in which they come or go is not counted. The clients run on this machine too, in a process of their own: what they cost themselves
is in the figure, and would not be if they were elsewhere. One JSON line at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
from multiprocessing.synchronize import Event
from pathlib import Path

from pyfl import events
from pyfl.overlay.free_port import free_ports
from pyfl.peer.herd import Herd
from pyfl.peer.settings import PeerSettings
from pyfl.peer.swarm_key import new_swarm_key, write_secret


def main() -> None:
    """Train, toggle the clients, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--phase", type=int, default=5, help="rounds between the clients' coming and going")
    parser.add_argument("--app", default="mnist:local_epochs=4")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(measure(Path(place), arguments)))


def measure(directory: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """Medians in seconds of rounds without and with the clients, from one commit to the next."""
    overlay, http = free_ports(2), free_ports(1)[0]
    write_secret(directory / "swarm.key", new_swarm_key() + "\n")
    settings = [
        PeerSettings(
            listen=f"127.0.0.1:{port}", join=() if index == 0 else (f"127.0.0.1:{overlay[0]}",), data_dir=str(directory / str(index)),
            swarm_key=str(directory / "swarm.key"), app=arguments.app, index=index, of=2, seed=1,
            rounds=arguments.rounds if index == 0 else None, http=f"127.0.0.1:{http}" if index == 0 else "",
        )
        for index, port in enumerate(overlay)
    ]  # fmt: skip
    took: dict[bool, list[float]] = {False: [], True: []}
    context = multiprocessing.get_context("spawn")
    asking, over = context.Event(), context.Event()
    with Herd(settings) as herd:
        clients = context.Process(target=ask, args=(http, directory / "0" / "http.token", arguments.clients, asking, over))
        clients.start()
        committed, before = 0.0, False
        for happened in herd.events():
            if happened is None or happened[0] != 0 or not isinstance(happened[1].data, events.RoundCommitted):
                continue
            commit = happened[1]
            if committed and before == asking.is_set() and commit.data.round % arguments.phase != 1:
                took[before].append(commit.monotonic - committed)
            committed, before = commit.monotonic, asking.is_set()
            if commit.data.round % arguments.phase == 0:
                (asking.clear if asking.is_set() else asking.set)()
                before = asking.is_set()
        over.set()
        asking.set()
        clients.join()
    quiet, polled = statistics.median(took[False]), statistics.median(took[True])
    return {
        "event": "summary", "clients": arguments.clients, "rounds_without": len(took[False]), "rounds_with": len(took[True]),
        "round_s_without": round(quiet, 4), "round_s_with": round(polled, 4), "slower_by": round(polled / quiet - 1, 4),
    }  # fmt: skip


def ask(port: int, token_file: Path, clients: int, asking: Event, over: Event) -> None:
    """The clients' process: while `asking` is set, each asks for the status once a second and follows the events."""
    while not over.is_set():
        asking.wait()
        if not over.is_set():
            asyncio.run(_phase(port, token_file.read_text().strip(), clients, asking, over))


async def _phase(port: int, token: str, clients: int, asking: Event, over: Event) -> None:
    tasks = [asyncio.create_task(what(port, token)) for _ in range(clients) for what in (_poll, _follow)]
    while asking.is_set() and not over.is_set():
        await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError | ConnectionError | asyncio.IncompleteReadError | None):
            raise ended


async def _poll(port: int, token: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(_request("/v1/status", token))
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(f"the peer answered {head!r}")
        length = next(int(line.partition(b":")[2]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        await asyncio.sleep(1.0)


async def _follow(port: int, token: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_request("/v1/events", token, "Accept: text/event-stream\r\n"))
    while await reader.read(1 << 16):
        pass


def _request(path: str, token: str, more: str = "") -> bytes:
    """Written by hand: a client library would cost more than the peer."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n{more}\r\n".encode()


if __name__ == "__main__":
    main()
