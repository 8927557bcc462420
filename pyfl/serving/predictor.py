"""Answers questions with the committed model, beside training: one model in this process, one question at a time, in one thread."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from pyfl.errors import BadInput, PyflError
from pyfl.peer.status import Guess, PeerHandle, Prediction, Predictions
from pyfl.serving.questions import Arrays, Question

if TYPE_CHECKING:
    from pyfl.apps.committed import CommittedModel

__all__ = ["Predictor"]


class Predictor:
    """The network is built with the first question; later ones load new weights where a newer commit is held. Any thread may ask.

    Memory: the network's variables, and for a moment a copy of the weights.
    """

    def __init__(self, handle: PeerHandle) -> None:
        self._handle = handle
        self._model: CommittedModel | None = None
        self._waiting: SimpleQueue[tuple[Question, int, Future[Predictions]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    async def ask(self, question: Question, top: int, within_s: float) -> Predictions:
        """Raises `NotCommittedYet`, `AppError`, `ImageError`, `BadInput`, and `HTTPException` 503 if that takes too long."""
        if self._handle.status().have < 1:
            self._handle.model()  # says that there is none
        answer: Future[Predictions] = Future()
        self._start()
        self._waiting.put((question, top, answer))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(answer), within_s)
        except TimeoutError:
            text = f"The model has not answered within {within_s:g} s: others wait too, or this peer is busy. Ask again."
            raise HTTPException(503, text) from None

    def close(self) -> None:
        """End after the question at hand."""
        self._waiting.put(None)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                # A daemon: a model that never answers must not keep the process from ending.
                self._thread = threading.Thread(target=self._work, name="pyfl-predictor", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            question, top, answer = waiting
            if not answer.set_running_or_notify_cancel():
                continue  # whoever asked has gone
            try:
                answer.set_result(self._answer(question, top))
            except PyflError as error:
                answer.set_exception(error)
            except Exception as error:  # noqa: BLE001 - an app's own code, or an input that its layers refuse: whoever asked is told
                answer.set_exception(BadInput(f"The model could not be computed for this input: {str(error)[:500]}"))

    def _answer(self, question: Question, top: int) -> Predictions:
        model = self._current()
        inputs = model.arrays(question.read()) if isinstance(question, Arrays) else model.picture(question.content, invert=question.invert)
        found: list[Prediction] = []
        for guesses in model.guess(inputs, top):
            told = tuple(Guess(guess.name, guess.label, guess.probability) for guess in guesses)
            found.append(Prediction(told[0].name, told[0].label, told[0].confidence, told))
        return Predictions(tuple(found), model.saved.round, model.saved.model)

    def _current(self) -> CommittedModel:
        """The network with the newest committed weights."""
        from pyfl.apps.committed import rebuild

        now, model = self._handle.status(), self._model
        if model is not None and (now.have, now.digest) == (model.saved.round, model.saved.model):
            return model
        held = self._handle.model()
        if model is None or model.saved.layout != held.saved.layout:
            model = rebuild(held.saved, held.weights, held.app())
        else:
            model = model.renew(held.saved, held.weights)
        self._model = model
        return model
