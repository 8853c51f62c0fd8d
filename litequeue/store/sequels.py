"""What a job hands on with its verdict: further workflows, or one that takes its own place.

It is stored in the transaction that settles the attempt, for the holder of the lease alone, and
before the job is marked as done: a group that gets a further member is not complete in between.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from litequeue import flow, states
from litequeue.flow import Edge, Plan, Step
from litequeue.job import Outcome
from litequeue.store.driver import sqlite3
from litequeue.store.storing import ADD_QUEUE, Storing, phase_of


class Followed(enum.Enum):
    """What became of an outcome with a sequel."""

    LOST = "lost"
    """Its lease is gone: nothing of it has happened."""
    ENDS = "ends"
    """All is stored, and the job ends."""
    GOES_ON = "goes on"
    """The job has become another one."""


HOLDS: Final = "SELECT id FROM litequeue_job WHERE seq = ? AND token = ?"
LAST_PLACE: Final = "SELECT coalesce(max(place), 0) FROM litequeue_edge WHERE source = ?"
ERRBACKS: Final = """
SELECT errback.id FROM litequeue_edge AS edge JOIN litequeue_job AS errback
ON errback.seq = edge.target WHERE edge.source = ? AND edge.kind = 'error' AND edge.spent = 0
"""
# What the job waited for has nothing more to say to what it becomes.
MET_EDGES: Final = "UPDATE litequeue_edge SET spent = 2 WHERE target = ?"
MET_FANINS: Final = "UPDATE litequeue_fanin SET spent = 2 WHERE target = ?"
# One that waits has the runtime of the attempt, until it is released: it was not given its results.
BECOME: Final = """
UPDATE litequeue_job
SET task = ?, queue = ?, priority = ?, phase = ?, state = 'PENDING', eta = ?, expires = ?,
    flow = coalesce(flow, 0), retries = 0, deaths = 0, once = 0, result = NULL,
    started = NULL, runtime = ?, pid = NULL, owner = NULL, token = NULL
WHERE seq = ? AND token = ?
"""
BECOME_PAYLOAD: Final = "UPDATE litequeue_payload SET body = ?, options = ? WHERE seq = ?"
FORGET_STEPS: Final = "DELETE FROM litequeue_step WHERE job = ?"


def follow(connection: sqlite3.Connection, outcome: Outcome, now: float) -> Followed:
    """Store what an attempt hands on, unless it failed or is to run again.

    Raises ValueError for a sequel that makes no sense, and `litequeue.exceptions.DuplicateJob`.
    """
    row = connection.execute(HOLDS, (outcome.seq, outcome.token)).fetchone()
    if row is None:
        return Followed.LOST
    sequel = flow.from_text(outcome.sequel or "")
    plans = sequel.plans
    if sequel.takes:
        _become(connection, outcome, row[0], plans[0], now)
        plans = plans[1:]
    elif outcome.state not in (states.SUCCESS, states.IGNORED):
        return Followed.ENDS
    for plan in plans:
        _store(connection, Storing(plan, now), plan.steps, plan)
    return Followed.GOES_ON if sequel.takes else Followed.ENDS


def _become(
    connection: sqlite3.Connection, outcome: Outcome, id: str, plan: Plan, now: float
) -> None:
    steps = list(plan.steps)
    own = next((step for step in steps if step.job.id == id), None)
    if own is None:
        raise ValueError(f"what takes the place of job {id} has no job of this id")
    seq, job = outcome.seq, own.job
    (place,) = connection.execute(LAST_PLACE, (seq,)).fetchone()
    errbacks = [errback for (errback,) in connection.execute(ERRBACKS, (seq,)).fetchall()]
    for statement in (MET_EDGES, MET_FANINS, FORGET_STEPS):
        connection.execute(statement, (seq,))
    connection.execute(ADD_QUEUE, (job.queue,))
    connection.execute(
        BECOME,
        (job.task, job.queue, job.priority, phase_of(own, now), job.eta, job.expires,
         outcome.runtime if own.waits else None, seq, outcome.token),
    )  # fmt: skip
    connection.execute(BECOME_PAYLOAD, (job.body, job.options, seq))
    storing = Storing(plan, now, place=place)
    line = _Lines(plan, steps).to(id) if errbacks else []
    told = [Edge(each, errback, flow.ERROR) for each in line for errback in errbacks]
    plan = replace(plan, edges=(*plan.edges, *told))
    _store(connection, storing, [step for step in steps if step is not own], plan)


class _Lines:
    """What comes before what in a plan."""

    def __init__(self, plan: Plan, steps: Iterable[Step]) -> None:
        self._before = {edge.target: edge.source for edge in plan.edges if edge.kind != flow.ERROR}
        members: dict[str, list[str]] = {}
        for step in steps:
            if step.group is not None and len(some := members.setdefault(step.group, [])) < 2:
                some.append(step.job.id)
        self._gathered = {each.target: members.get(each.group, []) for each in plan.fanins}

    def to(self, id: str) -> list[str]:
        """Return the steps that end the job ``id`` if they fail, however groups take a failure."""
        line: list[str] = []
        while (step := self._before.get(id)) is not None:
            line.append(step)
            id = step
        lines = [self.to(member) for member in self._gathered.get(id, [])]
        if len(lines) == 2:  # what is before both is before the group
            line += [step for step in lines[0] if step in lines[1]]
        return line


def _store(
    connection: sqlite3.Connection, storing: Storing, steps: Iterable[Step], plan: Plan
) -> None:
    steps = list(steps)
    if storing.add(connection, steps) is None and steps:
        return
    storing.connect(connection, plan.edges)
    storing.seal(connection)
