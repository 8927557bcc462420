"""From the arguments of `pyfl peer` to settings by name. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

__all__ = ["flags_given"]

RENAMED = {"join_timeout": "join_timeout_s", "give_up": "give_up_s"}
NO_SETTINGS = {"config", "as_json", "quiet"}


def flags_given(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among the command's arguments; None or empty: not given. Raises `typer.BadParameter`."""
    flags = {RENAMED.get(name, name): value for name, value in given.items() if name not in NO_SETTINGS}
    self_ip, port, label = flags.pop("self_ip"), flags.pop("port"), flags.pop("label")
    if self_ip is not None:
        if port is None:
            raise typer.BadParameter(f"SELF_IP {self_ip} needs a PORT after it: {self_ip} 7700", param_hint="PORT")
        if flags["listen"] is not None:
            raise typer.BadParameter("give either SELF_IP PORT or --listen", param_hint="--listen")
        flags["listen"] = f"[{self_ip}]:{port}" if ":" in self_ip else f"{self_ip}:{port}"
    flags["join"] = [*(flags.pop("bootstrap") or ()), *(flags["join"] or ())]
    flags["labels"] = _labels(label or ())
    return flags


def _labels(given: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    for key, equals, _ in pairs:
        if not equals or not key:
            raise typer.BadParameter(f"{key!r} is not KEY=VALUE", param_hint="--label")
    return {key: value for key, _, value in pairs}
