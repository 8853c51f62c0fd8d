"""Early acks, fragile tasks, new runs, and states that jobs tell of themselves, in the file."""

from __future__ import annotations

from typing import Any

import pytest

from litequeue.job import Lease
from litequeue.store import Database, jobs, leases
from litequeue.store.leases import Lost
from tests.store.steps import (
    KEEP,
    NOW,
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
    assert jobs.rerun(database, "a")
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
    assert not jobs.rerun(database, "b" if how == "unknown" else "a")
    assert row_of(database.path, "a") == before
