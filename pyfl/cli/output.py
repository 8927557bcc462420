"""What goes to stdout: JSON for programs, tables for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

UNLIMITED = 10_000

__all__ = ["print_json", "print_json_lines", "print_table", "short", "to_people"]


def print_json(value: object) -> None:
    """One value as one line of JSON."""
    import msgspec

    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def print_json_lines(values: Iterable[object]) -> None:
    """Each value as a line of JSON."""
    for value in values:
        print_json(value)


def to_people() -> Console:
    """A console on stdout: colour only on a terminal and without NO_COLOR."""
    from rich.console import Console

    return Console(highlight=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()) -> None:
    """A table without lines; on a pipe nothing is cut off. `right`: columns of numbers."""
    from rich import box
    from rich.table import Table

    console = to_people()
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    if not console.is_terminal:
        console.width = max(console.width, table.__rich_measure__(console, console.options.update(width=UNLIMITED)).maximum)
    console.print(table)


def short(identity: str) -> str:
    """The first eight characters of a peer's id or of a digest: enough to tell them apart."""
    return identity[:8]
