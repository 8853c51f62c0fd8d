"""``litequeue jobs`` and ``litequeue show``: what became of jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from litequeue import states
from litequeue.cli import given, workflows
from litequeue.cli.attempts import print_attempt, print_logs
from litequeue.cli.output import (
    Cell,
    clean,
    decoded,
    iso,
    note,
    number,
    print_json,
    print_pairs,
    print_table,
    span,
    when,
)
from litequeue.cli.parameters import Command, Name, database_argument, json_option
from litequeue.cli.queue_file import check_queues, find_job_or_group, opened
from litequeue.cli.selection import filters, selection
from litequeue.clock import SYSTEM
from litequeue.flow import Group

if TYPE_CHECKING:
    from litequeue.store import Database
    from litequeue.store.listing import Detail, JobRow


@click.command(cls=Command, example="litequeue jobs jobs.sqlite --state failed --since 1h")
@database_argument
@filters
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True,
              help="How many jobs at most.")  # fmt: skip
@click.option("--oldest", is_flag=True, help="The first accepted first.")
@json_option
def jobs(
    db: str,
    wanted: tuple[str, ...],
    task: str | None,
    queues: tuple[str, ...],
    since: float | None,
    limit: int,
    oldest: bool,
    as_json: bool,
) -> None:
    """List jobs, the last accepted first.

    States are Celery's, in any case, or failed, waiting, blocked, running, done.
    """
    from litequeue.store import listing

    chosen = selection(wanted=wanted, task=task, queues=queues, since=since)
    with opened(db) as database:
        check_queues(database, chosen.queues)
        found = listing.jobs(database, chosen, limit=limit + 1, oldest_first=oldest)
    now, more = SYSTEM.now(), len(found) > limit
    if as_json:
        print_json(jobs=[job_document(job, now) for job in found[:limit]], more=more)
        return
    print_table(
        ("id", "task", "state", "queue", "accepted", "waited", "ran", "retries"),
        (_line(job, now) for job in found[:limit]),
        empty="no job matches",
        spare=("retries", "ran", "waited", "queue", "accepted"),
        shrinks=("task",),
    )
    if more:
        note(f"and more: --limit {limit} was reached")


def _line(job: JobRow, now: float) -> tuple[Cell, ...]:
    return (
        job.id, job.task, job.state, job.queue, when(job.created, now), span(waited(job, now)),
        span(ran(job, now)), job.retries or "",
    )  # fmt: skip


@click.command(cls=Command, example="litequeue show jobs.sqlite 019a3f")
@database_argument
@click.argument("id", type=Name())
@click.option("--log", "only_log", is_flag=True,
              help="Print what its attempts logged and printed, and nothing else.")  # fmt: skip
@click.option("--graph", type=click.Choice(["mermaid", "dot"]),
              help="Print its workflow as a picture, and nothing else.")  # fmt: skip
@json_option
@click.pass_context
def show(
    ctx: click.Context, /, db: str, id: str, only_log: bool, graph: str | None, as_json: bool
) -> None:
    """Show everything about a job, or how far a group is.

    ID is the id of the job or group, its beginning (4 characters or more), or a part of it (6 or
    more).
    """
    if graph is not None and (as_json or only_log):
        raise click.UsageError("--graph goes with no --json or --log", ctx)
    with opened(db) as database:
        found = find_job_or_group(database, id)
        if graph is not None:
            known = found.name if isinstance(found, Group) else found.id
            workflows.print_graph(database, known, graph)
        elif not isinstance(found, Group):
            _show_job(database, found, only_log=only_log, as_json=as_json)
        elif only_log:
            raise click.UsageError("a group has no log: name one of its members", ctx)
        else:
            workflows.show_group(database, found, as_json=as_json)


def _show_job(database: Database, job: JobRow, *, only_log: bool, as_json: bool) -> None:
    from litequeue.store import listing

    detail = listing.detail(database, job)
    kin = workflows.kin(database, job, detail.attempts)
    now = SYSTEM.now()
    if as_json:
        print_json(job={**_full_document(job, detail, now), **workflows.document(kin)})
        return
    if only_log:
        print_logs(detail)
        return
    print_pairs(_facts(job, detail, now, workflows.facts(database, job, kin)))
    failed = {attempt.attempt: attempt for attempt in detail.attempts}
    for claim in sorted({*failed, *detail.logs}):
        print_attempt(claim, failed.get(claim), detail.logs.get(claim), now)


def waited(job: JobRow, now: float) -> float | None:
    """Return for how many seconds a job could have run and did not; None if it never could.

    Of a step of a workflow it is the time since that was sent.
    """
    if job.phase == states.WAITING:
        return None
    due = job.created if job.eta is None else max(job.created, job.eta)
    until = job.started if job.started is not None else job.finished
    return None if until is None and due > now else max(0.0, (until or now) - due)


def ran(job: JobRow, now: float) -> float | None:
    """Return for how many seconds the last attempt ran, or has been running."""
    if job.runtime is not None or job.started is None or job.phase != "leased":
        return job.runtime
    return max(0.0, now - job.started)


def job_document(job: JobRow, now: float) -> dict[str, Any]:
    """Return the job as ``--json`` shows it."""
    return {
        "id": job.id,
        "task": job.task,
        "queue": job.queue,
        "priority": job.priority,
        "phase": job.phase,
        "state": job.state,
        "created": iso(job.created),
        "eta": iso(job.eta),
        "expires": iso(job.expires),
        "started": iso(job.started),
        "finished": iso(job.finished),
        "waited": number(waited(job, now)),
        "ran": number(ran(job, now)),
        "retries": job.retries,
        "lost": job.lost,
        "worker": job.worker,
        "pid": job.pid,
        "parent": job.parent,
    }


def _full_document(job: JobRow, detail: Detail, now: float) -> dict[str, Any]:
    arguments, readable = _arguments(detail)
    got = given.given(detail.options)
    return {
        **job_document(job, now),
        "given": got.args,
        "told_of": got.failure,
        "args": arguments[0] if readable else None,
        "kwargs": arguments[1] if readable else None,
        "body": None if readable else detail.body,
        "options": decoded(got.options)[0],
        "result": decoded(detail.result)[0],
        "errors": [
            {
                "attempt": attempt.attempt,
                "at": iso(attempt.at),
                "state": attempt.state,
                "type": attempt.type,
                "message": attempt.message,
                "traceback": attempt.traceback,
                "evidence": decoded(attempt.evidence)[0],
            }
            for attempt in detail.attempts
        ],
        "logs": [{"attempt": number, "text": text} for number, text in detail.logs.items()],
        "children": list(detail.children),
        "children_count": detail.children_count,
    }


def _arguments(detail: Detail) -> tuple[Any, bool]:
    """Return (args, kwargs), and whether the body is plain JSON that holds them."""
    value, readable = decoded(detail.body)
    whole = (
        readable
        and isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], list)
        and isinstance(value[1], dict)
    )
    return value, whole


def _facts(
    job: JobRow, detail: Detail, now: float, of_workflow: Iterable[tuple[str, Cell]]
) -> Iterator[tuple[str, Cell]]:
    got = given.given(detail.options)
    yield "id", job.id
    yield "task", job.task
    yield from given.facts(got)
    yield from _asked(detail)
    yield "state", job.state if job.phase == "done" else f"{job.state} ({job.phase})"
    yield from of_workflow
    yield "result", detail.result
    yield "queue", job.queue
    yield "priority", job.priority or None
    yield "accepted", when(job.created, now)
    yield "not before", when(job.eta, now)
    yield "expires", when(job.expires, now)
    yield "started", when(job.started, now)
    yield "finished", when(job.finished, now)
    yield "waited", span(waited(job, now))
    yield "ran", span(ran(job, now))
    yield "retries", job.retries or None
    yield "lost", f"{job.lost} times with its worker" if job.lost else None
    yield "worker", f"{job.worker} (pid {job.pid})" if job.worker and job.pid else job.worker
    yield "options", got.options
    yield "parent", job.parent
    more = detail.children_count - len(detail.children)
    yield "children", " ".join(detail.children) + (f" and {more:,} more" if more else "")


def _asked(detail: Detail) -> Iterator[tuple[str, Cell]]:
    """Yield the arguments as they are written in Python's calls."""
    import json

    arguments, readable = _arguments(detail)
    if not readable:
        yield "body", detail.body
        return
    yield "args", ", ".join(json.dumps(value) for value in arguments[0])
    pairs = (f"{clean(name)}={json.dumps(value)}" for name, value in arguments[1].items())
    yield "kwargs", ", ".join(pairs)
