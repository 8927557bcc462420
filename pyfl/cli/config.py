"""`pyfl config show`: what a peer that is started here would be told, and by whom."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import typer

from pyfl.cli.observe import AsJson
from pyfl.cli.output import print_json, print_table
from pyfl.cli.peer import peer
from pyfl.cli.peer_flags import flags_given
from pyfl.cli.typed_errors import reported

__all__ = ["config", "shown"]

config = typer.Typer(no_args_is_help=True, help="Settings and where they come from.")


@config.callback()
def _config() -> None:  # pyright: ignore[reportUnusedFunction]
    """Settings and where they come from."""


def _taking_the_options_of_peer(command: Callable[[Mapping[str, Any]], None]) -> Callable[..., None]:
    """A command with the arguments of `pyfl peer`, handed over as one mapping; `--json` as elsewhere, and no `--quiet`."""

    @functools.wraps(peer)
    def run(**given: Any) -> None:
        command(given)

    parameters = {name: p for name, p in inspect.signature(peer, eval_str=True).parameters.items() if name != "quiet"}
    parameters["as_json"] = parameters["as_json"].replace(annotation=AsJson)
    run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: p.annotation for name, p in parameters.items()}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


@config.command()
@reported
@_taking_the_options_of_peer
def show(given: Mapping[str, Any]) -> None:
    """Each setting, its value, and whether a flag, the environment, a file or nobody gave it.

    Takes the options of `pyfl peer`: what would hold if it were started with them. Keys and tokens are not shown.
    """
    import msgspec

    from pyfl.cli.settings import with_origins

    found = with_origins(flags_given(given), file=given["config"])
    values = {name: shown(name, value) for name, value in msgspec.to_builtins(found.settings).items()}
    if given["as_json"]:
        print_json({name: {"value": value, "origin": found.origin[name]} for name, value in values.items()})
        return
    rows = ((name, found.origin[name], msgspec.json.encode(value).decode()) for name, value in values.items())
    print_table(("setting", "from", "value"), rows)


def shown(name: str, value: Any) -> Any:
    """A setting's value without what would let a reader into the swarm."""
    from pyfl.peer.join_token import is_token

    if name == "join":
        return ["(a join token)" if is_token(text) else text for text in value]
    if name == "swarm_key" and re.fullmatch(r"[0-9a-fA-F]{32,}", value):
        return "(a key where a file's name is expected)"
    return value
