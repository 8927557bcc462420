"""`pyfl bench ...`: how fast the swarm's own parts are, without a framework in the way."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pyfl.cli.observe import AsJson
from pyfl.cli.output import print_json
from pyfl.cli.typed_errors import reported

__all__ = ["bench"]

bench = typer.Typer(no_args_is_help=True, help="Measure the swarm's own parts.")


@bench.callback()
def _bench() -> None:  # pyright: ignore[reportUnusedFunction]
    """Measure the swarm's own parts."""


@bench.command()
@reported
def allreduce(
    peers: Annotated[int, typer.Option(min=2, help="Processes on this machine.")] = 4,
    mb: Annotated[int, typer.Option(min=1, help="Size of the model.")] = 100,
    rounds: Annotated[int, typer.Option(min=1, help="How often.")] = 7,
    durability: Annotated[str, typer.Option(help="full or relaxed.")] = "relaxed",
    tiers: Annotated[str, typer.Option(help="rotated:4, tree:4, star, chain.")] = "rotated:4",
    as_json: AsJson = False,
) -> None:
    """Rounds without training: every peer sends the same model, with ledger, digests and commit."""
    from pyfl.peer.bench import allreduce as measure

    last: dict[str, Any] = {}
    for event in measure(peers, mb, rounds, durability, tiers=tiers):
        last = event
        if as_json:
            print_json(event)
        elif event["event"] != "summary":
            typer.echo("  ".join(f"{name} {value}" for name, value in event.items() if name != "event"))
    if not as_json:
        _print_summary(last)
    if last.get("event") != "summary" or not last.get("digests_agree"):
        raise typer.Exit(1)


def _print_summary(summary: dict[str, Any]) -> None:
    times = summary.get("round_s") or {}
    mib = 1024 * 1024
    for name, text in (
        ("a round", f"{times.get('median', 0):.3f} s ({times.get('min', 0):.3f} to {times.get('max', 0):.3f})"),
        ("sent", f"{summary.get('sent_bytes_total', 0) / mib:.0f} MiB in all, at most {summary.get('sent_bytes_max_peer', 0) / mib:.0f} by a peer"),
        ("memory", f"{summary.get('rss_peak_mb_max', 0):.0f} MB at most, {summary.get('rss_base_mb', 0):.0f} before the model"),
        ("processor", f"{summary.get('cpu_s', 0):.1f} s"),
        ("digests agree", "yes" if summary.get("digests_agree") else "NO"),
        ("congestion", str(summary.get("congestion_control", ""))),
    ):
        typer.echo(f"{name:<15}{text}")
