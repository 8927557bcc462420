"""The swarm's shared key: where it is looked for, and how a founder makes one."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from pyfl.errors import ConfigError

__all__ = ["find_swarm_key", "new_swarm_key", "write_secret"]


def new_swarm_key() -> str:
    """32 random bytes from the operating system as 64 hexadecimal characters."""
    return secrets.token_hex(32)


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read (0600); it appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def find_swarm_key(given: str, data_dir: Path, *, create: bool) -> str:
    """The key as 64 hexadecimal characters: from `given` (a file), PYFL_SWARM_KEY (a file or the key), the data directory, ./swarm.key.

    A founder (`create`) makes ./swarm.key when there is none. Raises `ConfigError` naming where it looked.
    """
    environment = os.environ.get("PYFL_SWARM_KEY", "")
    if given:
        return _read(Path(given), "--swarm-key")
    if environment:
        return environment.lower() if _is_key(environment) else _read(Path(environment), "PYFL_SWARM_KEY")
    for path in (data_dir / "swarm.key", Path("swarm.key")):
        if path.exists():
            return _read(path, str(path))
    if not create:
        raise ConfigError(
            f"No swarm key: there is none in {data_dir / 'swarm.key'} or ./swarm.key, and neither --swarm-key nor PYFL_SWARM_KEY is set. "
            "Copy swarm.key from a peer of the swarm."
        )
    key = new_swarm_key()
    write_secret(Path("swarm.key"), key + "\n")
    return key


def _is_key(text: str) -> bool:
    return re.fullmatch(r"[0-9a-fA-F]{64}", text) is not None


def _read(path: Path, origin: str) -> str:
    try:
        text = path.read_text().strip()
    except OSError as error:
        raise ConfigError(f"The swarm key of {origin} cannot be read: {error}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The swarm key of {origin} is no text; expected 64 hexadecimal characters.") from error
    if not _is_key(text):
        raise ConfigError(f"The swarm key of {origin} has {len(text)} characters; expected 64 hexadecimal ones. `pyfl init` makes one.")
    return text.lower()
