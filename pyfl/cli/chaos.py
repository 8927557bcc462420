"""`pyfl chaos`: real peers under faults, and whether every promise was kept."""

from __future__ import annotations

import secrets
import signal
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from pyfl.cli.observe import AsJson

__all__ = ["chaos"]


def chaos(
    peers: Annotated[int, typer.Option(min=3, max=60, help="Processes to start.")] = 6,
    rounds: Annotated[int, typer.Option(min=2, help="How many rounds must be committed.")] = 20,
    faults: Annotated[str, typer.Option(help="Some of kill,stop,partition,link,slow,disk,wipe,power, or all.")] = "kill",
    per_round: Annotated[float, typer.Option(min=0.0, max=10.0, help="Faults in a round; 0.5: one in every other.")] = 1.0,
    coordinator_share: Annotated[float, typer.Option(min=0.0, max=1.0, help="So many of them hit the coordinator.")] = 0.25,
    app: Annotated[str, typer.Option(help="onehot (its model says who was counted), linear, digits, or package.module:name.")] = "onehot",
    mb: Annotated[float, typer.Option(min=0.0, max=2000.0, help="Size of onehot's model in 10^6 bytes.")] = 4.0,
    train_s: Annotated[float, typer.Option(min=0.0, max=600.0, help="How long onehot trains.")] = 1.5,
    lasts: Annotated[float, typer.Option(min=0.5, max=600.0, help="Seconds a stop, a cut, a full disk last at most.")] = 12.0,
    split: Annotated[str, typer.Option(help="Sizes of both sides of every partition.", metavar="A:B")] = "",
    heal_after: Annotated[
        float | None, typer.Option(min=0.5, max=600.0, help="Seconds that every fault of the network lasts, not more and not less.")
    ] = None,
    durability: Annotated[str, typer.Option(help="full or relaxed.")] = "full",
    seed: Annotated[int | None, typer.Option(help="Of the plan of faults; default: by chance.")] = None,
    give_up: Annotated[float, typer.Option(min=10.0, help="Seconds without a commit until the run has failed.")] = 180.0,
    data_dir: Annotated[
        Path | None, typer.Option("--dir", help="For data, logs and chaos.jsonl; default: a temporary one, kept on failure.", metavar="DIR")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Pull plugs: real peers train while they are killed, stopped, cut off, filled up, wiped, and their records are judged.

    Exit code 1 if a promise was broken. Links are cut in network namespaces, which only root may make.
    """
    import msgspec

    from pyfl.chaos.harness import chaos as lines
    from pyfl.chaos.plan import kinds_of
    from pyfl.chaos.settings import ChaosSettings
    from pyfl.cli.chaos_views import told
    from pyfl.cli.output import print_json

    kinds = kinds_of(faults)
    directory = (data_dir or Path(tempfile.mkdtemp(prefix="pyfl-chaos-"))).absolute()
    settings = ChaosSettings(
        directory=directory, peers=peers, rounds=rounds, faults=kinds, per_round=per_round, coordinator_share=coordinator_share, app=app,
        mb=mb, train_s=train_s, lasts_s=lasts, split=split, heal_after_s=heal_after,
        durability=durability, seed=secrets.randbits(31) if seed is None else seed,
        give_up_s=give_up,
    )  # fmt: skip

    def end(number: int, _: object) -> None:
        raise typer.Exit(128 + number)

    signal.signal(signal.SIGTERM, end)  # what was made is removed
    last: dict[str, Any] = {}
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "chaos.jsonl").open("ab") as record:
        for line in lines(settings):
            last = line
            record.write(msgspec.json.encode(line) + b"\n")
            record.flush()
            if as_json:
                print_json(line)
            text = told(line, rounds)
            if text:
                typer.echo(text, err=as_json or line["event"] != "summary")
    broken = last.get("event") != "summary" or last["violations"]
    if data_dir is None and not broken:
        import shutil

        shutil.rmtree(directory)
    else:
        typer.echo(f"data: {directory}", err=True)
    raise typer.Exit(1 if broken else 0)
