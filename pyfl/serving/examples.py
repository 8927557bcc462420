"""One example of each answer, for the OpenAPI page."""

from __future__ import annotations

from pyfl.events import RoundCommitted, Stamped
from pyfl.peer.status import Guess, Local, PeerEntry, Prediction, Predictions, Resources, RoundEntry, Status, TrainedRound

__all__ = ["EVENT", "LOCAL", "PEER", "PREDICTIONS", "ROUND", "STATUS", "STREAMED"]

_OTTER, _HERON = "0f3c9a51d2e84b7790ab6c1d2e3f4a5b", "b2a4861f0c3d4e5f8a9b7c6d5e4f3a21"
_DIGEST = "9d4e1e23bd5b727046a9e3b4b7db57bd8d6ee68440b2e5a5f0c1c9d3f7a86b54"
_WHEN = 1767268800.0

STATUS = Status(
    peer=_OTTER, name="otter", address="10.0.0.4:7700", version="0.2", run="5b1f9c3a7e2d4f60", app="digits", rounds=10, round=4, epoch=1,
    phase="train", have=3, digest=_DIGEST, accuracy=0.964, loss=0.121, coordinator=_HERON, voters=(_OTTER, _HERON), parameters=38282,
    uptime_s=61.5, counters={"bytes_sent": 1837536.0}, http="10.0.0.4:7780", doing="training", samples=240, committed_at=_WHEN,
    contributors=(_OTTER, _HERON),
)  # fmt: skip
PEER = PeerEntry(
    _OTTER, "otter", "10.0.0.4:7700", me=True, voter=True, phase="training", have=3, samples=240, labels={"site": "oslo"},
    http="10.0.0.4:7780",
)  # fmt: skip
ROUND = RoundEntry(3, 1, _DIGEST, _DIGEST, (_OTTER, _HERON), accuracy=0.964, loss=0.121, train_s=0.21, reduce_s=0.03)
LOCAL = Local(
    _OTTER, "otter", {"0": 23, "1": 25, "2": 24}, (TrainedRound(3, 240, 0.118, 0.2, True, 1200.0),),
    Resources(612_000_000, 14.2, 1_837_536, 1_837_536),
)  # fmt: skip
_TOP = (Guess("3", 3, 0.97), Guess("9", 9, 0.02))
PREDICTIONS = Predictions((Prediction("3", 3, 0.97, _TOP),), 3, _DIGEST)
EVENT = Stamped(57, _WHEN, 61.5, _OTTER, RoundCommitted(3, 1, (_OTTER, _HERON), _DIGEST, False, 0.964, 0.121, 0.21, 0.03))
STREAMED = f'id: {_OTTER[:8]}-57\nevent: run_finished\ndata: {{"id":57,"time":{_WHEN},"monotonic":61.5,"peer":"{_OTTER}","data":…}}\n\n'
