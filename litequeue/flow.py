"""A workflow as data: what runs (`Step`), what waits for what (`Edge`, `FanIn`); a `Plan` is all.

`canvas` makes plans, `store.workflows` stores them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

from litequeue.job import Job

NEXT: Final = "next"
"""The target runs once the source has succeeded, with its result as first argument."""
SI: Final = "si"
"""The target runs once the source has succeeded, with its own arguments alone."""
ERROR: Final = "error"
"""The target is an errback: it runs if the source fails."""
KINDS: Final = (NEXT, SI, ERROR)

FAIL: Final = "fail"
"""What waits for the group fails with the first of its members that does."""
PLACEHOLDERS: Final = "placeholders"
"""It runs, with null in the place of every member that failed."""
IGNORE: Final = "ignore"
"""It runs, with the results of those that succeeded."""
POLICIES: Final = (FAIL, PLACEHOLDERS, IGNORE)


@dataclass(frozen=True, slots=True)
class Step:
    """A job of a workflow.

    One that ``waits`` is not ready before what it waits for has ended; ``group`` is the id of the
    fan-in that it reports to.
    """

    job: Job
    waits: bool = False
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """What becomes of the job ``target`` when the job ``source`` has ended; both are ids."""

    source: str
    target: str
    kind: str = NEXT


@dataclass(frozen=True, slots=True)
class FanIn:
    """The end of a group: ``target`` is the id of the job that gets the list of its results."""

    group: str
    target: str | None = None
    policy: str = FAIL


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a workflow, as it is to be stored; steps and edges may be made while they are read.

    ``steps`` are read to their end first, then ``edges``.  ``result`` is the id of the job whose
    result is the workflow's; ``group`` that of the fan-in, where a list of results is.
    """

    steps: Iterable[Step]
    edges: Iterable[Edge]
    fanins: Sequence[FanIn]
    result: str
    group: str | None = None


MOST_STEPS: Final = 10_000
"""Jobs that one attempt may hand on with its own end."""


@dataclass(frozen=True, slots=True)
class Sequel:
    """What an attempt hands on besides its result: workflows that begin with the commit of its end.

    If it ``takes``, the first of them takes the place of the job itself, whose id its ``result``
    is: the job has not ended.  A step may report to a group that is in the file: it is a further
    member.
    """

    plans: tuple[Plan, ...]
    takes: bool = False


def to_text(sequel: Sequel) -> str:
    """Return a sequel as JSON.  Raises ValueError for more than `MOST_STEPS` steps."""
    plans: list[list[Any]] = [
        [
            [[astuple(step.job), step.waits, step.group] for step in plan.steps],
            [astuple(edge) for edge in plan.edges],
            [astuple(fanin) for fanin in plan.fanins],
            plan.result,
            plan.group,
        ]
        for plan in sequel.plans
    ]
    if sum(len(steps) for steps, *_ in plans) > MOST_STEPS:
        raise ValueError(
            f"a job can hand on at most {MOST_STEPS:,} jobs with its own end; "
            "send a larger workflow by itself, with apply_async()"
        )
    return json.dumps([plans, sequel.takes], separators=(",", ":"))


def from_text(text: str) -> Sequel:
    """Return what `to_text` was given.  Raises ValueError for another text."""
    try:
        plans, takes = json.loads(text)
        return Sequel(tuple(_plan(*fields) for fields in plans), bool(takes))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"this is not what a job hands on: {error}") from error


def _plan(steps: Any, edges: Any, fanins: Any, result: str, group: str | None) -> Plan:
    return Plan(
        tuple(Step(Job(*job), waits, name) for job, waits, name in steps),
        tuple(Edge(*edge) for edge in edges),
        tuple(FanIn(*fanin) for fanin in fanins),
        result,
        group,
    )


# What the file tells


@dataclass(frozen=True, slots=True)
class Group:
    """How far a group is: ``waiting`` counts members that have not ended, ``failed`` who failed.

    ``size`` is None until all members are in the file; ``target`` is the id of the job that gets
    their results.  ``running`` of those that have not ended are with a worker.
    """

    name: str
    size: int | None
    waiting: int
    failed: int
    policy: str
    target: str | None
    running: int = 0


@dataclass(frozen=True, slots=True)
class Offspring:
    """A job by its parent, or the first of several that are members of one group.

    ``kind`` is that of the edge from the parent, None where the parent's task sent it.
    """

    id: str
    kind: str | None
    group: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Node:
    """A job in a drawing."""

    id: str
    task: str
    state: str
    phase: str


@dataclass(frozen=True, slots=True)
class DrawnGroup:
    """A group in a drawing: of its members some are shown, and ``more`` are not.

    ``size`` is None until all members are in the file.
    """

    name: str
    size: int | None
    ended: int
    failed: int
    policy: str
    target: str | None
    members: tuple[str, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """A workflow for the eye; ``edges`` are those between ``nodes``.

    Where ``is_all`` is false, it is too large to show all that is outside of its groups.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    groups: tuple[DrawnGroup, ...]
    is_all: bool = True
