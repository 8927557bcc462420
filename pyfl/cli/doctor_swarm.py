"""What `pyfl doctor` looks at between this machine and a swarm: key, identity, the addresses to join, a running peer."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyfl.cli.finding import Finding
from pyfl.errors import ApiError, ConfigError, NoPeerRunning, OverlayError
from pyfl.narrator import until, with_names
from pyfl.overlay import protocol as overlay
from pyfl.overlay.config import OverlayConfig
from pyfl.peer.status import Status
from pyfl.peer.swarm_key import find_swarm_key
from pyfl.serving.client import PeerClient

__all__ = ["identity", "reach", "running_peer", "swarm_key"]

TCP_S, JOIN_S, LEAVE_S = 3.0, 4.0, 1.0
AT_ONCE = 8


def swarm_key(given: str, data_dir: Path, token_key: str, *, founds: bool) -> tuple[str, list[Finding]]:
    """(the key or "", what there is to say about it)."""
    if token_key:
        return token_key, [Finding("swarm key", "ok", "from the join token")]
    try:
        key = find_swarm_key(given, data_dir, create=False)
    except ConfigError as error:
        if founds and not given and str(error).startswith("No swarm key"):
            return "", [Finding("swarm key", "ok", "none yet; a peer that founds a swarm makes ./swarm.key, and so does `pyfl init`")]
        return "", [Finding("swarm key", "fail", str(error), "Copy the swarm's key, or join with a token of `pyfl token`.")]
    found = [Finding("swarm key", "ok", "readable and well-formed")]
    for path in (Path(given) if given else None, data_dir / "swarm.key", Path("swarm.key")):
        found += _readable_by_others("swarm key", path)
    return key, found


def _readable_by_others(check: str, path: Path | None) -> list[Finding]:
    if path is None or not path.exists() or not path.stat().st_mode & 0o077:
        return []
    return [Finding(check, "warn", f"{path} can be read by others on this machine", f"chmod 600 {path}")]


def identity(data_dir: Path, any_key: str) -> list[Finding]:
    """Whether the identity file can be used; needs some swarm key, of no matter which swarm, to open an overlay that joins nobody."""
    path = data_dir / "identity.key"
    if not path.exists():
        return [Finding("identity", "ok", f"none in {data_dir} yet; a peer makes one when it starts")]
    from pyfl.overlay.real import RealOverlay

    try:
        with RealOverlay(OverlayConfig(listen="127.0.0.1:0", swarm_key=any_key, identity_file=str(path))) as net:
            found = Finding("identity", "ok", f"peer {net.me}")
    except OverlayError as error:
        return [Finding("identity", "fail", str(error), "Put the file back from a copy; without it the peer is another one.")]
    return [found, *_readable_by_others("identity", path)]


def running_peer(data_dir: Path) -> tuple[Status | None, list[Finding]]:
    """What the peer of this data directory says of itself."""
    try:
        with PeerClient(data_dir) as client:
            now, peers, events = client.status(), client.peers(), client.events()
    except NoPeerRunning:
        return None, [Finding("peer", "ok", f"none is running in {data_dir}")]
    except ApiError as error:
        return None, [Finding("peer", "fail", str(error), "Its process may be stopped (SIGSTOP) or starved of processor or disk.")]
    found = [Finding("peer", "ok", f"{now.name or now.peer} runs: round {max(now.round, 0)} of {now.rounds}, {len(peers)} peers known")]
    if now.waiting:
        waiting = with_names(until(now.waiting, now.waiting_until_s, now.waiting_then), {peer.peer: peer.name for peer in peers})
        found.append(
            Finding("peer", "warn", f"it waits for {waiting}", "Normal for a moment; docs/operate.md says what each means and what to do.")
        )
    if events:
        from pyfl.cli.doctor_machine import clock

        first = events[0]
        found.append(clock(first.time - first.monotonic, f"the peer's event {first.id}"))
    return now, found


def reach(addresses: tuple[str, ...], key: str) -> list[Finding]:
    """Every address by TCP and, with a key, by joining the swarm there for a moment; all at the same time."""
    if not addresses:
        return []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(_reach, addresses, [key] * len(addresses)))


def _reach(address: str, key: str) -> Finding:
    check = f"reach {address}"
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        return Finding(check, "fail", "is no address", "Expected HOST:PORT, as 10.0.0.4:7700, or a token of `pyfl token`.")
    began = time.monotonic()
    try:
        with socket.create_connection((host.strip("[]"), int(port)), TCP_S) as connection:
            mine: str = connection.getsockname()[0]
    except socket.gaierror as error:
        return Finding(check, "fail", f"the name cannot be resolved: {error.strerror}", "Check the spelling and this machine's DNS.")
    except ConnectionRefusedError:
        return Finding(check, "fail", "TCP: nobody listens there", "Start the peer there, or check the port.")
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        return Finding(
            check, "fail", f"TCP: {why} within {TCP_S:g} s", "Check the address, and that firewalls on the way let its port pass."
        )
    took_ms = (time.monotonic() - began) * 1000
    if not key:
        return Finding(check, "warn", f"TCP in {took_ms:.0f} ms; no swarm key to go on with", "Give the swarm's key or a token.")
    return _join(check, address, f"[{mine}]:0" if ":" in mine else f"{mine}:0", key, f"TCP in {took_ms:.0f} ms")


def _join(check: str, address: str, listen: str, key: str, so_far: str) -> Finding:
    """A member for a moment, under an identity of its own: it never reports, so no round expects anything of it."""
    from pyfl.overlay.real import RealOverlay

    config = OverlayConfig(listen=listen, name="doctor", swarm_key=key, join=(address,), join_timeout_ms=int(JOIN_S * 1000))
    try:
        with RealOverlay(config) as net:
            deadline = time.monotonic() + 2 * JOIN_S
            while (left := deadline - time.monotonic()) > 0:
                match net.next_event(left):
                    case overlay.Joined():
                        peers = len(net.peers())
                        net.leave(LEAVE_S)
                        return Finding(check, "ok", f"{so_far}; the swarm lets this key in, {peers} peers there")
                    case overlay.JoinFailed(failures=failures):
                        why = "; ".join(failure.error for failure in failures)
                        if any(failure.refused for failure in failures):
                            return Finding(
                                check, "fail", f"{so_far}; refused: {why}", "Use that swarm's key: copy its swarm.key, or take a token."
                            )
                        return Finding(check, "fail", f"{so_far}; no join: {why}", "Is that a peer of pyfl, of the same version?")
                    case _:
                        pass
    except OverlayError as error:
        return Finding(check, "warn", f"{so_far}; it was not left or opened cleanly: {error}", "Try again.")
    return Finding(check, "fail", f"{so_far}; no answer to a join in {2 * JOIN_S:g} s", "Is that a peer of pyfl, of the same version?")
