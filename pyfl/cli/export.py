"""`pyfl export`: a committed model as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyfl.cli.data_directory import DataDir
from pyfl.cli.observe import AsJson
from pyfl.cli.output import print_json, short
from pyfl.cli.predict import AppAgain, Best, CheckpointFile, committed
from pyfl.cli.quiet_framework import start_quietly

__all__ = ["export"]


def export(
    out: Annotated[Path, typer.Argument(help="MODEL.keras, a folder, or MODEL.safetensors.", metavar="OUT")],
    kind: Annotated[
        str | None, typer.Option("--format", help="keras, savedmodel or safetensors; default: by OUT's ending.", metavar="FORMAT")
    ] = None,
    checkpoint: CheckpointFile = None,
    best: Best = False,
    data_dir: DataDir = None,
    app: AppAgain = None,
    as_json: AsJson = False,
) -> None:
    """Write the newest committed model for other programs. Needs no running peer."""
    saved, weights, its_app = committed(checkpoint, data_dir, app, best=best)
    start_quietly()

    from pyfl.apps.exporting import ENDINGS
    from pyfl.apps.exporting import export as write

    kind = kind or next((name for name, ending in ENDINGS.items() if out.suffix == ending), "savedmodel")
    write(saved, weights, out, kind, its_app)
    if as_json:
        print_json(
            {"out": str(out), "format": kind, "run": saved.run, "round": saved.round, "digest": saved.model, "parameters": len(weights)}
        )
    else:
        typer.echo(f"{out}: round {saved.round}, model {short(saved.model)}, {len(weights):,} parameters")
