"""The bearer token of a peer's HTTP API: `http.token` in its data directory, derived from the swarm key unless the operator wrote another.

Why derived: docs/decisions/http-token.md.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path

from pyfl.errors import ConfigError
from pyfl.peer.swarm_key import write_secret

__all__ = ["FILE", "derived_token", "find_http_token"]

FILE = "http.token"
CONTEXT = b"pyfl http token 1"
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")
"""What RFC 6750 allows in a header, at a length that cannot be tried out."""


def derived_token(swarm_key: str) -> str:
    """HMAC-SHA256 under the swarm key, 64 hexadecimal characters: one token for every peer of a swarm, which does not give the key away."""
    return hmac.new(bytes.fromhex(swarm_key), CONTEXT, hashlib.sha256).hexdigest()


def find_http_token(data_dir: Path, swarm_key: str) -> str:
    """The token of the peer in `data_dir`, written there if there is none. Raises `ConfigError` for a file that holds no token."""
    path = data_dir / FILE
    try:
        write_secret(path, derived_token(swarm_key) + "\n", replace=False)
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"http: {path} cannot be used: {error}. Remove it, and the peer writes it again.") from error
    if not TOKEN.fullmatch(token):
        raise ConfigError(
            f"http: {path} holds {len(token)} characters and no token; expected 16 to 512 letters, digits or -._~+/=. "
            "Write one, or remove the file, and the peer derives it from the swarm's key."
        )
    return token
