"""Beat as a few lines of Python, and hypothesis comparing the file with it after every step.

Two beats plan and fire when they like, one may die before any commit; the clock goes either way,
people pause, edit and run by hand, code is deployed, runs begin and end.  Moments are whole
seconds, so that a tick is known by its moment, as it is by its key.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from litequeue.entry import Firing
from litequeue.job import Lease
from litequeue.schedules import Tick
from litequeue.store import Database, entries, firing, gaps, ticks
from litequeue.store.firing import Fired
from tests.store.beat_steps import every, line, new_id, planned, replan
from tests.store.machine import _empty_queue
from tests.store.steps import KEEP, NOW, claim, enlist, problems, step, success

PEOPLES, CODES = ("p0", "p1"), ("c0", "c1")
OWNER = "tasks:app"
KEPT, FORGET_EVERY = 3, 2
"""As few as these are kept here, so that a walk forgets some."""
DEATHS = st.sampled_from([0, 0, 0, 1, 2])
"""Before which commit a beat dies, 0 for none."""
OVERLAPS = st.sampled_from(["allow", "skip", "queue", "queue", "cancel", "cancel"])
SECONDS = st.sampled_from([5, 7, 10])
NAMES = st.sampled_from([*PEOPLES, *CODES])
BEATS = st.sampled_from([0, 1])


ENTRIES = """
SELECT name, owner, overlap, paused IS NOT NULL, anchor, planned, next_at, held_at, last_at,
       last_job, count
FROM litequeue_entry
"""
TICKS = """
SELECT entry.name, tick.at, tick.job, tick.note
FROM litequeue_tick AS tick LEFT JOIN litequeue_entry AS entry ON entry.id = tick.entry
ORDER BY tick.entry, tick.number
"""
ALIVE = "SELECT id FROM litequeue_job WHERE phase <> 'done'"


class Died(Exception):
    """A process was killed before its commit."""


class Mortal(Database):
    """A file whose process may die before its commit number ``left``."""

    left = 0

    def commit(self, connection: Any, rows: int) -> None:
        self.left -= 1
        if self.left == 0:
            self.rollback(connection)
            raise Died
        super().commit(connection, rows)


@dataclass
class Row:
    """What the model believes of a tick."""

    number: int
    at: float
    job: str | None
    note: str | None


@dataclass
class Expected:
    """What the model believes of an entry."""

    seconds: int
    overlap: str
    owner: str | None
    anchor: float
    planned: float
    next: float | None = None
    version: int = 1
    paused: bool = False
    held: float | None = None
    last: float | None = None
    last_job: str | None = None
    count: int = 0
    forgotten: str | None = None
    created: float = 0.0
    rows: list[Row] = field(default_factory=list)
    full: bool = False

    def first(self, moment: float) -> float:
        """Return the first tick after a moment."""
        return self.anchor + self.seconds * ((moment - self.anchor) // self.seconds + 1)

    def begin_anew(self, now: float) -> None:
        self.anchor = self.planned = now
        self.next = self.first(now)

    def tick(self, at: float) -> Row | None:
        return next((row for row in self.rows if row.at == at and row.note != "manual"), None)

    def visible(self) -> tuple[Any, ...]:
        return (
            self.owner, self.overlap, self.paused, self.anchor, self.planned, self.next, self.held,
            self.last, self.last_job, self.count,
            [(row.at, row.job, row.note) for row in self.rows],
        )  # fmt: skip


@dataclass
class Plan:
    """What a beat is about to do, and what the model knows of the entry's version."""

    name: str
    version: int
    firing: Firing


class BeatMachine(RuleBasedStateMachine):
    """Two beats, a worker, people, deploys, and a clock that anybody may set."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="litequeue-beats-"))
        self.path = self.directory / "jobs.sqlite"
        self.path.write_bytes(_empty_queue())
        few: dict[str, Any] = {
            name: getattr(firing, name).replace(f"- {firing.KEPT_TICKS}", f"- {KEPT}")
            for name in ("PRUNE", "PRUNE_ENDED")
        }
        self.patch = mock.patch.multiple(firing, **few, FORGET_EVERY=FORGET_EVERY)
        self.patch.start()
        self.beats = [Mortal(self.path, create=True, durability="process") for _ in range(2)]
        enlist(self.beats[0], 1)
        self.eyes = sqlite3.connect(self.path, isolation_level=None)
        self.now = NOW
        self.entries: dict[str, Expected] = {}
        self.plans: list[list[Plan]] = [[], []]
        self.unfinished: dict[str, str] = {}
        """Jobs that have not ended, and the entry of each."""
        self.leases: dict[str, Lease] = {}

    def teardown(self) -> None:
        try:
            self.eyes.close()
            for beat in self.beats:
                beat.close()
            assert problems(self.path) == []
        finally:
            self.patch.stop()
            shutil.rmtree(self.directory)

    # People and code

    @initialize(overlap=OVERLAPS, seconds=SECONDS)
    def begin(self, overlap: str, seconds: int) -> None:
        self.add("p0", overlap, seconds)
        self.deploy(["c0"], overlap, 5)

    @precondition(lambda self: not set(PEOPLES) <= set(self.entries))
    @rule(name=st.sampled_from(PEOPLES), overlap=OVERLAPS, seconds=SECONDS)
    def add(self, name: str, overlap: str, seconds: int) -> None:
        if name not in self.entries:
            entries.add(self.beats[0], self._line(name, overlap, seconds), self.now)
            self._expect(name, overlap, seconds, None)

    @rule(names=st.sets(st.sampled_from(CODES)).map(sorted), overlap=OVERLAPS, seconds=SECONDS)
    def deploy(self, names: list[str], overlap: str, seconds: int) -> None:
        defined = [self._line(name, overlap, seconds) for name in names]
        done = entries.reconcile(self.beats[1], OWNER, defined, self.now)
        old = {name for name, entry in self.entries.items() if entry.owner == OWNER}
        assert set(done.added) == set(names) - old
        assert set(done.removed) == old - set(names)
        changed = {name for name in old & set(names) if self._edit(name, overlap, seconds)}
        assert set(done.changed) == changed
        for name in done.removed:
            self._remove(name)
        for name in done.added:
            self._expect(name, overlap, seconds, OWNER)

    @rule(name=NAMES, overlap=OVERLAPS, seconds=st.one_of(st.none(), SECONDS))
    def edit(self, name: str, overlap: str, seconds: int | None) -> None:
        entry = self.entries.get(name)
        if entry is not None and entry.owner is None:
            seconds = entry.seconds if seconds is None else seconds
            changes = {"overlap": overlap, "schedule": every(seconds)}
            entries.change(self.beats[0], name, changes, self.now)
            self._edit(name, overlap, seconds)

    @precondition(lambda self: "p1" in self.entries)
    @rule()
    def remove(self) -> None:
        entries.remove(self.beats[1], "p1")
        self._remove("p1")

    @rule(data=st.data())
    def pause_or_resume(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.entries)))
        entry, file = self.entries[name], self.beats[0]
        entry.version += 1
        if entry.paused:
            assert not entries.pause(file, name, self.now)
            assert entries.resume(file, name, self.now)
            entry.planned, entry.next = self.now, entry.first(self.now)
        else:
            assert not entries.resume(file, name, self.now)
            assert entries.pause(file, name, self.now)
            if entry.held is not None:
                self._note(entry, entry.held, "paused")
                entry.held = None
        entry.paused = not entry.paused

    @rule(data=st.data())
    def run_now(self, data: st.DataObject) -> None:
        name, id = data.draw(st.sampled_from(sorted(self.entries))), new_id()
        entries.run_now(self.beats[1], name, id, self.now)
        entry = self.entries[name]
        self._send(name, entry, self.now, id)
        self._add_row(entry, Row(0, self.now, id, "manual"))
        self._forget(entry)

    def _line(self, name: str, overlap: str, seconds: int) -> Any:
        return line(name, seconds, overlap=overlap)

    def _expect(self, name: str, overlap: str, seconds: int, owner: str | None) -> None:
        new = Expected(seconds, overlap, owner, self.now, self.now)
        new.begin_anew(self.now)
        new.created = self.now
        self.entries[name] = new

    def _edit(self, name: str, overlap: str, seconds: int) -> bool:
        entry = self.entries[name]
        if (entry.overlap, entry.seconds) == (overlap, seconds):
            return False
        if seconds != entry.seconds:
            entry.seconds = seconds
            entry.begin_anew(self.now)
        entry.overlap, entry.version = overlap, entry.version + 1
        return True

    def _remove(self, name: str) -> None:
        del self.entries[name]
        self.plans = [[plan for plan in some if plan.name != name] for some in self.plans]
        self.unfinished = {id: whose for id, whose in self.unfinished.items() if whose != name}

    # Beats

    @rule(beat=BEATS, most=st.sampled_from([1, 9]))
    def plan(self, beat: int, most: int) -> None:
        found = ticks.due(self.beats[beat], self.now, 100)
        due = {
            name: entry.next
            for name, entry in self.entries.items()
            if not entry.paused and entry.next is not None and entry.next <= self.now
        }
        assert {row.entry.name: row.next_at for row in found} == due
        self.plans[beat] = [
            Plan(
                row.entry.name,
                self.entries[row.entry.name].version,
                planned(row, self.now, pending=Tick(row.next_key, row.next_at), most=most),
            )
            for row in found
        ]

    @rule(beat=BEATS, seconds=st.sampled_from([5, 10, 10, 20]), death=DEATHS)
    def beats_once(self, beat: int, seconds: int, death: int) -> None:
        """What is the rule: time goes by, and what is due then is sent."""
        self.now += seconds
        self.plan(beat, 9)
        self.fire(beat, death)

    @precondition(lambda self: any(self.plans))
    @rule(beat=BEATS, death=DEATHS)
    def fire(self, beat: int, death: int) -> None:
        """With a ``death`` before that commit, there being one."""
        plans = self.plans[beat]
        fired = self._mortally(
            beat,
            death,
            lambda file: ticks.fire(file, [plan.firing for plan in plans], self.now, keep=KEEP),
        )
        self.plans[beat] = []
        if fired is None:
            return
        wanted = Fired()
        for plan in plans:
            entry = self.entries[plan.name]
            if entry.version == plan.version and not entry.paused:
                told = [tick[1] for tick in plan.firing.ticks]
                self._skip(entry, (told or [plan.firing.next_at or self.now])[0])
                for _, at, _, id in plan.firing.ticks:
                    self._fire(plan.name, entry, at, id, wanted)
                self._forget(entry)
                entry.version, entry.planned = entry.version + 1, self.now
                entry.next = plan.firing.next_at
        assert [id for _, _, id in fired.jobs] == [id for _, _, id in wanted.jobs]
        assert sorted(fired.revoked) == sorted(wanted.revoked)
        assert sorted(fired.ended) == sorted(wanted.ended)

    @rule(beat=BEATS, death=DEATHS)
    def release(self, beat: int, death: int) -> None:
        free = {
            name: entry
            for name, entry in self.entries.items()
            if entry.held is not None and not entry.paused and not self._runs(name)
        }
        assert ticks.held(self.beats[beat]) >= bool(free)
        fired = self._mortally(beat, death, lambda file: ticks.release_held(file, self.now, new_id))
        if fired is None:
            return
        assert {name for name, _, _ in fired.jobs} == set(free)
        for name, _, id in fired.jobs:
            entry = free[name]
            assert entry.held is not None
            if (row := entry.tick(entry.held)) is not None:
                row.job = id
            self._send(name, entry, entry.held, id)
            entry.held = None

    @rule(beat=BEATS)
    def plan_anew(self, beat: int) -> None:
        behind = [e for e in self.entries.values() if e.planned > self.now and not e.paused]
        assert replan(self.beats[beat], self.now) == len(behind)
        for entry in behind:
            entry.version, entry.planned = entry.version + 1, self.now
            entry.next = entry.first(self.now)

    def _mortally(self, beat: int, death: int, action: Callable[[Database], Fired]) -> Fired | None:
        file = self.beats[beat]
        file.left = death
        try:
            return action(file)
        except Died:
            return None
        finally:
            file.left = 0

    def _skip(self, entry: Expected, until: float) -> None:
        """Ticks are whole seconds: nothing is between one and the next second."""
        sent = [row.at for row in entry.rows if row.note != "manual"]
        known, _ = gaps.read(entry.forgotten, entry.created)
        start = max(entry.next or until, max(sent, default=0.0) + 1, known + 1)
        if start < until:
            gap = (start, until)
            entry.forgotten = gaps.opened(entry.forgotten, entry.created, gap, self.now)

    def _fire(self, name: str, entry: Expected, at: float, id: str, wanted: Fired) -> None:
        if gaps.holds(entry.forgotten, entry.created, at):
            return
        if entry.tick(at) is not None:
            return
        row = Row(0, at, id, None)
        self._add_row(entry, row)
        entry.forgotten = gaps.closed(entry.forgotten, entry.created, at)
        row.note = self._stand_aside(name, entry, at, wanted)
        if row.note is None:
            self._send(name, entry, at, id)
            wanted.jobs.append((name, "", id))
        else:
            row.job = None

    def _stand_aside(self, name: str, entry: Expected, at: float, wanted: Fired) -> str | None:
        if entry.overlap == "queue" and entry.held is not None:
            return "overlap"
        if entry.overlap == "cancel" and entry.held is not None:
            self._note(entry, entry.held, "overlap")
            entry.held = None
        runs = self._runs(name) if entry.overlap != "allow" else []
        if not runs:
            return None
        if entry.overlap == "skip":
            return "overlap"
        if entry.overlap == "cancel":
            waiting = [id for id in runs if id not in self.leases]
            wanted.revoked.extend(runs)
            wanted.ended.extend(waiting)
            for id in waiting:
                del self.unfinished[id]
            if waiting == runs:
                return None
        entry.held = at
        return "held"

    def _runs(self, name: str) -> list[str]:
        known = {row.job for row in self.entries[name].rows}
        return [id for id, whose in self.unfinished.items() if whose == name and id in known]

    def _send(self, name: str, entry: Expected, at: float, id: str) -> None:
        entry.last, entry.last_job, entry.count = at, id, entry.count + 1
        self.unfinished[id] = name

    def _add_row(self, entry: Expected, row: Row) -> None:
        row.number = max((each.number for each in entry.rows), default=0) + 1
        entry.rows.append(row)
        entry.full |= row.number % FORGET_EVERY == 0

    def _forget(self, entry: Expected) -> None:
        if not entry.full:
            return
        entry.full = False
        careful = entry.overlap != "allow" or entry.held is not None
        gone = [
            row
            for row in entry.rows
            if row.number <= entry.rows[-1].number - KEPT
            and row.at <= self.now
            and not (careful and (row.job in self.unfinished or self._waits(entry, row)))
        ]
        entry.rows = [row for row in entry.rows if row not in gone]
        moments = [row.at for row in gone if row.note != "manual"]
        entry.forgotten = gaps.extended(entry.forgotten, entry.created, moments)

    def _waits(self, entry: Expected, row: Row) -> bool:
        return entry.held is not None and row.at == entry.held and row.note != "manual"

    def _note(self, entry: Expected, at: float, note: str) -> None:
        if (row := entry.tick(at)) is not None:
            row.job, row.note = None, note

    # Runs, and the clock

    @precondition(lambda self: self.unfinished)
    @rule(count=st.integers(1, 3))
    def begin_runs(self, count: int) -> None:
        for lease in claim(self.beats[0], count, now=self.now):
            self.leases[lease.id] = lease

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def end_run(self, data: st.DataObject) -> None:
        self._end(data.draw(st.sampled_from(sorted(self.leases))))

    def _end(self, id: str) -> None:
        step(self.beats[0], success(self.leases.pop(id)), now=self.now)
        self.unfinished.pop(id, None)

    @rule(seconds=st.sampled_from([-40, -10, -1, 1, 5, 10, 10, 20, 35]))
    def clock_steps(self, seconds: int) -> None:
        self.now += seconds

    @rule(beat=BEATS)
    def runs_last_into_the_next_tick(self, beat: int) -> None:
        self.begin_runs(3)
        self.beats_once(beat, 10, 0)
        for id in sorted(self.leases):
            self._end(id)
        self.release(1 - beat, 0)

    @rule(beat=BEATS)
    def beat_is_late(self, beat: int) -> None:
        """What it has planned, and more, has been done when it comes to it."""
        self.now += 10
        self.plan(beat, 1)
        self.beats_once(1 - beat, 10, 0)
        self.fire(beat, 0)

    @rule(beat=BEATS)
    def clock_is_put_back(self, beat: int) -> None:
        self.now -= 40
        self.plan_anew(beat)
        self.beats_once(beat, 10, 0)

    # What must hold

    @invariant()
    def the_file_says_what_the_model_says(self) -> None:
        found: dict[str, list[Any]] = {}
        for name, *seen in self.eyes.execute(ENTRIES):
            found[name] = [*seen, []]
        for name, *row in self.eyes.execute(TICKS):
            found[name][-1].append(tuple(row))
        assert found == {name: list(entry.visible()) for name, entry in self.entries.items()}

    @invariant()
    def a_job_is_of_one_tick_and_none_is_lost(self) -> None:
        told = [job for entry in self.entries.values() for row in entry.rows if (job := row.job)]
        assert len(told) == len(set(told))
        alive = {id for (id,) in self.eyes.execute(ALIVE)}
        assert set(self.unfinished) <= alive
