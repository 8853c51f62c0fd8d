from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from litequeue.store import Database, jobs, maintenance, results
from tests.store.steps import KEEP, NOW, claim, claim_one, failure, job, phases, put, rows, step
from tests.store.steps import success as succeed


def test_old_jobs_go_with_all_that_was_theirs(database: Database) -> None:
    put(database, "good", "bad", "waiting")
    good, bad = claim(database, 2)
    step(database, succeed(good, "1"), failure(bad))
    assert maintenance.prune(database, NOW + KEEP.success - 0.001) == 0
    assert maintenance.prune(database, NOW + KEEP.success) == 1
    assert sorted(phases(database.path)) == ["bad", "waiting"]
    assert maintenance.prune(database, NOW + KEEP.failure) == 1
    assert sorted(phases(database.path)) == ["waiting"]
    assert rows(database.path, "SELECT count(*) FROM litequeue_error") == [(0,)]
    assert rows(database.path, "SELECT count(*) FROM litequeue_payload") == [(1,)]
    assert maintenance.prune(database, NOW + 10**9) == 0, "what waits is never pruned"


def test_pruning_is_bounded_and_takes_the_oldest(database: Database) -> None:
    put(database, *"abcde")
    for number, lease in enumerate(claim(database, 5)):
        step(database, succeed(lease), now=NOW - number)
    assert maintenance.prune(database, NOW + KEEP.success, limit=2) == 2
    assert sorted(phases(database.path)) == ["a", "b", "c"]


def test_a_pruned_id_may_be_used_again(database: Database) -> None:
    put(database, "a")
    step(database, succeed(claim_one(database), "1"))
    maintenance.prune(database, NOW + KEEP.success)
    assert results.fetch(database, "a") is None
    assert jobs.enqueue(database, job("a", body="[[2],{}]"), NOW)
    lease = claim_one(database)
    assert (lease.body, lease.claim) == ("[[2],{}]", 1)


def test_what_expires_while_it_waits_is_ended(database: Database) -> None:
    put(database, "parked", task="u", expires=NOW + 5)
    step(database, limit=1)
    put(database, "ready", expires=NOW + 5)
    put(database, "scheduled", eta=NOW + 50, expires=NOW + 5)
    put(database, "later", expires=NOW + 6)
    put(database, "never")
    put(database, "held", priority=9, expires=NOW + 5)
    assert claim_one(database).id == "held"
    assert not maintenance.has_expired(database, NOW + 4.999)
    assert maintenance.expire(database, NOW + 4.999, 0) == []
    assert maintenance.has_expired(database, NOW + 5)
    assert len(maintenance.expire(database, NOW + 5, NOW + 9, limit=2)) == 2
    assert len(maintenance.expire(database, NOW + 5, NOW + 9)) == 1
    assert not maintenance.has_expired(database, NOW + 5)
    assert phases(database.path) == {
        "parked": "done",
        "ready": "done",
        "scheduled": "done",
        "later": "ready",
        "never": "ready",
        "held": "leased",
    }
    record = results.fetch(database, "ready")
    assert record is not None
    assert (record.state, record.finished) == ("REVOKED", NOW + 5)


def test_an_unreadable_row_can_expire(database: Database, foreign: sqlite3.Connection) -> None:
    put(database, "fine", expires=NOW + 5)
    foreign.execute(
        "INSERT INTO litequeue_job (id, task, queue, phase, expires, created)"
        " VALUES (CAST(x'ff62' AS TEXT), 't', 'default', 'ready', ?, ?)",
        (NOW + 5, NOW),
    )
    foreign.execute(
        "INSERT INTO litequeue_payload (seq, body) SELECT max(seq), '' FROM litequeue_job"
    )
    ended = maintenance.expire(database, NOW + 5, NOW + 9)
    assert sorted(id for id, _ in ended) == ["fine", "\ufffdb"]
    assert not maintenance.has_expired(database, NOW + 5)


def test_a_job_that_somebody_else_ended_keeps_no_other_waiting(
    database: Database, foreign: sqlite3.Connection
) -> None:
    put(database, "theirs", "ours")
    foreign.execute(
        "UPDATE litequeue_job SET phase = 'done', state = 'SUCCESS', finished = 1"
        " WHERE id = 'theirs'"
    )
    step(database, succeed(claim_one(database)))
    assert maintenance.next_moment(database) == NOW + KEEP.success
    foreign.execute("UPDATE litequeue_job SET keep_until = 1 WHERE id = 'theirs'")


def test_free_pages_go_back_to_the_filesystem(database: Database) -> None:
    body = '["' + "x" * 4_000 + '"]'
    jobs.enqueue_many(database, [job(body=f"[{body},{{}}]") for _ in range(500)], NOW)
    for _ in range(5):
        step(database, *(succeed(lease) for lease in claim(database, 100)))
    database.checkpoint()
    before = Path(database.path).stat().st_size
    while maintenance.prune(database, NOW + KEEP.success):
        maintenance.give_back_pages(database)
    for _ in range(5):
        maintenance.give_back_pages(database)
    database.checkpoint()
    assert Path(database.path).stat().st_size < before / 4


@pytest.mark.parametrize("durability", ["full", "process"])
def test_the_wal_stays_small_however_many_jobs_pass(queue_path: Path, durability: str) -> None:
    database = Database(queue_path, create=True, durability=durability)
    wal = Path(f"{queue_path}-wal")
    largest = 0
    for _ in range(100):
        jobs.enqueue_many(database, [job() for _ in range(100)], NOW)
        step(database, *(succeed(lease, "1") for lease in claim(database, 100)))
        largest = max(largest, wal.stat().st_size)
    database.close()
    assert rows(queue_path, "SELECT count(*) FROM litequeue_job WHERE phase = 'done'") == [
        (10_000,)
    ]
    assert largest < 8 << 20
