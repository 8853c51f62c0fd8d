from __future__ import annotations

import pytest

from litequeue.job import Failure, Outcome
from litequeue.store import Database, jobs, results
from litequeue.store.leases import leases_of, release
from tests.store.steps import (
    KEEP,
    NOW,
    claim,
    claim_one,
    failure,
    phases,
    put,
    reap,
    retry,
    revoke,
    row_of,
    rows,
    step,
    success,
)


def test_a_success_is_stored_whole(database: Database) -> None:
    put(database, "a")
    lease = claim_one(database)
    settled = step(database, success(lease, '"é"', started=NOW, runtime=0.5), now=NOW + 1)
    assert (settled.zombies, settled.leases) == ([], [])
    record = results.fetch(database, "a")
    assert record is not None
    assert (record.phase, record.state, record.result) == ("done", "SUCCESS", '"é"')
    assert (record.finished, record.failure, record.is_done) == (NOW + 1, None, True)
    row = row_of(database.path, "a")
    assert (row["started"], row["runtime"], row["token"]) == (NOW, 0.5, None)
    assert row["keep_until"] == NOW + 1 + KEEP.success


def test_a_failure_is_stored_with_its_reason(database: Database) -> None:
    put(database, "a")
    lease = claim_one(database)
    reason = Failure("ValueError", "no", "Traceback", '["no"]')
    step(database, Outcome(lease.seq, lease.token, lease.claim, "FAILURE", failure=reason))
    record = results.fetch(database, "a")
    assert record is not None
    assert (record.state, record.result, record.failure) == ("FAILURE", None, reason)
    assert row_of(database.path, "a")["keep_until"] == NOW + KEEP.failure


@pytest.mark.parametrize("state", ["IGNORED", "REJECTED"])
def test_other_verdicts_end_the_job_too(database: Database, state: str) -> None:
    put(database, "a")
    lease = claim_one(database)
    step(database, Outcome(lease.seq, lease.token, lease.claim, state))
    assert row_of(database.path, "a")["state"] == state
    assert phases(database.path) == {"a": "done"}


def test_settling_and_claiming_are_one_step(database: Database) -> None:
    put(database, "a", "b")
    settled = step(database, success(claim_one(database)), limit=5)
    assert [lease.id for lease in settled.leases] == ["b"]
    assert phases(database.path) == {"a": "done", "b": "leased"}


# Retries


@pytest.mark.parametrize(
    ("eta", "phase"), [(None, "ready"), (NOW, "ready"), (NOW + 0.001, "scheduled")]
)
def test_a_retry_waits_for_its_time(database: Database, eta: float | None, phase: str) -> None:
    put(database, "a")
    step(database, retry(claim_one(database), eta))
    row = row_of(database.path, "a")
    assert (row["phase"], row["state"], row["retries"]) == (phase, "RETRY", 1)
    assert (row["owner"], row["token"], row["started"], row["pid"]) == (None,) * 4


def test_an_uncounted_retry_is_not_counted(database: Database) -> None:
    put(database, "a")
    step(database, retry(claim_one(database), counted=False, failure=None))
    lease = claim_one(database)
    assert (lease.retries, lease.claim) == (0, 2)


def test_a_retry_keeps_its_arguments_or_gets_new_ones(database: Database) -> None:
    put(database, "a", body="[[1],{}]")
    step(database, retry(claim_one(database)))
    lease = claim_one(database)
    assert lease.body == "[[1],{}]"
    step(database, retry(lease, body="[[2],{}]"))
    assert claim_one(database).body == "[[2],{}]"


def test_every_attempt_keeps_its_own_reason(database: Database) -> None:
    put(database, "a")
    for number in range(3):
        step(database, retry(claim_one(database), failure=Failure("OSError", f"no {number}")))
    step(database, failure(claim_one(database), "for good"))
    assert rows(database.path, "SELECT claim, message FROM litequeue_error ORDER BY claim") == [
        (1, "no 0"),
        (2, "no 1"),
        (3, "no 2"),
        (4, "for good"),
    ]
    record = results.fetch(database, "a")
    assert record is not None
    assert record.failure is not None
    assert (record.failure.message, record.retries) == ("for good", 3)


def test_a_success_after_a_retry_has_no_failure(database: Database) -> None:
    put(database, "a")
    step(database, retry(claim_one(database)))
    record = results.fetch(database, "a")
    assert record is not None
    assert record.failure is not None
    step(database, success(claim_one(database)))
    record = results.fetch(database, "a")
    assert record is not None
    assert record.failure is None


def test_a_job_revoked_between_two_attempts_does_not_show_the_first_ones_error(
    database: Database,
) -> None:
    put(database, "a")
    step(database, retry(claim_one(database), NOW + 5))
    assert revoke(database, "a", now=NOW, keep=KEEP)
    record = results.fetch(database, "a")
    assert record is not None
    assert (record.state, record.failure) == ("REVOKED", None)


# Lost leases


@pytest.mark.parametrize("make", [success, failure, retry])
@pytest.mark.parametrize("lost_by", ["release", "reap", "another claim", "settle"])
def test_an_outcome_without_its_lease_changes_nothing(
    database: Database, make: object, lost_by: str
) -> None:
    assert callable(make)
    put(database, "a", body="[[1],{}]")
    lease = claim_one(database)
    if lost_by == "settle":
        step(database, success(lease, '"first"'))
    else:
        (reap if lost_by == "reap" else _release)(database, lease)
    if lost_by == "another claim":
        assert claim_one(database, owner=2).claim == 2
    before = (row_of(database.path, "a"), _everything(database))
    settled = step(database, make(lease), now=NOW + 1)
    assert settled.zombies == [lease.seq]
    assert (row_of(database.path, "a"), _everything(database)) == before


def _release(database: Database, lease: jobs.Lease) -> None:
    assert release(database, [(lease.seq, lease.token)]) == 1


def _everything(database: Database) -> list[list[object]]:
    tables = ("litequeue_payload", "litequeue_error", "litequeue_queue", "litequeue_worker")
    return [rows(database.path, f"SELECT * FROM {table}") for table in tables]


def test_a_zombie_among_many_takes_nobody_with_it(database: Database) -> None:
    put(database, *"abcdef", body="[[1],{}]")
    leases = claim(database, 6)
    _release(database, leases[1])
    _release(database, leases[4])
    settled = step(
        database,
        success(leases[0], "0"),
        failure(leases[1]),
        failure(leases[2], "real"),
        retry(leases[3], NOW + 9, body="[[9],{}]"),
        retry(leases[4], NOW + 9, body="[[9],{}]"),
        success(leases[5], "5"),
        limit=9,
    )
    assert settled.zombies == sorted([leases[1].seq, leases[4].seq])
    assert [lease.id for lease in settled.leases] == ["b", "e"]
    assert [lease.body for lease in settled.leases] == ["[[1],{}]"] * 2
    assert rows(database.path, "SELECT job FROM litequeue_error ORDER BY job") == [
        (leases[2].seq,),
        (leases[3].seq,),
    ]


# Release


def test_a_released_job_is_as_it_was_but_for_the_claim(database: Database) -> None:
    put(database, "a")
    lease = claim_one(database)
    step(database, started=[(NOW, 1, lease.seq, lease.token)])
    _release(database, lease)
    row = row_of(database.path, "a")
    assert (row["phase"], row["state"], row["deaths"], row["claims"]) == ("ready", "PENDING", 0, 1)
    assert (row["owner"], row["token"], row["pid"], row["started"]) == (None,) * 4
    assert claim_one(database).claim == 2


def test_a_released_retry_still_says_retry(database: Database) -> None:
    put(database, "a")
    step(database, retry(claim_one(database)))
    _release(database, claim_one(database))
    assert row_of(database.path, "a")["state"] == "RETRY"


def test_releasing_tells_how_many_were_still_held(database: Database) -> None:
    put(database, "a", "b")
    held = [(lease.seq, lease.token) for lease in claim(database, 2)]
    assert release(database, []) == 0
    assert release(database, held[:1]) == 1
    assert release(database, held) == 1
    assert release(database, held) == 0
    assert release(database, [(held[0][0], 0), (12345, 0)]) == 0


# Reap


def test_a_job_that_ran_is_blamed_and_runs_again(database: Database) -> None:
    put(database, "a")
    lease = claim_one(database)
    assert reap(database, lease) == []
    row = row_of(database.path, "a")
    assert (row["phase"], row["deaths"], row["owner"], row["token"]) == ("ready", 1, None, None)
    assert rows(database.path, "SELECT claim, state, type, message FROM litequeue_error") == [
        (1, "RETRY", "WorkerLostError", "worker w died")
    ]
    assert claim_one(database).deaths == 1


def test_a_job_that_did_not_run_is_not_blamed(database: Database) -> None:
    put(database, "a")
    for _ in range(10):
        assert reap(database, claim_one(database), ran=False) == []
    assert row_of(database.path, "a")["deaths"] == 0
    assert rows(database.path, "SELECT * FROM litequeue_error") == []


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_job_that_keeps_killing_its_worker_is_given_up(database: Database, most: int) -> None:
    put(database, "a")
    for _ in range(most - 1):
        assert reap(database, claim_one(database), most=most) == []
    lease = claim_one(database)
    assert reap(database, lease, most=most) == [lease]
    record = results.fetch(database, "a")
    assert record is not None
    assert (record.phase, record.state) == ("done", "FAILURE")
    assert record.failure is not None
    assert (record.failure.type, record.failure.message) == (
        "WorkerLostError",
        f"worker w died, {most} times",
    )
    assert row_of(database.path, "a")["keep_until"] == NOW + KEEP.failure


@pytest.mark.parametrize("most", [1, 3])
def test_the_reaper_obeys_the_token_too(database: Database, most: int) -> None:
    put(database, "a")
    old = claim_one(database)
    _release(database, old)
    new = claim_one(database, owner=2)
    before = (row_of(database.path, "a"), _everything(database))
    assert reap(database, old, most=most) == [], "it is not ours to give up"
    assert (row_of(database.path, "a"), _everything(database)) == before
    assert step(database, success(new)).zombies == []


def test_who_holds_what_is_told(database: Database) -> None:
    put(database, "a", "b", "c", body="[[1],{}]")
    mine = claim(database, 2, owner=7)
    claim(database, 1, owner=8)
    assert [(lease.id, lease.seq, lease.token) for lease in leases_of(database, 7)] == [
        (lease.id, lease.seq, lease.token) for lease in mine
    ]
    step(database, success(mine[0]))
    assert [lease.id for lease in leases_of(database, 7)] == ["b"]
    assert leases_of(database, 9) == []


# Revoke


def test_a_waiting_job_is_revoked_wherever_it_waits(database: Database) -> None:
    put(database, "parked", task="u")
    step(database, limit=1)
    put(database, "ready")
    put(database, "scheduled", eta=NOW + 9)
    for id in ("ready", "scheduled", "parked"):
        assert revoke(database, id, now=NOW, keep=KEEP)
        assert not revoke(database, id, now=NOW, keep=KEEP)
        row = row_of(database.path, id)
        assert (row["phase"], row["state"], row["finished"]) == ("done", "REVOKED", NOW)
    assert claim(database, 9, now=NOW + 99, tasks=frozenset("tu")) == []


def test_a_running_done_or_unknown_job_is_not_revoked(database: Database) -> None:
    put(database, "a")
    lease = claim_one(database)
    assert not revoke(database, "a", now=NOW, keep=KEEP)
    step(database, success(lease, "1"))
    assert not revoke(database, "a", now=NOW, keep=KEEP)
    assert not revoke(database, "nosuch", now=NOW, keep=KEEP)
    record = results.fetch(database, "a")
    assert record is not None
    assert record.result == "1"
