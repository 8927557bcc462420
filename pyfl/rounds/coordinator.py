"""A machine's coordinator role: whoever leads the committee turns reports into the next round record.

Level-triggered: after every input `consider` looks at the record and the roster and writes at most one compare-and-set. It holds
nothing that the ledger or the members' reports cannot give its successor.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pyfl import events
from pyfl.overlay.protocol import Write
from pyfl.rounds import drafts
from pyfl.rounds.accusations import Accusations, worst
from pyfl.rounds.actions import Action, Barrier, Observe, Propose
from pyfl.rounds.arrivals import Arrivals
from pyfl.rounds.deadlines import Pace, bounded
from pyfl.rounds.early_stopping import enough
from pyfl.rounds.history import HISTORY
from pyfl.rounds.kept import UNFINISHED, covers
from pyfl.rounds.messages import Accuse, Held, Report
from pyfl.rounds.records import CONTROL, NOTHING, PREPARATION, ROUND, RUN, RoundRecord, RunRecord
from pyfl.rounds.roster import Roster
from pyfl.rounds.view import View
from pyfl.rounds.waits import Wait, first_of

__all__ = ["Coordinator", "committee_size", "hopeless"]

ELECTION_GRACE_S = 2.5  # after an election members' reports arrive within a second; nobody's result is discarded before that
VOIDS_TO_STOP = 3
LEAST_SCORING_S = 5.0
USELESS = 0.7  # of the progress deadline: holders are doubted before those who fetch from them
_NO_PHASE = (NOTHING, 0, "")


def committee_size(peers: int) -> int:
    """How many voters a swarm of so many peers wants."""
    return 1 if peers <= 2 else 3 if peers <= 4 else 5


def hopeless(record: RoundRecord) -> bool:
    """Nothing can come of the run any more: too many void rounds in a row, or no statistics to begin with."""
    return record.voids >= VOIDS_TO_STOP or (record.void and record.number == PREPARATION)


class Coordinator:
    """Dormant unless this peer leads the committee."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.roster = Roster(view)
        self._active = self._remembers = False
        self._since = 0.0
        self._requests = 0
        self._barrier = 0
        self._writing = 0
        self._written: dict[str, int] = {}
        self._phase = _NO_PHASE
        self._phase_since = 0.0
        self._pace = Pace()
        self._arrivals = Arrivals()
        self._majority_since: float | None = None
        self._held_since: float | None = None
        self._accusations = Accusations(self.roster)
        self._mismatches = 0
        self._finishing: float | None = None
        self._sharing: tuple[tuple[str, ...], float] = ((), 0.0)
        self._told: set[tuple[str, int, int]] = set()
        """Removals that were told; a write that fails is drafted again."""

    # ---- leadership

    def lead(self) -> list[Action]:
        """The committee elected this peer: first a barrier, so that every committed record is known."""
        self._active, self._remembers, self._since = False, False, self._view.now
        self._writing, self._finishing, self._arrivals = 0, None, Arrivals()
        self._phase = _NO_PHASE  # whichever it is, it gets its whole time again
        self._written.clear()
        self.roster.begin()
        return self._await_barrier()

    @property
    def active(self) -> bool:
        """The barrier has passed: every committed record is known here, and this peer may write."""
        return self._active

    def step_down(self) -> None:
        """Another peer leads."""
        self._active, self._barrier, self._writing = False, 0, 0

    def _await_barrier(self) -> list[Action]:
        self._requests += 1
        self._barrier = self._requests
        return [Barrier(self._barrier)]

    def barrier_done(self, name: int, *, ok: bool) -> list[Action]:
        """The barrier ended; if it failed and this peer still leads, another is tried."""
        if name != self._barrier or not self._view.leading:
            return []
        self._barrier = 0
        self._active = ok
        if ok and not self._remembers:
            self._remembers, self._pace = True, Pace(self._view.history)
        return self.consider()

    def tick(self) -> list[Action]:
        """A barrier that failed is tried again while this peer still leads, four times a second and not faster."""
        return self._await_barrier() if self._view.leading and not self._active and not self._barrier else []

    def write_done(self, name: int, *, ok: bool) -> list[Action]:
        """A compare-and-set ended."""
        if name != self._writing or not self._view.leading:
            return []
        self._writing = 0
        if not ok:  # it may have been committed all the same: `tick` asks for a barrier, which settles what the records are
            self._written.clear()
            self._active = False
        return self.consider()

    def _write(self, *changes: tuple[str, msgspec.Struct]) -> list[Action]:
        self._requests += 1
        self._writing = self._requests
        versions = self._view.versions
        writes = tuple(Write(key, versions.get(key, 0), msgspec.msgpack.encode(value)) for key, value in changes)
        self._written = {key: versions.get(key, 0) + 1 for key, _ in changes}
        return [Propose(self._writing, writes)]

    def wait(self) -> Wait:
        """Whom the present phase waits for, by name, and the first rule that ends it; nothing when it waits for nobody."""
        run, record, roster = self._view.run, self._view.round, self.roster
        if run is None or record is None or record.number == run.first or (record.number, record.epoch, record.phase) != self._phase:
            return Wait()
        if record.phase == "committed":
            return self._wait_for_the_last(run, record)
        expected = roster.alive() & set(record.expected)
        if record.phase == "train":
            missing = {p for p in expected if roster.ready(p) is None}
            what = f"round {record.number}'s update from {', '.join(sorted(missing))}"
            rules = [(run.training_s(record) - self._elapsed, self._when_late(record))]
            rules += roster.given_up(missing & self._arriving(record), run.deadlines, reducing=True)
        else:
            missing = {p for p in expected if roster.held(p) is None}
            what = f"round {record.number}'s result to be held by {', '.join(sorted(missing))}"
            rules = [(self._pace.reduce_s(run.deadlines) - self._elapsed, "the slowest is given up")]
            if self._majority_since is not None:
                since = self._view.now - self._majority_since
                rules = [(self._grace(run, record) - since, "the round is committed without them")]
        rules += roster.given_up(missing, run.deadlines, reducing=record.phase == "reduce" and self._settled())
        return first_of(what, rules) if missing else Wait()

    def _wait_for_the_last(self, run: RunRecord, record: RoundRecord) -> Wait:
        behind = sorted(p for p in self.roster.alive() if self.roster.have(p) < record.number)
        if self._finishing is None or not behind or self._view.control.state == "finished":
            return Wait()
        left = run.deadlines.finish_s - (self._view.now - self._finishing)
        what = f"round {record.number}'s model to be held by {', '.join(behind)}"
        return first_of(what, [(left, "the run ends without them")])

    def _when_late(self, record: RoundRecord) -> str:
        """What the end of the training's time brings, as things stand."""
        ready = [r for p in self.roster.alive() | self.roster.here() if (r := self.roster.ready(p)) is not None]
        enough = max(1, record.min_contributors)
        if sum(r.finite for r in ready) >= enough:
            return "the round closes without them"
        return "the round is void" if len(ready) >= enough else "the round is opened again for whoever is here"

    # ---- what members say

    def report(self, peer: str, report: Report) -> None:
        """A member's state."""
        self.roster.take(peer, report)

    def accuse(self, peer: str, accuse: Accuse) -> None:
        """A member could not exchange a segment with another."""
        record = self._view.round
        if record and (accuse.round, accuse.epoch) == (record.number, record.epoch) and record.phase == "reduce":
            self._accusations.add(peer, accuse.peer)

    # ---- decisions

    def consider(self) -> list[Action]:
        """The next write, if the records and reports call for one."""
        view = self._view
        if not self._active or self._writing or not view.leading or view.run is None:
            return []
        if any(view.versions.get(key, 0) < version for key, version in self._written.items()):
            return []  # our own write has not come back as a record yet
        record = view.round
        if record is None:
            first = RoundRecord(view.run.first, 1, "reduce", model=view.run.model, state=view.run.state)
            return self._write((ROUND, first))
        if (record.number, record.epoch, record.phase) != self._phase:
            self._enter(record)
        if record.phase == "committed":
            return self._after_commit(view.run, record)
        if record.number == view.run.first:
            return self._commit_first(view.run, record)
        if record.phase == "train":
            return self._end_training(view.run, record)
        return self._end_reduce(view.run, record)

    def found(self, run: RunRecord) -> list[Action]:
        """This peer founded the swarm and knows what it is to train."""
        if not self._active or self._writing or self._view.run is not None:
            return []
        return self._write((RUN, run))

    def _enter(self, record: RoundRecord) -> None:
        if record.number != self._phase[0]:
            self._mismatches = 0
            self._told.clear()
        self._phase = (record.number, record.epoch, record.phase)
        self._phase_since = self._view.now
        self._majority_since = self._held_since = None
        self._accusations.clear()
        self.roster.moved = dict.fromkeys(self.roster.moved, self._view.now)

    @property
    def _elapsed(self) -> float:
        return self._view.now - self._phase_since

    def _settled(self) -> bool:
        """Every live peer has reported to this coordinator, or had the time to."""
        silent = self.roster.alive() - self.roster.reports.keys()
        return not silent or self._view.now - self._since > ELECTION_GRACE_S

    def _commit_first(self, run: RunRecord, record: RoundRecord) -> list[Action]:
        self.roster.forgive()
        alive = self.roster.alive()
        holders = {p for p in alive if self.roster.have(p) >= run.first}
        wanted = run.voters or committee_size(len(holders))
        voters = set(self._view.voters)
        if len(holders) < run.min_peers or len(voters) < wanted or len(voters & holders) < drafts.majority(len(voters)):
            return []
        held = Held(run.first, record.epoch, run.model, record.state)
        return self._commit(drafts.commit(record, held, sorted(holders), [], 0.0))

    def _commit(self, record: RoundRecord) -> list[Action]:
        if record.number < PREPARATION:  # nothing has happened yet that a history would tell
            return self._write((ROUND, record))
        rule = self._view.run.early_stopping if self._view.run else None
        history = self._view.history.after(drafts.committed_entry(record), rule)
        return self._write((ROUND, record), (HISTORY, history))

    def _after_commit(self, run: RunRecord, record: RoundRecord) -> list[Action]:
        view, control = self._view, self._view.control
        if control.state == "finished":
            return []
        if record.number >= run.rounds or control.state == "stopping":
            return self._finish(record, f"round {record.number} was the last")
        if hopeless(record):
            why = f"{record.voids} rounds in a row, up to {record.number}, had no usable result"
            if record.number == PREPARATION:
                why = "the peers could not agree on the statistics that the run begins with; do all run the same build?"
            return self._write((CONTROL, msgspec.structs.replace(control, state="finished", why=why)))
        early = enough(view.history.best, run.early_stopping)
        if early:
            return self._finish(record, early)
        if control.state == "paused" or not self._settled():
            return []
        self.roster.forgive()
        alive = self.roster.alive()
        current = {p for p in alive if self.roster.have(p) == record.number}
        completing = alive & {*(m.peer for m in record.members), *record.expected}
        sure = current | completing
        if len(current) < (run.min_contributors or 1):
            return []
        arriving = self._arrivals.expected(self.roster, record.number) - sure
        self._arrivals.opened(alive - current, arriving)
        return self._write((ROUND, drafts.open_round(run, record, sure, arriving, self._pace.training_s(run.deadlines))))

    def _finish(self, record: RoundRecord, why: str) -> list[Action]:
        """After the last commit everyone expected is given time to hold it."""
        limits = (self._view.run or _impossible()).deadlines
        self._finishing = self._finishing if self._finishing is not None else self._view.now
        behind = [p for p in self.roster.alive() if self.roster.have(p) < record.number]
        if behind and self._view.now - self._finishing < limits.finish_s:
            if self._settled():
                self.roster.survey(set(behind), limits, reducing=False)
            return []
        control = self._view.control
        stopped = control.state == "stopping"
        if stopped:
            why = f"the run was stopped after round {record.number}" if record.number >= 0 else "the run was stopped before round 1"
        return self._write((CONTROL, msgspec.structs.replace(control, state="finished", why=why, stopped=stopped)))

    # ---- train

    def _end_training(self, run: RunRecord, record: RoundRecord) -> list[Action]:
        roster, limits = self.roster, run.deadlines
        if self._settled():
            roster.survey(set(record.expected), limits, reducing=False)
            roster.survey_fetching(self._arriving(record), limits)
        alive = roster.alive()
        # whoever was given up and speaks again is not waited for, and counts if it is ready
        ready = {p: r for p in alive | roster.here() if (r := roster.ready(p)) is not None}
        able = {p: r for p, r in ready.items() if r.finite}
        expected = alive & set(record.expected)
        enough = max(1, record.min_contributors)
        late = self._elapsed >= run.training_s(record)
        if not self._settled():
            return []
        if expected <= ready.keys() or late:
            if len(able) >= enough:
                return self._close(record, able)
            if len(ready) >= enough:
                return self._commit(drafts.void(record))
        if late or len(expected | ready.keys()) < enough:
            return self._reopen(run, record)
        return []

    def _arriving(self, record: RoundRecord) -> set[str]:
        """Those that this round waits for though they still fetch its model: they must get on with it."""
        return self._arrivals.awaited.keys() & self.roster.fetching(record.number - 1) & set(record.expected)

    def _close(self, record: RoundRecord, able: dict[str, drafts.Ready]) -> list[Action]:
        view = self._view
        self.roster.forgive()
        receivers = {p for p in self.roster.alive() - able.keys() if self.roster.have(p) == record.number - 1}
        sites = {p: info.labels.get("site", "") for p, info in view.peers.items()}
        late = [self._elapsed] * len(receivers & set(record.expected))
        self._pace.trained(record.number, [*(ready.train_s for ready in able.values()), *late])
        return self._write((ROUND, drafts.close_training(record, able, receivers, sites, self._elapsed)))

    def _reopen(self, run: RunRecord, record: RoundRecord) -> list[Action]:
        """Too few are left or in time: whoever lives now is expected. While an explicit minimum cannot be met, wait."""
        self.roster.forgive()
        expected = {p for p in self.roster.alive() if self.roster.have(p) == record.number - 1}
        if len(expected) < max(1, run.min_contributors):
            return []
        limits = run.deadlines
        self._pace.trained(record.number, [self._elapsed])
        deadline = bounded(2 * self._elapsed, limits.train_floor_s, limits.train_ceiling_s)
        return self._write((ROUND, drafts.reopen(run, record, expected, deadline)))

    # ---- reduce

    def _end_reduce(self, run: RunRecord, record: RoundRecord) -> list[Action]:
        roster, limits = self.roster, run.deadlines
        members = {m.peer for m in record.members}
        if self._settled():
            roster.survey(members | set(record.expected), limits, reducing=True)
        self._remove_slowest(members, run)
        alive, here = roster.alive(), roster.here()
        able = members | set(record.expected)
        held = {p: h for p in (alive | here) & able if (h := roster.held(p)) is not None}
        expected = (alive | held.keys()) & set(record.expected)
        best, holders = _largest_agreement(held)
        if best and not best.finite and len(holders & expected) >= drafts.majority(len(expected)):
            return self._restart(run, record, members - alive, set()) if record.kept else self._commit(drafts.void(record))
        voters = set(self._view.voters)
        if best and len(holders & expected) >= drafts.majority(len(expected)) and len(holders & voters) >= drafts.majority(len(voters)):
            return self._commit_when_all_hold(run, record, best, holders, expected)
        self._majority_since = self._held_since = None
        if not self._settled():
            return []
        useless = self._useless_holders(record, held, expected)
        dead = (members - alive) | self._forgetful(record) | useless
        if useless or (best and not best.finite):  # what nobody can fetch, or must not spread, is as good as not held
            best = None
        lacking = (voters & here) - holders
        late_voters = lacking - set(record.expected) if expected <= held.keys() else set[str]()
        if best and (dead & set(record.expected) or late_voters):
            wanted = expected | lacking
            if not record.holders or wanted != set(record.expected):
                return [*self._removals(record, dead), *self._write((ROUND, drafts.share_result(record, wanted, sorted(holders), best)))]
        if not best and dead:
            return self._restart(run, record, dead, set(), self._finished(record))
        if expected <= held.keys() and len(holders & expected) < drafts.majority(len(expected)):
            self._mismatches += 1  # everyone finished, and they do not agree
            if self._mismatches > 1:
                return self._commit(drafts.void(record))
            return self._restart(run, record, dead, set())  # nothing is kept of what does not agree
        broken = self._accusations.broken({m.peer: m.slot for m in record.members}, alive)
        if broken and best and not record.holders:
            return self._write((ROUND, drafts.share_result(record, expected, sorted(holders), best)))
        return self._reroute(run, record, broken) if broken and not best else []

    def _forgetful(self, record: RoundRecord) -> set[str]:
        """Members that restarted after they announced their update or finished what is kept: they say that they have it not.

        This peer may be one.
        """
        kept = dict(record.kept) if not record.holders else {}
        found: set[str] = set()
        for member in record.members:
            report = self._present(record, member.peer)
            if report is None or self.roster.held(member.peer) is not None:
                continue
            if (member.samples and self.roster.ready(member.peer) is None) or not covers(report.finished, kept.get(member.slot, b"")):
                found.add(member.peer)
        return found

    def _present(self, record: RoundRecord, peer: str) -> Report | None:
        """A peer's report, if it has seen this epoch."""
        report = self.roster.reports.get(peer)
        return report if report and (report.round, report.epoch) == (record.number, record.epoch) else None

    def _finished(self, record: RoundRecord) -> dict[str, bytes]:
        """What members say that they have finished. Nothing once results are shared: whoever fetches writes over what it had."""
        members = () if record.holders else record.members
        return {m.peer: report.finished for m in members if (report := self._present(record, m.peer))}

    def _useless_holders(self, record: RoundRecord, held: dict[str, Held], expected: set[str]) -> set[str]:
        """Those who say that they hold the result, if for long nobody else can fetch a segment of it."""
        now, roster = self._view.now, self.roster
        if record.holders != self._sharing[0]:
            self._sharing = (record.holders, now)
        holders = set(record.holders)
        pullers = expected - held.keys()
        patience = USELESS * (self._view.run or _impossible()).deadlines.progress_s
        moved = max([self._sharing[1], *(roster.moved.get(p, 0.0) for p in pullers)])
        if not holders or not pullers or held.keys() - holders or self._view.me in holders or now - moved < patience:
            return set()
        for peer in holders:
            roster.lose(peer, f"nobody could fetch the result from it for {now - moved:.1f} s")
        return holders

    def _commit_when_all_hold(self, run: RunRecord, record: RoundRecord, best: Held, holders: set[str], expected: set[str]) -> list[Action]:
        now = self._view.now
        self._majority_since = now if self._majority_since is None else self._majority_since
        if not expected <= holders and now - self._majority_since < self._grace(run, record):
            return []
        self._held_since = now if self._held_since is None else self._held_since
        reduce_s = self._held_since - self._phase_since
        # Scoring is the trainers' work and comes before their next training anyway, so as long as that is waited for it.
        unscored = {p for p in holders & self.roster.alive() if (h := self.roster.held(p)) and h.scores and not self.roster.score(p)}
        if unscored and now - self._held_since < max(LEAST_SCORING_S, record.train_s):
            return []
        scores = [s for p in holders if (s := self.roster.score(p)) is not None]
        self._pace.reduced(record.number, reduce_s)
        return self._commit(drafts.commit(record, best, sorted(holders), scores, reduce_s))

    def _grace(self, run: RunRecord, record: RoundRecord) -> float:
        return max(run.deadlines.commit_grace_s, 0.25 * (record.train_s + self._elapsed))

    def _remove_slowest(self, members: set[str], run: RunRecord) -> None:
        deadline = self._pace.reduce_s(run.deadlines)
        if self._elapsed < deadline:
            return
        unfinished = [p for p in members & self.roster.alive() - {self._view.me} if not self.roster.held(p)]
        if unfinished:
            slowest = min(unfinished, key=lambda p: (self.roster.reports[p].progress if p in self.roster.reports else -1, p))
            self.roster.lose(slowest, f"the reduce took longer than {deadline:.0f} s and it was the furthest behind")

    def _removals(self, record: RoundRecord, dead: set[str]) -> list[Action]:
        gone = sorted(p for p in dead & set(record.expected) if (p, record.number, record.epoch) not in self._told)
        self._told.update((p, record.number, record.epoch) for p in gone)
        return [Observe(events.PeerRemoved(p, record.number, self.roster.lost.get(p, "it is gone"))) for p in gone]

    def _restart(
        self,
        run: RunRecord,
        record: RoundRecord,
        dead: set[str],
        avoid: set[tuple[int, int]],
        finished: Mapping[str, bytes] = UNFINISHED,
    ) -> list[Action]:
        remaining = [m for m in record.members if m.peer not in dead and m.samples]
        seen = self._removals(record, dead)
        if len(remaining) < max(1, record.min_contributors):
            return [*seen, *self._reopen(run, record)]
        return [*seen, *self._write((ROUND, drafts.restart(record, dead, avoid, finished)))]

    def _reroute(self, run: RunRecord, record: RoundRecord, broken: set[tuple[int, int]]) -> list[Action]:
        """A broken link between two peers that both live is avoided; whoever has most of two or more such links is removed."""
        links = {*record.avoid, *broken}
        slot = worst(links)
        peer = next((m.peer for m in record.members if m.slot == slot), self._view.me)
        dead: set[str] = set()
        if peer != self._view.me:
            self.roster.lose(peer, f"{sum(slot in link for link in links)} of its links broke in one round")
            dead = {peer}
        return self._restart(run, record, dead, broken, self._finished(record))


def _largest_agreement(held: dict[str, Held]) -> tuple[Held | None, set[str]]:
    groups: dict[tuple[str, str], set[str]] = {}
    for peer, result in held.items():
        # the digests of results that are not finite need not agree: a NaN has many forms
        groups.setdefault((result.model, result.state) if result.finite else ("", ""), set()).add(peer)
    if not groups:
        return None, set()
    holders = max(groups.values(), key=lambda peers: (len(peers), sorted(peers)))
    return held[min(holders)], holders


def _impossible() -> RunRecord:
    raise AssertionError("a round without a run")
