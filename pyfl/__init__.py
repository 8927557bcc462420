"""pyfl: federated learning of Keras models between peers, without a server.

The names below are loaded when they are first used: `import pyfl` costs a millisecond and brings in neither a
framework nor the overlay's library, which must not be loaded before a fork.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyfl import aggregation as strategies
    from pyfl import errors, keras, preparation, tiers
    from pyfl.apps import App
    from pyfl.peer.api import Peer
    from pyfl.rounds.early_stopping import EarlyStopping
    from pyfl.rounds.records import Deadlines
    from pyfl.training import Evaluation, RoundInfo, Trainer, TrainResult

__version__ = "0.1.0"

__all__ = [
    "App", "Deadlines", "EarlyStopping", "Evaluation", "Peer", "RoundInfo", "TrainResult", "Trainer", "__version__", "errors", "keras",
    "preparation", "strategies", "tiers",
]  # fmt: skip

# Where each name lives: a module, or an attribute of one after the colon.
_HOMES = {
    "App": "pyfl.apps:App",
    "Deadlines": "pyfl.rounds.records:Deadlines",
    "EarlyStopping": "pyfl.rounds.early_stopping:EarlyStopping",
    "Evaluation": "pyfl.training:Evaluation",
    "Peer": "pyfl.peer.api:Peer",
    "RoundInfo": "pyfl.training:RoundInfo",
    "TrainResult": "pyfl.training:TrainResult",
    "Trainer": "pyfl.training:Trainer",
    "errors": "pyfl.errors",
    "keras": "pyfl.keras",
    "preparation": "pyfl.preparation",
    "strategies": "pyfl.aggregation",
    "tiers": "pyfl.tiers",
}


def __getattr__(name: str) -> object:
    """Load a public name on its first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"pyfl has no {name!r}; it has {', '.join(__all__)}")
    module, _, attribute = home.partition(":")
    value = import_module(module)
    found = getattr(value, attribute) if attribute else value
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return list(__all__)
