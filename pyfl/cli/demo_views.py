"""The three ways to follow a demo: a live view in a terminal, plain lines on a pipe, JSON lines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Protocol

import typer

from pyfl.cli.demo_summary import summary
from pyfl.cli.output import print_json, to_people
from pyfl.cli.swarm_model import SwarmModel
from pyfl.events import Stamped

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["View", "choose_view"]


class View(Protocol):
    """Told of everything after the model was."""

    def event(self, index: int, stamped: Stamped) -> None:
        """A peer told something."""
        ...

    def committed(self, number: int) -> None:
        """A round was committed."""
        ...

    def ended(self, index: int) -> None:
        """A peer's process ended."""
        ...

    def finish(self, wall_s: float, interrupted: int) -> None:
        """All have ended, by signal `interrupted` if it is not 0."""
        ...


@contextlib.contextmanager
def choose_view(model: SwarmModel, app: str, as_json: bool) -> Generator[View]:
    """The view that fits where stdout goes."""
    if as_json:
        yield _JsonLines(model)
        return
    console = to_people()
    if not console.is_terminal:
        yield _PlainLines(model, app)
        return

    from rich.live import Live

    from pyfl.cli.live_view import draw

    def picture() -> object:
        return draw(model, app, time.monotonic() - model.began, console.height, console.width)

    with Live(get_renderable=picture, console=console, refresh_per_second=8) as live:  # type: ignore[arg-type]
        yield _LiveView(model, console, live.stop)


class _JsonLines:
    def __init__(self, model: SwarmModel) -> None:
        self._model = model

    def event(self, index: int, stamped: Stamped) -> None:
        print_json(
            {
                "event": type(stamped.data).__struct_config__.tag, "index": index, "name": self._model.names[index], "id": stamped.id,
                "time": stamped.time, "monotonic": stamped.monotonic, "peer": stamped.peer, "data": stamped.data,
            }
        )  # fmt: skip

    def committed(self, number: int) -> None:
        """The event itself says so."""

    def ended(self, index: int) -> None:
        _report_failure(self._model, index)

    def finish(self, wall_s: float, interrupted: int) -> None:  # noqa: ARG002 - the exit code tells it
        _report_digests(self._model)
        print_json(summary(self._model, wall_s))


class _PlainLines:
    def __init__(self, model: SwarmModel, app: str) -> None:
        self._model = model
        typer.echo(f"{len(model.names)} peers learn {app}: {', '.join(model.names)}")

    def event(self, index: int, stamped: Stamped) -> None:
        """Only commits and ends are told."""

    def committed(self, number: int) -> None:
        from pyfl.cli.live_view import round_row

        if number > 0:
            typer.echo(round_row(self._model, number))

    def ended(self, index: int) -> None:
        _report_failure(self._model, index)

    def finish(self, wall_s: float, interrupted: int) -> None:
        _report_digests(self._model)
        typer.echo(_last_words(self._model, wall_s, interrupted))


class _LiveView:
    def __init__(self, model: SwarmModel, console: Console, stop: object) -> None:
        self._model, self._console, self._stop = model, console, stop

    def event(self, index: int, stamped: Stamped) -> None:
        """Drawn from the model."""

    def committed(self, number: int) -> None:
        """Drawn from the model."""

    def ended(self, index: int) -> None:
        """Drawn from the model."""

    def finish(self, wall_s: float, interrupted: int) -> None:
        from pyfl.cli.live_view import round_table

        self._stop()  # type: ignore[operator]
        if self._model.trained_rounds():
            self._console.print(round_table(self._model))
            self._console.print()
        for index in sorted(self._model.failures):
            _report_failure(self._model, index)
        _report_digests(self._model)
        self._console.print(f" {_last_words(self._model, wall_s, interrupted)}", markup=False, style="bold")


def _report_failure(model: SwarmModel, index: int) -> None:
    if index in model.failures:
        code, why = model.failures[index]
        typer.echo(f"{model.names[index]} ended with exit code {code}: {why}", err=True)


def _report_digests(model: SwarmModel) -> None:
    for line in model.disagreements():
        typer.echo(f"digests differ: {line}", err=True)


def _last_words(model: SwarmModel, wall_s: float, interrupted: int) -> str:
    done, scores = len(model.trained_rounds()), model.accuracies()
    first = min((at for number, at in model.committed_at.items() if number > 0), default=None)
    parts = [f"{done} of {model.rounds} rounds in {wall_s:.1f} s" + ("" if first is None else f" (first at {first:.1f} s)")]
    if scores:
        parts.append(f"accuracy {scores[-1]:.4f}")
    if done:
        parts.append(f"digests agree: {'yes' if model.digests_agree() else 'NO'}")
    if interrupted:
        parts.append("interrupted")
    return ", ".join(parts)
