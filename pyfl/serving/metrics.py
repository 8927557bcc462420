"""`/metrics`: a peer's status and counters as Prometheus reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from pyfl.peer.resources import cpu_seconds, open_files, resident_bytes, threads
from pyfl.peer.status import PeerEntry, PeerHandle, Status

__all__ = ["exposition"]

MONOTONE = frozenset(
    {"bytes_sent", "bytes_received", "bytes_drained", "bytes_relayed", "bytes_lent", "handshakes_refused", "gossip_dropped", "faults"}
)
"""Counters that only grow; the others are levels."""

_UNFIT = re.compile(r"[^a-zA-Z0-9_]+")


class _PeerCollector(Collector):
    def __init__(self, status: Status, peers: list[PeerEntry]) -> None:
        self._status, self._peers = status, peers

    def collect(self) -> Iterator[Metric]:
        status = self._status
        about = {name: getattr(status, name) for name in ("peer", "name", "address", "version", "run", "app")}
        yield InfoMetricFamily("pyfl_peer", "This peer and what it trains", value=about)
        gauges: list[tuple[str, str, float | None]] = [
            ("round", "The round that the swarm is in; -1 before the first", status.round),
            ("epoch", "The round's epoch", status.epoch),
            ("rounds", "The run's last round", status.rounds),
            ("model_round", "The round of the newest model held here; -1: none", status.have),
            ("accuracy", "Of the newest committed model, on held-out data", status.accuracy),
            ("loss", "Of the newest committed model, on held-out data", status.loss),
            ("peers", "Peers known, this one included", len(self._peers)),
            ("coordinator", "1 if this peer coordinates", float(status.coordinator == status.peer)),
            ("voters", "Peers that vote in the ledger", len(status.voters)),
            ("parameters", "Of the model", status.parameters),
            ("uptime_seconds", "Since this peer started", status.uptime_s),
        ]
        for name, text, value in gauges:
            if value is not None:
                yield GaugeMetricFamily(f"pyfl_{name}", text, value=value)
        told = {name for name, _, _ in gauges}  # the overlay counts peers too, without this one; a name twice is no exposition
        for key, value in sorted(status.counters.items()):
            if key in told:
                continue
            name, text = "pyfl_" + _UNFIT.sub("_", key).strip("_"), f"{key} of the overlay and the round machine"
            if key in MONOTONE or name.endswith("_total"):
                yield CounterMetricFamily(name.removesuffix("_total"), text, value=value)
            else:
                yield GaugeMetricFamily(name, text, value=value)
        yield CounterMetricFamily("pyfl_cpu_seconds", "Processor time of this process", value=cpu_seconds())
        yield GaugeMetricFamily("pyfl_resident_bytes", "Memory of this process", value=resident_bytes()[0])
        yield GaugeMetricFamily("pyfl_open_files", "Descriptors of this process, sockets included", value=open_files())
        yield GaugeMetricFamily("pyfl_threads", "Threads of this process", value=threads())


def exposition(handle: PeerHandle) -> bytes:
    """The present values in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_PeerCollector(handle.status(), handle.peers()))
    return generate_latest(registry)
