"""`pyfl bench ...`: how fast the swarm's own parts are, without a framework in the way."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pyfl.cli.observe import AsJson
from pyfl.cli.output import print_json
from pyfl.cli.typed_errors import reported

__all__ = ["bench"]

Megabytes = Annotated[float, typer.Option(min=0.001, help="Size of the model in 10^6 bytes.")]
Shape = Annotated[str, typer.Option(help="rotated:4, tree:4, star, chain.")]

bench = typer.Typer(no_args_is_help=True, help="Measure the swarm's own parts.")


@bench.callback()
def _bench() -> None:  # pyright: ignore[reportUnusedFunction]
    """Measure the swarm's own parts."""


@bench.command()
@reported
def allreduce(
    peers: Annotated[int, typer.Option(min=2, help="Processes on this machine.")] = 4,
    mb: Megabytes = 100.0,
    rounds: Annotated[int, typer.Option(min=1, help="How often.")] = 7,
    durability: Annotated[str, typer.Option(help="full or relaxed.")] = "relaxed",
    tiers: Shape = "rotated:4",
    congestion: Annotated[str, typer.Option(help="TCP congestion control, where it may be set.")] = "cubic",
    as_json: AsJson = False,
) -> None:
    """Rounds without training: every peer sends the same model, with ledger, digests and commit."""
    from pyfl.peer.bench import allreduce as measure

    last: dict[str, Any] = {}
    for event in measure(peers, mb, rounds, durability, tiers, congestion):
        last = event
        if as_json:
            print_json(event)
        elif event["event"] == "summary":
            _print_summary(event)
        elif event["event"] == "round":
            typer.echo(f"round {event['round']:>3}  {event['round_s']:.3f} s{'  (warm-up)' if event['warm_up'] else ''}")
    if not last.get("digests_agree"):
        raise typer.Exit(1)


@bench.command()
@reported
def repair(
    peers: Annotated[int, typer.Option(min=3, help="Processes on this machine.")] = 4,
    mb: Megabytes = 100.0,
    kills: Annotated[int, typer.Option(min=1, help="How often, each in a swarm of its own.")] = 10,
    coordinator: Annotated[bool, typer.Option("--coordinator", help="Kill the coordinator.")] = False,
    tiers: Shape = "rotated:4",
    as_json: AsJson = False,
) -> None:
    """Kill -9 one of the peers while segments move: how long until the survivors have committed the round."""
    from pyfl.peer.bench_repair import repair as measure

    last: dict[str, Any] = {}
    for event in measure(peers, mb, kills, coordinator=coordinator, tiers=tiers):
        last = event
        if as_json:
            print_json(event)
        elif event["event"] == "kill":
            typer.echo(
                f"kill {event['kill']:>3}  {event['repair_s']:.3f} s to the survivors' commit; a clean round takes {event['clean_s']:.3f} s"
            )
    if not as_json:
        times: dict[str, float] = last["repair_s"]
        _print_lines(
            ("repair", f"{times['median']:.3f} s ({times['min']:.3f} to {times['max']:.3f}), {last['limit_s']:.3f} allowed"),
            ("sent", f"{last['sent']['median']:.2f} of a clean round's bytes, by a survivor"),
            ("digests agree", "yes" if last["digests_agree"] else "NO"),
        )
    if not last["digests_agree"] or not last["within"]:
        raise typer.Exit(1)


@bench.command()
@reported
def join(
    peers: Annotated[int, typer.Option(min=2, help="Processes that run already.")] = 6,
    joiners: Annotated[int, typer.Option(min=1, help="Processes that join them, all at once.")] = 20,
    mb: Megabytes = 25.0,
    train_s: Annotated[float, typer.Option(min=0.0, max=600.0, help="How long each trains, without a processor.")] = 2.5,
    tiers: Shape = "rotated:4",
    as_json: AsJson = False,
) -> None:
    """Start many joiners at once: how many rounds until each contributes, and who gave them the model."""
    from pyfl.peer.bench_join import WITHIN
    from pyfl.peer.bench_join import join as measure

    last: dict[str, Any] = {}
    for event in measure(peers, joiners, mb, train_s, tiers):
        last = event
        if as_json:
            print_json(event)
        elif event["event"] == "joiner":
            typer.echo(f"{event['joiner']:<10}{_first_contribution(event)}")
    if not as_json:
        _print_joined(last, WITHIN)
    if not last["digests_agree"] or not last["within"]:
        raise typer.Exit(1)


def _first_contribution(joiner: dict[str, Any]) -> str:
    if joiner["rounds"] is None:
        return f"in no round; the first that opened while it was a member is {joiner['first_round']}"
    return f"in round {joiner['contributed_round']}, its number {joiner['rounds']}, {joiner['contribution_s']:.1f} s after its start"


def _print_joined(summary: dict[str, Any], allowed: int) -> None:
    lines: list[tuple[str, str]] = []
    if summary["rounds"] is not None:  # somebody contributed
        rounds: dict[str, float] = summary["rounds"]
        times: dict[str, float] = summary["contribution_s"]
        lines.append(("rounds", f"{rounds['median']:g}, {rounds['max']:g} at most, {allowed} allowed"))
        lines.append(("from the start", f"{times['median']:.1f} s, {times['max']:.1f} at most"))
    lent = ", ".join(f"{count / 1_000_000:.0f}" for count in summary["lent_bytes"])
    _print_lines(
        *lines,
        ("model lent", f"{lent} MB by those who ran, {summary['lent_bytes_joiners'] / 1_000_000:.0f} by joiners"),
        ("memory", f"{summary['rss_peak_mb_total']} MiB of all processes, {summary['rss_peak_mb_max']:.0f} at most"),
        ("digests agree", "yes" if summary["digests_agree"] else "NO"),
    )


def _print_summary(summary: dict[str, Any]) -> None:
    times: dict[str, float] = summary["round_s"]
    megabyte = 1_000_000
    sent, most = summary["sent_bytes_total"] / megabyte, summary["sent_bytes_max_peer"] / megabyte
    _print_lines(
        ("a round", f"{times['median']:.3f} s ({times['min']:.3f} to {times['max']:.3f})"),
        ("sent in it", f"{sent:.0f} MB by all, {most:.0f} MB by whoever sent most"),
        ("memory", f"{summary['rss_peak_mb_max']:.0f} MiB at most, {summary['rss_base_mb']:.0f} before the model"),
        ("processor", f"{summary['cpu_s']:.2f} s a round, of all peers"),
        ("digests agree", "yes" if summary["digests_agree"] else "NO"),
        ("congestion", str(summary["congestion_control"])),
    )


def _print_lines(*lines: tuple[str, str]) -> None:
    for name, text in lines:
        typer.echo(f"{name:<15}{text}")
