"""`pyfl recover`: an operator makes a new committee out of what one stopped peer holds, when the old one's majority is gone for good."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyfl.cli.data_directory import DataDir, find_data_dir
from pyfl.cli.observe import AsJson
from pyfl.cli.output import print_json, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyfl.overlay.disk_ledger import LedgerOnDisk, Standing
    from pyfl.rounds.records import RoundRecord

__all__ = ["recover"]


def recover(
    data_dir: DataDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what this data directory knows, to choose the newest.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    peer: Annotated[
        list[str] | None, typer.Option(help="HOST:PORT of another peer to ask, besides those that this one has met.", show_default=False)
    ] = None,
    swarm_key: Annotated[
        str | None, typer.Option(help="File with the swarm's key; default PYFL_SWARM_KEY, the data directory's, ./swarm.key.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a new committee from a stopped peer's data, when the majority of the old one is gone for good.

    First try to start the missing voters again. What they committed and this peer has not heard of is lost.
    """
    from pyfl.overlay import disk_ledger

    place = find_data_dir(data_dir)
    found = disk_ledger.inspect(place)
    addresses = _addresses(place, peer or ())
    answers = disk_ledger.ask(addresses, _key(swarm_key, place)) if addresses else ()
    record = _round(found)
    if as_json and dry_run:
        print_json(_told(place, found, record, answers))
    elif not as_json:
        _show(place, found, record, answers)
    if dry_run:
        return
    _refuse_unless_lost(found, answers)
    if not yes and not _confirmed():
        raise typer.Exit(1)
    done = disk_ledger.recover(place)
    if as_json:
        print_json({**_told(place, done, record, answers), "recovered_epoch": done.epoch + 1, "aside": done.aside})
        return
    typer.echo(
        f"The ledger of epoch {done.epoch + 1} has this peer as its only voter; the old one is kept as {done.aside}. "
        "Start this peer again with the command it was started with. The others follow by themselves; the committee grows with them."
    )


def _addresses(place: Path, more: Sequence[str]) -> list[str]:
    from pyfl.peer.acquaintances import Acquaintances

    met = Acquaintances(place / "peers.json", lambda text: typer.echo(text, err=True)).addresses()
    return list(dict.fromkeys([*more, *met]))


def _key(given: str | None, place: Path) -> str:
    from pyfl.cli.settings import peer_settings
    from pyfl.peer.swarm_key import find_swarm_key

    return find_swarm_key(peer_settings({"swarm_key": given}).swarm_key, place, create=False)


def _round(found: LedgerOnDisk) -> RoundRecord | None:
    import msgspec

    from pyfl.rounds.records import ROUND, RoundRecord

    value = next((record.value for record in found.records if record.key == ROUND), None)
    try:
        return msgspec.msgpack.decode(value, type=RoundRecord) if value else None
    except msgspec.DecodeError as error:
        typer.echo(f"The round's record cannot be read: {error}. It is carried over as it is.", err=True)
        return None


def _told(place: Path, found: LedgerOnDisk, record: RoundRecord | None, answers: Sequence[Standing]) -> dict[str, object]:
    number, digest, _ = record.committed if record else (None, "", "")
    return {
        "data_dir": str(place), "peer": found.self, "ledger": found.ledger, "epoch": found.epoch, "recovery": found.recovery,
        "voters": found.voters, "votes": found.votes, "index": found.index, "round": number, "digest": digest,
        "phase": record.phase if record else "", "others": answers,
    }  # fmt: skip


def _show(place: Path, found: LedgerOnDisk, record: RoundRecord | None, answers: Sequence[Standing]) -> None:
    told = _told(place, found, record, answers)
    role = "one of its voters" if found.votes else "no voter"
    typer.echo(f"{place}: peer {short(found.self)}, {role}, ledger {short(found.ledger)} in epoch {found.epoch}, index {found.index}")
    if record is None:
        typer.echo("No round is known here.")
    else:
        typer.echo(f"The last committed round known here is {told['round']}, model {short(str(told['digest']))}.")
    typer.echo(f"Its voters: {', '.join(map(short, found.voters)) or 'not known here'}")
    for answer in answers:
        if answer.error:
            typer.echo(f"  {answer.address}: {answer.error}")
        else:
            leads = f"in contact with its leader {short(answer.leader)}" if answer.leader else "without a leader"
            typer.echo(f"  {answer.address}: peer {short(answer.peer)}, epoch {answer.epoch}, index {answer.index}, {leads}")


def _refuse_unless_lost(found: LedgerOnDisk, answers: Sequence[Standing]) -> None:
    """Raise `RecoveryRefused` while the old committee can still decide, was recovered already, or somebody here knows more."""
    from pyfl.errors import RecoveryRefused

    ours = [a for a in answers if not a.error and a.ledger == found.ledger]
    for other in ours:
        who = f"peer {short(other.peer)} at {other.address}"
        if other.epoch > found.epoch:
            raise RecoveryRefused(
                f"The ledger was recovered already: {who} is in epoch {other.epoch}, this peer's is of epoch {found.epoch}. "
                "Start this peer; it follows."
            )
        if (other.epoch, other.recovery) != (found.epoch, found.recovery):
            continue
        if other.leader:
            raise RecoveryRefused(f"The committee lives: {who} is in contact with its leader {short(other.leader)}. Start this peer again.")
        if other.index > found.index:
            raise RecoveryRefused(
                f"Another peer knows more: {who} has records up to index {other.index}, this peer up to {found.index}. Stop that one and "
                "recover it; this peer then follows."
            )
    voters = set(found.voters) | {voter for other in ours for voter in other.voters}
    here = {other.peer for other in ours} | {found.self}
    if voters and len(voters & here) * 2 > len(voters):
        raise RecoveryRefused(
            f"{len(voters & here)} of {len(voters)} voters are here, with this peer: that is a majority. Start this peer again; they go on."
        )


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        typer.echo("Not a terminal: say --yes to recover without being asked.", err=True)
        return False
    typer.echo(
        "Whatever the old committee committed beyond this is lost, and old voters that come back are refused or rejoin without their vote."
    )
    return typer.confirm("Make a new committee of this peer alone?")
