"""The lines of `pyfl chaos` for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["told"]


def told(line: Mapping[str, Any], rounds: int) -> str:
    """A sentence about a line, or a table of the summary; empty: nothing worth saying."""
    match line["event"]:
        case "started":
            places = ", ".join(f"{name} {line[name]}" for name in ("network", "disk") if line[name])
            planned = f"{line['planned']} faults ({', '.join(line['faults'])})"
            return f"{line['peers']} peers, {rounds} rounds, {planned}, seed {line['seed']}, {places}"
        case "round":
            what = "void" if line["void"] else f"{line['contributors']} contributors"
            return f"round {line['round']:>4} of {rounds}  {what}, epoch {line['epoch']}"
        case "injected":
            who = ", ".join(line["victims"]) + (", which coordinates" if line["coordinator"] else "")
            what = f" ({line['what']})" if line["what"] else ""
            return f"{line['kind']:>10} #{line['number']}: {who}{what}; round {line['round']}, {line['phase']}"
        case "fault":
            times = ", ".join(f"{name} {_seconds(line[f'{name}_s'])}" for name in ("detect", "repair", "rejoin"))
            return f"{line['kind']:>10} #{line['number']}: {times}" + (f"; {_split(line)}" if "sides" in line else "")
        case "exit":
            under = f" under {line['under']}" if line["under"] else ""
            return f"{line['peer']} ended by itself with exit code {line['code']}{under}: {line['why']}"
        case "hang":
            return str(line["text"])
        case "stall":
            return f"round {line['round']} took {line['seconds']:.1f} s: {'; '.join(line['causes']) or 'nobody said why'}"
        case "violation":
            return f"VIOLATION {line['invariant']}: {line['text']}"
        case _:
            return _summary(line)


def _summary(line: Mapping[str, Any]) -> str:
    rows = [
        ("rounds", f"{line['rounds_committed']} of {line['rounds']} committed, {line['void']} void"),
        ("faults", f"{line['faults']}" + (f", {line['faults_left']} more had no time" if line["faults_left"] else "")),
        ("divergent", str(line["divergent"])),
        ("counted twice", str(line["double_counted"])),
        ("unlisted", str(line["unlisted"])),
        *((name, f"{_seconds(times['median'])}, at most {_seconds(times['max'])}") for name, times in _times(line)),
        *((f"split #{split['number']}", _split(split)) for split in line["splits"]),
        ("stalls", f"{len(line['stalls'])}"),
        ("violations", str(line["violations"])),
    ]
    return "\n".join(f"{name:<14} {text}" for name, text in rows)


def _split(line: Mapping[str, Any]) -> str:
    committed = " and ".join(f"{rounds} by {len(side)} peers" for side, rounds in zip(line["sides"], line["side_commits"], strict=True))
    return f"rounds committed while split: {committed}; all equal {_seconds(line['equal_s'])} after healing"


def _times(line: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, line[f"{name}_s"]) for name in ("detect", "repair", "rejoin")]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
