"""The schema, declared with peewee: tables, indexes, and the views that are open to everybody.

A status change rewrites its whole row, so `Job` is narrow and what never changes lives in
`Payload` (arguments of 8 kB: 15,000 jobs/s in the row, 32,000 apart).  Rows that are not due,
not known or finished stand under other partial indexes than the ready ones, so that no claim
ever steps over them.
"""

from __future__ import annotations

from typing import Final

from peewee import SQL, Check, CompositeKey, FloatField, IntegerField, Model, TextField

from litequeue import states

# `phase IN (...)` would build a set for every row: 2 µs of the 6 that storing a job takes.
_IS_A_PHASE: Final = " OR ".join(
    f"phase = '{phase}'"
    for phase in (states.READY, states.LEASED, states.DONE, states.SCHEDULED, states.PARKED)
)


class Job(Model):
    """One job: where it is (phase), what users see (state), who has it (owner, token)."""

    seq: Final = IntegerField(primary_key=True)
    id: Final = TextField()
    task: Final = TextField()
    queue: Final = TextField()
    priority: Final = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    phase: Final = TextField(constraints=[Check(_IS_A_PHASE)])
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

    class Meta:
        """Where it is stored."""

        table_name = "litequeue_job"
        strict_tables = True
        constraints: Final = [
            Check("(phase = 'leased') = (token IS NOT NULL)"),
            Check("phase <> 'scheduled' OR eta IS NOT NULL"),
            Check("(phase = 'done') = (finished IS NOT NULL)"),
            *(
                Check(f"length(CAST({name} AS BLOB)) BETWEEN 1 AND 255")
                for name in ("id", "task", "queue")
            ),
        ]


class Payload(Model):
    """What a job was asked to do: ``body`` is the JSON text of [args, kwargs]."""

    seq: Final = IntegerField(primary_key=True)
    body: Final = TextField()
    options: Final = TextField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "litequeue_payload"
        strict_tables = True


class Error(Model):
    """Why one attempt of a job ended without a result.  ``args`` is JSON."""

    job: Final = IntegerField()
    claim: Final = IntegerField()
    at: Final = FloatField()
    state: Final = TextField()
    type: Final = TextField()
    message: Final = TextField()
    args: Final = TextField()
    traceback: Final = TextField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "litequeue_error"
        primary_key: Final = CompositeKey("job", "claim")
        strict_tables = True
        without_rowid = True


class Queue(Model):
    """A queue that a job was ever sent to."""

    name: Final = TextField(primary_key=True)

    class Meta:
        """Where it is stored."""

        table_name = "litequeue_queue"
        strict_tables = True
        without_rowid = True


class Worker(Model):
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

    class Meta:
        """Where it is stored."""

        table_name = "litequeue_worker"
        strict_tables = True


class WorkerName(Model):
    """The name of a worker that was ever registered: finished jobs tell who ran them."""

    id: Final = IntegerField(primary_key=True)
    name: Final = TextField()
    seen: Final = FloatField()

    class Meta:
        """Where it is stored."""

        table_name = "litequeue_worker_name"
        strict_tables = True


class App(Model):
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

        table_name = "litequeue_app"
        strict_tables = True
        without_rowid = True


class Task(Model):
    """A task that an app of this file had when it was last seen."""

    name: Final = TextField(primary_key=True)
    signature: Final = TextField()
    summary: Final = TextField()
    queue: Final = TextField(null=True)
    app: Final = TextField(null=True)
    seen: Final = FloatField()

    class Meta:
        """Where it is stored."""

        table_name = "litequeue_task"
        strict_tables = True
        without_rowid = True


class Meta(Model):
    """Facts about the file: the version of its schema, and when it was made."""

    key: Final = TextField(primary_key=True)
    value: Final = TextField()

    class Meta:
        """Where it is stored."""

        table_name = "litequeue_meta"
        strict_tables = True
        without_rowid = True


TABLES: Final = (Job, Payload, Error, Queue, Worker, WorkerName, App, Task, Meta)

for _index in (
    Job.index(Job.queue, Job.priority.desc(), Job.seq, name="litequeue_job_ready").where(
        Job.phase == states.READY
    ),
    Job.index(Job.id, name="litequeue_job_id", unique=True),
    Job.index(Job.eta, name="litequeue_job_scheduled").where(Job.phase == states.SCHEDULED),
    Job.index(Job.task, name="litequeue_job_parked").where(Job.phase == states.PARKED),
    Job.index(Job.owner, name="litequeue_job_leased").where(Job.phase == states.LEASED),
    Job.index(Job.expires, name="litequeue_job_expiring").where(
        Job.expires.is_null(False), Job.phase != states.DONE, Job.phase != states.LEASED
    ),
    Job.index(Job.keep_until, name="litequeue_job_done").where(Job.phase == states.DONE),
    Job.index(Job.parent, name="litequeue_job_parent").where(Job.parent.is_null(False)),
):
    Job.add_index(_index)
Worker.add_index(Worker.index(Worker.nonce, name="litequeue_worker_nonce", unique=True))

_UUID7: Final = """lower(
    printf('%08x-%04x', milliseconds >> 16, milliseconds & 65535)
    || '-7' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (random() & 3), 1)
    || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))"""

_NOW: Final = "((julianday('now') - 2440587.5) * 86400.0)"

ENQUEUE_VIEW: Final = """
CREATE VIEW litequeue_enqueue AS
SELECT id, task, '[]' AS args, '{}' AS kwargs, queue, priority, eta, expires
FROM litequeue_job WHERE 0
"""

# An INSERT OR REPLACE (or IGNORE) into the view rules every INSERT in here, so that each has to
# be free of conflicts.  Before SQLite 3.41 only JSON's table-valued functions run in triggers of
# a connection with `trusted_schema = 0`.
ENQUEUE_TRIGGER: Final = f"""
CREATE TRIGGER litequeue_enqueue_insert INSTEAD OF INSERT ON litequeue_enqueue
BEGIN
    SELECT raise(ABORT, 'litequeue: args is a JSON array and kwargs a JSON object')
    WHERE (SELECT type FROM json_tree(coalesce(NEW.args, '[]')) LIMIT 1) <> 'array'
       OR (SELECT type FROM json_tree(coalesce(NEW.kwargs, '{{}}')) LIMIT 1) <> 'object';
    SELECT raise(ABORT, 'litequeue: this id is taken')
    WHERE EXISTS (SELECT 1 FROM litequeue_job WHERE id = NEW.id);
    INSERT INTO litequeue_queue (name) SELECT coalesce(NEW.queue, 'default')
    WHERE NOT EXISTS (SELECT 1 FROM litequeue_queue WHERE name = coalesce(NEW.queue, 'default'));
    INSERT INTO litequeue_job (id, task, queue, priority, phase, eta, expires, created)
    SELECT coalesce(NEW.id, {_UUID7}), NEW.task, coalesce(NEW.queue, 'default'),
           coalesce(NEW.priority, 0),
           CASE WHEN NEW.eta > {_NOW} THEN 'scheduled' ELSE 'ready' END,
           NEW.eta, NEW.expires, {_NOW}
    FROM (SELECT CAST({_NOW} * 1000 AS INTEGER) AS milliseconds);
    SELECT raise(ABORT, 'litequeue: this makes no sense as a job') WHERE changes() = 0;
    INSERT INTO litequeue_payload (seq, body)
    VALUES (last_insert_rowid(),
            '[' || coalesce(NEW.args, '[]') || ',' || coalesce(NEW.kwargs, '{{}}') || ']');
END
"""

JOBS_VIEW: Final = """
CREATE VIEW litequeue_jobs AS
SELECT job.id, job.task,
       CASE WHEN json_valid(payload.body) THEN json_extract(payload.body, '$[0]') END AS args,
       CASE WHEN json_valid(payload.body) THEN json_extract(payload.body, '$[1]') END AS kwargs,
       job.queue, job.priority, job.phase, job.state,
       job.retries, job.deaths AS lost, worker.name AS worker, job.pid,
       datetime(job.created, 'unixepoch') AS created, datetime(job.eta, 'unixepoch') AS eta,
       datetime(job.expires, 'unixepoch') AS expires,
       datetime(job.started, 'unixepoch') AS started,
       datetime(job.finished, 'unixepoch') AS finished, job.runtime, job.result
FROM litequeue_job AS job
LEFT JOIN litequeue_payload AS payload ON payload.seq = job.seq
LEFT JOIN litequeue_worker_name AS worker ON worker.id = job.owner
"""

ERRORS_VIEW: Final = """
CREATE VIEW litequeue_errors AS
SELECT job.id, job.task, error.claim AS attempt, datetime(error.at, 'unixepoch') AS at, error.state,
       error.type, error.message, error.traceback
FROM litequeue_error AS error JOIN litequeue_job AS job ON job.seq = error.job
"""

VIEWS: Final = (ENQUEUE_VIEW, ENQUEUE_TRIGGER, JOBS_VIEW, ERRORS_VIEW)
