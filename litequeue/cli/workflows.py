"""What ``show``, ``retry`` and ``revoke`` say of workflows: groups, and who waits for whom.

A job that ended because another had failed was *stopped* by that one, and comes back with it.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from litequeue import flow, states
from litequeue.cli.failure import Failure
from litequeue.cli.output import (
    Cell,
    breakdown,
    note,
    print_json,
    print_pairs,
    print_table,
    say,
)

if TYPE_CHECKING:
    from litequeue.flow import Group
    from litequeue.store import Database
    from litequeue.store.listing import Attempt, JobRow

SHOWN: Final = 20
"""Ids of a kind that are told, of however many; members that are listed."""
NAMED: Final = 5
"""Jobs that are named in one line."""
MOST_FOLLOWED: Final = 200
"""Jobs looked at to count those that another had stopped."""
_DEPENDENCY: Final = re.compile(r"Dependency (.+?) raised ", re.DOTALL)
_POLICIES: Final = {
    flow.FAIL: "fail: what gets their results fails with the first of them that does",
    flow.PLACEHOLDERS: "placeholders: null stands for those that fail",
    flow.IGNORE: "ignore: those that fail are left out",
}


# A job and its kin


@dataclass(frozen=True, slots=True)
class Kin:
    """What a job waits or waited for, and what waits for it.

    ``gathers`` is the group whose results it gets, ``group`` the one that it is a member of;
    ``stopped_by`` the id of the job because of which it never began.
    """

    before: Sequence[str]
    gathers: Group | None
    after: Sequence[str]
    errbacks: Sequence[str]
    group: Group | None
    stopped_by: str | None


def kin(database: Database, job: JobRow, attempts: Sequence[Attempt]) -> Kin:
    """Return what the file tells of a job's workflow."""
    from litequeue.store import flows

    before, gathered = flows.before(database, job.id)
    after, errbacks, name = flows.after(database, job.id)
    return Kin(
        before,
        None if gathered is None else flows.group(database, gathered),
        after,
        errbacks,
        None if name is None else flows.group(database, name),
        _stopped_by(job, attempts),
    )


def facts(database: Database, job: JobRow, its: Kin) -> Iterator[tuple[str, Cell]]:
    """Yield in words what `kin` returned."""
    waits = "waits for" if job.phase == states.WAITING else "came after"
    yield "stopped by", _named(database, [its.stopped_by] if its.stopped_by else [])
    yield waits, _named(database, its.before)
    if its.gathers is not None:
        yield waits, progress(its.gathers)
    if its.group is not None:
        target = _named(database, [its.group.target] if its.group.target else [])
        yield "member of", progress(its.group) + (f"; its results go to {target}" if target else "")
    yield "goes to", _named(database, its.after)
    yield "if it fails", _named(database, its.errbacks)


def document(its: Kin) -> dict[str, Any]:
    """Return what `kin` returned, as ``--json`` shows it."""
    return {
        "before": list(its.before[:SHOWN]),
        "before_count": len(its.before),
        "gathers": None if its.gathers is None else group_document(its.gathers),
        "after": list(its.after[:SHOWN]),
        "after_count": len(its.after),
        "errbacks": list(its.errbacks[:SHOWN]),
        "errbacks_count": len(its.errbacks),
        "group": None if its.group is None else group_document(its.group),
        "stopped_by": its.stopped_by,
    }


def _named(database: Database, ids: Sequence[str]) -> str:
    """Return the jobs with their tasks and states; of many the first."""
    words = [f"{job.id} ({job.task}, {job.state})" for job in jobs(database, ids[:NAMED])]
    more = len(ids) - len(words)
    return ", ".join(words) + (f" and {more:,} more" if words and more else "")


def jobs(database: Database, ids: Iterable[str]) -> list[JobRow]:
    """Return the jobs of these ids that are there."""
    from litequeue.store import listing

    found = (listing.find(database, id, limit=1) for id in ids)
    return [each[0] for each in found if each]


# Stopped, and brought back


def _stopped_by(job: JobRow, attempts: Sequence[Attempt]) -> str | None:
    """Return the id of the job because of which this one ended without having begun."""
    if job.phase != states.DONE or not attempts or attempts[-1].attempt != 0:
        return None
    try:
        told = json.loads(attempts[-1].evidence or "null")
    except ValueError:
        told = None
    if isinstance(told, dict) and isinstance(told.get("step"), str):
        return str(told["step"])
    found = _DEPENDENCY.match(attempts[-1].message)
    return found[1] if attempts[-1].type == "ChordError" and found else None


def culprit(database: Database, job: JobRow) -> str | None:
    """Return the id of the job to be run again for ``job`` to begin; None if it was not stopped.

    That is the one that failed by itself, however far before.
    """
    from litequeue.store import listing

    seen, at = {job.id}, job
    while (id := _stopped_by(at, listing.detail(database, at).attempts)) is not None:
        before = jobs(database, [id])
        if not before or before[0].id in seen:
            return id
        at = before[0]
        seen.add(at.id)
    return None if at is job else at.id


def stopped(database: Database, id: str) -> dict[str, float | None]:
    """Return the jobs that may have been stopped by one: each id with the time of its end."""
    from litequeue.store import flows

    found: dict[str, float | None] = {}
    rest = deque([id])
    while rest and len(found) < MOST_FOLLOWED:
        after, _, name = flows.after(database, rest.popleft())
        group = None if name is None else flows.group(database, name)
        if group is not None and group.target is not None:
            after = [*after, group.target]
        new = stopped_among(database, (each for each in after[:MOST_FOLLOWED] if each not in found))
        found |= new
        rest += new
    return found


def stopped_among(database: Database, ids: Iterable[str]) -> dict[str, float | None]:
    """Return those of the jobs that have ended without having begun, with the times of that."""
    return {
        job.id: job.finished
        for job in jobs(database, ids)
        if job.phase == states.DONE and job.state != states.SUCCESS and job.started is None
    }


def waits_for_others(database: Database, id: str) -> bool:
    """Tell whether a job is a step of a workflow that does not begin it."""
    from litequeue.store import flows

    return any(flows.before(database, id))


def brought_back(database: Database, before: Mapping[str, float | None]) -> int:
    """Return how many of the jobs that `stopped` returned wait again."""
    return sum(job.finished != before[job.id] for job in jobs(database, before))


# Groups


def progress(group: Group) -> str:
    """Say how far a group is: "group G: 3 of 10 ended, 1 failed"."""
    failed = f", {group.failed:,} failed" if group.failed else ""
    if group.size is None:
        return f"group {group.name}: {group.waiting:,} have not ended{failed}; more are to come"
    return f"group {group.name}: {group.size - group.waiting:,} of {group.size:,} ended{failed}"


def group_document(group: Group) -> dict[str, Any]:
    """Return a group as ``--json`` shows it."""
    return {
        "id": group.name,
        "size": group.size,
        "ended": None if group.size is None else group.size - group.waiting,
        "left": group.waiting,
        "failed": group.failed,
        "policy": group.policy,
        "target": group.target,
    }


def show_group(database: Database, group: Group, *, as_json: bool) -> None:
    """Print how far a group is, and its first members."""
    from litequeue.store import flows

    counts = flows.count_members(database, group.name)
    ended = {state: count for (done, state), count in counts.items() if done}
    left = {state: count for (done, state), count in counts.items() if not done}
    first: list[str] = next(flows.members_of(database, group.name, at_once=SHOWN), [])
    if as_json:
        told = {"ended_as": ended, "left_as": left, "members": first}
        print_json(group={**group_document(group), **told})
        return
    total = sum(counts.values())
    print_pairs(
        [
            ("group", group.name),
            ("members", f"{total:,}" + (" so far" if group.size is None else "")),
            ("ended", _sum(ended)),
            ("not ended", _sum(left)),
            ("policy", _POLICIES.get(group.policy) if group.target else None),
            ("goes to", _named(database, [group.target] if group.target else [])),
        ]
    )
    say("")
    rows = [(job.id, job.task, job.state) for job in jobs(database, first)]
    print_table(("member", "task", "state"), rows, empty="it has no members", shrinks=("task",))
    if total > len(first):
        note(f"and {total - len(first):,} more")


def _sum(counts: Mapping[str, int]) -> str:
    return f"{sum(counts.values()):,} ({breakdown(counts)})" if counts else ""


def print_graph(database: Database, id: str, form: str) -> None:
    """Print the picture of the workflow that a job or group belongs to, and nothing else."""
    from litequeue import drawing
    from litequeue.store import drawings

    drawn = drawings.drawing(database, id)
    if drawn is None:
        raise Failure(f"job {id} is no part of a workflow: nothing waits for it, nor it for others")
    for line in {"mermaid": drawing.mermaid, "dot": drawing.dot}[form](drawn).split("\n"):
        say(line)
