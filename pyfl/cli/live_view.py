"""Draws a `SwarmModel` in a terminal of 80 columns: who does what now, and how good the model has become."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pyfl.cli.swarm_model import PeerLine, SwarmModel

__all__ = ["draw", "learners", "round_row", "round_table", "sparkline"]

BARS = "▁▂▃▄▅▆▇█"
SPIN = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
PHASES = {
    "starting": ("", "dim", "waking up"),
    "joining": ("◌", "cyan", "meeting the others"),
    "building": ("", "cyan", "building the model"),
    "training": ("", "yellow", "training"),
    "trained": ("●", "yellow", "has an update"),
    "reducing": ("⇅", "magenta", "adding up"),
    "holding": ("◆", "blue", "has the sum"),
    "waiting": ("●", "green", "up to date"),
    "pulling": ("↓", "cyan", "catching up"),
    "done": ("✔", "green", "done"),
    "left": ("○", "dim", "left"),
    "suspected": ("✘", "red", "does not answer"),
    "failed": ("✘", "bold red", "failed"),
}
# Of models: peers that hold the same one have the same colour.
HUES = ("bright_green", "bright_cyan", "bright_magenta", "bright_yellow", "bright_blue", "orange1", "spring_green2", "orchid1")


def sparkline(values: list[float]) -> str:
    """The values as bars, the lowest and the highest as the shortest and the longest."""
    if not values:
        return ""
    low, high = min(values), max(values)
    if high == low:
        return BARS[-1] * len(values)
    return "".join(BARS[round((value - low) / (high - low) * (len(BARS) - 1))] for value in values)


def learners(model: SwarmModel) -> str:
    """How many there are, as the beginning of a sentence."""
    return "1 peer learns" if len(model.names) == 1 else f"{len(model.names)} peers learn"


def draw(model: SwarmModel, app: str, elapsed_s: float, height: int = 24, width: int = 80) -> RenderableType:
    """The whole view, no taller than `height` lines as long as that leaves room for a few peers."""
    return Group(
        _headline(model, app, elapsed_s, width), Text(), *_progress(model), Text(), _peers(model, elapsed_s, height, width),
        Text(f" {model.last}" if model.last else "", style="dim", overflow="ellipsis", no_wrap=True),
    )  # fmt: skip


def _headline(model: SwarmModel, app: str, elapsed_s: float, width: int) -> RenderableType:
    line = Table.grid(expand=True)
    line.width = min(width, 100)
    line.add_column(no_wrap=True)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(
        f" [bold]pyfl[/] {learners(model)} [bold]{escape(app)}[/], no server among them",
        f"{int(elapsed_s) // 60}:{int(elapsed_s) % 60:02} ",
    )
    return line


def _progress(model: SwarmModel) -> list[RenderableType]:
    done = len(model.trained_rounds())
    line = Table.grid(padding=(0, 1))
    line.add_row(
        f" round [bold]{min(max(model.round, done), model.rounds)}[/]/{model.rounds}",
        ProgressBar(total=max(model.rounds, 1), completed=done, width=24),
        Text.assemble("coordinator ", (model.narrator.name(model.coordinator) if model.coordinator else "…", "bold")),
        Text(f"epoch {model.epoch}" if model.epoch > 1 else "", style="dim"),
    )
    scores = model.accuracies()
    if scores:
        figure = Text.assemble(" accuracy ", (f"{scores[-1]:.1%}", "bold green"), " ", (sparkline(scores[-40:]), "green"))
        figure.append("  on data that nobody trained on", style="dim")
    elif model.committed:
        figure = Text(" everyone has the same model; now it learns", style="dim")
    else:
        waking = all(line.phase == "starting" for line in model.lines)
        figure = Text(" loading the framework, once for all of them…" if waking else " the peers find each other…", style="dim")
    return [line, figure]


def _peers(model: SwarmModel, elapsed_s: float, height: int, width: int) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.width = min(width, 100)
    table.add_column(width=1)
    table.add_column(no_wrap=True, min_width=8)
    table.add_column(no_wrap=True, width=20)
    table.add_column(justify="right", no_wrap=True, width=5)
    table.add_column(justify="right", no_wrap=True, width=7)
    table.add_column(no_wrap=True, width=10)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1, style="dim")
    table.add_row("", *(f"[dim]{name}[/]" for name in ("peer", "", "round", "samples", "model", "")))
    room = max(3, height - 9)
    shown = model.lines if len(model.lines) <= room else model.lines[: room - 1]
    frame = int(elapsed_s * 8)
    for place, line in enumerate(shown):
        table.add_row(*_cells(model, line, frame + place))
    if len(shown) < len(model.lines):
        table.add_row("", f"[dim]and {len(model.lines) - len(shown)} more[/]")
    return table


def _cells(model: SwarmModel, line: PeerLine, frame: int) -> tuple[RenderableType, ...]:
    mark, style, words = PHASES[line.phase]
    mark = mark or SPIN[frame % len(SPIN)]
    leads = bool(line.peer) and line.peer == model.coordinator and not line.ended
    return (
        Text("★" if leads else " ", style="bold yellow"),
        Text(line.name, style="bold" if leads else ""),
        Text(f"{mark} {words}", style=style),
        str(line.round) if line.round >= 0 else "",
        str(line.samples) if line.samples else "",
        Text(f"■ {line.digest[:8]}", style=_hue(line.digest)) if line.digest else "",
        line.note,
    )


def _hue(digest: str) -> str:
    return HUES[int(digest[:8], 16) % len(HUES)]


def round_row(model: SwarmModel, number: int) -> str:
    """One committed round as a line of plain text."""
    event = model.committed[number]
    score = "" if event.accuracy is None else f"accuracy {event.accuracy:.4f}  "
    what = "void" if event.void else f"{len(event.contributors)} contributors"
    at = f"  at {model.committed_at[number]:.1f} s" if number in model.committed_at else ""
    return f"round {number:>3}  {score}{what}  {event.digest[:8]}  train {event.train_s:.2f} s  reduce {event.reduce_s:.2f} s{at}"


def round_table(model: SwarmModel) -> Table:
    """The committed rounds, for the end."""
    table = Table(box=None, header_style="dim", padding=(0, 1))
    columns = ("round", "accuracy", "loss", "peers", "model", "same everywhere", "train s", "reduce s")
    for name in columns:
        table.add_column(name, justify="left" if name in ("model", "same everywhere") else "right", no_wrap=True)
    for event in model.trained_rounds():
        held = model.installed.get(event.round, {})
        same = sum(digest == event.digest for digest in held.values())
        ok = same == len(held)
        table.add_row(
            str(event.round),
            "" if event.accuracy is None else f"{event.accuracy:.4f}",
            "" if event.loss is None else f"{event.loss:.4f}",
            "void" if event.void else str(len(event.contributors)),
            Text(f"■ {event.digest[:8]}", style=_hue(event.digest)),
            Text(f"{'✔' if ok else '✘'} {same} of {len(held)}", style="green" if ok else "bold red"),
            f"{event.train_s:.2f}",
            f"{event.reduce_s:.2f}",
        )
    return table
