"""Where a setting comes from: flag, then PYFL_*, then pyfl.toml, then default."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pyfl.errors import ConfigError
from pyfl.peer.settings import PeerSettings

__all__ = ["Origins", "peer_settings", "with_origins"]

FILE = "pyfl.toml"
# A key in the environment may be the key itself and not a file, so whoever looks for the key reads it there.
_NOT_FROM_ENVIRONMENT = {"swarm_key"}
_FIELDS = {field.name: field for field in msgspec.structs.fields(PeerSettings)}
_LISTS = {"join"}
_TABLES = {"labels", "deadlines"}


@dataclass(frozen=True, slots=True)
class Origins:
    """One peer's settings, and where each comes from: `flag`, `PYFL_ROUNDS`, `pyfl.toml`, or `default`."""

    settings: PeerSettings
    origin: Mapping[str, str]


def peer_settings(flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ, file: Path | None = None) -> PeerSettings:
    """The settings of one peer; flags that are None or empty were not given. Raises `ConfigError` naming the setting."""
    return with_origins(flags, environment, file).settings


def with_origins(flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ, file: Path | None = None) -> Origins:
    """As `peer_settings`, and tells where each value was found."""
    values = _from_file(file)
    origin = dict.fromkeys(_FIELDS, "default") | dict.fromkeys(values, str(file or FILE))
    for name in _FIELDS.keys() - _NOT_FROM_ENVIRONMENT:
        variable = f"PYFL_{name.upper()}"
        text = environment.get(variable, "")
        if text:
            values[name], origin[name] = _spread(name, text), variable
    if environment.get("PYFL_SWARM_KEY"):
        values.pop("swarm_key", None)
        origin["swarm_key"] = "PYFL_SWARM_KEY"
    given = {name: value for name, value in flags.items() if value not in (None, (), [], {}, "")}
    try:
        return Origins(msgspec.convert(values | given, PeerSettings, strict=False), origin | dict.fromkeys(given, "flag"))
    except msgspec.ValidationError as error:
        what, _, name = str(error).partition(" - at `$.")
        raise ConfigError(f"Setting {name.rstrip('`') or '?'}: {what}. `pyfl peer --help` lists them.") from error


def _spread(name: str, text: str) -> Any:
    """Lists and tables in an environment variable: `a,b` and `k=v,k=v`."""
    if name not in _LISTS | _TABLES:
        return text
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if name in _LISTS:
        return parts
    pairs = [part.partition("=") for part in parts]
    for key, equals, _ in pairs:
        if not equals:
            raise ConfigError(f"PYFL_{name.upper()}: {key!r} has no value; expected name=value,name=value.")
    return {key: value for key, _, value in pairs}


def _from_file(file: Path | None) -> dict[str, Any]:
    path = file or Path(FILE)
    if file is None and not path.exists():
        return {}
    try:
        found = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    values: dict[str, Any] = {}
    for key, value in found.items():
        name = key.replace("-", "_")
        if name not in _FIELDS:
            near = difflib.get_close_matches(name, _FIELDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{path} has an unknown key {key!r}.{hint} Known are {', '.join(_FIELDS)}.")
        values[name] = value
    return values
