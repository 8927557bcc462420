"""A real peer's HTTP API: predictions of the committed model, its address among the others, its port, its token."""

from __future__ import annotations

import io
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from PIL import Image

from pyfl import events
from pyfl.peer.status import Predictions, Status
from pyfl.serving.client import PeerClient
from tests.real.programs import Program, Programs, run_to_end
from tests.real.swarms import settings_for

pytestmark = pytest.mark.real


def arguments(settings: object, *more: str) -> list[str]:
    """The command line of one peer of `settings_for`."""
    given = msgspec.to_builtins(settings)
    flags = ["--listen", given["listen"], "--name", given["name"], "--data-dir", given["data_dir"], "--swarm-key", given["swarm_key"]]
    for name in ("app", "rounds", "min_peers", "index", "of"):
        if given[name] is not None:
            flags += [f"--{name.replace('_', '-')}", str(given[name])]
    for address in given["join"]:
        flags += ["--join", address]
    return [*flags, *more]


def holds(program: Program, number: int) -> Callable[[], bool]:
    return lambda: any(isinstance(event.data, events.ModelInstalled) and event.data.round >= number for event in program.events)


def test_a_prediction_equals_the_exported_models_and_another_peer_is_found_through_the_first(tmp_path: Path) -> None:
    founder, joiner = settings_for(tmp_path, 2, "digits", rounds=100_000)
    with Programs(tmp_path) as swarm:
        first = swarm.start(*arguments(founder, "--http", "0"))
        second = swarm.start(*arguments(joiner, "--http", "127.0.0.1:0"))
        swarm.until(lambda: holds(first, 2)() and holds(second, 2)(), 90, "round 2 at both")
        data = Path(founder.data_dir)
        token = (data / "http.token").read_text().strip()
        with PeerClient(data) as local:
            local.control("pause")
            address = local.status().http
            entries = local.peers()
        assert [entry.http for entry in entries if entry.me] == [address]
        assert all("http" not in entry.labels for entry in entries)
        with PeerClient.over_tcp(entries[1].http, token) as other:  # the token of one opens the other
            assert other.status().peer == entries[1].peer
            assert {entry.http for entry in other.peers()} == {entry.http for entry in entries}
        swarm.until(lambda: paused(address, token), 60, "the pause")

        pixels = np.random.default_rng(5).integers(0, 256, (8, 8), np.uint8)
        image = io.BytesIO()
        Image.fromarray(pixels).save(image, "PNG")
        with httpx.Client(base_url=f"http://{address}", headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False) as http:
            headers = {"Content-Type": "image/png"}
            found = msgspec.json.decode(
                http.post("/v1/predict?top=10", content=image.getvalue(), headers=headers).content, type=Predictions
            )
            model = http.get("/v1/model")
            local_facts = http.get("/v1/local").json()
        assert (int(model.headers["x-pyfl-round"]), model.headers["x-pyfl-digest"]) == (found.round, found.digest)
        assert sum(local_facts["classes"].values()) == local_facts["trained"][-1]["samples"] // 2  # two local epochs
        assert local_facts["trained"][-1]["samples_per_s"] > 0
        export(tmp_path, data)
        expected = predicted(tmp_path / "model.keras", pixels)
        told = [guess.confidence for guess in sorted(found.predictions[0].top, key=lambda guess: guess.label)]
        np.testing.assert_allclose(told, expected, atol=1e-6)
        first.signal(signal.SIGINT)
        second.signal(signal.SIGINT)
        swarm.codes(30)


def paused(address: str, token: str) -> bool:
    """Whether the swarm stands still: both records say so, and the round is committed."""
    answer = httpx.get(f"http://{address}/v1/status", headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False)
    now = msgspec.json.decode(answer.content, type=Status)
    return now.control == "paused" and now.phase == "committed" and now.have == now.round


def export(directory: Path, data_dir: Path) -> None:
    from pyfl.apps.exporting import export as write
    from pyfl.checkpoints import newest_checkpoint

    write(*newest_checkpoint(data_dir), directory / "model.keras", "keras")


def predicted(file: Path, pixels: np.ndarray) -> np.ndarray:
    """Probabilities by Keras alone: `load_model` and `predict`."""
    import keras

    model: Any = keras.models.load_model(file)
    inputs = (pixels / 255).astype(np.float32).reshape(1, 8, 8, 1)
    outputs = np.asarray(model.predict(inputs, verbose=0), np.float64)
    grown = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return (grown / grown.sum(axis=1, keepdims=True))[0]


def test_a_port_in_use_and_an_address_of_another_machine_end_a_peer_before_it_joins(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, told = run_to_end(tmp_path, "127.0.0.1", "0", "--app", "linear", "--http", f"127.0.0.1:{port}")
        assert code == 3
        assert f"http: 127.0.0.1:{port} is in use" in told
    code, told = run_to_end(tmp_path, "127.0.0.1", "0", "--app", "linear", "--http", "192.0.2.1:7780")
    assert code == 5
    assert "Name an address of this machine" in told


def test_a_restarted_peers_events_go_on_over_tcp(tmp_path: Path) -> None:
    [alone] = settings_for(tmp_path, 1, "linear", rounds=100_000)
    last = 0
    for life in range(2):
        with Programs(tmp_path) as swarm:
            peer = swarm.start(*arguments(alone, "--http", "0"), name=f"life-{life}")
            swarm.until(holds(peer, 2), 60, "round 2")
            data = Path(alone.data_dir)
            with PeerClient(data) as local:
                address = local.status().http
            with PeerClient.over_tcp(address, (data / "http.token").read_text().strip()) as client:
                stream = client.follow(last)
                numbers = [next(stream).id for _ in range(20)]
                stream.close()
            assert numbers == list(range(last + 1, last + 21))
            last = numbers[-1]
            peer.signal(signal.SIGKILL)
            peer.process.wait(20)
