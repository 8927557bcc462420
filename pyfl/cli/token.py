"""`pyfl token`: a swarm's address and key as one word, for the next peer's `--join`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyfl.cli.data_directory import DataDir, find_data_dir
from pyfl.cli.observe import AsJson
from pyfl.cli.output import print_json

__all__ = ["reachable", "token"]


def token(
    address: Annotated[
        list[str] | None,
        typer.Option(help="HOST:PORT of a peer; may be repeated. Default: the peer's that runs in the data directory.", show_default=False),
    ] = None,
    swarm_key: Annotated[
        str | None, typer.Option(help="File with the swarm's key; default PYFL_SWARM_KEY, the data directory's, ./swarm.key.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """A join token, for `pyfl peer --join TOKEN` on another machine. It holds the swarm's key."""
    from pyfl.cli.settings import peer_settings
    from pyfl.errors import NoPeerRunning
    from pyfl.peer.join_token import JoinToken
    from pyfl.peer.swarm_key import find_swarm_key

    settings = peer_settings({"swarm_key": swarm_key})
    place = Path(settings.data_dir) if data_dir is None and settings.data_dir else data_dir
    try:
        place = find_data_dir(place)
        addresses = address or [reachable(settings.advertise or _address_of(place))]
    except NoPeerRunning as error:
        if not address:
            raise NoPeerRunning(f"{error} Or say where the swarm is: `pyfl token --address HOST:PORT`.") from error
        addresses = address
    made = JoinToken(tuple(addresses), find_swarm_key(settings.swarm_key, place or Path(), create=False))
    if as_json:
        print_json({"token": made.encode(), "addresses": made.addresses})
        return
    typer.echo(made.encode())
    typer.echo(
        f"This token leads to {', '.join(made.addresses)} and holds the swarm's key: whoever has it can join. Hand it on like a password.",
        err=True,
    )
    if all(map(_only_here, made.addresses)):
        typer.echo("Its address is this machine's own: on another machine it leads nowhere. Name one with --address HOST:PORT.", err=True)


def _address_of(place: Path) -> str:
    from pyfl.serving.client import PeerClient

    with PeerClient(place) as client:
        return client.status().address


def reachable(address: str) -> str:
    """The address, if others can dial it. Raises `ConfigError` for one that means every address of a machine."""
    from pyfl.errors import ConfigError

    host, _, port = address.rpartition(":")
    if host in ("0.0.0.0", "[::]", ""):  # noqa: S104 - recognised, not bound
        raise ConfigError(
            f"advertise: the peer listens on {address}, every address of its machine, and a token needs one that others can dial. "
            f"Name it with `pyfl token --address HOST:{port or '7700'}`."
        )
    return address


def _only_here(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.")
