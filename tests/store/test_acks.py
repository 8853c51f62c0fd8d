"""Early acks, fragile tasks, new runs, and states that jobs tell of themselves, in the file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from litequeue.job import Failure, Lease
from litequeue.store import Database, bulk, jobs, leases, listing, maintenance, results
from litequeue.store.leases import Lost
from litequeue.store.listing import EVERYTHING
from tests.store.steps import (
    KEEP,
    NOW,
    claim,
    claim_one,
    enlist,
    failure,
    put,
    reap,
    retry,
    row_of,
    rows,
    step,
    success,
)

EARLY = frozenset({"t"})


def claim_early(database: Database, **more: Any) -> Lease:
    """Claim one job of a task that is acknowledged by the claim."""
    enlist(database, 1)
    wanted = jobs.Claim(owner=1, limit=1, tasks=frozenset({"t", "u"}), once=EARLY, **more)
    (lease,) = jobs.settle_and_claim(database, now=NOW, keep=KEEP, claim=wanted).leases
    return lease


def lost(database: Database, lease: Lease, *, ran: bool = True, **more: Any) -> list[Lease]:
    item = Lost(lease=lease, ran=ran, reason="worker w died")
    return leases.reap(database, [item], now=NOW, keep=KEEP, max_deliveries=3, **more)


def tell(database: Database, lease: Lease, state: str | None = "PROGRESS", meta: str = "1") -> bool:
    return jobs.update_state(database, lease.id, state=state, meta=meta, token=lease.token)


# Early acks


def test_the_claim_acknowledges(database: Database) -> None:
    put(database, "a")
    put(database, "b", task="u")
    early, late = claim_early(database), claim_early(database)
    assert (early.id, early.once) == ("a", 1)
    assert (late.id, late.once) == ("b", 0)
    assert row_of(database.path, "a")["once"] == 1
    assert row_of(database.path, "b")["once"] == 0
    assert [each.once for each in leases.leases_of(database, 1)] == [1, 0], "whoever comes next"


def test_an_acknowledgement_is_synced_before_the_job_can_start(database: Database) -> None:
    put(database, "a", "b")
    with database.write(durable=False) as writer:
        pass
    levels: list[int] = []

    def look(text: str) -> None:
        if text.startswith("COMMIT"):
            levels.append(writer.execute("PRAGMA synchronous").fetchone()[0])

    enlist(database, 1)
    writer.set_trace_callback(look)
    claim_one(database)
    claim_early(database)
    writer.set_trace_callback(None)
    assert levels == [1, 2]


@pytest.mark.parametrize("deaths", [0, 2])
def test_what_was_acknowledged_and_ran_never_runs_again(database: Database, deaths: int) -> None:
    put(database, "a")
    for _ in range(deaths):
        reap(database, claim_one(database))
    lease = claim_early(database)
    assert lost(database, lease) == [lease]
    row = row_of(database.path, "a")
    assert (row["phase"], row["state"], row["token"]) == ("done", "FAILURE", None)
    (words,) = rows(
        database.path,
        "SELECT message FROM litequeue_error WHERE state = 'FAILURE' AND type = 'WorkerLostError'",
    )[0]
    assert words == "worker w died, and it was acknowledged before it ran"


def test_what_was_acknowledged_and_never_ran_is_ready_again(database: Database) -> None:
    put(database, "a")
    assert lost(database, claim_early(database), ran=False) == []
    row = row_of(database.path, "a")
    assert (row["phase"], row["once"], row["deaths"]) == ("ready", 0, 0)
    assert claim_one(database).once == 0, "the next claim decides anew"


def test_a_release_takes_the_acknowledgement_back(database: Database) -> None:
    put(database, "a")
    lease = claim_early(database)
    assert leases.release(database, [(lease.seq, lease.token)]) == 1
    assert row_of(database.path, "a")["once"] == 0


def test_a_retry_of_an_acknowledged_job_is_not_acknowledged(database: Database) -> None:
    put(database, "a")
    step(database, retry(claim_early(database)))
    assert row_of(database.path, "a")["once"] == 0
    assert claim_one(database, now=NOW).once == 0


def test_what_expired_or_is_unknown_is_not_acknowledged(database: Database) -> None:
    put(database, "late", expires=NOW)
    put(database, "unknown", task="v")
    enlist(database, 1)
    wanted = jobs.Claim(owner=1, limit=9, tasks=EARLY, once=frozenset({"t", "v"}))
    settled = jobs.settle_and_claim(database, now=NOW, keep=KEEP, claim=wanted)
    assert (settled.ended, [lease.id for lease in settled.parked]) == (["late"], ["unknown"])
    assert [row[0] for row in rows(database.path, "SELECT once FROM litequeue_job")] == [0, 0]


# Fragile tasks


@pytest.mark.parametrize(
    ("fragile", "ran", "phase"),
    [({"t"}, True, "done"), ({"t"}, False, "ready"), ({"u"}, True, "ready")],
)
def test_a_fragile_job_ends_with_the_process_that_ran_it(
    database: Database, fragile: set[str], ran: bool, phase: str
) -> None:
    put(database, "a")
    lease = claim_one(database)
    given_up = lost(database, lease, ran=ran, fragile=frozenset(fragile))
    row = row_of(database.path, "a")
    assert row["phase"] == phase
    assert given_up == ([lease] if phase == "done" else [])
    assert row["deaths"] == int(phase == "ready" and ran)


# What a job tells of itself


def test_a_state_is_there_until_the_verdict(database: Database) -> None:
    put(database, "a")
    lease = claim_one(database)
    assert tell(database, lease, meta='{"done":1}')
    row = row_of(database.path, "a")
    assert (row["state"], row["result"]) == ("PROGRESS", '{"done":1}')
    assert tell(database, lease, None, '{"done":2}'), "without a state it stays as it is"
    row = row_of(database.path, "a")
    assert (row["state"], row["result"]) == ("PROGRESS", '{"done":2}')
    step(database, success(lease))
    row = row_of(database.path, "a")
    assert (row["state"], row["result"]) == ("SUCCESS", None)
    assert not tell(database, lease), "it has its verdict"


@pytest.mark.parametrize("first", ["told", "started"])
def test_a_start_never_hides_what_a_job_told(database: Database, first: str) -> None:
    put(database, "a")
    lease = claim_one(database)
    if first == "started":
        step(database, started=[(NOW, 42, lease.seq, lease.token)])
    tell(database, lease)
    if first == "told":
        step(database, started=[(NOW, 42, lease.seq, lease.token)])
    row = row_of(database.path, "a")
    assert (row["state"], row["started"], row["pid"]) == ("PROGRESS", NOW, 42)


@pytest.mark.parametrize("way", ["retry", "release", "reap"])
def test_what_a_job_told_goes_with_its_attempt(database: Database, way: str) -> None:
    put(database, "a")
    lease = claim_one(database)
    step(database, started=[(NOW, 42, lease.seq, lease.token)])
    tell(database, lease)
    if way == "retry":
        step(database, retry(lease))
    elif way == "release":
        leases.release(database, [(lease.seq, lease.token)])
    else:
        lost(database, lease)
    row = row_of(database.path, "a")
    assert row["state"] == ("RETRY" if way == "retry" else "PENDING")
    assert [row[name] for name in ("result", "started", "pid", "owner", "token")] == [None] * 5


def test_only_who_holds_the_lease_tells_of_the_job(database: Database) -> None:
    put(database, "a")
    old = claim_one(database)
    leases.release(database, [(old.seq, old.token)])
    assert not tell(database, old)
    new = claim_one(database)
    assert not tell(database, old, "OLD")
    assert tell(database, new, "NEW")
    assert not tell(database, old, "OLD")
    assert row_of(database.path, "a")["state"] == "NEW"
    step(database, success(new))


# A new run


def test_a_new_run_begins_with_a_clean_sheet(database: Database) -> None:
    put(database, "a", expires=NOW + 50)
    reap(database, claim_one(database))
    step(database, retry(claim_one(database)))
    lease = claim_early(database)
    step(database, failure(lease))
    assert jobs.rerun(database, "a", now=NOW, keep=KEEP)
    row = row_of(database.path, "a")
    assert (row["phase"], row["state"]) == ("ready", "PENDING")
    assert (row["retries"], row["deaths"], row["once"]) == (0, 0, 0)
    for name in ("result", "eta", "expires", "started", "runtime", "finished", "keep_until",
                 "owner", "pid", "token"):  # fmt: skip
        assert row[name] is None, name
    again = claim_one(database)
    assert again.claim == lease.claim + 1, "the fencing number goes on"
    assert len(rows(database.path, "SELECT * FROM litequeue_error")) == 3, "its history stays"


@pytest.mark.parametrize("how", ["ready", "leased", "succeeded", "unknown"])
def test_what_need_not_run_again_is_left_alone(database: Database, how: str) -> None:
    put(database, "a")
    if how != "ready":
        lease = claim_one(database)
        if how == "succeeded":
            step(database, success(lease, "1"))
    before = row_of(database.path, "a")
    assert not jobs.rerun(database, "b" if how == "unknown" else "a", now=NOW, keep=KEEP)
    assert row_of(database.path, "a") == before


# What is known of a death


def reaped(database: Database, lease: Lease, **more: Any) -> list[Lease]:
    item = Lost(lease=lease, reason="worker w died", **{"ran": True, **more})
    return leases.reap(database, [item], now=NOW, keep=KEEP, max_deliveries=3)


def evidence(database: Database, id: str) -> Any:
    (found,) = rows(database.path, "SELECT evidence FROM litequeue_errors WHERE id = ?", id)
    return found[0] and json.loads(found[0])


def test_the_evidence_of_a_death_is_kept_with_the_attempt(database: Database) -> None:
    put(database, "a")
    assert reaped(database, claim_one(database), evidence='{"signal": 9}') == []
    assert evidence(database, "a") == {"signal": 9}
    step(database, success(claim_one(database)))
    assert evidence(database, "a") == {"signal": 9}


def test_without_evidence_there_is_none(database: Database) -> None:
    put(database, "a")
    reaped(database, claim_one(database))
    assert evidence(database, "a") is None


@pytest.mark.parametrize("known", [None, '{"signal": 9}'])
def test_what_a_job_last_told_of_itself_is_evidence(database: Database, known: str | None) -> None:
    put(database, "a")
    lease = claim_one(database)
    tell(database, lease, "HALFWAY", "1" * 5000)
    reaped(database, lease, evidence=known)
    told = {"progress": {"state": "HALFWAY", "result": "1" * leases.PROGRESS_SHOWN}}
    assert evidence(database, "a") == json.loads(known or "{}") | told
    assert row_of(database.path, "a")["result"] is None


def test_what_cannot_be_read_of_a_dead_job_stops_nobody(
    database: Database, foreign: sqlite3.Connection
) -> None:
    put(database, "a")
    lease = claim_one(database)
    foreign.execute("UPDATE litequeue_job SET state = 'PROGRESS', result = CAST(x'ff' AS TEXT)")
    reaped(database, lease)
    assert evidence(database, "a") == {"progress": {"state": "PROGRESS", "result": "\ufffd"}}


def test_what_somebody_else_runs_by_now_is_no_evidence(database: Database) -> None:
    put(database, "a")
    lease = claim_one(database)
    leases.release(database, [(lease.seq, lease.token)])
    tell(database, claim_one(database), "PROGRESS")
    assert reaped(database, lease) == []
    assert row_of(database.path, "a")["state"] == "PROGRESS"
    assert rows(database.path, "SELECT * FROM litequeue_errors") == []


@pytest.mark.parametrize("ran", [True, False])
def test_a_verdict_ends_the_job_whatever_else_holds(database: Database, ran: bool) -> None:
    put(database, "a")
    lease = claim_one(database)
    tell(database, lease, "HALFWAY", "1")
    verdict = "REVOKED", Failure("TaskRevokedError", "terminated")
    (ended,) = reaped(database, lease, ran=ran, evidence='{"signal": 15}', verdict=verdict)
    assert ended == lease
    row = row_of(database.path, "a")
    assert (row["phase"], row["state"], row["deaths"]) == ("done", "REVOKED", 0)
    record = results.fetch(database, "a")
    assert record
    assert record.failure
    assert (record.failure.type, record.failure.message) == ("TaskRevokedError", "terminated")
    assert json.loads(record.failure.evidence or "") == evidence(database, "a") == {
        "signal": 15, "progress": {"state": "HALFWAY", "result": "1"}
    }  # fmt: skip
    failures = results.fetch_many(database, ["a"])
    assert failures["a"] == record


def test_a_verdict_about_a_lost_lease_changes_nothing(database: Database) -> None:
    put(database, "a")
    lease = claim_one(database)
    leases.release(database, [(lease.seq, lease.token)])
    verdict = "FAILURE", Failure("TimeLimitExceeded", "TimeLimitExceeded(1)")
    assert reaped(database, lease, verdict=verdict) == []
    assert row_of(database.path, "a")["phase"] == "ready"


# What an attempt printed


def test_what_an_attempt_printed_is_kept_with_it(database: Database) -> None:
    put(database, "a", "b")
    for outcome in (retry, success):
        (lease, *_) = claim(database, 1)
        step(database, replace(outcome(lease), log=f"attempt {lease.claim} \ud800\n"))
    assert results.logs_of(database, "a") == [(1, "attempt 1 ?\n"), (2, "attempt 2 ?\n")]
    assert results.logs_of(database, "b") == []
    assert row_of(database.path, "a")["state"] == "SUCCESS"
    text = rows(database.path, "SELECT id, attempt, text FROM litequeue_logs WHERE attempt = 2")
    assert text == [("a", 2, "attempt 2 ?\n")]


@pytest.mark.parametrize(
    "delete",
    [
        lambda d: maintenance.prune(d, NOW + KEEP.success),
        lambda d: results.forget(d, "a"),
        lambda d: results.forget_many(d, ["a"]),
    ],
    ids=["prune", "forget", "forget many"],
)
def test_a_log_goes_with_its_job(database: Database, delete: Callable[[Database], object]) -> None:
    put(database, "a")
    step(database, replace(success(claim_one(database)), log="x"))
    assert delete(database)
    assert rows(database.path, "SELECT * FROM litequeue_log") == []


def test_a_log_goes_with_its_job_when_a_queue_is_purged(database: Database) -> None:
    put(database, "a")
    step(database, replace(retry(claim_one(database)), log="x"))
    chosen = bulk.choose(database, bulk.Change.PURGE, EVERYTHING, NOW)
    assert sum(n for _, n in bulk.carry_out(database, chosen, now=NOW, keep=KEEP)) == 1
    assert rows(database.path, "SELECT * FROM litequeue_log") == []


def test_people_see_logs_and_evidence(database: Database) -> None:
    put(database, "a")
    first = claim_one(database)
    reaped(database, first, evidence='{"signal": 9}')
    step(database, replace(success(claim_one(database)), log="x"))
    (row,) = listing.jobs(database, EVERYTHING, limit=2)
    detail = listing.detail(database, row)
    assert detail.logs == {2: "x"}
    assert [(each.attempt, each.evidence) for each in detail.attempts] == [(1, '{"signal": 9}')]
