"""Everything that a peer can be told when it starts."""

from __future__ import annotations

import msgspec

from pyfl.errors import ConfigError
from pyfl.peer.http_address import LABEL as HTTP_LABEL
from pyfl.peer.http_address import parse as parse_http
from pyfl.rounds.early_stopping import parse as parse_early_stopping
from pyfl.rounds.records import Deadlines

__all__ = ["PeerSettings"]


class PeerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One peer's settings; None or empty: not given, so the run's record or a default decides.

    `app` with options as `pyfl.apps.load_app` reads them (`digits:local_epochs=2`), `strategy` and `tiers` as their `parse` does.
    """

    listen: str = "0.0.0.0:7700"
    advertise: str = ""
    join: tuple[str, ...] = ()
    name: str = ""
    labels: dict[str, str] = {}
    data_dir: str = ""
    """Default: pyfl-data/<ip>-<port>."""
    swarm_key: str = ""
    """A file; default: PYFL_SWARM_KEY (a file, or 64 hexadecimal characters), then ./swarm.key, which a founder creates."""
    app: str | None = None
    model: str | None = None
    partition: str | None = None
    data: str | None = None
    limit_samples: int | None = None
    """These four: options of the app, as if they were given with it."""
    strategy: str | None = None
    tiers: str | None = None
    rounds: int | None = None
    min_peers: int | None = None
    min_contributors: int | None = None
    early_stopping: str | None = None
    """As `accuracy:patience=5,min_delta=0.001`."""
    residuals: bool | None = None
    """An update that its round did not count is added to the peer's next one."""
    seed: int | None = None
    start_from: str | None = None
    """A founder's model 0: a `.keras` file, or a checkpoint's `.safetensors`. Default: the app's fresh model."""
    expect: int = 0
    voters: int = 0
    durability: str = "full"
    """`full` or `relaxed`."""
    index: int | None = None
    """Which part of the data this peer has, and `of` how many."""
    of: int | None = None
    stay: bool = False
    """After the run's end remain a member that serves and lends its model, until it is told to leave or the swarm to stop."""
    join_timeout_s: float = 60.0
    give_up_s: float = 0.0
    """End with exit code 6 when the committee's majority is away for so long; 0: wait for ever."""
    deadlines: Deadlines = Deadlines()
    heartbeat_ms: int = 2500
    congestion: str = "cubic"
    serve: bool = True
    """Answer on the Unix socket in the data directory."""
    http: str = ""
    """Serve the HTTP API there too, `HOST:PORT`, or a port for this machine only; empty: on the Unix socket alone."""
    checkpoints: bool = True
    """Keep committed models (and, as a voter under full durability, staged ones) in the data directory."""
    measure: bool = False
    """Observe memory, bytes and processor time with every installed model."""

    def __post_init__(self) -> None:
        """Raise `ConfigError` for a value that no peer can have."""
        if self.durability not in ("full", "relaxed"):
            raise ConfigError(f"durability is {self.durability!r}; expected full (voters fsync before a commit) or relaxed")
        if self.start_from and self.join and self.expect < 2:
            raise ConfigError(
                "start_from (--from): only a founder says what model the run begins with, and this peer is told to join one. Leave it out: "
                "a joiner is given the swarm's model."
            )
        if self.early_stopping is not None:
            parse_early_stopping(self.early_stopping)
        if self.http:
            parse_http(self.http)
        if HTTP_LABEL in self.labels:
            raise ConfigError(f"labels: {HTTP_LABEL!r} is what a peer says of its HTTP API; choose another name.")

    def app_options(self) -> dict[str, str | int | float]:
        """Options of the app that were given by name."""
        given = {"model": self.model, "partition": self.partition, "data": self.data, "limit_samples": self.limit_samples}
        return {name: value for name, value in given.items() if value is not None}
