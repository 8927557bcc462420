"""Rounds: the pure machine of `docs/protocol.md` and the driver that runs it over an overlay."""
