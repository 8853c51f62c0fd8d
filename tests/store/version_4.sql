BEGIN TRANSACTION;
CREATE TABLE "litequeue_app" ("name" TEXT NOT NULL PRIMARY KEY, "root" TEXT NOT NULL, "python" TEXT NOT NULL, "path" TEXT NOT NULL, "device" TEXT NOT NULL, "inode" TEXT NOT NULL, "recorded" REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE "litequeue_command" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "at" REAL NOT NULL, "expires" REAL NOT NULL, "name" TEXT NOT NULL, "arguments" TEXT NOT NULL, "destination" TEXT, "pattern" TEXT, "matcher" TEXT, "reply" INTEGER NOT NULL) STRICT;
INSERT INTO "litequeue_command" VALUES(1,1700000000.0,2700000000.0,'ping','{}',NULL,NULL,NULL,1);
CREATE TABLE "litequeue_entry" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "name" TEXT NOT NULL, "owner" TEXT, "version" INTEGER NOT NULL DEFAULT 1, "created" REAL NOT NULL, "paused" REAL, "anchor" REAL NOT NULL CHECK (anchor BETWEEN -100000000000.0 AND 100000000000.0), "planned" REAL NOT NULL, "next_key" TEXT, "next_at" REAL, "next_due" REAL, "held_key" TEXT, "held_at" REAL, "held_due" REAL, "last_at" REAL, "last_due" REAL, "last_fired" REAL, "last_job" TEXT, "count" INTEGER NOT NULL DEFAULT 0, "forgotten" TEXT, "schedule" TEXT NOT NULL, "task" TEXT NOT NULL, "queue" TEXT NOT NULL, "priority" INTEGER NOT NULL CHECK (priority BETWEEN -1000000000 AND 1000000000), "expires" REAL CHECK (expires BETWEEN 0 AND 10000000000.0), "misfire" TEXT NOT NULL CHECK (misfire = 'skip' OR misfire = 'one' OR misfire = 'all'), "grace" REAL CHECK (grace BETWEEN 0 AND 10000000000.0), "catch_up" INTEGER NOT NULL CHECK (catch_up BETWEEN 1 AND 10000), "overlap" TEXT NOT NULL CHECK (overlap = 'allow' OR overlap = 'skip' OR overlap = 'queue' OR overlap = 'cancel'), "jitter" REAL NOT NULL CHECK (jitter BETWEEN 0 AND 86400.0), "starts" REAL CHECK (starts BETWEEN -100000000000.0 AND 100000000000.0), "ends" REAL CHECK (ends BETWEEN -100000000000.0 AND 100000000000.0), "options" TEXT, "body" TEXT NOT NULL, CHECK ((next_key IS NULL) = (next_at IS NULL)), CHECK ((next_key IS NULL) = (next_due IS NULL)), CHECK ((held_key IS NULL) = (held_at IS NULL)), CHECK ((held_key IS NULL) = (held_due IS NULL)), CHECK (starts < ends), CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 255), CHECK (length(CAST(task AS BLOB)) BETWEEN 1 AND 255), CHECK (length(CAST(queue AS BLOB)) BETWEEN 1 AND 255)) STRICT;
INSERT INTO "litequeue_entry" VALUES(1,'nightly',NULL,2,1700000000.0,NULL,1700000000.0,1700000020.0,'2023-11-14T22:13:50Z',1700000030.0,1700000030.0,NULL,NULL,NULL,1700000020.0,1700000020.0,1700000020.0,'sent-8123-000002',2,NULL,'{"interval":10.0}','t','default',0,NULL,'one',NULL,1000,'allow',0.0,NULL,NULL,NULL,'[[],{}]');
CREATE TABLE "litequeue_error" ("job" INTEGER NOT NULL, "claim" INTEGER NOT NULL, "at" REAL NOT NULL, "state" TEXT NOT NULL, "type" TEXT NOT NULL, "message" TEXT NOT NULL, "args" TEXT NOT NULL, "traceback" TEXT, "evidence" TEXT, PRIMARY KEY ("job", "claim")) STRICT, WITHOUT ROWID;
INSERT INTO "litequeue_error" VALUES(2,1,1700000000.0,'FAILURE','ValueError','broken','[]',NULL,'{"signal":"SIGSEGV"}');
INSERT INTO "litequeue_error" VALUES(3,1,1700000000.0,'RETRY','OSError','again','[]',NULL,NULL);
CREATE TABLE "litequeue_event" ("seq" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "at" REAL NOT NULL, "type" TEXT NOT NULL, "job" TEXT, "worker" TEXT, "body" TEXT NOT NULL) STRICT;
INSERT INTO "litequeue_event" VALUES(1,1700000000.0,'task-sent','ready','gen1@host','{"name":"t"}');
CREATE TABLE "litequeue_job" ("seq" INTEGER NOT NULL PRIMARY KEY, "id" TEXT NOT NULL, "task" TEXT NOT NULL, "queue" TEXT NOT NULL, "priority" INTEGER NOT NULL DEFAULT 0, "phase" TEXT NOT NULL CHECK (phase = 'ready' OR phase = 'leased' OR phase = 'done' OR phase = 'scheduled' OR phase = 'parked'), "state" TEXT NOT NULL DEFAULT 'PENDING', "eta" REAL, "expires" REAL, "created" REAL NOT NULL, "parent" TEXT, "retries" INTEGER NOT NULL DEFAULT 0, "claims" INTEGER NOT NULL DEFAULT 0, "deaths" INTEGER NOT NULL DEFAULT 0, "once" INTEGER NOT NULL DEFAULT 0, "owner" INTEGER, "token" INTEGER, "pid" INTEGER, "started" REAL, "runtime" REAL, "finished" REAL, "keep_until" REAL, "result" TEXT, CHECK ((phase = 'leased') = (token IS NOT NULL)), CHECK (phase <> 'scheduled' OR eta IS NOT NULL), CHECK ((phase = 'done') = (finished IS NOT NULL)), CHECK (length(CAST(id AS BLOB)) BETWEEN 1 AND 255), CHECK (length(CAST(task AS BLOB)) BETWEEN 1 AND 255), CHECK (length(CAST(queue AS BLOB)) BETWEEN 1 AND 255)) STRICT;
INSERT INTO "litequeue_job" VALUES(1,'succeeded','t','default',0,'done','SUCCESS',NULL,NULL,1700000000.0,NULL,0,1,0,0,1,NULL,NULL,1700000000.0,0.5,1700000000.0,1700000100.0,'"done"');
INSERT INTO "litequeue_job" VALUES(2,'failed','t','default',0,'done','FAILURE',NULL,NULL,1700000000.0,NULL,0,1,0,0,1,NULL,NULL,NULL,NULL,1700000000.0,1700001000.0,NULL);
INSERT INTO "litequeue_job" VALUES(3,'retried','t','default',0,'scheduled','RETRY',1700000050.0,NULL,1700000000.0,NULL,1,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "litequeue_job" VALUES(4,'leased','t','default',0,'leased','RECEIVED',NULL,NULL,1700000000.0,NULL,0,1,0,0,1,-2226310105143698405,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "litequeue_job" VALUES(5,'ready','t','default',0,'ready','PENDING',NULL,NULL,1700000000.0,NULL,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "litequeue_job" VALUES(6,'scheduled','t','default',0,'scheduled','PENDING',1700000100.0,NULL,1700000000.0,NULL,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "litequeue_job" VALUES(7,'parked','somebody.elses','mail',5,'parked','PENDING',NULL,NULL,1700000000.0,NULL,0,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "litequeue_job" VALUES(8,'sent-8123-000001','t','default',0,'ready','PENDING',NULL,NULL,1700000020.0,NULL,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "litequeue_job" VALUES(9,'sent-8123-000002','t','default',0,'ready','PENDING',NULL,NULL,1700000020.0,NULL,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE "litequeue_log" ("job" INTEGER NOT NULL, "claim" INTEGER NOT NULL, "text" TEXT NOT NULL, PRIMARY KEY ("job", "claim")) STRICT, WITHOUT ROWID;
INSERT INTO "litequeue_log" VALUES(1,1,'printed
');
CREATE TABLE "litequeue_meta" ("key" TEXT NOT NULL PRIMARY KEY, "value" TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "litequeue_meta" VALUES('schema','4');
CREATE TABLE "litequeue_payload" ("seq" INTEGER NOT NULL PRIMARY KEY, "body" TEXT NOT NULL, "options" TEXT) STRICT;
INSERT INTO "litequeue_payload" VALUES(1,'[[1],{"b":2}]',NULL);
INSERT INTO "litequeue_payload" VALUES(2,'[[1],{"b":2}]',NULL);
INSERT INTO "litequeue_payload" VALUES(3,'[[1],{"b":2}]',NULL);
INSERT INTO "litequeue_payload" VALUES(4,'[[1],{"b":2}]',NULL);
INSERT INTO "litequeue_payload" VALUES(5,'[[1],{"b":2}]',NULL);
INSERT INTO "litequeue_payload" VALUES(6,'[[1],{"b":2}]',NULL);
INSERT INTO "litequeue_payload" VALUES(7,'[[1],{"b":2}]',NULL);
INSERT INTO "litequeue_payload" VALUES(8,'[[],{}]','{"entry":"nightly","tick":1700000010.0}');
INSERT INTO "litequeue_payload" VALUES(9,'[[],{}]','{"entry":"nightly","tick":1700000020.0}');
CREATE TABLE "litequeue_queue" ("name" TEXT NOT NULL PRIMARY KEY, "paused" REAL) STRICT, WITHOUT ROWID;
INSERT INTO "litequeue_queue" VALUES('default',NULL);
INSERT INTO "litequeue_queue" VALUES('mail',1700000000.0);
CREATE TABLE "litequeue_reply" ("command" INTEGER NOT NULL, "worker" TEXT NOT NULL, "at" REAL NOT NULL, "body" TEXT NOT NULL, PRIMARY KEY ("command", "worker")) STRICT, WITHOUT ROWID;
INSERT INTO "litequeue_reply" VALUES(1,'w',1700000000.0,'{"ok":"pong"}');
CREATE TABLE "litequeue_revocation" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "header" TEXT, "value" TEXT NOT NULL, "terminate" INTEGER NOT NULL, "signal" TEXT, "at" REAL NOT NULL) STRICT;
INSERT INTO "litequeue_revocation" VALUES(1,NULL,'leased',1,'SIGTERM',1700000000.0);
INSERT INTO "litequeue_revocation" VALUES(2,NULL,'unknown',1,'SIGTERM',1700000000.0);
INSERT INTO "litequeue_revocation" VALUES(3,'tenant','7',0,NULL,1700000000.0);
CREATE TABLE "litequeue_task" ("name" TEXT NOT NULL PRIMARY KEY, "signature" TEXT NOT NULL, "summary" TEXT NOT NULL, "queue" TEXT, "app" TEXT, "seen" REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE "litequeue_tick" ("entry" INTEGER NOT NULL, "key" TEXT NOT NULL, "number" INTEGER NOT NULL, "at" REAL NOT NULL, "due" REAL NOT NULL, "fired" REAL NOT NULL, "job" TEXT, "note" TEXT, PRIMARY KEY ("entry", "key")) STRICT, WITHOUT ROWID;
INSERT INTO "litequeue_tick" VALUES(1,'2023-11-14T22:13:30Z',1,1700000010.0,1700000010.0,1700000020.0,'sent-8123-000001',NULL);
INSERT INTO "litequeue_tick" VALUES(1,'2023-11-14T22:13:40Z',2,1700000020.0,1700000020.0,1700000020.0,'sent-8123-000002',NULL);
CREATE TABLE "litequeue_worker" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "name" TEXT NOT NULL, "nonce" TEXT NOT NULL CHECK (nonce <> '' AND nonce NOT GLOB '*[^0-9a-f]*'), "boot" TEXT NOT NULL, "namespace" TEXT NOT NULL, "pid" INTEGER NOT NULL, "start_time" INTEGER NOT NULL, "started" REAL NOT NULL, "heartbeat" REAL NOT NULL, "beats" INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "litequeue_worker" VALUES(1,'w','1','','',1,1,0.0,0.0,0);
CREATE TABLE "litequeue_worker_name" ("id" INTEGER NOT NULL PRIMARY KEY, "name" TEXT NOT NULL, "seen" REAL NOT NULL) STRICT;
INSERT INTO "litequeue_worker_name" VALUES(1,'w',0.0);
CREATE INDEX "litequeue_job_ready" ON "litequeue_job" ("queue", "priority" DESC, "seq") WHERE ("phase" = 'ready');
CREATE UNIQUE INDEX "litequeue_job_id" ON "litequeue_job" ("id");
CREATE INDEX "litequeue_job_scheduled" ON "litequeue_job" ("eta") WHERE ("phase" = 'scheduled');
CREATE INDEX "litequeue_job_parked" ON "litequeue_job" ("task", "queue") WHERE ("phase" = 'parked');
CREATE INDEX "litequeue_job_leased" ON "litequeue_job" ("owner") WHERE ("phase" = 'leased');
CREATE INDEX "litequeue_job_expiring" ON "litequeue_job" ("expires") WHERE ((("expires" IS NOT NULL) AND ("phase" != 'done')) AND ("phase" != 'leased'));
CREATE INDEX "litequeue_job_done" ON "litequeue_job" ("keep_until") WHERE ("phase" = 'done');
CREATE INDEX "litequeue_job_parent" ON "litequeue_job" ("parent") WHERE ("parent" IS NOT NULL);
CREATE UNIQUE INDEX "litequeue_worker_nonce" ON "litequeue_worker" ("nonce");
CREATE UNIQUE INDEX "litequeue_revocation_id" ON "litequeue_revocation" ("value") WHERE ("header" IS NULL);
CREATE UNIQUE INDEX "litequeue_revocation_stamp" ON "litequeue_revocation" ("header", "value") WHERE ("header" IS NOT NULL);
CREATE INDEX "litequeue_revocation_at" ON "litequeue_revocation" ("at");
CREATE UNIQUE INDEX "litequeue_entry_name" ON "litequeue_entry" ("name");
CREATE INDEX "litequeue_entry_due" ON "litequeue_entry" ("next_due") WHERE (("next_due" IS NOT NULL) AND ("paused" IS NULL));
CREATE INDEX "litequeue_entry_held" ON "litequeue_entry" ("held_due") WHERE (("held_due" IS NOT NULL) AND ("paused" IS NULL));
CREATE UNIQUE INDEX "litequeue_tick_number" ON "litequeue_tick" ("entry", "number");
CREATE VIEW litequeue_enqueue AS
SELECT id, task, '[]' AS args, '{}' AS kwargs, queue, priority, eta, expires
FROM litequeue_job WHERE 0;
CREATE TRIGGER litequeue_enqueue_insert INSTEAD OF INSERT ON litequeue_enqueue
BEGIN
    SELECT raise(ABORT, 'litequeue: args is a JSON array and kwargs a JSON object')
    WHERE (SELECT type FROM json_tree(coalesce(NEW.args, '[]')) LIMIT 1) <> 'array'
       OR (SELECT type FROM json_tree(coalesce(NEW.kwargs, '{}')) LIMIT 1) <> 'object';
    SELECT raise(ABORT, 'litequeue: this id is taken')
    WHERE EXISTS (SELECT 1 FROM litequeue_job WHERE id = NEW.id);
    INSERT INTO litequeue_queue (name) SELECT coalesce(NEW.queue, 'default')
    WHERE NOT EXISTS (SELECT 1 FROM litequeue_queue WHERE name = coalesce(NEW.queue, 'default'));
    INSERT INTO litequeue_job (id, task, queue, priority, phase, eta, expires, created)
    SELECT coalesce(NEW.id, lower(
    printf('%08x-%04x', milliseconds >> 16, milliseconds & 65535)
    || '-7' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (random() & 3), 1)
    || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))), NEW.task, coalesce(NEW.queue, 'default'),
           coalesce(NEW.priority, 0),
           CASE WHEN NEW.eta > ((julianday('now') - 2440587.5) * 86400.0) THEN 'scheduled' ELSE 'ready' END,
           NEW.eta, NEW.expires, ((julianday('now') - 2440587.5) * 86400.0)
    FROM (SELECT CAST(((julianday('now') - 2440587.5) * 86400.0) * 1000 AS INTEGER) AS milliseconds);
    SELECT raise(ABORT, 'litequeue: this makes no sense as a job') WHERE changes() = 0;
    INSERT INTO litequeue_payload (seq, body)
    VALUES (last_insert_rowid(),
            '[' || coalesce(NEW.args, '[]') || ',' || coalesce(NEW.kwargs, '{}') || ']');
END;
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
LEFT JOIN litequeue_worker_name AS worker ON worker.id = job.owner;
CREATE VIEW litequeue_errors AS
SELECT job.id, job.task, error.claim AS attempt, datetime(error.at, 'unixepoch') AS at, error.state,
       error.type, error.message, error.traceback, error.evidence
FROM litequeue_error AS error JOIN litequeue_job AS job ON job.seq = error.job;
CREATE VIEW litequeue_logs AS
SELECT job.id, job.task, log.claim AS attempt, log.text
FROM litequeue_log AS log JOIN litequeue_job AS job ON job.seq = log.job;
CREATE VIEW litequeue_events AS
SELECT seq, strftime('%Y-%m-%d %H:%M:%f', at, 'unixepoch') AS at, type, job AS id, worker, body
FROM litequeue_event;
CREATE VIEW litequeue_queues AS
SELECT name, datetime(paused, 'unixepoch') AS paused FROM litequeue_queue;
CREATE VIEW litequeue_workers AS
SELECT worker.name, worker.pid, datetime(worker.started, 'unixepoch') AS started,
       datetime(worker.heartbeat, 'unixepoch') AS seen, count(job.seq) AS leased
FROM litequeue_worker AS worker
LEFT JOIN litequeue_job AS job ON job.phase = 'leased' AND job.owner = worker.id
GROUP BY worker.id;
CREATE VIEW litequeue_schedule AS
SELECT entry.name, entry.task, entry.schedule, entry.owner,
       datetime(entry.paused, 'unixepoch') AS paused,
       CASE WHEN entry.paused IS NULL THEN datetime(entry.next_due, 'unixepoch') END AS next,
       datetime(entry.last_fired, 'unixepoch') AS last, entry.last_job AS job, job.state,
       entry.count
FROM litequeue_entry AS entry LEFT JOIN litequeue_job AS job ON job.id = entry.last_job;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('litequeue_command',1);
INSERT INTO "sqlite_sequence" VALUES('litequeue_entry',1);
INSERT INTO "sqlite_sequence" VALUES('litequeue_event',1);
INSERT INTO "sqlite_sequence" VALUES('litequeue_revocation',3);
INSERT INTO "sqlite_sequence" VALUES('litequeue_worker',1);
COMMIT;
