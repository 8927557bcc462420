"""An operator of a simulated swarm: says a wish through some peer until the ledger has it."""

from __future__ import annotations

from functools import partial

from pyfl.rounds.records import ControlRecord
from pyfl.simulation.ledger_log import last_control
from pyfl.simulation.swarm import SimulatedSwarm

__all__ = ["say"]

AGAIN_S = 1.0
_STATES = {"pause": "paused", "resume": "running", "stop": "stopping"}


def say(swarm: SimulatedSwarm, wish: str) -> None:
    """`pause SECONDS`, `resume`, `stop` or `kick N`: written through some peer, again each second until the ledger says it."""
    verb, _, whom = wish.partition(" ")
    control = last_control(swarm)
    kicked = {p for p in swarm.current if verb == "kick" and swarm.index_of(p) == int(whom)}
    wanted = ControlRecord(
        state=_STATES.get(verb, control.state), kicked=tuple(sorted({*control.kicked, *kicked})), by="an operator"  # type: ignore[arg-type]
    )  # fmt: skip
    if control.state == "finished":
        return
    if (wanted.state, wanted.kicked) == (control.state, control.kicked):
        if verb == "pause" and whom:
            swarm.network.schedule(float(whom), partial(say, swarm, "resume"))
        return
    for peer in swarm.current.values():
        if peer.overlay.process.running and peer.driver.exit is None:
            peer.overlay.process.run(partial(peer.driver.control, wanted))
            break
    swarm.network.schedule(AGAIN_S, partial(say, swarm, wish))
