"""What `pyfl simulate` does and prints: verdicts as they come, failing seeds shrunk, a summary at the end."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import typer

from pyfl.cli.output import print_json
from pyfl.errors import ConfigError
from pyfl.simulation.drawing import Size, draw
from pyfl.simulation.scenario import Scenario
from pyfl.simulation.shrink import shrink
from pyfl.simulation.sweep import sweep
from pyfl.simulation.verdict import Verdict, judge

__all__ = ["play_scenario", "play_seeds"]

PROGRESS_S = 5.0
SHRINK_AT_MOST = 5  # of the failing seeds: mostly they tell the same story


def play_scenario(path: Path, *, as_json: bool) -> int:
    """Play a text scenario; returns how many violations there were."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Expected a text scenario.") from error
    began = time.perf_counter()
    verdict = judge(Scenario.parse(text))
    _tell(verdict, as_json=as_json)
    _summary([verdict], 1, time.perf_counter() - began, as_json=as_json)
    return bool(verdict.violation)


def play_seeds(seeds: range, size: Size, kinds: Sequence[str], jobs: int, write: Path | None, *, as_json: bool) -> int:
    """Play seeds; returns how many violated something. `write`: where shrunk scenarios go; None: no shrinking."""
    began = told = time.perf_counter()
    verdicts: list[Verdict] = []
    jobs = min(jobs or os.cpu_count() or 1, len(seeds))
    if len(seeds) == 1:
        scenario = draw(seeds[0], size, kinds)
        if not as_json:
            typer.echo(f"{scenario}\n")
    for verdict in sweep(seeds, size, kinds, jobs):
        verdicts.append(verdict)
        if verdict.violation or len(seeds) == 1:
            _tell(verdict, as_json=as_json)
        if time.perf_counter() - told > PROGRESS_S:
            told = time.perf_counter()
            broken = sum(1 for v in verdicts if v.violation)
            typer.echo(f"{len(verdicts)} of {len(seeds)} seeds, {broken} violations, {told - began:.0f} s", err=True)
    failing = sorted((v for v in verdicts if v.violation), key=lambda v: v.seed)
    if write is not None:
        for verdict in failing[:SHRINK_AT_MOST]:
            _shrunk(draw(verdict.seed, size, kinds), verdict, write, as_json=as_json)
    _summary(verdicts, jobs, time.perf_counter() - began, as_json=as_json)
    return len(failing)


def _shrunk(scenario: Scenario, verdict: Verdict, directory: Path, *, as_json: bool) -> None:
    typer.echo(f"shrinking seed {verdict.seed}", err=True)
    smallest, last = shrink(scenario, verdict.rule)
    violation = (last or verdict).violation
    path = directory / f"seed-{verdict.seed}.txt"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {' '.join(violation.split())}\n{smallest}\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}. Choose another --write.") from error
    if as_json:
        shrunk = {"event": "shrunk", "seed": verdict.seed, "violation": violation, "scenario": str(smallest), "path": str(path)}
        print_json(shrunk)
    else:
        typer.echo(f"\nseed {verdict.seed} is told by this, too ({path}):\n{smallest}\n{violation}\n")


def _tell(verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "event": "violation" if verdict.violation else "played", "seed": verdict.seed, "violation": verdict.violation or None,
                "rounds": verdict.rounds, "finished": verdict.finished, "virtual_s": round(verdict.virtual_s, 3),
                "events": verdict.events, "struck": verdict.struck,
            }
        )  # fmt: skip
    elif verdict.violation:
        typer.echo(f"seed {verdict.seed}: {verdict.violation}")
    else:
        end = "every peer left" if verdict.finished else "it stands still for what its peers cannot supply"
        typer.echo(f"seed {verdict.seed}: {verdict.rounds} commits in {verdict.virtual_s:.1f} virtual seconds; {end}; no violation")


def _summary(verdicts: Sequence[Verdict], jobs: int, seconds: float, *, as_json: bool) -> None:
    failing = sorted(v.seed for v in verdicts if v.violation)
    struck: Counter[str] = Counter()
    for verdict in verdicts:
        struck.update(verdict.struck)
    commits, first = sum(v.rounds for v in verdicts), failing[0] if failing else None
    if as_json:
        print_json(
            {
                "event": "summary", "seeds": len(verdicts), "violations": len(failing), "first_failing_seed": first,
                "seconds": round(seconds, 1), "jobs": jobs, "commits": commits,
                "standing_still": sum(1 for v in verdicts if not v.finished and not v.violation),
                "virtual_s": round(sum(v.virtual_s for v in verdicts), 1), "struck": dict(sorted(struck.items())),
            }
        )  # fmt: skip
        return
    typer.echo(f"{len(verdicts)} runs with {commits} commits in {seconds:.1f} s on {jobs} processes: " + (
        f"{len(failing)} violations, the first of seed {first}" if failing else "no violation"
    ))  # fmt: skip
