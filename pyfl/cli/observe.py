"""`pyfl status`, `peers`, `rounds`, `events`: what a running peer knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyfl.cli.data_directory import DataDir, find_data_dir
from pyfl.cli.output import print_json, print_json_lines, print_table, short, to_people

if TYPE_CHECKING:
    from pyfl.events import Stamped

__all__ = ["AsJson", "events", "peers", "rounds", "status"]

AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, and nothing else.")]


def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Where a peer and its swarm stand."""
    from pyfl.narrator import until, with_names
    from pyfl.serving.client import PeerClient

    with PeerClient(find_data_dir(data_dir)) as client:
        now = client.status()
        names = {} if as_json else {peer.peer: peer.name for peer in client.peers()}
    if as_json:
        print_json(now)
        return
    waiting = until(now.waiting, now.waiting_until_s, now.waiting_then)
    lines = [
        ("peer", f"{now.name or short(now.peer)} at {now.address} ({short(now.peer)})"),
        ("run", f"{now.run}, {now.app}, {now.parameters:,} parameters" if now.run else "not known yet"),
        ("round", f"{max(now.round, 0)} of {now.rounds}, epoch {now.epoch}, {now.control}"),
        ("doing", f"waiting: {with_names(waiting, names)}" if waiting else now.phase),
        ("model", f"round {now.have}, {short(now.digest)}" if now.have >= 0 else "none yet"),
        ("ended", now.ended),
        ("best", f"round {now.best_round}, {now.best_measure} {_number(now.best_value)}" if now.best_round else ""),
        ("accuracy", _number(now.accuracy)),
        ("loss", _number(now.loss)),
        ("coordinator", names.get(now.coordinator) or short(now.coordinator) or "none: an election is on"),
        ("voters", ", ".join(names.get(peer) or short(peer) for peer in now.voters)),
        ("up", f"{now.uptime_s:.0f} s"),
    ]
    console = to_people()
    for name, text in lines:
        if text:
            console.print(f"[bold]{name:<12}[/bold]", end="", soft_wrap=True)
            console.print(text, markup=False, soft_wrap=True)


def peers(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Every peer that a peer knows, itself first."""
    from pyfl.serving.client import PeerClient

    with PeerClient(find_data_dir(data_dir)) as client:
        known = client.peers()
    if as_json:
        print_json_lines(known)
        return
    rows = (
        (
            entry.name or short(entry.peer),
            short(entry.peer),
            entry.address,
            ", ".join(role for role, has in (("this one", entry.me), ("leads", entry.coordinator), ("votes", entry.voter)) if has),
            entry.phase,
            entry.have if entry.have >= 0 else "",
            entry.samples or "",
        )
        for entry in known
    )
    print_table(("name", "id", "address", "role", "phase", "model", "samples"), rows, right=("model", "samples"))


def rounds(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """The rounds that were committed, as far as they are remembered."""
    from pyfl.serving.client import PeerClient

    with PeerClient(find_data_dir(data_dir)) as client:
        known = client.rounds()
    if as_json:
        print_json_lines(known)
        return
    rows = (
        (
            f"{entry.round}{' *' if entry.best else ''}",
            entry.epoch,
            "void" if entry.void else len(entry.contributors),
            short(entry.model),
            _number(entry.accuracy),
            _number(entry.loss),
            f"{entry.train_s:.2f}",
            f"{entry.reduce_s:.2f}",
        )
        for entry in known
    )
    columns = ("round", "epoch", "contributors", "model", "accuracy", "loss", "train s", "reduce s")
    print_table(columns, rows, right=tuple(name for name in columns if name != "model"))


def events(
    data_dir: DataDir = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they happen, until the peer ends.")] = False,
    after: Annotated[int, typer.Option(help="Only events with higher numbers.", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """What happened at a peer; without --follow also of one that has ended."""
    from pyfl.errors import NoPeerRunning
    from pyfl.narrator import Narrator
    from pyfl.serving.client import PeerClient

    place = find_data_dir(data_dir)
    narrator = Narrator()

    def show(event: Stamped) -> None:
        if as_json:
            print_json(event)
        else:
            typer.echo(narrator.line(event))

    try:
        client = PeerClient(place)
    except NoPeerRunning:
        remembered = [] if follow else _from_file(place / "events.jsonl", after)
        if not remembered:
            raise
    else:
        with client:
            if not as_json:
                for known in client.peers():  # those that joined before `after` are called by name, too
                    narrator.meet(known.peer, known.name)
            if follow:
                for event in client.follow(after):
                    show(event)
                return
            remembered = client.events(after)
    for event in remembered:
        show(event)


def _from_file(path: Path, after: int) -> list[Stamped]:
    """The events that an ended peer left; a last line that was cut off by a crash is left out."""
    import msgspec

    from pyfl.events import Stamped

    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [event for line in lines if (event := msgspec.json.decode(line, type=Stamped)).id > after]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
