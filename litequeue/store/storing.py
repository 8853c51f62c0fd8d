"""Putting the parts of a plan into the file, within the transactions of others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from litequeue import states
from litequeue.exceptions import DuplicateJob, StoreError
from litequeue.flow import Edge, FanIn, Plan, Step
from litequeue.store.driver import sqlite3

ADD_QUEUE: Final = "INSERT OR IGNORE INTO litequeue_queue (name) VALUES (?)"
LAST_SEQ: Final = "SELECT coalesce(max(seq), 0) FROM litequeue_job"
ADD_PAYLOADS: Final = "INSERT INTO litequeue_payload (body, options, seq) VALUES (?, ?, ?)"
ADD_FANIN: Final = """
INSERT INTO litequeue_fanin (name, policy) VALUES (?, ?) ON CONFLICT (name) DO NOTHING
"""
FANINS: Final = """
SELECT name, id, size FROM litequeue_fanin WHERE name IN (SELECT value FROM json_each(?))
"""
ADD_STEP: Final = """
INSERT INTO litequeue_job
    (id, task, queue, priority, phase, eta, expires, created, parent, flow, seq)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# A group that is complete gets larger.
GROW: Final = "UPDATE litequeue_fanin SET waiting = waiting + ?1, size = size + ?1 WHERE id = ?2"
IS_STORED: Final = "SELECT 1 FROM litequeue_job WHERE id = ?"
STORED_STEP: Final = """
SELECT job.task, payload.body, job.claims
FROM litequeue_job AS job JOIN litequeue_payload AS payload ON payload.seq = job.seq
WHERE job.id = ?
"""
ADD_EDGE: Final = """
INSERT INTO litequeue_edge (source, place, target, kind)
SELECT source.seq, ?, target.seq, ? FROM litequeue_job AS source, litequeue_job AS target
WHERE source.id = ? AND target.id = ? ON CONFLICT (source, place) DO NOTHING
"""
# What has ended before its edges came is looked at again.
LOOK_AGAIN: Final = """
INSERT OR REPLACE INTO litequeue_advance (job)
SELECT seq FROM litequeue_job WHERE id = ? AND phase = 'done'
"""
SEAL: Final = """
UPDATE litequeue_fanin
SET target = (SELECT seq FROM litequeue_job WHERE id = ?2), waiting = waiting - 1,
    size = (SELECT count(*) FROM litequeue_job WHERE flow = ?1 AND flow > 0)
WHERE id = ?1 AND size IS NULL
"""
LOOK_AT_TARGET: Final = """
INSERT OR REPLACE INTO litequeue_advance (job)
SELECT target FROM litequeue_fanin WHERE id = ? AND waiting = 0 AND target IS NOT NULL
"""


IS_UNFINISHED: Final = "SELECT 1 FROM litequeue_part WHERE workflow = ? LIMIT 1"


def is_unfinished(connection: sqlite3.Connection, workflow: str) -> bool:
    """Tell whether only parts of a workflow are in the file."""
    return connection.execute(IS_UNFINISHED, (workflow,)).fetchone() is not None


class Storing:
    """A plan on its way into the file; ``place`` is the last among the edges of its sources."""

    def __init__(self, plan: Plan, now: float, *, place: int = 0) -> None:
        self.name: str = plan.result
        self.fanins: Sequence[FanIn] = plan.fanins
        self._group = plan.group
        self.now = now
        self._known: dict[str, int] = {}
        self._met = 0
        self._place = place

    def add(self, connection: sqlite3.Connection, steps: Sequence[Step]) -> tuple[int, int] | None:
        """Store steps with what they report to; return their first and last number.

        None when they were stored before.  Raises `DuplicateJob` for ids of other jobs and groups,
        and ValueError for a step that reports to a group nobody knows.
        """
        if not steps:
            return None
        if connection.execute(IS_STORED, (steps[0].job.id,)).fetchone():
            self._check_all_stored(connection, steps)
            return None
        sizes = Counter(step.group for step in steps if step.group is not None)
        fanins = self._add_fanins(connection, sizes, are_new=True)
        connection.executemany(ADD_QUEUE, [(name,) for name in {s.job.queue for s in steps}])
        numbered = list(enumerate(steps, connection.execute(LAST_SEQ).fetchone()[0] + 1))
        try:
            connection.executemany(ADD_STEP, (self._row(s, seq, fanins) for seq, s in numbered))
        except sqlite3.IntegrityError:
            for step in steps:
                if connection.execute(IS_STORED, (step.job.id,)).fetchone():
                    raise DuplicateJob(step.job.id) from None
            raise
        connection.executemany(
            ADD_PAYLOADS, ((step.job.body, step.job.options, seq) for seq, step in numbered)
        )
        connection.executemany(GROW, [(size, fanins[name]) for name, size in sizes.items()])
        return numbered[0][0], numbered[-1][0]

    def _check_all_stored(self, connection: sqlite3.Connection, steps: Sequence[Step]) -> None:
        """Raise `DuplicateJob` when not all of what went in together is there, or as other jobs.

        Nobody knows the names of groups but those who wait for one, and who go on storing.
        """
        is_half = is_unfinished(connection, self.name)
        for step in (steps[0], steps[-1]):
            row = connection.execute(STORED_STEP, (step.job.id,)).fetchone()
            if row is None:
                raise DuplicateJob(step.job.id)
            task, body, claims = row
            # Where it runs while it is stored, a step may have become another one.
            may_differ = claims > 0 and is_half
            if (task, body) != (step.job.task, step.job.body) and not may_differ:
                raise DuplicateJob(step.job.id)
        names = [each.group for each in self.fanins[self._met :] if is_half]
        names += [] if self._group is None else [self._group]
        rows = connection.execute(FANINS, (json.dumps(names),)).fetchall()
        for name in set(names) - {name for name, *_ in rows}:
            raise DuplicateJob(name)

    def _add_fanins(
        self, connection: sqlite3.Connection, names: Iterable[str] = (), *, are_new: bool = False
    ) -> dict[str, int]:
        """Store the fan-ins that are new since the last time; return the numbers of all."""
        new = self.fanins[self._met :]
        if new:
            connection.executemany(ADD_FANIN, [(each.group, each.policy) for each in new])
            self._met += len(new)
        unknown = [each.group for each in new]
        unknown += [name for name in names if name not in self._known and name not in unknown]
        if unknown:
            found = connection.execute(FANINS, (json.dumps(unknown),)).fetchall()
            complete = {name for name, _, size in found if size is not None}
            if are_new and (taken := complete.intersection(each.group for each in new)):
                raise DuplicateJob(min(taken))
            self._known.update((name, number) for name, number, _ in found)
            if len(found) < len(unknown):
                name = next(name for name in unknown if name not in self._known)
                raise ValueError(f"no group of this file is called {name!r}")
        return self._known

    def _row(self, step: Step, seq: int, fanins: dict[str, int]) -> tuple[Any, ...]:
        job = step.job
        flow = 0 if step.group is None else fanins[step.group]
        return (
            job.id, job.task, job.queue, job.priority, phase_of(step, self.now), job.eta,
            job.expires, self.now, job.parent, flow, seq,
        )  # fmt: skip

    def connect(self, connection: sqlite3.Connection, edges: Iterable[Edge]) -> None:
        """Store edges between steps that are stored."""
        for edge in edges:
            self._place += 1
            row = (self._place, edge.kind, edge.source, edge.target)
            if connection.execute(ADD_EDGE, row).rowcount:
                connection.execute(LOOK_AGAIN, (edge.source,))

    def seal(self, connection: sqlite3.Connection) -> None:
        """Say that the groups are complete."""
        fanins = self._add_fanins(connection)
        for each in self.fanins:
            number = fanins[each.group]
            if not connection.execute(SEAL, (number, each.target)).rowcount:
                raise StoreError(
                    f"the workflow {self.name} was given up while it was sent; "
                    "send it again under another task_id"
                )
            connection.execute(LOOK_AT_TARGET, (number,))


def phase_of(step: Step, now: float) -> str:
    """Return the phase in which a step begins."""
    if step.waits:
        return states.WAITING
    is_late = step.job.eta is not None and step.job.eta > now
    return states.SCHEDULED if is_late else states.READY
