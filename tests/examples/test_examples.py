"""Each example is short and does what it says: two of it, as processes, end with the same model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pyfl.overlay.free_port import free_ports
from tests.real.programs import Programs, tell

pytestmark = pytest.mark.real

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 100


def two_of(example: str, directory: Path) -> list[str]:
    """What a founder and a joiner print; both must end well."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    environment = {**os.environ, "PYFL_SWARM_KEY": "5e" * 32, "TF_CPP_MIN_LOG_LEVEL": "2"}
    peers = [
        subprocess.Popen(
            [sys.executable, str(EXAMPLES / example), address, *addresses[:place]], cwd=directory, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for place, address in enumerate(addresses)
    ]  # fmt: skip
    try:
        told = [peer.communicate(timeout=SECONDS) for peer in peers]
    finally:
        for peer in peers:
            peer.kill()
            peer.wait()
    for peer, (out, errors) in zip(peers, told, strict=True):
        assert peer.returncode == 0, f"{out}\n{errors}"
    return [out for out, _ in told]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_has_at_most_20_lines(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    assert len(lines) <= 20


@pytest.mark.parametrize("example", ["keras_fit.py", "federated_callback.py", "numpy_trainer.py", "pytorch_trainer.py"])
def test_two_of_an_example_end_with_the_same_model(example: str, tmp_path: Path) -> None:
    if example == "pytorch_trainer.py" and find_spec("torch") is None:
        pytest.skip("torch is not installed: an extra of this example alone")
    told = two_of(example, tmp_path)
    digests = [re.findall(r"model ([0-9a-f]{64})", out) for out in told]
    assert digests[0] == digests[1] != []
    for accuracy in re.findall(r"accuracy ([0-9.]+) model", "".join(told)):
        assert float(accuracy) > 0.5


def test_two_peers_of_the_preparing_app_prepare_with_the_same_statistics_and_predict_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.pathsep.join([str(EXAMPLES), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)  # what `cd examples` does for a user
    first, second = free_ports(2)
    common = ["--app", "prepared_digits:app", "--of", "5"]
    with Programs(tmp_path, PYFL_SWARM_KEY="5e" * 32) as swarm:
        swarm.start("127.0.0.1", str(first), *common, "--index", "0", "--rounds", "6")
        swarm.start("127.0.0.1", str(second), f"127.0.0.1:{first}", *common, "--index", "1")
        assert swarm.codes(SECONDS) == [0, 0]
    told = [re.findall(r"pixels .*", program.log.read_text()) for program in swarm.programs]
    assert told[0] == told[1]
    assert len(told[0]) == 1
    kinds = re.findall(r"\d+", told[0][0].partition("digits ")[2])
    assert len(kinds) == 4, f"two kinds of digits at each of two peers: {kinds}"
    picture = tmp_path / "digit.png"
    digits: Any = load_digits()
    image = digits.images[[*digits.target].index(int(kinds[0]))]
    Image.fromarray((image * 255 / 16).astype("uint8")).save(picture)
    data_dir = tmp_path / "pyfl-data" / f"127.0.0.1-{second}"
    assert json.loads(tell(tmp_path, data_dir, "predict", str(picture), "--json"))["class"] in kinds, "no other was learned"


def test_the_callback_is_one_line_in_a_plain_keras_script() -> None:
    lines = (EXAMPLES / "federated_callback.py").read_text().splitlines()
    assert len([line for line in lines if "<- the added line" in line]) == 1
    others = [line for line in lines if "pyfl" in line and "added line" not in line and not line.startswith('"""')]
    assert others == ["import pyfl"]
