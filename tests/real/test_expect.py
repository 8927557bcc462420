"""`--expect n`: peers that know each other's addresses and no founder agree on one of them to found the swarm."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pyfl import events
from pyfl.peer.herd import Herd
from tests.real.swarms import Story, settings_for

pytestmark = pytest.mark.real


def test_three_equal_peers_wait_for_each_other_and_found_one_swarm(tmp_path: Path) -> None:
    peers = settings_for(tmp_path, 3, "linear", 2, serve=False)
    addresses = tuple(p.listen for p in peers)
    equal = [msgspec.structs.replace(p, expect=3, rounds=2, min_peers=3, join=tuple(a for a in addresses if a != p.listen)) for p in peers]
    story, runs = Story(), set[str]()
    with Herd(equal, framework=False) as herd:
        for item in herd.events(60.0):
            if item is not None:
                story.take(*item)
                if isinstance(item[1].data, events.RunAdopted):
                    runs.add(item[1].data.run)
        endings = [ending and ending.code for ending in herd.endings]
    assert endings == [0, 0, 0]
    assert len(runs) == 1
    assert sorted(story.committed) == [0, 1, 2]
    story.check_digests()
