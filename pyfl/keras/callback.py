"""`FederatedCallback`: one added line turns an existing `model.fit` into a peer."""

# ruff: noqa: ARG002 - Keras's hooks have arguments that not all need
from __future__ import annotations

import atexit
import logging
import threading
from typing import Any

from pyfl.aggregation import Strategy
from pyfl.errors import ConfigError, TrainingError
from pyfl.keras.handover import Handover, Turn
from pyfl.keras.peers import Flat, RoundLike, RunLike, RunningPeer
from pyfl.rounds.early_stopping import EarlyStopping
from pyfl.tiers import Tiers
from pyfl.training.keras_model import ResidentModel
from pyfl.training.keras_optimizer import OptimizerState
from pyfl.training.tensorflow_runtime import import_keras
from pyfl.training.trainer import TrainOutcome

__all__ = ["FederatedCallback"]

log = logging.getLogger(__name__)

keras: Any = import_keras()


class FederatedCallback(keras.callbacks.Callback):
    """Federates the `fit` it is given to: `model.fit(x, y, epochs=50, callbacks=[FederatedCallback(peer)])`.

    A peer that is not in its `with` block is entered when training begins and left when it ends.

    A round is `local_epochs` epochs, or `steps_per_round` batches. At its end, or at the round's deadline from `on_train_batch_end`, the
    weights are contributed, the commit is awaited and loaded, and fit goes on from it. Validation inside fit comes after that: `val_...`
    are of the committed model. Epoch logs get `round` and `contributors`. fit ends when the run does; when fit is done first, this peer
    leaves the swarm, with the last committed weights in the model.

    The optimizer's slots begin anew each round unless `optimizer_state` is "keep"; learning-rate schedules go on over the rounds.
    """

    def __init__(
        self,
        peer: RunningPeer,
        *,
        rounds: int | None = None,
        local_epochs: int = 1,
        steps_per_round: int | None = None,
        samples_per_round: int | None = None,
        strategy: Strategy | str | None = None,
        tiers: Tiers | str | None = None,
        min_peers: int | None = None,
        min_contributors: int | None = None,
        seed: int | None = None,
        early_stopping: EarlyStopping | str | None = None,
        residuals: bool | None = None,
        optimizer_state: OptimizerState = "reset",
    ) -> None:
        """`rounds`: of a founder, default as many as fit's epochs hold; a joiner adopts the run's.

        `samples_per_round`: this peer's weight, where fit does not count samples (a `train_step` that leaves Keras's loss tracker alone).
        """
        super().__init__()  # pyright: ignore[reportUnknownMemberType] - Keras has no types
        if local_epochs < 1 or (steps_per_round is not None and steps_per_round < 1):
            raise ConfigError(f"local_epochs is {local_epochs} and steps_per_round {steps_per_round}; both must be at least 1.")
        self._peer = peer
        self._local_epochs, self._steps_per_round, self._samples_per_round = local_epochs, steps_per_round, samples_per_round
        self._rounds = rounds
        self._run_arguments: dict[str, Any] = {
            "strategy": strategy, "tiers": tiers, "min_peers": min_peers, "min_contributors": min_contributors, "seed": seed,
            "early_stopping": early_stopping, "residuals": residuals,
        }  # fmt: skip
        self._optimizer_state: OptimizerState = optimizer_state
        self.rounds: list[RoundLike] = []
        """The committed rounds that this peer has seen."""
        self._resident: ResidentModel | None = None
        self._handover: Handover | None = None
        self._run: RunLike | None = None
        self._thread: threading.Thread | None = None
        self._turn: Turn | None = None
        self._owns = False
        self._fitting = False
        self._epoch_closed = False
        self._epochs = self._steps = 0
        self._samples = self._seen = 0

    # ---- Keras's side

    def on_train_begin(self, logs: Any = None) -> None:
        """Become a part of the run, and begin from its committed model."""
        if self._run is not None:
            raise TrainingError("This FederatedCallback has had its run; make a new one, with a new Peer, for another fit.")
        if not self._peer.entered:
            atexit.register(self._peer.close)  # also when fit raises: then Keras tells its callbacks nothing
            self._peer.__enter__()
            self._owns = True
        model = self.model
        if self._steps_per_round is None and self.params.get("epochs", 1) % self._local_epochs:
            log.warning("%s epochs are no whole number of rounds of %s.", self.params.get("epochs"), self._local_epochs)
        self._resident = ResidentModel(model, _no_sample, self._optimizer_state)
        if self._resident.optimizer.scheduled:  # traced before, fit would follow the schedule as it was
            model.make_train_function(force=True)
        self._handover = Handover(self._resident.layout, self._resident.initial)
        self._run = self._peer.begin(
            self._handover, rounds=self._rounds_of_fit(), on_round=self._committed, on_end=self._handover.close, **self._run_arguments
        )
        self._thread = threading.Thread(target=self._run.work, name="pyfl-handover", daemon=True)
        self._thread.start()
        self._fitting = True
        self._take_turn()

    def _rounds_of_fit(self) -> int | None:
        if self._rounds is not None or not self._peer.founds:
            return self._rounds
        epochs: int = self.params.get("epochs", 1)
        if self._steps_per_round is None:
            return max(1, epochs // self._local_epochs)
        steps: int | None = self.params.get("steps")
        if steps is None:
            raise ConfigError("How many steps an epoch has is not known, so neither is how many rounds; give FederatedCallback rounds=.")
        return max(1, epochs * steps // self._steps_per_round)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keras has set its metrics back."""
        self._epoch_closed = False
        self._seen = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Contribute at the round's deadline, or after its steps."""
        turn = self._turn
        if turn is None:
            return
        self._steps += 1
        if turn.over or turn.stop() or (self._steps_per_round is not None and self._steps >= self._steps_per_round):
            self._close_round()

    def on_test_begin(self, logs: Any = None) -> None:
        """Validation inside fit: the epoch's batches are done."""
        self._end_epoch()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Contribute, unless validation came first."""
        self._end_epoch()
        if logs is not None and self.rounds:
            logs["round"] = self.rounds[-1].number
            logs["contributors"] = len(self.rounds[-1].contributors)

    def on_train_end(self, logs: Any = None) -> None:
        """Fit is done: leave the swarm."""
        self._fitting = False
        run, thread, handover, resident = self._run, self._thread, self._handover, self._resident
        if run is None or thread is None or handover is None or resident is None:
            return
        run.leave("the script's fit is done")
        handover.close()
        thread.join()
        resident.optimizer.end()
        resident.variables.load(run.result().flat)
        if self._owns:
            self._peer.close()
            atexit.unregister(self._peer.close)

    # ---- rounds

    def _end_epoch(self) -> None:
        if not self._fitting or self._epoch_closed:
            return
        self._epoch_closed = True
        self._count()
        if self._turn is None or self._steps_per_round is not None:
            return
        self._epochs += 1
        if self._epochs >= self._local_epochs or self._turn.over:
            self._close_round()

    def _count(self) -> None:
        """Samples since the round began: Keras weighs its loss with them, and sets the count back each epoch."""
        tracker = getattr(self.model, "_loss_tracker", None)
        seen = int(tracker.count) if tracker is not None else 0
        self._samples += seen - self._seen
        self._seen = seen

    def _close_round(self) -> None:
        turn, resident, handover = self._turn, self._resident, self._handover
        if turn is None or resident is None or handover is None:
            return
        if not self._epoch_closed:
            self._count()
        samples = self._samples_per_round or self._samples or self._steps
        metrics = {name: float(value) for name, value in self.model.get_metrics_result().items() if name == "loss"}
        handover.give(turn, resident.variables.store, TrainOutcome(samples, metrics))
        self._take_turn()

    def _take_turn(self) -> None:
        """Wait for the commit, and begin the next round from it; after the last, have fit end."""
        handover, resident, run = self._handover, self._resident, self._run
        if handover is None or resident is None or run is None:
            return
        turn = handover.next_turn()
        self._turn = turn
        if turn is None:
            if self._thread is not None:
                self._thread.join()
            resident.variables.load(run.result().flat)  # raises what ended the run early
            self.model.stop_training = True
            return
        resident.begin(turn.base, turn.info, self._steps_before(turn))
        self._epochs = self._steps = self._samples = 0

    def _steps_before(self, turn: Turn) -> int:
        """The run's batches before this round, as far as they can be known: for the learning-rate schedule."""
        a_round = self._steps_per_round or (self.params.get("steps") or 0) * self._local_epochs
        return (turn.info.number - 1) * a_round

    def _committed(self, committed: RoundLike, weights: Flat) -> bool | None:
        self.rounds.append(committed)
        return None


def _no_sample() -> Any:
    raise TrainingError("The model is not built, though fit has begun; build it before (call it once on a batch).")
