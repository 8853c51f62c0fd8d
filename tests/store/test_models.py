"""What the file itself refuses and offers, whoever writes to it."""

from __future__ import annotations

import json
import sqlite3
import uuid
from typing import Any

import pytest

from litequeue.store import Database, events, queues
from tests.store.steps import (
    NOW,
    claim,
    claim_one,
    enlist,
    failure,
    put,
    retry,
    row_of,
    rows,
    step,
    success,
)

JOB: dict[str, Any] = {
    "id": "x", "task": "t", "queue": "default", "phase": "ready", "created": NOW,
}  # fmt: skip


def insert(
    connection: sqlite3.Connection, table: str, values: dict[str, Any], verb: str = "INSERT"
) -> None:
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(f"{verb} INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))


def test_a_legal_row_is_taken(foreign: sqlite3.Connection) -> None:
    insert(foreign, "litequeue_job", JOB)
    insert(foreign, "litequeue_payload", {"seq": 1, "body": "[[],{}]"})
    insert(foreign, "litequeue_queue", {"name": "default"})
    assert foreign.execute("SELECT state, retries FROM litequeue_job").fetchall() == [
        ("PENDING", 0)
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"phase": "waiting"},
        {"phase": None},
        {"phase": "leased"},
        {"token": 5},
        {"phase": "scheduled"},
        {"phase": "done"},
        {"finished": NOW},
        {"id": ""},
        {"id": None},
        {"id": "x" * 256},
        {"task": ""},
        {"task": "é" * 128},
        {"queue": ""},
        {"priority": "high"},
        {"priority": 1.5},
        {"eta": "tomorrow"},
        {"created": None},
        {"id": b"\xff\xfe"},
        {"retries": None},
    ],
    ids=str,
)
def test_an_illegal_row_is_refused(foreign: sqlite3.Connection, wrong: dict[str, Any]) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        insert(foreign, "litequeue_job", JOB | wrong)
    assert foreign.execute("SELECT count(*) FROM litequeue_job").fetchall() == [(0,)]


@pytest.mark.parametrize(
    "change",
    ["phase = 'leased'", "phase = 'done'", "phase = 'scheduled'", "token = 1", "seq = 'x'"],
)
def test_an_illegal_change_is_refused(
    database: Database, foreign: sqlite3.Connection, change: str
) -> None:
    put(database, "a")
    with pytest.raises(sqlite3.IntegrityError):
        foreign.execute(f"UPDATE litequeue_job SET {change}")


def test_ids_are_unique(database: Database, foreign: sqlite3.Connection) -> None:
    put(database, "x")
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        insert(foreign, "litequeue_job", JOB)


# Enqueueing with one plain INSERT


def test_a_task_is_all_it_takes(database: Database, foreign: sqlite3.Connection) -> None:
    foreign.execute("INSERT INTO litequeue_enqueue (task) VALUES ('t')")
    lease = claim_one(database)
    assert json.loads(lease.body) == [[], {}]
    assert (lease.task, lease.queue, lease.priority, lease.eta) == ("t", "default", 0, None)
    parsed = uuid.UUID(lease.id)
    assert (str(parsed), parsed.version, parsed.variant) == (lease.id, 7, uuid.RFC_4122)
    ((created,),) = rows(database.path, "SELECT created FROM litequeue_job")
    assert abs((parsed.int >> 80) / 1_000 - created) < 0.01


def test_everything_can_be_given(database: Database, foreign: sqlite3.Connection) -> None:
    foreign.execute(
        "INSERT INTO litequeue_enqueue (id, task, args, kwargs, queue, priority, eta, expires)"
        " VALUES ('mine', 't', '[1, \"é\"]', '{\"k\": 2}', 'mail', 7, 1.5, 9e9)"
    )
    lease = claim_one(database, queues='["mail"]')
    assert json.loads(lease.body) == [[1, "é"], {"k": 2}]
    assert (lease.id, lease.priority, lease.eta, lease.expires) == ("mine", 7, 1.5, 9e9)


def test_many_rows_become_many_jobs(database: Database, foreign: sqlite3.Connection) -> None:
    foreign.execute(
        "INSERT INTO litequeue_enqueue (task, args)"
        " SELECT 't', json_array(value) FROM json_each('[1,2,3]')"
    )
    assert [json.loads(lease.body) for lease in claim(database, 9)] == [
        [[1], {}],
        [[2], {}],
        [[3], {}],
    ]


def test_what_is_due_later_is_scheduled(database: Database, foreign: sqlite3.Connection) -> None:
    foreign.execute(
        "INSERT INTO litequeue_enqueue (id, task, eta)"
        " VALUES ('a', 't', (julianday('now') - 2440587.5) * 86400.0 + 60)"
    )
    assert row_of(database.path, "a")["phase"] == "scheduled"


@pytest.mark.parametrize(
    "values",
    [
        {"task": None},
        {"task": ""},
        {"task": "t", "args": "{}"},
        {"task": "t", "args": "[1"},
        {"task": "t", "args": "1"},
        {"task": "t", "kwargs": "[]"},
        {"task": "t", "kwargs": "nonsense"},
        {"task": "t", "id": "x" * 256},
        {"task": "t", "id": "taken"},
        {"task": "t", "priority": "high"},
        {"task": "t", "eta": "tomorrow"},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_whole(
    database: Database, foreign: sqlite3.Connection, values: dict[str, Any]
) -> None:
    put(database, "taken")
    with pytest.raises(sqlite3.Error):
        insert(foreign, "litequeue_enqueue", values | {"queue": "new"})
    assert rows(database.path, "SELECT id FROM litequeue_job") == [("taken",)]
    assert rows(database.path, "SELECT count(*) FROM litequeue_payload") == [(1,)]
    assert rows(database.path, "SELECT name FROM litequeue_queue") == [("default",)]


@pytest.mark.parametrize("how", ["IGNORE", "REPLACE", "ABORT", "FAIL", "ROLLBACK"])
@pytest.mark.parametrize(
    "values",
    [{"task": "t", "id": "taken"}, {"task": ""}, {"task": None}, {"task": "t", "eta": "soon"}],
    ids=str,
)
def test_a_job_that_is_refused_is_refused_however_it_is_inserted(
    database: Database, foreign: sqlite3.Connection, how: str, values: dict[str, Any]
) -> None:
    put(database, "taken", body='[["mine"],{}]')
    lease = claim_one(database)
    with pytest.raises(sqlite3.Error):
        insert(foreign, "litequeue_enqueue", values, f"INSERT OR {how}")
    assert rows(database.path, "SELECT id, token FROM litequeue_job") == [("taken", lease.token)]
    assert rows(database.path, "SELECT body FROM litequeue_payload") == [('[["mine"],{}]',)]


@pytest.mark.parametrize("how", ["IGNORE", "REPLACE", "ABORT", "FAIL", "ROLLBACK"])
def test_a_job_is_stored_once_however_it_is_inserted(
    database: Database, foreign: sqlite3.Connection, how: str
) -> None:
    for number in range(2):
        values = {"task": "t", "args": f"[{number}]"}
        insert(foreign, "litequeue_enqueue", values, f"INSERT OR {how}")
    assert [json.loads(lease.body) for lease in claim(database, 9)] == [[[0], {}], [[1], {}]]


def test_the_view_can_be_used_where_the_schema_is_not_trusted(
    database: Database, foreign: sqlite3.Connection
) -> None:
    foreign.execute("PRAGMA trusted_schema = 0")
    insert(foreign, "litequeue_enqueue", {"task": "t", "args": "[1]", "kwargs": '{"a":2}'})
    assert json.loads(claim_one(database).body) == [[1], {"a": 2}]
    with pytest.raises(sqlite3.IntegrityError, match="JSON"):
        insert(foreign, "litequeue_enqueue", {"task": "t", "args": "{}"})


def test_the_view_itself_shows_nothing(database: Database, foreign: sqlite3.Connection) -> None:
    put(database, "a")
    assert foreign.execute("SELECT * FROM litequeue_enqueue").fetchall() == []


# Reading


def test_the_jobs_view_reads_like_a_table(database: Database, foreign: sqlite3.Connection) -> None:
    put(database, "a", body='[[1,"x"],{"k":null}]', queue="mail", eta=NOW)
    step(database, success(claim_one(database), "5", started=NOW, runtime=0.5), now=NOW + 1)
    foreign.row_factory = sqlite3.Row
    row = dict(foreign.execute("SELECT * FROM litequeue_jobs").fetchone())
    assert row == {
        "id": "a",
        "task": "t",
        "args": '[1,"x"]',
        "kwargs": '{"k":null}',
        "queue": "mail",
        "priority": 0,
        "phase": "done",
        "state": "SUCCESS",
        "retries": 0,
        "lost": 0,
        "worker": "w",
        "pid": None,
        "created": "2023-11-14 22:13:20",
        "eta": "2023-11-14 22:13:20",
        "expires": None,
        "started": "2023-11-14 22:13:20",
        "finished": "2023-11-14 22:13:21",
        "runtime": 0.5,
        "result": "5",
        "member_of": None,
    }


def test_the_errors_view_tells_every_attempt(
    database: Database, foreign: sqlite3.Connection
) -> None:
    put(database, "a")
    step(database, retry(claim_one(database)))
    step(database, failure(claim_one(database), "for good"))
    assert foreign.execute(
        "SELECT id, task, attempt, state, type, message FROM litequeue_errors ORDER BY attempt"
    ).fetchall() == [
        ("a", "t", 1, "RETRY", "OSError", "again"),
        ("a", "t", 2, "FAILURE", "ValueError", "for good"),
    ]


def test_a_job_without_payload_is_shown_too(
    database: Database, foreign: sqlite3.Connection
) -> None:
    put(database, "a")
    foreign.execute("DELETE FROM litequeue_payload")
    assert foreign.execute("SELECT id, args FROM litequeue_jobs").fetchall() == [("a", None)]
    foreign.execute("DELETE FROM litequeue_job")


def test_the_views_tell_of_workers_and_queues(database: Database) -> None:
    put(database, "a", "b", "c")
    claim(database, 2, owner=7)
    enlist(database, 8)
    queues.pause(database, "mail", NOW)
    told = rows(database.path, "SELECT name, pid, leased FROM litequeue_workers")
    assert told == [("w", 1, 2), ("w", 1, 0)]
    assert rows(database.path, "SELECT * FROM litequeue_queues") == [
        ("default", None),
        ("mail", "2023-11-14 22:13:20"),
    ]


def test_a_view_tells_of_events(database: Database) -> None:
    events.append(database, [(NOW + 0.25, "task-sent", "a", "w", '{"x": 1}')])
    assert rows(database.path, "SELECT * FROM litequeue_events") == [
        (1, "2023-11-14 22:13:20.250", "task-sent", "a", "w", '{"x": 1}')
    ]
