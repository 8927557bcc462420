"""What the simulated network is like: delays, losses and time limits."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NetworkOptions"]


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """The simulated network's character; ranges are (low, high) and drawn uniformly.

    The defaults follow what was measured of the real overlay: confirmed losses within tens of milliseconds, gossip
    after 2-4 s, a leader's successor within half a second after a reset connection and 2.5-5 s after silence.
    """

    latency_s: tuple[float, float] = (0.0002, 0.02)
    """One way, drawn once for each pair of peers."""
    jitter_s: float = 0.005
    """Added to each message and transfer, drawn from zero to this."""
    bandwidth_bytes_s: tuple[float, float] = (2e6, 2e8)
    """Drawn for each transfer."""
    stall_probability: float = 0.004
    """Of a message or transfer to be held up by `stall_s`."""
    stall_s: tuple[float, float] = (0.2, 4.0)
    late_s: tuple[float, float] = (0.01, 1.0)
    """How much later a message comes that others overtake; see `SimulatedNetwork.disorder_messages`."""
    message_loss: float = 0.0
    """Probability of a message to vanish; see `SimulatedNetwork.drop_messages`."""
    found_s: tuple[float, float] = (0.005, 0.3)
    """Until a peer learns of another that joined or came back."""
    refused_s: tuple[float, float] = (0.001, 0.06)
    """Until a killed peer's neighbours see the reset connection and the refused dial."""
    refused_probability: float = 0.75
    """Of a neighbour to see that at all; otherwise only gossip tells it."""
    gossip_s: tuple[float, float] = (2.0, 4.0)
    link_down_s: tuple[float, float] = (0.01, 3.0)
    """Until a cut link is noticed as such, if it is (`link_down_probability`)."""
    link_down_probability: float = 0.7
    transfer_s: float = 10.0
    """A transfer under way without progress for this long fails."""
    received_without_sent_probability: float = 0.1
    """Of a transfer that breaks in its second half to be complete at the receiver, without the sender knowing."""
    hint_keeps_transfers_probability: float = 0.5
    """Of transfers to go on waiting for a peer that gossip, and nothing else, has given up."""
    inbox: int = 1024
    """Messages that may wait for one peer before `OverlayFull`."""
    disk_s: tuple[float, float] = (0.0002, 0.01)
    """A ledger write to reach a voter's disk."""
    heartbeat_s: float = 2.5
    """Raft's heartbeat and election timeout; the lease is half of it, `LedgerLost` comes after two."""
    succession_s: tuple[float, float] = (0.02, 0.5)
    """From a leader's broken connection to its successor's election."""
    split_vote_probability: float = 0.05
    write_timeout_s: float = 10.0
    skip_probability: float = 0.5
    """Of a watcher that is behind to be given each record's newest value only."""
    voters: int = 0
    """The wanted committee; 0 chooses 1 (up to 2 eligible peers), 3 (up to 4), else 5."""
    check_buffers: bool = True
    """Raise AssertionError when a posted buffer changes while the overlay owns it."""
