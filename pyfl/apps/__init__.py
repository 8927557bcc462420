"""What a swarm trains: the `App` value, the built-in apps, and how an app is found by name."""

from pyfl.apps.app import App, Assignment
from pyfl.apps.registry import load_app

__all__ = ["App", "Assignment", "load_app"]
