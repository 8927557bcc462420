"""I4: who contributed decides the model; the tree, the order, the epoch and the number of restarts do not."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import pytest

from pyfl.aggregation import Strategy, fedadam, fedavg, fedavgm
from pyfl.overlay.simulated.faults import FaultPlan
from pyfl.simulation.invariants import check
from pyfl.simulation.ledger_log import committed
from pyfl.simulation.playing import Started, start
from pyfl.simulation.scenario import Scenario
from pyfl.tiers import chain, direct, rotated, star, tree

PEERS = 5
SHAPES = (rotated(2), rotated(4), tree(2), star(), chain(), direct())
ILLS = ("nothing", "a link breaks in the reduce", "a member dies in the reduce")
Story = tuple[tuple[object, ...], ...]


def run(seed: int, strategy: Strategy, ill: str) -> Started:
    nothing: frozenset[int] = frozenset()
    scenario = Scenario(
        seed=seed, peers=PEERS, late=(), strategy=strategy, tiers=SHAPES[seed % len(SHAPES)], min_contributors=0,
        samples=(1, 2, 3, 4, 5), bad_rounds=(nothing,) * PEERS, straggler=-1, loss=0.0, faults=FaultPlan(()), rounds=4,
    )  # fmt: skip
    started = start(scenario)
    network, swarm = started.swarm.network, started.swarm

    def reducing() -> bool:
        records = [p.driver.machine.view.round for p in swarm.current.values()]
        return any(r is not None and (r.number, r.phase) == (2, "reduce") for r in records)

    assert network.run(until=100.0, stop=reducing)
    if ill == ILLS[1]:
        for a, b in combinations([p for p in swarm.current if swarm.index_of(p) < 3], 2):
            network.cut_link(a, b)
        network.schedule(40.0, network.heal)
    if ill == ILLS[2]:
        network.kill("peer-4")
    started.run()
    check(started)
    return started


@pytest.mark.parametrize("strategy", [fedavg(), fedavgm(), fedadam()], ids=lambda s: s.name)
def test_the_same_contributors_make_the_same_model_whatever_befell_the_round(strategy: Strategy) -> None:
    digests: dict[Story, set[tuple[str, str]]] = defaultdict(set)
    ways: dict[Story, set[tuple[str, int]]] = defaultdict(set)
    for seed in range(24):
        started = run(seed, strategy, ILLS[seed // len(SHAPES) % len(ILLS)])
        story: Story = ()
        for record in committed(started.swarm).values():
            who = tuple(sorted(started.swarm.index_of(peer) for peer in record.contributors))
            story = (*story, (who, record.total_samples, record.exponents, record.ratio_bits))
            digests[story].add((record.model, record.state))
            ways[story].add((str(started.scenario.tiers), record.epoch))
    different = [story for story, found in digests.items() if len(found) > 1]
    assert not different, f"I4: the same contributors made different models: {different}"
    compared = [found for story, found in ways.items() if len(story) > 1 and len(found) > 1]
    assert any(len({shape for shape, _ in found}) == len(SHAPES) for found in compared), "not all trees were compared"
    assert any(len({epoch for _, epoch in found}) > 1 for found in compared), "no round that was begun again was compared"
