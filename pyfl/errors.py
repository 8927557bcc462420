"""The exception tree: everything pyfl raises on purpose is a `PyflError`.

Each message says what happened, what was expected and what to do.
"""

from __future__ import annotations

from typing import ClassVar


class PyflError(Exception):
    """The root: catch this to catch whatever pyfl reports. `exit_code`: with which a command that it ends exits."""

    exit_code: ClassVar[int] = 1


class ConfigError(PyflError, ValueError):
    """A setting is unknown or has a value that it cannot have; the text names the setting."""

    exit_code = 5


class TrainingError(PyflError):
    """Local training could not do what was asked of it."""


class LayoutError(TrainingError, ValueError):
    """A layout contradicts itself, or a vector does not fit it. A ValueError, so that decoders report it as theirs."""


class ModelMismatch(TrainingError):
    """Arrays or a model differ from the layout that the swarm trains."""

    exit_code = 5


class NoTrainableWeights(TrainingError):
    """The model has nothing to train, so there is nothing to federate."""

    exit_code = 5


class NotFiniteUpdate(TrainingError):
    """Local training ended in NaN or infinity; the update is not sent."""


class DataError(PyflError):
    """A dataset or a partition cannot give what was asked for."""

    exit_code = 5


class ImageError(DataError):
    """A picture cannot be read, or is too large."""

    exit_code = 1


class AppError(PyflError):
    """An app cannot be found, or its options cannot be used."""

    exit_code = 5


class StrategyError(PyflError, ValueError):
    """A strategy is unknown, or its arguments are."""

    exit_code = 5


class MessageError(PyflError, ValueError):
    """A message from another peer cannot be read or makes no sense."""


class RefusedBySwarm(PyflError):
    """The swarm trains something else than this peer would, or does not accept it."""

    exit_code = 7


class PeerNotReady(PyflError):
    """A `pyfl.Peer` was used outside its `with` block, or for a second run."""


class SwarmUnreachable(PyflError):
    """No address to join could be reached."""

    exit_code = 4


class MajorityLost(PyflError):
    """The committee's majority was away for longer than this peer was told to wait."""

    exit_code = 6


class RunFailed(PyflError):
    """The run ended without its last round: its rounds had no usable result, or this peer could not go on."""


class OverlayError(PyflError):
    """The overlay refused a call."""


class OverlayClosed(OverlayError):
    """This overlay was closed, and its events are drained."""


class NoSuchPeer(OverlayError):
    """That peer is not a member now."""


class OverlayFull(OverlayError):
    """Too many messages or transfers wait for that peer; wait for events."""


class OverlayArgument(OverlayError, ValueError):
    """A size, a tag or a buffer is out of its bounds."""


class TransferGone(OverlayError):
    """That transfer has ended already."""


class NotTheLeader(OverlayError):
    """Only the committee's leader may do that."""


class OverlayConfigError(OverlayError, ValueError):
    """The overlay cannot be started with that configuration; the text names the key."""

    exit_code = 5


class AddressInUse(OverlayError):
    """Another program listens on that address."""

    exit_code = 3


class OverlayForked(OverlayError):
    """The overlay's library was loaded before this process was forked; load it in the child."""


class PeerRunning(OverlayError):
    """A peer runs in that data directory; stop it first."""


class NoLedger(OverlayError):
    """That data directory holds no ledger."""


class RecoveryRefused(PyflError):
    """A new committee is not made: the old one lives, or another peer knows more."""


class OverlayTimeout(OverlayError):
    """The overlay could not do that in time."""


class ControlError(PyflError, ValueError):
    """A control command is unknown or names nobody."""


class NoPeerRunning(PyflError):
    """No peer answers in that data directory."""


class ApiError(PyflError):
    """A running peer's API refused a request or gave an answer that cannot be read."""


class NotCommittedYet(PyflError):
    """There is no committed model yet that could be asked or handed out."""


class BadInput(PyflError, ValueError):
    """A model was asked something that is no input of it."""


class PeerBusy(PyflError):
    """Too many wait for a peer's answer already; ask again later."""


class DashboardMissing(PyflError):
    """The dashboard cannot be shown: a part of it is not installed, or the peer has no HTTP API for it."""


class BenchFailed(PyflError):
    """A benchmark could not be carried through; there are no figures."""


class ChaosError(PyflError):
    """A chaos run cannot be carried out here, or was asked for something that there is not."""

    exit_code = 2


class CheckpointError(PyflError):
    """A checkpoint could not be written, or there is none that can be read."""


class ExportError(PyflError):
    """A model could not be exported to that place."""
