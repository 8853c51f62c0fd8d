"""The schema, declared with peewee: tables and indexes.  `views` has what is open to everybody.

A status change rewrites its whole row, so `Job` is narrow and what never changes lives in
`Payload` (arguments of 8 kB: 15,000 jobs/s in the row, 32,000 apart).  Rows that are not due,
not known or finished stand under other partial indexes than the ready ones, so that no claim
ever steps over them.
"""

from __future__ import annotations

from typing import Any, Final

from peewee import SQL, Check, CompositeKey, FloatField, IntegerField, TextField

from litequeue import states
from litequeue.store.beat_models import Entry, Tick
from litequeue.store.flow_models import Advance, Edge, FanIn, Part, Remembered
from litequeue.store.table import Table, among, sized

_PHASES: Final = (
    states.READY, states.LEASED, states.DONE, states.SCHEDULED, states.PARKED, states.WAITING,
)  # fmt: skip


class Job(Table):
    """One job: where it is (phase), what users see (state), who has it (owner, token).

    ``flow`` is NULL but for jobs of workflows: the fan-in that one reports to, 0 without one.
    """

    seq: Final = IntegerField(primary_key=True)
    id: Final = TextField()
    task: Final = TextField()
    queue: Final = TextField()
    priority: Final = IntegerField(constraints=[SQL("DEFAULT 0")])
    phase: Final = TextField(constraints=[among("phase", _PHASES)])
    state: Final = TextField(constraints=[SQL("DEFAULT 'PENDING'")])
    eta: Final = FloatField(null=True)
    expires: Final = FloatField(null=True)
    created: Final = FloatField()
    parent: Final = TextField(null=True)
    retries: Final = IntegerField(constraints=[SQL("DEFAULT 0")])
    claims: Final = IntegerField(constraints=[SQL("DEFAULT 0")])
    deaths: Final = IntegerField(constraints=[SQL("DEFAULT 0")])
    once: Final = IntegerField(constraints=[SQL("DEFAULT 0")])
    owner: Final = IntegerField(null=True)
    token: Final = IntegerField(null=True)
    pid: Final = IntegerField(null=True)
    started: Final = FloatField(null=True)
    runtime: Final = FloatField(null=True)
    finished: Final = FloatField(null=True)
    keep_until: Final = FloatField(null=True)
    result: Final = TextField(null=True)
    flow: Final = IntegerField(null=True)

    class Meta:
        """Where it is stored."""

        constraints: Final[list[Any]] = [
            Check("(phase = 'leased') = (token IS NOT NULL)"),
            Check("phase <> 'scheduled' OR eta IS NOT NULL"),
            Check("(phase = 'done') = (finished IS NOT NULL)"),
            Check("phase <> 'waiting' OR flow IS NOT NULL"),
            *sized(("id", "task", "queue"), 255),
        ]


class Payload(Table):
    """What a job was asked to do: ``body`` is the JSON text of [args, kwargs]."""

    seq: Final = IntegerField(primary_key=True)
    body: Final = TextField()
    options: Final = TextField(null=True)


class Error(Table):
    """Why one attempt of a job ended without a result.

    ``args`` is JSON; ``evidence`` too: an object that says how the attempt's process died.
    """

    job: Final = IntegerField()
    claim: Final = IntegerField()
    at: Final = FloatField()
    state: Final = TextField()
    type: Final = TextField()
    message: Final = TextField()
    args: Final = TextField()
    traceback: Final = TextField(null=True)
    evidence: Final = TextField(null=True)

    class Meta:
        """Where it is stored."""

        primary_key: Final = CompositeKey("job", "claim")
        without_rowid = True


class Log(Table):
    """What one attempt of a job printed and logged, where that is kept."""

    job: Final = IntegerField()
    claim: Final = IntegerField()
    text: Final = TextField()

    class Meta:
        """Where it is stored."""

        primary_key: Final = CompositeKey("job", "claim")
        without_rowid = True


class Queue(Table):
    """A queue that a job was ever sent to; ``paused`` is when that was done, NULL while it runs."""

    name: Final = TextField(primary_key=True)
    paused: Final = FloatField(null=True)

    class Meta:
        """Where it is stored."""

        without_rowid = True


class Worker(Table):
    """A worker: the identity of its supervisor.  Ids are not used again: leases name them."""

    id: Final = IntegerField(primary_key=True, constraints=[SQL("AUTOINCREMENT")])
    name: Final = TextField()
    nonce: Final = TextField(constraints=[Check("nonce <> '' AND nonce NOT GLOB '*[^0-9a-f]*'")])
    boot: Final = TextField()
    namespace: Final = TextField()
    pid: Final = IntegerField()
    start_time: Final = IntegerField()
    started: Final = FloatField()
    heartbeat: Final = FloatField()
    beats: Final = IntegerField(constraints=[SQL("DEFAULT 0")])


class WorkerName(Table):
    """The name of a worker that was ever registered: finished jobs tell who ran them."""

    id: Final = IntegerField(primary_key=True)
    name: Final = TextField()
    seen: Final = FloatField()

    class Meta:
        """Where it is stored."""

        table_name = "litequeue_worker_name"


class App(Table):
    """An app that used the file: a hint for commands that were not told one.

    ``name`` is "module:attribute"; ``root`` is for people to read, never to import from.
    ``path``, ``device`` and ``inode`` say which file it was: a copy has other ones.
    """

    name: Final = TextField(primary_key=True)
    root: Final = TextField()
    python: Final = TextField()
    path: Final = TextField()
    device: Final = TextField()
    inode: Final = TextField()
    recorded: Final = FloatField()

    class Meta:
        """Where it is stored."""

        without_rowid = True


class Task(Table):
    """A task that an app of this file had when it was last seen."""

    name: Final = TextField(primary_key=True)
    signature: Final = TextField()
    summary: Final = TextField()
    queue: Final = TextField(null=True)
    app: Final = TextField(null=True)
    seen: Final = FloatField()

    class Meta:
        """Where it is stored."""

        without_rowid = True


class Command(Table):
    """A message to workers.  Ids are not used again: a worker knows which it has seen.

    ``arguments`` is a JSON object, ``destination`` a JSON list of the names of workers; ``matcher``
    says what kind of pattern ``pattern`` is.  ``reply`` tells whether anybody waits for one.
    """

    id: Final = IntegerField(primary_key=True, constraints=[SQL("AUTOINCREMENT")])
    at: Final = FloatField()
    expires: Final = FloatField()
    name: Final = TextField()
    arguments: Final = TextField()
    destination: Final = TextField(null=True)
    pattern: Final = TextField(null=True)
    matcher: Final = TextField(null=True)
    reply: Final = IntegerField()


class Reply(Table):
    """What one worker answered to a command.  ``body`` is JSON."""

    command: Final = IntegerField()
    worker: Final = TextField()
    at: Final = FloatField()
    body: Final = TextField()

    class Meta:
        """Where it is stored."""

        primary_key: Final = CompositeKey("command", "worker")
        without_rowid = True


class Revocation(Table):
    """The wish that a job shall not run (any more): of an id, or of all that bear a stamp.

    ``header`` is the stamp's name, NULL where ``value`` is a job's id.  Who says it again gets a
    new ``id``, so that workers hear of it again.
    """

    id: Final = IntegerField(primary_key=True, constraints=[SQL("AUTOINCREMENT")])
    header: Final = TextField(null=True)
    value: Final = TextField()
    terminate: Final = IntegerField()
    signal: Final = TextField(null=True)
    at: Final = FloatField()


class Event(Table):
    """A fact, in a ring: the oldest go when there are too many.  ``body`` is a JSON object."""

    seq: Final = IntegerField(primary_key=True, constraints=[SQL("AUTOINCREMENT")])
    at: Final = FloatField()
    type: Final = TextField()
    job: Final = TextField(null=True)
    worker: Final = TextField(null=True)
    body: Final = TextField()


class Meta(Table):
    """Facts about the file: the version of its schema, and when it was made."""

    key: Final = TextField(primary_key=True)
    value: Final = TextField()

    class Meta:
        """Where it is stored."""

        without_rowid = True


TABLES: Final = (
    Job, Payload, Error, Log, Queue, Worker, WorkerName, App, Task, Command, Reply, Revocation,
    Event, Entry, Tick, Edge, FanIn, Advance, Part, Remembered, Meta,
)  # fmt: skip

for _index in (
    Job.index(Job.queue, Job.priority.desc(), Job.seq, name="litequeue_job_ready").where(
        Job.phase == states.READY
    ),
    Job.index(Job.id, name="litequeue_job_id", unique=True),
    Job.index(Job.eta, name="litequeue_job_scheduled").where(Job.phase == states.SCHEDULED),
    Job.index(Job.task, Job.queue, name="litequeue_job_parked").where(Job.phase == states.PARKED),
    Job.index(Job.owner, name="litequeue_job_leased").where(Job.phase == states.LEASED),
    Job.index(Job.expires, name="litequeue_job_expiring").where(
        Job.expires.is_null(False), Job.phase != states.DONE, Job.phase != states.LEASED
    ),
    Job.index(Job.keep_until, name="litequeue_job_done").where(Job.phase == states.DONE),
    Job.index(Job.queue, name="litequeue_job_waiting").where(Job.phase == states.WAITING),
    Job.index(Job.flow, name="litequeue_job_flow").where(Job.flow > 0),
    Job.index(Job.parent, name="litequeue_job_parent").where(Job.parent.is_null(False)),
):
    Job.add_index(_index)
Worker.add_index(Worker.index(Worker.nonce, name="litequeue_worker_nonce", unique=True))
for _index in (
    Revocation.index(Revocation.value, name="litequeue_revocation_id", unique=True).where(
        Revocation.header.is_null()
    ),
    Revocation.index(
        Revocation.header, Revocation.value, name="litequeue_revocation_stamp", unique=True
    ).where(Revocation.header.is_null(False)),
    Revocation.index(Revocation.at, name="litequeue_revocation_at"),
):
    Revocation.add_index(_index)
