"""Workflows by the ids of their jobs: a list is a group, and what comes after it gets its results.

Only what the store has to know of them: `litequeue.canvas` makes the real ones.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from litequeue.flow import Edge, FanIn, Plan, Step
from litequeue.job import Job, Lease, Outcome
from litequeue.store import Database, workflows
from tests.store.steps import NOW, claim, failure, job, rows, step, success

Part = str | Job | Plan


def chain(*parts: Part | Sequence[Part], errback: str | None = None) -> Plan:
    """One after the other; a list in between is a group."""
    steps: list[Step] = []
    edges: list[Edge] = []
    fanins: list[FanIn] = []
    before: str | None = None
    pending: str | None = None  # the group whose results come next
    for part in parts:
        group = part if isinstance(part, list) else None
        if group is None:
            plan = _one(part)  # type: ignore[arg-type]  # no list
            plans = [plan]
        else:
            plans = [_one(each) for each in group]
        waits = before is not None or pending is not None
        name = "+".join(each.result for each in plans)[:200] if group is not None else None
        for plan in plans:
            heads = _heads(plan)
            for each in plan.steps:
                inside = name if each.job.id == plan.result and name else each.group
                steps.append(Step(each.job, each.waits or waits, inside))
            edges += plan.edges
            fanins += plan.fanins
            if before is not None:
                edges += [Edge(before, head) for head in heads]
        if pending is not None:
            assert len(plans) == 1 or group is None
            fanins = [
                FanIn(each.group, plans[0].result, each.policy) if each.group == pending else each
                for each in fanins
            ]
        if name is not None:
            fanins.append(FanIn(name))
            before, pending = None, name
        else:
            before, pending = plans[0].result, None
    if errback is not None:
        edges += [Edge(each.job.id, errback, "error") for each in steps]
        steps.append(Step(job(errback), waits=True))
    return Plan(steps, edges, fanins, steps[-1].job.id if before is None else before, pending)


def chord(
    header: Sequence[Part],
    body: str,
    *,
    then: str | None = None,
    policy: str = "fail",
    errback: str | None = None,
) -> Plan:
    """A group whose results ``body`` gets; ``errback`` is the body's."""
    plans = [_one(part) for part in header]
    name = "+".join([*(plan.result for plan in plans), body])[:200]
    steps = [
        Step(each.job, each.waits, name if each.job.id == plan.result else each.group)
        for plan in plans
        for each in plan.steps
    ]
    steps.append(Step(job(body), waits=True))
    edges = [edge for plan in plans for edge in plan.edges]
    if then is not None:
        steps.append(Step(job(then), waits=True))
        edges.append(Edge(body, then))
    if errback is not None:
        steps.append(Step(job(errback), waits=True))
        edges.append(Edge(body, errback, "error"))
    fanins = [fanin for plan in plans for fanin in plan.fanins]
    return Plan(steps, edges, [*fanins, FanIn(name, body, policy)], then or body)


def group(*parts: Part) -> Plan:
    return chain(list(parts))


def _one(part: Part) -> Plan:
    if isinstance(part, Plan):
        return part
    it = part if isinstance(part, Job) else job(part)
    return Plan([Step(it)], [], [], it.id)


def _heads(plan: Plan) -> list[str]:
    return [each.job.id for each in plan.steps if not each.waits]


def insert(database: Database, plan: Plan) -> None:
    workflows.insert(database, plan, NOW)


def returns_its_id(lease: Lease) -> Outcome:
    return success(lease, json.dumps(lease.id))


def run(
    database: Database,
    *,
    failing: Collection[str] = (),
    verdict: Callable[[Lease], Outcome] = returns_its_id,
    now: float = NOW,
) -> list[str]:
    """Run all that can run; every job returns its id.  Return the ids in the order of claims."""
    ran: list[str] = []
    while True:
        leases = claim(database, 50, now=now)
        if not leases:
            return ran
        ran += [lease.id for lease in leases]
        outcomes = [failure(lease) if lease.id in failing else verdict(lease) for lease in leases]
        step(database, *outcomes, now=now)


def states_of(database: Database) -> dict[str, str]:
    return dict(rows(database.path, "SELECT id, state FROM litequeue_job ORDER BY seq"))


def options(database: Database, id: str) -> dict[str, Any]:
    ((text,),) = rows(
        database.path,
        "SELECT options FROM litequeue_job JOIN litequeue_payload USING (seq) WHERE id = ?",
        id,
    )
    return dict(json.loads(text or "{}"))


def big(count: int) -> Plan:
    members = [f"m{number}" for number in range(count)]
    tails = [f"t{number}" for number in range(count)]
    steps = (
        step
        for head, tail in zip(members, tails, strict=True)
        for step in (Step(job(head)), Step(job(tail), waits=True, group="g"))
    )
    edges = (Edge(head, tail) for head, tail in zip(members, tails, strict=True))
    return Plan(_then(steps, Step(job("z"), waits=True)), edges, [FanIn("g", "z")], "z", "g")


def _then(steps: Any, last: Step) -> Any:
    yield from steps
    yield last


class Cut(Exception):
    pass


def dying_after(path: Path, commits: int) -> Database:
    """Open the file for somebody who does not get further than so many commits."""

    class Dying(Database):
        left = commits

        def commit(self, connection: sqlite3.Connection, rows: int) -> None:
            if self.left == 0:
                self.rollback(connection)
                raise Cut
            self.left -= 1
            super().commit(connection, rows)

    return Dying(path)
