"""Numbers as people read them."""

from __future__ import annotations

__all__ = ["byte_count", "of_all", "percent", "seconds", "span"]

KILO = 1000.0
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


def byte_count(count: float) -> str:
    """Bytes, in units of a thousand as the rest of pyfl has them."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < KILO or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= KILO
    raise AssertionError("every count has a unit")


def percent(share: float | None) -> str:
    """A share from 0 to 1; a dash where there is none."""
    return "–" if share is None else f"{share * 100:.1f} %"


def seconds(value: float | None) -> str:
    """A duration in seconds with two digits that matter."""
    if value is None:
        return "–"
    return f"{value * 1000:.0f} ms" if value < 0.1 else f"{value:.2f} s" if value < 10 else f"{value:.1f} s" if value < 100 else span(value)


def span(value: float) -> str:
    """A longer duration: 45 s, 3 min, 2 h 5 min, 4 d."""
    if value < MINUTE_S:
        return f"{value:.0f} s"
    if value < HOUR_S:
        return f"{value / MINUTE_S:.0f} min"
    if value < DAY_S:
        return f"{value // HOUR_S:.0f} h {value % HOUR_S // MINUTE_S:.0f} min"
    return f"{value / DAY_S:.0f} d"


def of_all(some: int, everyone: int) -> str:
    """4 of 6."""
    return f"{some} of {everyone}"
