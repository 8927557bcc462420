"""`pyfl predict`: what a committed model takes pictures for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyfl.cli.data_directory import DataDir, find_data_dir
from pyfl.cli.observe import AsJson
from pyfl.cli.output import print_json, short
from pyfl.cli.quiet_framework import start_quietly

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyfl.apps import App
    from pyfl.checkpoints import Saved

__all__ = ["AppAgain", "Best", "CheckpointFile", "committed", "predict"]

CheckpointFile = Annotated[
    Path | None, typer.Option("--checkpoint", help="A checkpoint instead of a data directory's newest.", metavar="FILE")
]
Best = Annotated[bool, typer.Option("--best", help="The swarm's best round, by its metric, instead of the newest.")]
AppAgain = Annotated[
    str | None, typer.Option("--app", help="The app that makes the model, where the checkpoint names none.", metavar="APP")
]


def predict(
    images: Annotated[list[Path], typer.Argument(help="Pictures: PNG, JPEG, WEBP, GIF, BMP, TIFF.", metavar="IMAGE...")],
    checkpoint: CheckpointFile = None,
    best: Best = False,
    data_dir: DataDir = None,
    app: AppAgain = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to tell.")] = 3,
    invert: Annotated[bool, typer.Option("--invert", help="Dark becomes bright: for digits written dark on white.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask the newest committed model what pictures show. Needs no running peer."""
    pictures = [(path, _read(path)) for path in images]
    saved, weights, its_app = committed(checkpoint, data_dir, app, best=best)
    start_quietly()

    from pyfl.apps.committed import rebuild
    from pyfl.errors import ImageError

    model = rebuild(saved, weights, its_app)
    for path, content in pictures:
        try:
            guesses = model.classify(content, top, invert=invert)
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from error
        if as_json:
            likeliest = guesses[0]
            answer = {"image": str(path), "class": likeliest.name, "label": likeliest.label, "confidence": likeliest.probability}
            told = [{"class": guess.name, "label": guess.label, "probability": guess.probability} for guess in guesses]
            print_json({**answer, "top": told, "round": saved.round, "digest": saved.model})
        else:
            typer.echo(f"{path}: " + ", ".join(f"{guess.name} {guess.probability:.1%}" for guess in guesses))
    if not as_json:
        typer.echo(f"(round {saved.round}, model {short(saved.model)})", err=True)


def committed(
    checkpoint: Path | None, data_dir: Path | None, app: str | None, *, best: bool = False
) -> tuple[Saved, NDArray[Any], App | None]:
    """The checkpoint that is meant, its weights, and the app if one was named."""
    from pyfl.apps import load_app
    from pyfl.checkpoints import best_checkpoint, newest_checkpoint, read_checkpoint

    if checkpoint is not None:
        if best:
            raise typer.BadParameter("give either --checkpoint FILE or --best", param_hint="--best")
        saved, weights = read_checkpoint(checkpoint)
    else:
        saved, weights = (best_checkpoint if best else newest_checkpoint)(find_data_dir(data_dir))
    return saved, weights, load_app(app) if app else None


def _read(path: Path) -> bytes:
    """No more than what says that it is too much."""
    from pyfl.apps.images import LARGEST_FILE
    from pyfl.errors import ImageError

    try:
        with path.open("rb") as file:
            return file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.") from error
