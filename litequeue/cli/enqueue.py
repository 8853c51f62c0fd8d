"""``litequeue enqueue``: send a job from the shell, without importing any app."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from litequeue.cli import pyproject
from litequeue.cli.calls import arguments, check_call, known_task
from litequeue.cli.failure import NO_WORKER, Failure
from litequeue.cli.output import clean, decoded, note, print_json, say
from litequeue.cli.parameters import (
    Command,
    Duration,
    DurationOrMoment,
    Moment,
    Name,
    database_argument,
    json_option,
)
from litequeue.cli.queue_file import has_live_worker, nobody_works, opened
from litequeue.clock import SYSTEM

if TYPE_CHECKING:
    from litequeue.config import Settings
    from litequeue.facts import TaskFacts
    from litequeue.job import Job
    from litequeue.store import Record, Store

FOR_EVER: Final = "for ever"
_EXAMPLE: Final = "litequeue enqueue jobs.sqlite tasks.add 1 2 --wait"


class Wait(Duration):
    """Seconds to wait; without a value for ever."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        return float("inf") if value == FOR_EVER else super().convert(value, param, ctx)


@click.command(
    cls=Command,
    example=_EXAMPLE,
    # So that -5 is a number; what is neither that nor an option of ours is refused below.
    context_settings={"ignore_unknown_options": True},
)
@database_argument
@click.argument("task", type=Name())
@click.argument("words", nargs=-1, type=Name(), metavar="[ARG]...")
@click.option("--args", "args_text", metavar="JSON", help="The arguments as a JSON list.")
@click.option("--kwargs", "kwargs_text", metavar="JSON",
              help="The keyword arguments as a JSON object.")  # fmt: skip
@click.option("-Q", "--queue", type=Name(), help="The queue (default: the task's).")
@click.option("--priority", type=int, help="Higher runs first (default: 0).")
@click.option("--countdown", "--delay", type=Duration(), metavar="DURATION",
              help="Not before: 90s, 10m, 1.5h from now.")  # fmt: skip
@click.option("--eta", type=Moment(), metavar="ISO", help="Not before this moment.")
@click.option("--expires", type=DurationOrMoment(), metavar="DURATION|ISO",
              help="Revoke it if it has not started by then.")  # fmt: skip
@click.option("--id", type=Name(), help="The job's id; the same job is stored once.")
@click.option("--wait", type=Wait(), is_flag=False, flag_value=FOR_EVER, metavar="[SECONDS]",
              help="Wait for the result and print it as JSON; say it last.")  # fmt: skip
@click.option(
    "--force",
    is_flag=True,
    help="Send it even if no app has such a task, or it takes other arguments.",
)
@json_option
@click.pass_context
def enqueue(ctx: click.Context, /, db: str, task: str, words: tuple[str, ...], **given: Any) -> int:
    """Send a job from the shell.

    Each ARG is JSON ('"text"', 5, '[1, 2]'), or NAME=VALUE, where VALUE is JSON or else text.
    """
    args, kwargs = arguments(ctx, words, given["args_text"], given["kwargs_text"])
    if given["countdown"] is not None and given["eta"] is not None:
        raise click.UsageError("say --countdown or --eta, not both", ctx)
    with opened(db) as database:
        facts = known_task(database, task, force=given["force"])
        check_call(ctx, facts, args, kwargs, force=given["force"])
        somebody = has_live_worker(database)
        path = database.path
    from litequeue.store import Store

    store = Store(path, pyproject.settings())
    try:
        job = make_job(store.settings, facts, task, args, kwargs, given)
        store.enqueue(job)
        if not somebody:
            note(f"litequeue: job {job.id} is accepted, but {nobody_works(path)}")
        if given["wait"] is None:
            _print_accepted(job, as_json=given["as_json"])
            return 0
        if not somebody:
            return NO_WORKER
        return _print_result(store, job, given["wait"], as_json=given["as_json"])
    finally:
        store.close()


def make_job(
    conf: Settings,
    facts: TaskFacts | None,
    task: str,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    given: dict[str, Any],
) -> Job:
    """Make the job of a call, with JSON arguments; raises as `Task.apply_async` does."""
    from litequeue.calling import CallOptions, check_name
    from litequeue.configured import Configured
    from litequeue.job import Job, bound_to, new_id
    from litequeue.serialization import Types

    now = SYSTEM.now()
    check_name("the name of a task", task)
    eta = given["eta"] if given["countdown"] is None else now + given["countdown"]
    options = CallOptions(
        id=given["id"] or new_id(now), queue=given["queue"], priority=given["priority"]
    )
    codec = Configured(conf, Types()).codec()
    body = codec.dumps_arguments(
        args,
        kwargs,
        limit=conf.task_max_arguments_size,
        context=bound_to(task, str(options.id)),
        serializer="json",
    )
    queue = options.queue or (facts.queue if facts else None) or conf.task_default_queue
    priority = conf.task_default_priority if options.priority is None else options.priority
    return Job(str(options.id), task, body, queue, priority, eta, given["expires"])


# What is printed


def _print_accepted(job: Job, *, as_json: bool) -> None:
    if as_json:
        print_json(id=job.id, task=job.task, queue=job.queue)
    else:
        say(job.id)


def _print_result(store: Store, job: Job, seconds: float, *, as_json: bool) -> int:
    """Wait for the verdict and print it."""
    record = await_verdict(store, job.id, seconds)
    if not record.is_done:
        raise Failure(
            f"job {job.id} is still {clean(record.state)} after {seconds:g} s; "
            f"see `litequeue show {store.path} {job.id}`"
        )
    failed = record.state != "SUCCESS"
    value, readable = decoded(record.result)
    if as_json:
        error = record.failure and {
            "type": record.failure.type,
            "message": record.failure.message,
            "traceback": record.failure.traceback,
        }
        print_json(
            id=job.id, task=job.task, queue=job.queue, state=record.state, result=value, error=error
        )
    elif not failed:
        say(json.dumps(value, ensure_ascii=False) if readable else value)
    if failed:
        why = record.failure
        words = f": {clean(why.type)}: {clean(why.message)}" if why is not None else ""
        note(f"litequeue: job {job.id} ended as {record.state}{words}")
    return 1 if failed else 0


def await_verdict(store: Store, id: str, seconds: float) -> Record:
    """Return the record of a job when it is done, or after ``seconds``."""
    from litequeue.exceptions import JobNotFound

    deadline = SYSTEM.monotonic() + seconds
    waiting = store.wait_for(id)
    try:
        while True:
            record = store.fetch(id)
            if record is None:
                raise JobNotFound(id)
            left = deadline - SYSTEM.monotonic()
            if record.is_done or left <= 0:
                return record
            waiting.wait(min(left, 3600.0))
    finally:
        waiting.close()
