"""`pyfl doctor`: looks at everything that keeps a peer from working, and says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyfl.cli.data_directory import DataDir, find_data_dir
from pyfl.cli.finding import Finding
from pyfl.cli.observe import AsJson
from pyfl.cli.output import print_json, to_people

if TYPE_CHECKING:
    from pyfl.peer.settings import PeerSettings

__all__ = ["doctor"]

MARKS = {"ok": ("✔", "green"), "warn": ("!", "yellow"), "fail": ("✘", "bold red")}


def doctor(
    join: Annotated[list[str] | None, typer.Option(help="HOST:PORT or a token, to be tried; may be repeated.", show_default=False)] = None,
    listen: Annotated[str | None, typer.Option(help="IP:PORT on which a peer is to listen.", show_default=False)] = None,
    swarm_key: Annotated[str | None, typer.Option(help="File with the swarm's key.", show_default=False)] = None,
    data_dir: DataDir = None,
    config: Annotated[Path | None, typer.Option(help="Settings; default ./pyfl.toml if there is one.", metavar="FILE")] = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine, a peer's settings, and the way to the swarm. Exit code 1 if something fails."""
    flags = {"join": join, "listen": listen, "swarm_key": swarm_key, "data_dir": str(data_dir or "")}
    console, failed = to_people(), False
    for finding in _examine(flags, config):
        failed = failed or finding.level == "fail"
        if as_json:
            print_json(finding)
            continue
        mark, style = MARKS[finding.level]
        console.print(f"[{style}]{mark} {finding.level:<5}[/]", end="", soft_wrap=True)
        console.print(f"{finding.check}: {finding.found}", markup=False, soft_wrap=True)
        if finding.advice:
            console.print(f"        {finding.advice}", markup=False, soft_wrap=True, style="dim")
    if failed:
        raise typer.Exit(1)


def _examine(flags: Mapping[str, object], config: Path | None) -> Iterator[Finding]:
    from pyfl.cli import doctor_machine as machine

    before = machine.clock_offset()
    yield from machine.versions()
    compiled = machine.compiled_parts()
    yield compiled
    if compiled.level == "fail":
        return  # nothing else can be tried

    from pyfl.cli import doctor_swarm as swarm
    from pyfl.peer.swarm_key import new_swarm_key

    settings, token_key, found = _settings(flags, config)
    yield from found
    place = _place(settings.data_dir or f"pyfl-data/{settings.listen.replace(':', '-')}", told=bool(settings.data_dir))
    yield from machine.data_directory(place)
    now, found = swarm.running_peer(place)
    yield from found
    ours = now is not None and now.address.rpartition(":")[2] == settings.listen.rpartition(":")[2]
    yield machine.port(settings.listen, ours)
    key, found = swarm.swarm_key(settings.swarm_key, place, token_key, founds=not settings.join)
    yield from found
    yield from swarm.identity(place, key or new_swarm_key())
    yield from swarm.reach(settings.join, key)
    yield machine.clock(before, "this command began")


def _settings(flags: Mapping[str, object], config: Path | None) -> tuple[PeerSettings, str, list[Finding]]:
    from pyfl.cli.settings import with_origins
    from pyfl.errors import ConfigError
    from pyfl.peer.join_token import expand_tokens
    from pyfl.peer.settings import PeerSettings

    try:
        told = with_origins(flags, file=config)
        settings, token_key = expand_tokens(told.settings)
    except ConfigError as error:
        return PeerSettings(), "", [Finding("settings", "fail", str(error), "Correct it; what follows is looked at with the defaults.")]
    given = [f"{name} ({origin})" for name, origin in told.origin.items() if origin != "default"]
    return settings, token_key, [Finding("settings", "ok", f"given: {', '.join(given)}" if given else "all are defaults")]


def _place(default: str, *, told: bool) -> Path:
    """The data directory that is meant: where nobody said and the default is not there, the only one below ./pyfl-data."""
    from pyfl.errors import NoPeerRunning

    if told or Path(default).exists():
        return Path(default)
    try:
        return find_data_dir(None)
    except NoPeerRunning:
        return Path(default)
