from __future__ import annotations

import json

import pytest

from litequeue.store import Database, jobs, results
from litequeue.store.claim import PROMOTE_AT_ONCE, has_parked
from litequeue.store.leases import release
from tests.store.steps import (
    KEEP,
    NOW,
    claim,
    claim_one,
    job,
    phases,
    put,
    retry,
    row_of,
    rows,
    step,
    success,
)


def test_a_lease_carries_all_that_the_job_brought(database: Database) -> None:
    put(database, "a", body="[[1],{}]", queue="mail", priority=4, eta=NOW, expires=NOW + 9,
        options="{}", parent="p")  # fmt: skip
    lease = claim_one(database)
    assert (lease.id, lease.task, lease.body, lease.options) == ("a", "t", "[[1],{}]", "{}")
    assert (lease.queue, lease.priority, lease.parent) == ("mail", 4, "p")
    assert (lease.claim, lease.retries, lease.deaths) == (1, 0, 0)
    assert (lease.eta, lease.expires) == (NOW, NOW + 9)
    row = row_of(database.path, "a")
    assert (row["phase"], row["state"], row["owner"]) == ("leased", "RECEIVED", 1)
    assert row["token"] == lease.token


def test_a_leased_job_is_claimed_by_nobody_else(database: Database) -> None:
    put(database, "a", "b")
    assert claim_one(database, owner=1).id == "a"
    assert claim_one(database, owner=2).id == "b"
    assert claim(database, 9, owner=3) == []


def test_tokens_are_random_and_never_come_back(database: Database) -> None:
    put(database, *(f"j{n:03}" for n in range(200)))
    tokens = set()
    for _ in range(3):
        leases = claim(database, 200)
        tokens |= {lease.token for lease in leases}
        release(database, [(lease.seq, lease.token) for lease in leases])
    assert len(tokens) == 600
    assert max(tokens).bit_length() > 55
    assert min(tokens) < 0


def test_higher_priority_first_then_first_come(database: Database) -> None:
    for priority in (0, 5, -1, 5, 0):
        jobs.enqueue(database, job(priority=priority), NOW)
    leases = claim(database, 3) + claim(database, 3)
    assert [lease.priority for lease in leases] == [5, 5, 0, 0, -1]
    assert leases == sorted(leases, key=lambda lease: (-lease.priority, lease.seq))


def test_order_holds_across_queues(database: Database) -> None:
    put(database, "a1", queue="a")
    put(database, "b1", queue="b", priority=1)
    put(database, "a2", queue="a", priority=2)
    put(database, "b2", queue="b")
    assert [lease.id for lease in claim(database, 9)] == ["a2", "b1", "a1", "b2"]


def test_only_the_asked_queues_are_looked_into(database: Database) -> None:
    for queue in "abc":
        put(database, queue, queue=queue)
    assert [lease.id for lease in claim(database, 9, queues='["c","a","nosuch"]')] == ["a", "c"]
    assert [lease.id for lease in claim(database, 9)] == ["b"]


def test_more_tells_whether_there_may_be_more(database: Database) -> None:
    put(database, "a", "b", "c")
    assert step(database, limit=2).more
    assert not step(database, limit=2).more
    assert not step(database, limit=2).more


# Scheduled jobs


def test_a_job_is_claimed_from_the_very_moment_it_is_due(database: Database) -> None:
    put(database, "a", eta=NOW + 10)
    early = step(database, limit=1, now=NOW + 9.999)
    assert (early.leases, early.next_due) == ([], NOW + 10)
    due = step(database, limit=1, now=NOW + 10)
    assert [lease.id for lease in due.leases] == ["a"]
    assert due.next_due is None


def test_when_the_clock_was_set_back_a_scheduled_job_waits_on(database: Database) -> None:
    put(database, "a", eta=NOW + 10)
    assert claim(database, now=NOW - 5_000) == []
    assert claim_one(database, now=NOW + 10).id == "a"


def test_due_jobs_are_promoted_in_bounded_batches_and_in_their_order(database: Database) -> None:
    count = PROMOTE_AT_ONCE + 100
    jobs.enqueue_many(
        database, [job(f"{n:04}", eta=NOW + 1 + (count - n) / 1_000) for n in range(count)], NOW
    )
    settled = step(database, limit=1, now=NOW + 60)
    found = rows(database.path, "SELECT phase, count(*) FROM litequeue_job GROUP BY phase")
    assert dict(found) == {"leased": 1, "ready": PROMOTE_AT_ONCE - 1, "scheduled": 100}
    assert settled.next_due is not None
    assert settled.next_due <= NOW + 60, "the caller is told that there is more to do at once"
    left = rows(database.path, "SELECT id FROM litequeue_job WHERE phase = 'scheduled'")
    assert {row[0] for row in left} == {f"{n:04}" for n in range(100)}, "the earliest go first"
    assert len(claim(database, 999, now=NOW + 60)) == count - 1


# Expiry


def test_a_job_that_is_too_late_is_revoked_instead(database: Database) -> None:
    put(database, "late", expires=NOW + 5)
    put(database, "fine", expires=NOW + 6)
    settled = step(database, limit=9, now=NOW + 5)
    assert [lease.id for lease in settled.leases] == ["fine"]
    assert settled.ended == ["late"]
    record = results.fetch(database, "late")
    assert record is not None
    assert (record.phase, record.state) == ("done", "REVOKED")
    assert record.failure is not None
    assert record.failure.type == "TaskRevokedError"
    assert row_of(database.path, "late")["keep_until"] == NOW + 5 + KEEP.success


def test_an_expired_job_of_an_unknown_task_is_revoked_and_not_parked(database: Database) -> None:
    put(database, "late", task="u", expires=NOW + 5)
    settled = step(database, limit=9, now=NOW + 5)
    assert (settled.ended, settled.parked) == (["late"], [])


# Parking


def test_a_job_of_an_unknown_task_is_parked_and_left_alone(database: Database) -> None:
    put(database, "strange", task="u", priority=9)
    put(database, "known")
    settled = step(database, limit=9)
    assert [lease.id for lease in settled.leases] == ["known"]
    assert [lease.id for lease in settled.parked] == ["strange"]
    row = row_of(database.path, "strange")
    assert (row["phase"], row["state"], row["owner"], row["token"]) == (
        "parked",
        "PENDING",
        None,
        None,
    )
    assert claim(database, 9) == []


def test_a_parked_retry_still_says_retry(database: Database) -> None:
    put(database, "a")
    step(database, retry(claim_one(database)))
    step(database, limit=1, tasks=frozenset())
    assert row_of(database.path, "a")["state"] == "RETRY"
    assert row_of(database.path, "a")["phase"] == "parked"


def test_who_knows_the_task_takes_it_from_where_it_is_parked(database: Database) -> None:
    put(database, "u1", "u2", "u3", task="u")
    put(database, "v1", task="v")
    step(database, limit=9)
    put(database, "t1", priority=9)
    assert not has_parked(database, ["t", "w"])
    assert has_parked(database, ["t", "u"])
    both = frozenset("tu")
    first = step(database, limit=2, tasks=both, parked=True)
    assert [lease.id for lease in first.leases] == ["u1", "u2"]
    assert first.parked_left
    second = step(database, limit=2, tasks=both, parked=True)
    assert [lease.id for lease in second.leases] == ["t1", "u3"]
    assert not second.parked_left
    assert not has_parked(database, ["u"])
    assert phases(database.path)["v1"] == "parked"


def test_parked_jobs_of_other_queues_stay_where_they_are(database: Database) -> None:
    put(database, "a", task="u", queue="mail")
    step(database, limit=9)
    knows = frozenset("u")
    assert claim(database, 9, tasks=knows, queues='["other"]', parked=True) == []
    assert [job.id for job in claim(database, 9, tasks=knows, queues='["mail"]', parked=True)] == [
        "a"
    ]


def test_task_names_of_any_text_are_found_again(database: Database) -> None:
    name = 'odd "name"\\é\n'
    put(database, "a", task=name)
    step(database, limit=9)
    assert has_parked(database, [name])
    assert len(claim(database, 9, tasks=frozenset([name]), parked=True)) == 1


def test_a_worker_that_is_not_registered_any_more_gets_nothing(database: Database) -> None:
    put(database, "a")
    claim_one(database, owner=5)
    with database.write(durable=False) as connection:
        connection.execute("DELETE FROM litequeue_worker WHERE id = 5")
    put(database, "b")
    assert claim(database, 9, owner=5) == []
    assert phases(database.path)["b"] == "ready"


# Marking as started


def test_a_running_job_is_marked_only_by_who_holds_it(database: Database) -> None:
    put(database, "a")
    lease = claim_one(database)
    step(database, started=[(NOW + 1, 4242, lease.seq, lease.token + 1)])
    assert row_of(database.path, "a")["state"] == "RECEIVED"
    step(database, started=[(NOW + 1, 4242, lease.seq, lease.token)])
    row = row_of(database.path, "a")
    assert (row["state"], row["started"], row["pid"]) == ("STARTED", NOW + 1, 4242)
    step(database, success(lease))
    step(database, started=[(NOW + 2, 1, lease.seq, lease.token)])
    assert row_of(database.path, "a")["state"] == "SUCCESS"


@pytest.mark.parametrize("queues", [None, json.dumps(["default"])])
def test_both_forms_of_the_claim_agree(database: Database, queues: str | None) -> None:
    put(database, "low", priority=-1)
    put(database, "high", priority=1)
    put(database, "later", eta=NOW + 1)
    assert [lease.id for lease in claim(database, 9, queues=queues)] == ["high", "low"]
