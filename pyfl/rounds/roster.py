"""Whom the coordinator can count on: the latest report of every peer, and who is lost to the present round.

Gossip alone removes nobody: a suspicion needs silence as well. A report from a new instance of a peer is the death of the old one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pyfl.rounds.messages import Held, Ready, Report, Score
from pyfl.rounds.records import Deadlines
from pyfl.rounds.view import View

__all__ = ["Roster"]

LATELY_S = 3.0  # three reports


@dataclass(slots=True)
class Roster:
    """Mutable; lives as long as one leadership."""

    view: View
    reports: dict[str, Report] = field(default_factory=dict[str, Report])
    heard: dict[str, float] = field(default_factory=dict[str, float])
    moved: dict[str, float] = field(default_factory=dict[str, float])
    suspected: dict[str, float] = field(default_factory=dict[str, float])
    lost: dict[str, str] = field(default_factory=dict[str, str])

    def begin(self) -> None:
        """A leadership begins: silence counts from now, or from when membership gave a peer up, which may be what the election came of."""
        self.reports.clear()
        self.lost.clear()
        self.moved = dict.fromkeys(self.view.peers, self.view.now)
        self.heard = self.moved | self.suspected

    def take(self, peer: str, report: Report) -> None:
        """A report came in."""
        before = self.reports.get(peer)
        if before and before.instance != report.instance:
            self.lose(peer, "it restarted")
        if before is None or before.progress != report.progress or before.epoch != report.epoch or before.held != report.held:
            self.moved[peer] = self.view.now
        self.reports[peer] = report
        self.heard[peer] = self.view.now
        self.suspected.pop(peer, None)

    def lose(self, peer: str, why: str) -> None:
        """A peer is lost to this round. Others may have stood still because of it: they are given time anew."""
        if peer not in self.lost:
            self.lost[peer] = why
            self.moved = dict.fromkeys(self.moved, self.view.now)

    def arrive(self, peer: str) -> None:
        """Membership sees a peer (again)."""
        self.suspected.pop(peer, None)
        self.heard.setdefault(peer, self.view.now)
        self.moved.setdefault(peer, self.view.now)

    def depart(self, peer: str, reason: str, *, confirmed: bool) -> None:
        """Membership lost a peer."""
        if confirmed:
            self.lose(peer, "it left" if reason == "left" else "its process ended")
            self.reports.pop(peer, None)
            self.suspected.pop(peer, None)
        else:
            self.suspected.setdefault(peer, self.view.now)

    def survey(self, expected: set[str], deadlines: Deadlines, *, reducing: bool) -> None:
        """Give up on those who have been silent, or have stood still, for too long."""
        now = self.view.now
        for peer in sorted(expected - {self.view.me} - self.lost.keys()):
            silent = now - self.heard.setdefault(peer, now)
            if peer in self.suspected and silent > deadlines.suspect_s:
                self.lose(peer, f"membership gave it up and it was silent for {silent:.1f} s")
            elif silent > deadlines.progress_s:
                self.lose(peer, f"it was silent for {silent:.1f} s")
            elif reducing and not self.held(peer) and now - self.moved.setdefault(peer, now) > deadlines.progress_s:
                self.lose(peer, f"it made no progress for {now - self.moved[peer]:.1f} s")

    def survey_fetching(self, peers: set[str], deadlines: Deadlines) -> None:
        """Give up on all whose fetching has stood still for too long: none of them stands still because of another."""
        now, moved = self.view.now, self.moved  # each loss begins another `moved`
        for peer in sorted(peers - {self.view.me} - self.lost.keys()):
            if now - moved[peer] > deadlines.progress_s:
                self.lose(peer, f"its fetching of the model made no progress for {now - moved[peer]:.1f} s")

    def given_up(self, peers: set[str], deadlines: Deadlines, *, reducing: bool) -> list[tuple[float, str]]:
        """When `survey` gives these up if they go on as they do: (seconds left, in words)."""
        now = self.view.now
        rules: list[tuple[float, str]] = []
        for peer in sorted(peers - {self.view.me} - self.lost.keys()):
            silent = now - self.heard.get(peer, now)
            if peer in self.suspected:
                rules.append((deadlines.suspect_s - silent, f"{peer}, which is silent, is given up"))
            elif silent > LATELY_S:
                rules.append((deadlines.progress_s - silent, f"{peer}, which is silent, is given up"))
            elif reducing and not self.held(peer):
                stood = now - self.moved.get(peer, now)
                rules.append((deadlines.progress_s - stood, f"{peer} is given up, if it has made no progress"))
        return rules

    def here(self) -> set[str]:
        """Peers heard of lately, lost to this round or not, with this peer: they can hold a result."""
        recent = {p for p, since in self.heard.items() if self.view.now - since < LATELY_S and p in self.view.peers}
        return recent - set(self.view.control.kicked) | {self.view.me}

    def forgive(self) -> None:
        """A round opens: whoever is here counts again."""
        here = self.here()
        self.lost = {p: why for p, why in self.lost.items() if p not in here}
        self.moved = dict.fromkeys(self.moved, self.view.now)

    def alive(self) -> set[str]:
        """Live members that are not lost, with this peer."""
        return {p for p in self.view.peers if p not in self.lost and p not in self.view.control.kicked} | {self.view.me}

    def have(self, peer: str) -> int:
        """The newest committed round that a peer says it holds; -3 when it never said."""
        report = self.reports.get(peer)
        return report.have if report else -3

    def fetching(self, number: int) -> set[str]:
        """The live peers that lack this round's model and fetch: they say so, or held the newest until now, so that they begin to."""
        behind = {p: report for p, report in self.reports.items() if report.have < number}
        return {p for p in self.alive() & behind.keys() if behind[p].progress or behind[p].have == number - 1}

    def ready(self, peer: str) -> Ready | None:
        """A peer's update for the present round."""
        report, record = self.reports.get(peer), self.view.round
        ready = report.ready if report else None
        return ready if ready and record and ready.round == record.number else None

    def held(self, peer: str) -> Held | None:
        """A peer's result for the present (round, epoch)."""
        report, record = self.reports.get(peer), self.view.round
        held = report.held if report else None
        return held if held and record and (held.round, held.epoch) == (record.number, record.epoch) else None

    def score(self, peer: str) -> Score | None:
        """A peer's score of the present result."""
        report, record = self.reports.get(peer), self.view.round
        score = report.score if report else None
        return score if score and record and (score.round, score.epoch) == (record.number, record.epoch) else None
