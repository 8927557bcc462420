"""How an overlay is started: the keys of `p2p_open` in gocore/include/p2plib.h, which says what each means."""

from __future__ import annotations

import msgspec

__all__ = ["OverlayConfig"]


class OverlayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One overlay's configuration; sizes in their key's unit, `swarm_key` as 64 hexadecimal characters."""

    listen: str
    swarm_key: str
    advertise: str = ""
    name: str = ""
    labels: dict[str, str] = {}
    identity_file: str = ""
    data_dir: str = ""
    join: tuple[str, ...] = ()
    found: bool = False
    expect: int = 0
    join_timeout_ms: int = 60_000
    voters: int = 0
    inbox: int = 1024
    bulk_streams: int = 0
    congestion: str = ""
    fsync: bool = True
    heartbeat_ms: int = 2500
    probe_ms: int = 500
    transfer_ms: int = 10_000
    gossip: bool = True

    def __repr__(self) -> str:
        """Show everything but the secret."""
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name != "swarm_key")
        return f"OverlayConfig({', '.join(shown)}, swarm_key=...)"
