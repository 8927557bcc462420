"""A simulated run as text: who takes part, how they learn, what goes wrong and when. The text is enough to play it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pyfl.aggregation import Strategy
from pyfl.aggregation.strategy import parse as parse_strategy
from pyfl.errors import ConfigError, PyflError
from pyfl.overlay.simulated.faults import Fault, FaultPlan
from pyfl.overlay.simulated.steps import ANYONE
from pyfl.overlay.simulated.strikes import IT, LEADER
from pyfl.rounds.driver import Driver
from pyfl.rounds.early_stopping import EarlyStopping
from pyfl.simulation.probe import STRIDE, Probe
from pyfl.tiers import Tiers
from pyfl.tiers import parse as parse_tiers

__all__ = ["Scenario"]

MOST_PEERS = STRIDE  # each has a coordinate of its own in every segment
MOST_VALUES = 1_000_000
MOST_ROUNDS = 1000


@dataclass(frozen=True)
class Scenario:
    """Everything a run depends on beside the code. `str(scenario)` is what `parse` reads."""

    seed: int
    peers: int
    late: tuple[float, ...]
    """When each of the last peers starts, in seconds."""
    strategy: Strategy
    tiers: Tiers
    min_contributors: int
    samples: tuple[int, ...]
    bad_rounds: tuple[frozenset[int], ...]
    """The rounds in which each peer's update is not finite."""
    straggler: int
    """The peer whose jobs take 8 s, with residuals now and then 6 s; -1 for none."""
    loss: float
    faults: FaultPlan
    wishes: tuple[tuple[float, str], ...] = ()
    """(second, wish): `pause SECONDS` or `kick N`, as an operator would say it."""
    rounds: int = 6
    values: int = 400
    """Of the model; 16 make a segment."""
    scratch: int = 0
    """Buffers of each peer for partials; 0 for as many as a real one would have."""
    residuals: bool = False
    drivers: Mapping[int, type[Driver]] = field(default_factory=dict[int, "type[Driver]"])
    """Peers that run something else than the honest driver. Not in the text, nor is what follows."""
    stay: frozenset[int] = frozenset()
    """Peers that stay after the run's end."""
    early_stopping: EarlyStopping | None = None

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}",
            f"peers {self.peers}",
            *([f"late {' '.join(f'{at:.3f}' for at in self.late)}"] if self.late else []),
            f"rounds {self.rounds}",
            f"values {self.values}",
            *([f"scratch {self.scratch}"] if self.scratch else []),
            f"strategy {self.strategy}",
            f"tiers {self.tiers}",
            *([f"min_contributors {self.min_contributors}"] if self.min_contributors else []),
            f"samples {' '.join(map(str, self.samples))}",
            *(f"not_finite peer-{i} {' '.join(map(str, sorted(rounds)))}" for i, rounds in enumerate(self.bad_rounds) if rounds),
            *([f"straggler peer-{self.straggler}"] if self.straggler >= 0 else []),
            *([f"loss {self.loss:g}"] if self.loss else []),
            *(["residuals on"] if self.residuals else []),
            *(f"at {at:.3f} say {wish}" for at, wish in self.wishes),
            *str(self.faults).splitlines(),
        ]
        return "\n".join(lines)

    @classmethod
    def parse(cls, text: str) -> Scenario:
        """Read what `str` wrote; empty lines and those that start with # are skipped. Raises `ConfigError` with the line."""
        words: dict[str, list[str]] = {}
        bad: dict[int, frozenset[int]] = {}
        faults: list[Fault] = []
        wishes: list[tuple[float, str]] = []
        for line in (line.strip() for line in text.splitlines()):
            if not line or line[0] == "#":
                continue
            try:
                first, *rest = line.split()
                if first in ("at", "before", "after"):
                    if rest[1:2] == ["say"]:
                        wishes.append((float(rest[0]), " ".join(rest[2:])))
                    else:
                        faults.append(Fault.parse(line))
                elif first == "not_finite":
                    bad[_number(rest[0])] = frozenset(map(int, rest[1:]))
                elif first in _WORDS and first not in words and rest:
                    words[first] = rest
                else:
                    raise ValueError(f"expected one of {', '.join(_WORDS)}, not_finite, at, before, after; each of the first kind once")
            except (ValueError, IndexError) as error:
                raise ConfigError(f"line {line!r} of a scenario: {error}") from error
        try:
            return cls._of(words, bad, tuple(faults), tuple(wishes))
        except (ValueError, KeyError, PyflError) as error:
            raise ConfigError(f"the scenario cannot be played: {error}; `pyfl simulate --seeds 1..1` prints one that can") from error

    @classmethod
    def _of(
        cls, words: dict[str, list[str]], bad: dict[int, frozenset[int]], faults: tuple[Fault, ...], wishes: tuple[tuple[float, str], ...]
    ) -> Scenario:
        def one(name: str, default: str = "") -> str:
            return words.get(name, [default])[0]

        peers = int(one("peers"))
        scenario = cls(
            seed=int(one("seed")), peers=peers, late=tuple(map(float, words.get("late", []))),
            strategy=parse_strategy(one("strategy", "fedavg")), tiers=parse_tiers(one("tiers", "rotated:4")),
            min_contributors=int(one("min_contributors", "0")), samples=tuple(map(int, words.get("samples", ["1"] * peers))),
            bad_rounds=tuple(bad.pop(i, frozenset()) for i in range(peers)),
            straggler=_number(one("straggler")) if "straggler" in words else -1, loss=float(one("loss", "0")),
            faults=FaultPlan(faults), wishes=wishes, rounds=int(one("rounds", "6")), values=int(one("values", "400")),
            scratch=int(one("scratch", "0")), residuals={"on": True, "off": False}[one("residuals", "off")],
        )  # fmt: skip
        scenario.check(bad)
        return scenario

    def check(self, strangers: Mapping[int, object]) -> None:
        """Raise ValueError unless all is within bounds and names peers of this run."""
        if not 1 <= self.peers <= MOST_PEERS or not 0 <= len(self.late) < self.peers or len(self.samples) != self.peers:
            raise ValueError(f"expected 1 to {MOST_PEERS} peers, samples for each, and fewer that are late")
        if not 1 <= self.rounds <= MOST_ROUNDS or not STRIDE <= self.values <= MOST_VALUES or self.scratch < 0:
            raise ValueError(f"expected 1 to {MOST_ROUNDS} rounds, {STRIDE} to {MOST_VALUES} values, scratch of 0 or more")
        if not 0.0 <= self.loss < 1.0 or min(self.samples) < 1:
            raise ValueError("expected a loss from 0 to below 1 and samples of 1 or more")
        present = {f"peer-{i}" for i in range(self.peers - len(self.late))}
        named = {name for f in self.faults.faults for name in (*f.peers, *(n for group in f.groups for n in group))}
        named |= {f.trigger.peer for f in self.faults.faults if f.trigger}
        unknown = sorted(named - present - {LEADER, IT, ANYONE}) + [f"peer-{i}" for i in strangers]
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is not there from the beginning; there are {', '.join(sorted(present))}")

    def trainer(self, index: int) -> Probe:
        """Peer `index`'s trainer."""
        return Probe(index, self.samples[index], self.bad_rounds[index], self.values)


_WORDS = (
    "seed", "peers", "late", "rounds", "values", "scratch", "strategy", "tiers", "min_contributors", "samples", "straggler", "loss",
    "residuals",
)  # fmt: skip


def _number(name: str) -> int:
    prefix, _, number = name.partition("-")
    if prefix != "peer" or not number.isdigit():
        raise ValueError(f"{name!r} is no peer; expected peer-0, peer-1, ...")
    return int(number)
