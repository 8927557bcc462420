"""The figures at the top of the page, and the sentence below them."""

from __future__ import annotations

from dataclasses import dataclass

from pyfl.narrator import with_names
from streamlit_app.connection.picture import Picture
from streamlit_app.figures.numbers import byte_count, of_all, percent, seconds

__all__ = ["KeyFigure", "key_figures", "sentence"]


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A labelled value; `change`: since the round before, `good`: which direction is welcome."""

    label: str
    value: str
    change: str = ""
    good: str = "off"
    means: str = ""


def key_figures(picture: Picture) -> list[KeyFigure]:
    """Round, accuracy, loss, peers, the last round's time, bytes. Always the same six."""
    status, alive = picture.status, picture.alive
    trained = [entry for entry in picture.rounds if entry.round > 0]
    last = trained[-1] if trained else None
    before = trained[-2] if len(trained) > 1 else None
    number = max(0, status.round) if status else 0
    gone = len(picture.peers) - len(alive)
    return [
        KeyFigure("Round", of_all(number, status.rounds) if status and status.rounds else "–",
            means="The round that is under way, of the run's rounds."),
        KeyFigure(
            "Accuracy", percent(last.accuracy if last else None),
            _difference(last.accuracy, before.accuracy, 100, " pts") if last and before else "", "normal",
            "Of the committed model on held-out data of all peers, and the change since the round before.",
        ),
        KeyFigure(
            "Loss", f"{last.loss:.3f}" if last and last.loss is not None else "–",
            _difference(last.loss, before.loss, 1, "") if last and before else "", "inverse",
            "Of the committed model on held-out data of all peers.",
        ),
        KeyFigure("Peers", str(len(alive)) if alive else "–", f"{gone} gone" if gone else "", "off", "Peers that are there now."),
        KeyFigure(
            "Last round", seconds(last.train_s + last.reduce_s) if last else "–",
            f"{seconds(last.train_s)} train" if last else "", "off", "Training and adding up, as the coordinator measured them.",
        ),
        KeyFigure(
            "Sent", byte_count(picture.traffic.sent) if picture.traffic else "–",
            f"{byte_count(picture.traffic.sent / len(picture.locals))} each" if picture.traffic and picture.locals else "", "off",
            "Bytes that the peers have sent to each other since they started.",
        ),
    ]  # fmt: skip


def _difference(now: float | None, before: float | None, factor: float, unit: str) -> str:
    if now is None or before is None:
        return ""
    digits = 1 if unit else 3
    change = round((now - before) * factor, digits)
    return f"{change:+.{digits}f}{unit}" if change else ""  # no arrow for what did not move


def sentence(picture: Picture) -> str:
    """What the swarm waits for, or does."""
    status = picture.status
    if status is None:
        return ""
    if status.control == "finished" or (status.rounds and status.round >= status.rounds and status.phase == "committed"):
        return f"The run is finished after {status.round} rounds."
    if status.control == "paused":
        return "The run is paused. `pyfl resume` lets it go on."
    if status.control == "stopping":
        return "The run ends when the present round is committed."
    if not status.run:
        return "This peer does not know the run yet."
    if status.waiting:
        return _full_stop(f"Waiting for {with_names(status.waiting, picture.names)}")
    number = max(0, status.round)
    match status.phase:
        case "train":
            busy = sum(1 for peer in picture.alive if peer.phase == "training")
            return f"Round {number}: {busy} {'peer trains' if busy == 1 else 'peers train'} on their own data."
        case "reduce":
            busy = sum(1 for peer in picture.alive if peer.phase == "reducing")
            return f"Round {number}: {busy} peers add up their updates." if number else "The founder's model goes to every peer."
        case "committed":
            return f"Round {number} is committed; the next one opens."
        case _:
            return "No round has been opened yet."


def _full_stop(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
