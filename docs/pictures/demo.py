"""Draws docs/pictures/demo.svg: the demo's live view at one moment of a real run, from that run's own events.

    pyfl demo --json | .venv/bin/python docs/pictures/demo.py docs/pictures/demo.svg

The view is the demo's own; only the clock is taken from the events. The moment: half of the rounds are committed, and the peers
show as many different phases and models as they ever do after that.
"""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import msgspec
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI

from pyfl.cli.live_view import HUES, draw
from pyfl.cli.swarm_model import SwarmModel
from pyfl.events import Stamped

WIDTH, HEIGHT = 84, 24
APP = "digits"


def read(lines: list[bytes]) -> tuple[list[str], float, list[tuple[int, Stamped]]]:
    """(names, when the demo began on the events' clock, events with their peer's index)."""
    summary = json.loads(lines[-1])
    names: dict[int, str] = {}
    told: list[tuple[int, Stamped]] = []
    for line in lines[:-1]:
        event = json.loads(line)
        names[event["index"]] = event["name"]
        told.append((event["index"], msgspec.convert({k: event[k] for k in Stamped.__struct_fields__}, Stamped)))
    told.sort(key=lambda item: item[1].monotonic)
    first = next(s.monotonic for _, s in told if getattr(s.data, "round", None) == 1 and type(s.data).__name__ == "RoundCommitted")
    return [names[i] for i in sorted(names)], first - summary["first_commit_s"], told


def moments(lines: list[bytes]) -> list[tuple[int, int, float]]:
    """(variety, index of the event, seconds since the start) of every moment in the second half of the run."""
    names, began, told = read(lines)
    model = SwarmModel(names, 10, began)
    found: list[tuple[int, int, float]] = []
    for place, (index, stamped) in enumerate(told):
        model.apply(index, stamped)
        if model.rounds > len(model.trained_rounds()) > model.rounds // 2 and len(model.accuracies()) == len(model.trained_rounds()):
            phases = {line.phase for line in model.lines} - {"done"}
            colours = {int(line.digest[:8], 16) % len(HUES) for line in model.lines if line.digest}
            found.append((len(phases) + len(colours), -place, stamped.monotonic - began))
    return found


def main() -> None:
    """Read a demo's JSON lines from stdin, write the picture."""
    lines = sys.stdin.buffer.read().splitlines()
    _, place, elapsed_s = max(moments(lines))
    names, began, told = read(lines)
    model = SwarmModel(names, 10, began)
    for index, stamped in told[: 1 - place]:
        model.apply(index, stamped)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(draw(model, APP, elapsed_s, HEIGHT, WIDTH))
    # Without the web font that rich would load: a picture in a README may not fetch anything.
    plain = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code", "ui-monospace")
    svg = console.export_svg(title="pyfl demo", theme=MONOKAI, code_format=plain, unique_id="demo")
    Path(sys.argv[1]).write_text(re.sub(r"[ \t]+\n", "\n", svg))


if __name__ == "__main__":
    main()
