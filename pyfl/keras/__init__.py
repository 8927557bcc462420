"""pyfl for Keras: `FederatedCallback` for an existing `model.fit`, and `fit`, which `Peer.fit` calls. Loads Keras on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyfl.keras.callback import FederatedCallback
    from pyfl.keras.fit import fit

__all__ = ["FederatedCallback", "fit"]

_HOMES = {"FederatedCallback": "pyfl.keras.callback", "fit": "pyfl.keras.fit"}


def __getattr__(name: str) -> object:
    """Load a name on its first use."""
    if name not in _HOMES:
        raise AttributeError(f"pyfl.keras has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
