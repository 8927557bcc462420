"""`pyfl bench join` on a small model: who joins contributes soon, and what was lent is what the joiners had to fetch."""

from __future__ import annotations

from typing import Any

import pytest

from pyfl.peer.bench_join import WITHIN, join

pytestmark = pytest.mark.real


@pytest.mark.timeout(150)
def test_joiners_contribute_soon_and_every_byte_they_fetch_is_counted_where_it_was_lent() -> None:
    joiners: list[dict[str, Any]]
    summary: dict[str, Any]
    *joiners, summary = join(3, 4, 4.0, 0.5)
    assert [joiner["joiner"] for joiner in joiners] == ["peer-3", "peer-4", "peer-5", "peer-6"]
    for joiner in joiners:
        assert 0 < max(joiner["member_s"], joiner["model_s"]) < joiner["contribution_s"]
        assert joiner["rounds"] == joiner["contributed_round"] - joiner["first_round"] + 1 <= WITHIN
    assert summary["within"]
    assert summary["digests_agree"]
    assert sum(summary["lent_bytes"]) + summary["lent_bytes_joiners"] >= 4 * 4_000_000
