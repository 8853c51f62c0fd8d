"""The views that are open to everybody: what may be read, and how a job is put in by plain SQL."""

from __future__ import annotations

from typing import Final

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
       datetime(job.finished, 'unixepoch') AS finished, job.runtime, job.result,
       fanin.name AS member_of
FROM litequeue_job AS job
LEFT JOIN litequeue_payload AS payload ON payload.seq = job.seq
LEFT JOIN litequeue_worker_name AS worker ON worker.id = job.owner
LEFT JOIN litequeue_fanin AS fanin ON fanin.id = job.flow AND job.flow > 0
"""

ERRORS_VIEW: Final = """
CREATE VIEW litequeue_errors AS
SELECT job.id, job.task, error.claim AS attempt, datetime(error.at, 'unixepoch') AS at, error.state,
       error.type, error.message, error.traceback, error.evidence
FROM litequeue_error AS error JOIN litequeue_job AS job ON job.seq = error.job
"""

LOGS_VIEW: Final = """
CREATE VIEW litequeue_logs AS
SELECT job.id, job.task, log.claim AS attempt, log.text
FROM litequeue_log AS log JOIN litequeue_job AS job ON job.seq = log.job
"""

EVENTS_VIEW: Final = """
CREATE VIEW litequeue_events AS
SELECT seq, strftime('%Y-%m-%d %H:%M:%f', at, 'unixepoch') AS at, type, job AS id, worker, body
FROM litequeue_event
"""

QUEUES_VIEW: Final = """
CREATE VIEW litequeue_queues AS
SELECT name, datetime(paused, 'unixepoch') AS paused FROM litequeue_queue
"""

WORKERS_VIEW: Final = """
CREATE VIEW litequeue_workers AS
SELECT worker.name, worker.pid, datetime(worker.started, 'unixepoch') AS started,
       datetime(worker.heartbeat, 'unixepoch') AS seen, count(job.seq) AS leased
FROM litequeue_worker AS worker
LEFT JOIN litequeue_job AS job ON job.phase = 'leased' AND job.owner = worker.id
GROUP BY worker.id
"""

SCHEDULE_VIEW: Final = """
CREATE VIEW litequeue_schedule AS
SELECT entry.name, entry.task, entry.schedule, entry.owner,
       datetime(entry.paused, 'unixepoch') AS paused,
       CASE WHEN entry.paused IS NULL THEN datetime(entry.next_due, 'unixepoch') END AS next,
       datetime(entry.last_fired, 'unixepoch') AS last, entry.last_job AS job, job.state,
       entry.count
FROM litequeue_entry AS entry LEFT JOIN litequeue_job AS job ON job.id = entry.last_job
"""

GROUPS_VIEW: Final = """
CREATE VIEW litequeue_groups AS
SELECT fanin.name AS id, fanin.size, fanin.members - fanin.waiting AS ended, fanin.failed,
       fanin.policy, body.id AS target
FROM (SELECT *, coalesce(size, 1 + (
          SELECT count(*) FROM litequeue_job AS member
          WHERE member.flow = litequeue_fanin.id AND member.flow > 0)) AS members
      FROM litequeue_fanin) AS fanin
LEFT JOIN litequeue_job AS body ON body.seq = fanin.target
"""

STEPS_VIEW: Final = """
CREATE VIEW litequeue_steps AS
SELECT job.id, job.task, step.name, step.result
FROM litequeue_step AS step JOIN litequeue_job AS job ON job.seq = step.job
"""

VIEWS: Final = (
    ENQUEUE_VIEW, ENQUEUE_TRIGGER, JOBS_VIEW, ERRORS_VIEW, LOGS_VIEW, EVENTS_VIEW, QUEUES_VIEW,
    WORKERS_VIEW, SCHEDULE_VIEW, GROUPS_VIEW, STEPS_VIEW,
)  # fmt: skip
