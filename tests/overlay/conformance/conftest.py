"""Every claim in this folder is put to the simulated overlay under several seeds, and to the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.overlay.conformance.swarms import RealSwarm, SimulatedSwarm, Swarm

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["simulated-1", "simulated-2", "simulated-3", pytest.param("real", marks=pytest.mark.real)])
def swarm(request: pytest.FixtureRequest) -> Iterator[Swarm]:
    kind, _, seed = request.param.partition("-")
    made: Swarm = SimulatedSwarm(int(seed)) if kind == "simulated" else _real()
    try:
        yield made
    finally:
        made.close()


def _real() -> RealSwarm:
    real = pytest.importorskip("pyfl.overlay.real", reason="the overlay's library is not built: run `make build`", exc_type=ImportError)
    return RealSwarm(real.RealOverlay)
