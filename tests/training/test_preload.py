"""Many peers on one machine: forked from a server that has the framework loaded but not running."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pyfl.training import RoundInfo

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


def train_once(index: int, end: Connection) -> None:
    from pyfl.apps import load_app

    trainer = load_app("digits").build(index=index, of=3)
    base, out = np.empty(trainer.layout.size, np.float32), np.empty(trainer.layout.size, np.float32)
    trainer.initial(base)
    outcome = trainer.train(base, out, RoundInfo(1, 1, peer=str(index)), lambda: False)
    end.send((outcome.samples, bool(np.isfinite(out).all()) and not np.array_equal(base, out)))


@pytest.mark.real
def test_children_of_a_preloaded_forkserver_train() -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pyfl.training.preload"])
    pipes = [context.Pipe(duplex=False) for _ in range(3)]
    children = [context.Process(target=train_once, args=(index, ours[1])) for index, ours in enumerate(pipes)]
    try:
        for child in children:
            child.start()
        for (ours, theirs), child in zip(pipes, children, strict=True):
            theirs.close()
            assert ours.poll(60), f"child {child.pid} has not trained in 60 s"
            samples, moved = ours.recv()
            assert samples in (2 * 479, 2 * 480)
            assert moved
        for child in children:
            child.join(30)
            assert child.exitcode == 0
    finally:
        for child in children:
            if child.is_alive():
                child.kill()
            child.join()
