"""`pyfl peer`, and the original form `python -m pyfl.peer SELF_IP PORT [BOOTSTRAP_IP:PORT]`: one definition of the options."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyfl.cli.peer_flags import flags_given

if TYPE_CHECKING:
    from pyfl.events import Stamped

__all__ = ["peer"]

NET, RUN, SELF, OUT = "Network", "What is trained (a joiner adopts what it is not told)", "This peer", "Output"
Text = str | None
Count = int | None


def peer(
    self_ip: Annotated[Text, typer.Argument(help="Listen on this address...", metavar="SELF_IP", show_default=False)] = None,
    port: Annotated[Count, typer.Argument(min=0, max=65535, help="...and port", metavar="PORT", show_default=False)] = None,
    bootstrap: Annotated[
        list[str] | None,
        typer.Argument(help="Peers to join; without any this peer founds a swarm.", metavar="BOOTSTRAP_IP:PORT", show_default=False),
    ] = None,
    listen: Annotated[Text, typer.Option(help="IP:PORT; default 0.0.0.0:7700.", rich_help_panel=NET)] = None,
    advertise: Annotated[Text, typer.Option(help="IP:PORT by which others reach this peer.", rich_help_panel=NET)] = None,
    join: Annotated[
        list[str] | None, typer.Option(help="HOST:PORT of any peer, or a token of `pyfl token`; may be repeated.", rich_help_panel=NET)
    ] = None,
    swarm_key: Annotated[
        Text, typer.Option(help="File with the swarm's key; default PYFL_SWARM_KEY, then ./swarm.key.", rich_help_panel=NET)
    ] = None,
    join_timeout: Annotated[float | None, typer.Option(help="Seconds to try the first join.", rich_help_panel=NET)] = None,
    give_up: Annotated[
        float | None, typer.Option(help="Seconds without the committee's majority until exit 6; 0: for ever.", rich_help_panel=NET)
    ] = None,
    expect: Annotated[Count, typer.Option(help="Wait for so many peers; the lowest id founds.", rich_help_panel=NET)] = None,
    voters: Annotated[Count, typer.Option(help="Size of the committee: 1, 3 or 5; 0: by the swarm's size.", rich_help_panel=NET)] = None,
    heartbeat_ms: Annotated[Count, typer.Option(help="Of the committee's leader.", rich_help_panel=NET)] = None,
    congestion: Annotated[Text, typer.Option(help="TCP congestion control.", rich_help_panel=NET)] = None,
    app: Annotated[
        Text, typer.Option(help="digits, mnist, cifar10, or package.module:name; options after a colon.", rich_help_panel=RUN)
    ] = None,
    model: Annotated[Text, typer.Option(help="Which of the app's models: for cifar10 original or niid.", rich_help_panel=RUN)] = None,
    partition: Annotated[
        Text, typer.Option(help="How the data is divided: iid, dirichlet:0.5, pathological:6, shard:2, linear...", rich_help_panel=RUN)
    ] = None,
    limit_samples: Annotated[Count, typer.Option(min=0, help="Each peer trains on so many samples at most.", rich_help_panel=RUN)] = None,
    rounds: Annotated[Count, typer.Option(min=1, help="The run's last round.", rich_help_panel=RUN)] = None,
    start_from: Annotated[
        Text,
        typer.Option("--from", help="A founder's first model: a .keras file or a checkpoint.", metavar="FILE", rich_help_panel=RUN),
    ] = None,
    strategy: Annotated[Text, typer.Option(help="fedavg, fedavgm, fedadam; with arguments.", rich_help_panel=RUN)] = None,
    tiers: Annotated[Text, typer.Option(help="rotated:4, tree:4, star, chain.", rich_help_panel=RUN)] = None,
    min_peers: Annotated[Count, typer.Option(min=1, help="Round 1 opens with so many.", rich_help_panel=RUN)] = None,
    min_contributors: Annotated[Count, typer.Option(min=1, help="A round needs so many updates.", rich_help_panel=RUN)] = None,
    early_stopping: Annotated[
        Text,
        typer.Option(
            help="End the run when the swarm's metric no longer improves.",
            metavar="accuracy:patience=5,min_delta=0.001",
            rich_help_panel=RUN,
        ),
    ] = None,
    residuals: Annotated[
        bool | None,
        typer.Option("--residuals/--no-residuals", help="Add an update that was too late to the peer's next.", rich_help_panel=RUN),
    ] = None,
    seed: Annotated[Count, typer.Option(help="Of the run.", rich_help_panel=RUN)] = None,
    data: Annotated[
        Text, typer.Option(help="The app's data, an .npz with x_train, y_train, x_test, y_test.", metavar="FILE", rich_help_panel=SELF)
    ] = None,
    name: Annotated[Text, typer.Option(help="What people call it.", rich_help_panel=SELF)] = None,
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, as site=oslo; may be repeated.", rich_help_panel=SELF)] = None,
    index: Annotated[Count, typer.Option(min=0, help="Which part of the data it has, from 0...", rich_help_panel=SELF)] = None,
    of: Annotated[Count, typer.Option(min=1, help="...and of how many.", rich_help_panel=SELF)] = None,
    data_dir: Annotated[Text, typer.Option(help="Default ./pyfl-data/<ip>-<port>.", metavar="DIR", rich_help_panel=SELF)] = None,
    durability: Annotated[Text, typer.Option(help="full: voters fsync before a commit; or relaxed.", rich_help_panel=SELF)] = None,
    serve: Annotated[
        bool | None, typer.Option("--serve/--no-serve", help="Answer `pyfl status` and others on a Unix socket.", rich_help_panel=SELF)
    ] = None,
    stay: Annotated[
        bool | None,
        typer.Option("--stay", help="Go on serving after the run's end, until `pyfl leave` or `pyfl stop`.", rich_help_panel=SELF),
    ] = None,
    http: Annotated[
        Text,
        typer.Option(help="Serve the HTTP API here; a PORT alone: to this machine.", metavar="[HOST:]PORT", rich_help_panel=SELF),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings; default ./pyfl.toml if there is one.", metavar="FILE", rich_help_panel=SELF)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Events as JSON lines on stdout.", rich_help_panel=OUT)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors on stderr.", rich_help_panel=OUT)] = False,
) -> None:
    """Be a peer: found a swarm, or join one, and train with whoever is there.

    Every option can also be set as PYFL_<NAME> or in pyfl.toml.
    """
    given = dict(locals())  # before there are other names: exactly the arguments

    from pyfl.cli.settings import peer_settings

    settings = peer_settings(flags_given(given), file=config)
    _log_to_stderr(quiet)

    from pyfl.cli.port_owner import listener
    from pyfl.errors import AddressInUse
    from pyfl.peer.process import run

    ending = run(settings, _teller(as_json, quiet))
    if ending.code == AddressInUse.exit_code:
        taken = settings.http if ending.why.startswith("http:") else settings.listen
        typer.echo(f"error: {ending.why}. {listener(taken)}", err=True)
    elif ending.code:
        typer.echo(f"error: {ending.why}" if ending.code < 128 else ending.why, err=True)
    elif not quiet:
        typer.echo(ending.why, err=True)
    raise typer.Exit(ending.code)


def _log_to_stderr(quiet: bool) -> None:
    """Structlog writes to stdout unless told otherwise, and stdout is for data."""
    import logging

    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR")),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING if quiet else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _teller(as_json: bool, quiet: bool) -> Callable[[Stamped], None] | None:
    if as_json:
        from pyfl.cli.output import print_json

        return print_json
    if quiet:
        return None

    from pyfl.narrator import Narrator

    narrator = Narrator()
    return lambda event: typer.echo(narrator.line(event), err=True)
