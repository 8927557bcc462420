"""`pyfl init`: a new swarm's key and a file of settings to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyfl.cli.observe import AsJson
from pyfl.cli.output import print_json

__all__ = ["SETTINGS_TO_BEGIN_WITH", "init"]

SETTINGS_TO_BEGIN_WITH = """\
# Settings of peers that are started in this directory. A flag or PYFL_<NAME> goes before what is here.
# `pyfl config show` says what holds and where it comes from; `pyfl peer --help` lists all of them.

# What the founder says and the others adopt.
# app = "digits"                # digits, mnist, cifar10, or package.module:name
# rounds = 10                   # the run's last round
# strategy = "fedavg"           # fedavgm, fedadam; with arguments
# min_peers = 2                 # round 1 opens with so many

# This peer.
# listen = "0.0.0.0:7700"
# advertise = "10.0.0.4:7700"   # how the others reach it, where that differs from listen
# join = ["10.0.0.5:7700"]      # any peer of the swarm, or a token of `pyfl token`; without any, it founds one
# name = "otter"
# labels = { site = "oslo" }    # voters are spread over sites
# index = 0                     # which part of the data it has...
# of = 6                        # ...and of how many
"""


def init(
    directory: Annotated[Path, typer.Argument(help="Made if it is not there.", metavar="DIR", show_default=False)] = Path(),
    as_json: AsJson = False,
) -> None:
    """A new swarm's key, and a pyfl.toml to begin with. What is there already is kept."""
    from pyfl.errors import ConfigError
    from pyfl.peer.swarm_key import new_swarm_key, read_swarm_key, write_secret

    key, settings = directory / "swarm.key", directory / "pyfl.toml"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        made_key = write_secret(key, new_swarm_key() + "\n", replace=False)
        made_settings = _write_new(settings, SETTINGS_TO_BEGIN_WITH)
    except OSError as error:
        raise ConfigError(
            f"{directory} cannot hold a swarm's key and settings: {error}. Choose a directory that can be written."
        ) from error
    if not made_key:
        read_swarm_key(key, str(key))  # a broken one is no key to keep
    if as_json:
        made = [str(path) for path, new in ((key, made_key), (settings, made_settings)) if new]
        kept = [str(path) for path, new in ((key, made_key), (settings, made_settings)) if not new]
        print_json({"made": made, "kept": kept})
        return
    typer.echo(
        f"{key}: made. Whoever has it can join the swarm: hand it on like a password."
        if made_key
        else f"{key}: was there already and is kept; remove it yourself if you want another swarm's."
    )
    typer.echo(f"{settings}: {'made; everything in it is a comment' if made_settings else 'was there already and is kept'}.")
    typer.echo("\nNext:")
    there = "" if directory == Path() else f"cd {directory} && "
    for command, does in (
        (f"{there}pyfl peer", "the first peer founds the swarm"),
        (f"{there}pyfl token", "while it runs: prints a token for the others"),
        ("pyfl peer --join TOKEN", "on every other machine"),
    ):
        typer.echo(f"  {command:<{len(there) + 22}}  {does}")


def _write_new(path: Path, text: str) -> bool:
    """Whether the file was made: one that is there is left alone."""
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True
