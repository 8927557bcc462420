"""Apps by name: the built-in ones and `package.module:name`, with options behind a colon."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from dataclasses import replace

from pyfl.apps.app import App, Option
from pyfl.errors import AppError

__all__ = ["BUILT_IN", "load_app"]

# Imported only when asked for: digits needs TensorFlow, and `pyfl --help` must not wait for it.
BUILT_IN = {
    "cifar10": "pyfl.apps.cifar10:app",
    "digits": "pyfl.apps.digits:app",
    "linear": "pyfl.apps.linear:app",
    "mnist": "pyfl.apps.mnist:app",
    "noise": "pyfl.apps.noise:app",
    "onehot": "pyfl.apps.onehot:app",
}


def load_app(text: str) -> App:
    """Load `digits`, `onehot:64MB,train_s=0.2` or `package.module:name[:options]`.

    Options are separated by commas, each `name=value`; the first may lack its name where the app has a main one.
    A module is looked for in the current directory too. Raises `AppError`.
    """
    name, _, arguments = text.strip().partition(":")
    if name in BUILT_IN:
        place = BUILT_IN[name]
    else:
        attribute, _, arguments = arguments.partition(":")
        if not attribute:
            near = difflib.get_close_matches(name, BUILT_IN, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise AppError(
                f"There is no built-in app {name!r}; there are {', '.join(BUILT_IN)}. One of your own is named package.module:name.{hint}"
            )
        place = f"{name}:{attribute}"
        name = place
    app = replace(_import(place), name=name)
    return app.with_options(_parse(arguments, app)) if arguments else app


def _import(place: str) -> App:
    module_name, _, attribute = place.partition(":")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise AppError(f"Module {module_name!r} of app {place!r} could not be imported: {error}.") from error
    app = getattr(module, attribute, None)
    if not isinstance(app, App):
        found = "has no such name" if app is None else f"has a {type(app).__name__} under that name"
        raise AppError(f"App {place!r}: the module {found}; expected {attribute} = pyfl.App(model=..., data=...).")
    return app


def _parse(arguments: str, app: App) -> dict[str, Option]:
    options: dict[str, Option] = {}
    for place, argument in enumerate(arguments.split(",")):
        name, equals, value = argument.partition("=")
        if not equals:
            if place or not app.positional:
                raise AppError(f"App {app.name}: option {argument!r} has no value; write it as name=value.")
            name, value = app.positional, argument
        options[name.strip()] = value.strip()
    return options
