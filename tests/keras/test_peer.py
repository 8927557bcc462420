"""`pyfl.Peer` over the real overlay: what a program gets back, and which error it gets when something is wrong."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyfl
from pyfl.errors import (
    AddressInUse,
    ConfigError,
    DataError,
    NoTrainableWeights,
    PeerNotReady,
    RefusedBySwarm,
    RunFailed,
    SwarmUnreachable,
    TrainingError,
)
from pyfl.events import ModelInstalled, TrainingEnded
from pyfl.overlay.free_port import free_ports
from pyfl.peer.api import Peer
from pyfl.peer.swarm_key import write_secret
from pyfl.training import RoundInfo, TrainResult
from pyfl.wire.digests import combine, of_vector
from tests.keras.kinds import FEATURES, X, Y, keras, layers, scheduled, sequential

pytestmark = pytest.mark.real

HERE = "127.0.0.1:0"
WAIT_S = 60.0
MakePeer = Callable[..., Peer]


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakePeer:
    """Makes peers of one swarm."""
    monkeypatch.setenv("PYFL_SWARM_KEY", "5e" * 32)
    made: list[Peer] = []

    def make(join: str = "", listen: str = HERE, **more: Any) -> Peer:
        made.append(Peer(listen, [join] if join else [], data_dir=str(tmp_path / str(len(made))), **more))
        return made[-1]

    return make


class Zeros:
    """Two arrays, which it leaves as they are."""

    names = ("kernel", "bias")

    def __init__(self, *shape: int, during: Callable[[RoundInfo], None] = lambda info: None) -> None:
        self._shape, self._during = shape, during

    def initial_weights(self) -> list[np.ndarray]:
        return [np.zeros(self._shape, np.float32), np.zeros(2, np.float32)]

    def train(self, weights: list[np.ndarray], round: RoundInfo) -> TrainResult:  # noqa: A002
        self._during(round)
        return TrainResult(weights, 1)


class InThread(threading.Thread):
    """Runs a function in another thread; `result` gives what it returned or raised."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._returned: Any = None
        self._raised: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._returned = self._function()
        except BaseException as error:  # noqa: BLE001 - raised again below
            self._raised = error

    def result(self) -> Any:
        self.join(WAIT_S)
        assert not self.is_alive(), "still running"
        if self._raised is not None:
            raise self._raised
        return self._returned


def wait_until_installed(p: Peer, number: int, then: threading.Event) -> None:
    """Set `then` once the peer holds a round's model or a later one's."""
    last = 0
    while not then.is_set():
        for stamped in p.events(last, WAIT_S):
            last = stamped.id
            if isinstance(stamped.data, ModelInstalled) and stamped.data.round >= number:
                then.set()


# ---- what comes back


def test_fit_gives_a_history_of_rounds_and_leaves_the_committed_model(peer: MakePeer) -> None:
    model = sequential()
    seen: list[str] = []

    class Look(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(combine(of_vector(np.concatenate([w.ravel() for w in self.model.get_weights()]))))

    with peer() as p:
        history = p.fit(model, X, Y, rounds=3, min_peers=1, batch_size=16, validation_split=0.25, verbose=0, callbacks=[Look()])
    told = history.history
    assert set(told) >= {"loss", "accuracy", "val_loss", "val_accuracy", "round", "contributors", "digest"}
    assert told["round"] == [1, 2, 3]
    assert told["contributors"] == [1, 1, 1]
    assert told["digest"] == seen
    assert history.training_loop == "fast"
    weights = np.concatenate([w.ravel() for w in model.get_weights()])
    assert combine(of_vector(weights)) == told["digest"][-1]
    loss, _ = model.evaluate(X[30:], Y[30:], verbose=0)
    assert told["val_loss"][-1] == pytest.approx(loss, rel=1e-4)


def test_fit_can_end_with_the_best_rounds_weights_and_early(peer: MakePeer) -> None:
    model = sequential()

    class Spoil(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch >= 3:  # from here on it only gets worse
                self.model.optimizer.learning_rate.assign(30.0)

    with peer() as p:
        history = p.fit(
            model, X, Y, rounds=30, min_peers=1, batch_size=16, validation_split=0.25, verbose=0, callbacks=[Spoil()],
            early_stopping=pyfl.EarlyStopping("loss", patience=3), restore_best_weights=True,
        )  # fmt: skip
        status = p.status()
    losses, digests = history.history["swarm_loss"], history.history["digest"]
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 3 < 30
    assert history.best_round == best + 1 == status.best_round
    assert f"held-out loss has not improved for 3 rounds; the best is {min(losses):.4g}, of round {best + 1}" in status.ended
    assert combine(of_vector(np.concatenate([w.ravel() for w in model.get_weights()]))) == digests[best]


@pytest.mark.parametrize("way", ["fit", "callback"])
def test_a_founders_warm_model_stays_warm(peer: MakePeer, way: str) -> None:
    model = sequential()
    model.fit(X, Y, epochs=3, verbose=0)
    warm = np.concatenate([w.ravel() for w in model.get_weights()])
    with peer() as p:
        if way == "fit":
            p.fit(model, X, Y, rounds=1, min_peers=1, verbose=0)
        else:
            model.fit(X, Y, epochs=1, verbose=0, callbacks=[pyfl.keras.FederatedCallback(p, min_peers=1)])
        held = {e.data.round: e.data.digest for e in p.events() if isinstance(e.data, ModelInstalled)}
    assert held[0] == combine(of_vector(warm)), "model 0 of the run is the model as it was handed over"
    assert held[1] != held[0]


def test_batch_hooks_are_called_and_stopping_leaves_the_swarm(peer: MakePeer) -> None:
    batches: list[int] = []

    class Stop(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            batches.append(batch)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

    with peer() as p:
        history = p.fit(sequential(), X, Y, rounds=9, min_peers=1, batch_size=16, verbose=0, callbacks=[Stop()])
    assert history.history["round"] == [1, 2]
    assert batches == [0, 1, 2, 0, 1, 2]
    assert history.training_loop == "model.fit, since callback Stop has on_train_batch_end"


def test_two_scripts_with_the_callback_end_with_one_model_and_a_late_one_begins_where_they_are(peer: MakePeer) -> None:
    models = [scheduled() for _ in range(3)]
    began, go_on = threading.Event(), threading.Event()
    starts: list[int] = []

    class Pace(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                began.set()
                assert go_on.wait(WAIT_S)

    def script(p: Peer, model: Any, epochs: int, *more: Any) -> tuple[Any, Any]:
        with p:
            federated = pyfl.keras.FederatedCallback(p)
            history = model.fit(X, Y, epochs=epochs, batch_size=16, verbose=0, shuffle=False, callbacks=[federated, *more])
        return history.history, federated

    (port,) = free_ports(1)
    first = InThread(lambda: script(peer(listen=f"127.0.0.1:{port}"), models[0], 8))
    second = InThread(lambda: script(peer(f"127.0.0.1:{port}"), models[1], 50, Pace()))
    assert began.wait(WAIT_S)  # two rounds are committed, and the third waits for the second script

    class First(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            starts.append(federated.rounds[-1].number if federated.rounds else 0)

    with peer(f"127.0.0.1:{port}") as late:
        federated = pyfl.keras.FederatedCallback(late)
        waiter = InThread(lambda: wait_until_installed(late, 2, go_on))
        history = models[2].fit(X, Y, epochs=50, batch_size=16, verbose=0, callbacks=[federated, First()]).history
        waiter.result()
    told, callback = first.result()
    second.result()
    assert told["round"] == list(range(1, 9))
    assert starts[0] >= 2
    assert history["round"][-1] == 8
    assert federated.rounds[-1].digest == callback.rounds[-1].digest
    for model in models:
        flat = np.concatenate([w.ravel() for w in model.get_weights()])
        assert combine(of_vector(flat)) == callback.rounds[-1].digest
        # 3 batches a round, 8 rounds: the schedule went on as if nobody had been late.
        assert float(model.optimizer.learning_rate) == pytest.approx(0.05 * 0.5 ** (24 / 2), rel=1e-4)


def test_a_round_of_the_callback_may_be_a_number_of_batches(peer: MakePeer) -> None:
    model = sequential()
    with peer() as p:
        federated = pyfl.keras.FederatedCallback(p, steps_per_round=2, min_peers=1)
        history = model.fit(X, Y, epochs=4, batch_size=16, shuffle=False, verbose=0, callbacks=[federated]).history
        trained = [e.data.samples for e in p.events() if isinstance(e.data, TrainingEnded)]
    assert len(X) == 40, "3 batches an epoch: of 16, 16 and 8"
    assert [committed.number for committed in federated.rounds] == [1, 2, 3, 4, 5, 6], "12 batches are 6 rounds"
    assert trained == [32, 24, 24] * 2, "rounds go over the ends of epochs, and count what they trained on"
    assert history["round"] == [1, 3, 4, 6]
    assert combine(of_vector(np.concatenate([w.ravel() for w in model.get_weights()]))) == federated.rounds[-1].digest


# ---- errors of a program's own


@pytest.mark.parametrize("way", ["fit", "callback"])
@pytest.mark.parametrize("moment", ["training", "waiting"])
def test_ctrl_c_inside_fit_leaves_the_swarm_and_is_raised(peer: MakePeer, way: str, moment: str) -> None:
    class Interrupt(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if moment == "training":
                signal.raise_signal(signal.SIGINT)

    def interrupt_when_it_holds_its_model(p: Peer) -> None:
        held = threading.Event()
        wait_until_installed(p, 0, held)
        os.kill(os.getpid(), signal.SIGINT)

    min_peers = 1 if moment == "training" else 2  # a second peer never comes
    began = peer()

    def script() -> None:
        with began as p:
            if moment == "waiting":
                InThread(lambda: interrupt_when_it_holds_its_model(p))
            if way == "fit":
                p.fit(sequential(), X, Y, rounds=3, verbose=0, callbacks=[Interrupt()], min_peers=min_peers)
            else:
                sequential().fit(X, Y, epochs=3, verbose=0, callbacks=[pyfl.keras.FederatedCallback(p, min_peers=min_peers), Interrupt()])

    with pytest.raises(KeyboardInterrupt):
        script()
    assert not began.entered, "the swarm was left, and the overlay closed"


@pytest.mark.parametrize("loop", ["fast", "fit"])
def test_a_metric_that_is_not_a_number_is_passed_on_and_counts_for_nobody(peer: MakePeer, loop: str) -> None:
    def accuracy(y: Any, p: Any) -> Any:
        return keras.ops.mean(p, axis=-1) * float("nan")

    model = keras.Sequential([layers.Input((FEATURES,)), layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[accuracy])
    more = [keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)] if loop == "fit" else []
    with peer() as p:
        history = p.fit(
            model, X, Y, rounds=3, min_peers=1, validation_split=0.25, verbose=0, callbacks=more, early_stopping="accuracy:patience=1"
        )
        told = p.rounds()
    assert history.history["round"] == [1, 2, 3], "rounds without the metric are no reason to stop"
    assert np.isnan(history.history["val_accuracy"]).all()
    assert "swarm_accuracy" not in history.history
    assert all(entry.accuracy is None and entry.loss is not None and not entry.void for entry in told if entry.round)
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


def test_what_a_callback_raises_comes_out_of_fit(peer: MakePeer) -> None:
    class Bad(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as caught, peer() as p:
        p.fit(sequential(), X, Y, rounds=2, min_peers=1, verbose=0, callbacks=[Bad()])
    assert "on_epoch_end" in [entry.name for entry in caught.traceback]


def test_what_a_trainer_raises_comes_out_of_run(peer: MakePeer) -> None:
    def interrupt(info: RoundInfo) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), peer() as p:
        p.run(Zeros(3, during=interrupt), rounds=2, min_peers=1)

    class Wrong(Zeros):
        def train(self, weights: list[np.ndarray], round: RoundInfo) -> TrainResult:  # noqa: A002
            return TrainResult(weights[:1], 1)

    with pytest.raises(TrainingError, match="train returned 1 arrays; expected 2"), peer() as p:
        p.run(Wrong(3), rounds=2, min_peers=1)


def test_a_loss_that_is_not_a_number_ends_the_run_by_name(peer: MakePeer) -> None:
    model = keras.Sequential([layers.Input((FEATURES,)), layers.Dense(1)])
    model.compile("sgd", loss=lambda y, p: keras.ops.mean(p, axis=-1) * float("nan"))
    before = model.get_weights()
    with pytest.raises(RunFailed, match="3 rounds in a row, up to 3, had no usable result"), peer() as p:
        p.fit(model, X, Y, rounds=9, min_peers=1, verbose=0)
    assert all(np.isfinite(weights).all() for weights in before)


def test_a_metric_that_is_not_a_number_is_told_and_stops_nobody(peer: MakePeer) -> None:
    model = keras.Sequential([layers.Input((FEATURES,)), layers.Dense(1)])
    model.compile("sgd", loss="mse", metrics=[lambda y, p: keras.ops.mean(p) * float("nan")])
    with peer() as p:
        history = p.fit(model, X, Y, rounds=2, min_peers=1, verbose=0).history
    assert [len(values) for values in history.values()] == [2] * len(history)
    assert any(np.isnan(values).all() for name, values in history.items() if name not in ("digest", "loss"))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"x": X, "y": Y[:-1]}, DataError, r"\(x 40, y 39\); x and y must have equally many"),
        ({"x": X, "y": Y, "sample_weight": np.ones(3)}, DataError, "sample_weight 3"),
        ({"x": X[:0], "y": Y[:0]}, DataError, "no training samples"),
        ({"x": None}, DataError, "is missing; expected arrays"),
        ({"x": (n for n in [1]), "y": None}, DataError, "is a generator"),
        ({"x": X, "y": Y, "validation_split": 1.5}, DataError, "validation_split is 1.5"),
        ({"x": X, "y": Y, "class_weight": {0: 2.0}, "sample_weight": np.ones(40)}, DataError, "both given"),
        ({"x": X, "y": Y, "local_epochs": 0}, TrainingError, "must be at least 1"),
        ({"x": X, "y": Y, "optimizer_state": "forget"}, ConfigError, "expected 'reset' or 'keep'"),
    ],
)
def test_arguments_that_cannot_be_trained_on_are_refused(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Peer(HERE).fit(sequential(), **arguments)  # before the swarm is asked


def test_models_that_cannot_be_trained_are_refused() -> None:
    with pytest.raises(TrainingError, match="not compiled"):
        Peer(HERE).fit(keras.Sequential([layers.Input((FEATURES,)), layers.Dense(2)]), X, Y)
    frozen = sequential()
    frozen.trainable = False
    with pytest.raises(NoTrainableWeights, match="leave at least one layer trainable"):
        Peer(HERE).fit(frozen, X, Y)


# ---- errors of the swarm


def test_a_peer_with_another_model_or_other_settings_is_refused_field_by_field(peer: MakePeer) -> None:
    (port,) = free_ports(1)
    there = f"127.0.0.1:{port}"
    refused = threading.Event()

    def founder() -> None:
        with peer(listen=there) as p:
            run = p.begin(Zeros(3), rounds=2, min_peers=2)
            worker = InThread(run.work)
            assert refused.wait(WAIT_S)
            run.leave("the test is done")
            worker.result()

    other = InThread(founder)
    with pytest.raises(RefusedBySwarm, match=r"kernel: shape \(4,\) here, \(3,\) in the swarm"), peer(there) as p:
        p.run(Zeros(4))
    with pytest.raises(RefusedBySwarm, match="rounds 5 here, 2 there; min-peers 3 here, 2 there"), peer(there) as p:
        p.run(Zeros(3), rounds=5, min_peers=3)
    refused.set()
    other.result()


def test_an_address_in_use_a_swarm_that_is_not_there_and_another_key(peer: MakePeer, tmp_path: Path) -> None:
    with peer() as p:
        with pytest.raises(AddressInUse), peer(listen=p.address):
            pass
        write_secret(tmp_path / "other.key", "7d" * 32)
        with (
            pytest.raises(RefusedBySwarm, match="Is this the swarm's key"),
            peer(p.address, swarm_key=str(tmp_path / "other.key"), join_timeout_s=2.0),
        ):
            pass
    (port,) = free_ports(1)
    with (
        pytest.raises(SwarmUnreachable, match=rf"could be reached in 1 s: .*127.0.0.1:{port}"),
        peer(f"127.0.0.1:{port}", join_timeout_s=1.0),
    ):
        pass
    with pytest.raises(ConfigError, match="cannot be read"), peer(swarm_key=str(tmp_path / "none.key")):
        pass


def test_a_peer_is_used_inside_its_block_and_for_one_run(peer: MakePeer) -> None:
    outside = peer()
    with pytest.raises(PeerNotReady, match="inside its block"):
        outside.run(Zeros(3))
    with outside as p:
        result = p.run(Zeros(3), rounds=1, min_peers=1)
        assert [array.shape for array in result.weights] == [(3,), (2,)]
        assert result.rounds[-1].contributed
        with pytest.raises(PeerNotReady, match="has had its run"):
            p.run(Zeros(3))
    with pytest.raises(PeerNotReady, match="make a new one"), outside:
        pass
