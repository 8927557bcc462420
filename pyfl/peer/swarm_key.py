"""The swarm's shared key: where it is looked for, and how a founder makes one."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from pyfl.errors import ConfigError

__all__ = ["find_swarm_key", "new_swarm_key", "read_swarm_key", "write_secret"]


def new_swarm_key() -> str:
    """32 random bytes from the operating system as 64 hexadecimal characters."""
    return secrets.token_hex(32)


def write_secret(path: Path, text: str, *, replace: bool = True) -> bool:
    """Write a file that only its owner may read (0600); it appears whole or not at all.

    Without `replace` a file that is there stays as it is. Returns whether the text was written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if replace:
        os.replace(temporary, path)
        return True
    try:
        os.link(temporary, path)  # unlike a rename, this fails when the name is taken
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def _keep_token_key(key: str, given: str, data_dir: Path) -> None:
    """Keep a join token's key in the data directory, so that the peer starts again without the token.

    Raises `ConfigError` if `given` (a file) or the data directory has another key: this peer is then of two swarms.
    """
    kept = data_dir / "swarm.key"
    for path, origin, remedy in (
        (Path(given) if given else None, "--swarm-key", "Leave it out, or take the swarm's token."),
        (kept if kept.exists() else None, str(kept), "Choose another --data-dir for another swarm."),
    ):
        if path is not None and read_swarm_key(path, origin) != key:
            raise ConfigError(f"The join token is of another swarm than the key of {origin}. {remedy}")
    if not kept.exists():
        write_secret(kept, key + "\n")


def find_swarm_key(given: str, data_dir: Path, *, create: bool, token_key: str = "") -> str:
    """The key as 64 hexadecimal characters: from `given` (a file), PYFL_SWARM_KEY (a file or the key), the data directory, ./swarm.key.

    A join token's key goes before all of them, and is kept in the data directory. A founder (`create`) makes ./swarm.key when there is
    none. Raises `ConfigError` naming where it looked.
    """
    if token_key:
        _keep_token_key(token_key, given, data_dir)
        return token_key
    environment = os.environ.get("PYFL_SWARM_KEY", "")
    if given:
        return read_swarm_key(Path(given), "--swarm-key")
    if environment:
        return environment.lower() if _is_key(environment) else read_swarm_key(Path(environment), "PYFL_SWARM_KEY")
    for path in (data_dir / "swarm.key", Path("swarm.key")):
        if path.exists():
            return read_swarm_key(path, str(path))
    if not create:
        raise ConfigError(
            f"No swarm key: there is none in {data_dir / 'swarm.key'} or ./swarm.key, and neither --swarm-key nor PYFL_SWARM_KEY is set. "
            "Copy swarm.key from a peer of the swarm, or join with a token that one makes with `pyfl token`."
        )
    key = new_swarm_key()
    write_secret(Path("swarm.key"), key + "\n")
    return key


def _is_key(text: str) -> bool:
    return re.fullmatch(r"[0-9a-fA-F]{64}", text) is not None


def read_swarm_key(path: Path, origin: str) -> str:
    """The key in a file, which `origin` names. Raises `ConfigError` if it cannot be read or is no key."""
    try:
        text = path.read_text().strip()
    except OSError as error:
        raise ConfigError(f"The swarm key of {origin} cannot be read: {error}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The swarm key of {origin} is no text; expected 64 hexadecimal characters.") from error
    if not _is_key(text):
        raise ConfigError(f"The swarm key of {origin} has {len(text)} characters; expected 64 hexadecimal ones. `pyfl init` makes one.")
    return text.lower()
