"""Revoking what waits, what runs, what is not there yet, and what bears a stamp."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue.config import Settings
from litequeue.store import Database, Store, bulk, checkpoints, jobs, results, revocations
from litequeue.store.claim import Settled
from litequeue.store.listing import Selection
from litequeue.store.revocations import Revocation, Revoked
from litequeue.store.wakeup import Bell
from tests.store.steps import (
    KEEP,
    NOW,
    claim,
    claim_one,
    failure,
    phases,
    put,
    retry,
    row_of,
    step,
    success,
)


@pytest.fixture
def store(queue_path: Path) -> Iterator[Store]:
    store = Store(str(queue_path), Settings())
    yield store
    store.close()


def revoke(database: Database, *ids: str, now: float = NOW, **more: Any) -> Revoked:
    return revocations.revoke(database, ids, now=now, keep=KEEP, **more)


def revoke_stamped(database: Database, header: str, *values: str, **more: Any) -> Revoked:
    return revocations.revoke_stamped(database, header, values, now=NOW, keep=KEEP, **more)


def listed(database: Database, after: int = 0, now: float = NOW) -> list[tuple[Any, ...]]:
    found = revocations.load(database, after, now)
    return [(each.header, each.value, each.terminate, each.signal) for each in found]


def stamped(**stamps: Any) -> str:
    return json.dumps({"headers": None, "stamps": stamps})


# What revoking does


def test_who_waits_ends_and_for_the_others_it_stands(database: Database) -> None:
    put(database, "leased", "finished")
    step(database, success(claim(database, 2)[1]))
    put(database, "parked", task="unknown here")
    step(database, limit=1)
    put(database, "ready")
    put(database, "scheduled", eta=NOW + 5)
    asked = ("ready", "scheduled", "parked", "leased", "finished", "unknown", "ready")
    done = revoke(database, *asked)
    assert sorted(done.ended) == ["parked", "ready", "scheduled"]
    assert done.stands == ["leased", "unknown"]
    assert listed(database) == [(None, "leased", False, None), (None, "unknown", False, None)]
    row = row_of(database.path, "ready")
    assert (row["state"], row["finished"], row["keep_until"]) == (
        "REVOKED",
        NOW,
        NOW + KEEP.success,
    )
    assert revoke(database, "ready", "finished") == Revoked()


def test_more_than_a_portion_can_be_revoked(database: Database) -> None:
    ids = [f"job {number}" for number in range(revocations.AT_ONCE + 10)]
    put(database, *ids[::2])
    done = revoke(database, *ids)
    assert (done.ended, done.stands) == (ids[::2], ids[1::2])
    assert len(listed(database)) == len(ids) // 2


def test_what_was_said_again_is_heard_again_and_nothing_is_taken_back(database: Database) -> None:
    revoke(database, "a", terminate=True, signal="SIGKILL")
    (first,) = revocations.load(database, 0, NOW)
    assert first == Revocation(first.id, None, "a", True, "SIGKILL")
    revoke(database, "a")
    (again,) = revocations.load(database, first.id, NOW)
    assert (again.terminate, again.signal) == (True, "SIGKILL")
    revoke(database, "a", terminate=True, signal="SIGINT")
    assert listed(database) == [(None, "a", True, "SIGINT")]
    revoke(database, "b")
    revoke(database, "b", terminate=True)
    assert listed(database, after=again.id)[1:] == [(None, "b", True, None)]


def test_the_other_verbs_revoke_in_the_same_way(database: Database) -> None:
    put(database, "a", "b")
    claim_one(database)
    assert revocations.revoke(database, ["a"], now=NOW, keep=KEEP).stands == ["a"]
    assert revocations.revoke(database, ["b", "c"], now=NOW, keep=KEEP).ended == ["b"]
    assert [row[1] for row in listed(database)] == ["a", "c"]


# What it means


def ended_by(settled: Settled) -> tuple[list[str], list[int]]:
    assert settled.expired == []
    return settled.ended, settled.revoked


@pytest.mark.parametrize("how", ["remembered", "looked up"])
def test_a_revoked_job_ends_at_its_next_claim(database: Database, how: str) -> None:
    put(database, "a", "b")
    lease, other = claim(database, 2)
    revoke(database, "a")
    step(database, retry(lease), retry(other))
    known: dict[str, Any] = {"revoked": frozenset({"a"})} if how == "remembered" else {"loaded": 0}
    settled = step(database, limit=9, **known)
    assert ended_by(settled) == (["a"], [lease.seq])
    assert [each.id for each in settled.leases] == ["b"]
    record = results.fetch(database, "a")
    assert record
    assert record.failure
    assert (record.state, record.failure.type) == ("REVOKED", "TaskRevokedError")
    assert record.failure.message == "revoked"
    assert row_of(database.path, "a")["keep_until"] == NOW + KEEP.success


def test_a_job_that_was_revoked_before_it_was_sent_never_runs(database: Database) -> None:
    revoke(database, "a", now=NOW - 60)
    put(database, "a", "b", task="u")
    assert step(database, limit=9, loaded=0).ended == ["a"], "known here or not"
    assert phases(database.path) == {"a": "done", "b": "parked"}


def test_what_the_worker_remembers_is_not_looked_up_again(database: Database) -> None:
    revoke(database, "a", "b")
    last = revocations.load(database, 0, NOW)[-1].id
    put(database, "a", "b")
    settled = step(database, limit=9, revoked=frozenset({"a"}), loaded=last)
    assert ended_by(settled)[0] == ["a"]
    assert [each.id for each in settled.leases] == ["b"], "whoever says so has heard of it"


def test_a_new_run_is_not_revoked_by_an_old_word(database: Database) -> None:
    """What a worker remembers is a hint: the file is asked."""
    put(database, "a", "b", "c")
    for lease in claim(database, 3):
        revoke(database, lease.id)
        step(database, failure(lease))
    assert {row[1] for row in listed(database)} == {"a", "b", "c"}
    assert jobs.rerun(database, "a", now=NOW, keep=KEEP)
    chosen = bulk.choose(database, bulk.Change.RERUN, Selection(states=("FAILURE",)), NOW)
    assert sum(n for _, n in bulk.carry_out(database, chosen, now=NOW, keep=KEEP)) == 2
    assert listed(database) == []
    settled = step(database, limit=9, revoked=frozenset("abc"), loaded=0)
    assert [lease.id for lease in settled.leases] == ["a", "b", "c"]


def test_who_is_not_run_again_stays_revoked(database: Database) -> None:
    put(database, "a", "b")
    step(database, success(claim_one(database)))
    revoke(database, "x")
    claim_one(database)
    revoke(database, "b")
    assert not jobs.rerun(database, "a", now=NOW, keep=KEEP)
    assert not jobs.rerun(database, "b", now=NOW, keep=KEEP)
    assert [row[1] for row in listed(database)] == ["x", "b"]


# Stamps


def test_what_bears_a_stamp_is_revoked_wherever_it_is(database: Database) -> None:
    put(database, "leased", options=stamped(customer="7"))
    claim_one(database)
    put(database, "ready", options=stamped(customer=["6", "7"], other="x"))
    put(database, "scheduled", options=stamped(customer=7), eta=NOW + 5)
    put(database, "another", options=stamped(customer="70", other="7"))
    put(database, "none", options='{"headers": {"stamps": "7"}}')
    put(database, "plain")
    done = revoke_stamped(database, "customer", "7", "8", terminate=True, signal="SIGTERM")
    assert done == Revoked(["ready", "scheduled"], ["leased"])
    assert listed(database) == [
        ("customer", "7", True, "SIGTERM"),
        ("customer", "8", True, "SIGTERM"),
    ]
    assert revoke_stamped(database, "customer", "7").ended == []
    assert listed(database)[1] == ("customer", "7", True, "SIGTERM")


@pytest.mark.parametrize(
    "options", ['"stamps"', '["stamps"]', '{"stamps": 5}', '{"stamps"', '{"stamps": {"n": {}}}']
)
def test_options_of_another_program_stop_nobody(database: Database, options: str) -> None:
    put(database, "odd", options=options)
    put(database, "stamped", options=stamped(n="1"))
    assert revoke_stamped(database, "n", "1").ended == ["stamped"]
    settled = step(database, limit=9, stamps={"n": frozenset({"1"})}, loaded=0)
    assert [lease.id for lease in settled.leases] == ["odd"]


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_stamps_are_found_among_many(
    database: Database, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(revocations, "LOOKED_AT_ONCE", at_once)
    put(database, "old")
    step(database, success(claim_one(database)))
    for number in range(20):
        put(database, str(number), options=stamped(n=str(number % 4)) if number % 2 else None)
    assert revoke_stamped(database, "n", "3").ended == ["3", "7", "11", "15", "19"]


def test_a_revocation_that_is_no_text_stops_no_claim(
    database: Database, foreign: sqlite3.Connection
) -> None:
    put(database, "a")
    for header in ("NULL", "'n'", "CAST(X'ff' AS TEXT)"):
        foreign.execute(
            "INSERT INTO litequeue_revocation (header, value, terminate, at)"
            f" VALUES ({header}, CAST(X'ff' AS TEXT), 0, {NOW})"
        )
    assert [lease.id for lease in step(database, limit=9, loaded=0).leases] == ["a"]


@pytest.mark.timeout(10)  # it would wait for itself, with everybody's write lock
def test_checkpoints_may_come_while_stamps_are_looked_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(database, "a", "b", options=stamped(n="1"))
    monkeypatch.setattr(checkpoints, "CHECKPOINT_EVERY", 1)
    assert revoke_stamped(database, "n", "1").ended == ["a", "b"]


def test_a_stamp_on_an_empty_file_is_revoked_for_later(database: Database) -> None:
    assert revoke_stamped(database, "n", "1") == Revoked()
    put(database, "a", options=stamped(n=["0", "1"]))
    put(database, "b", options=stamped(n="2"))
    settled = step(database, limit=9, loaded=0)
    assert ended_by(settled)[0] == ["a"]
    assert [lease.id for lease in settled.leases] == ["b"]


def test_a_remembered_stamp_is_asked_for_as_well(database: Database) -> None:
    revoke_stamped(database, "n", "1")
    put(database, "a", options=stamped(n="1"))
    put(database, "b", options=stamped(n="2"))
    known = {"n": frozenset({"1", "2"})}
    settled = step(database, limit=9, stamps=known)
    assert ended_by(settled)[0] == ["a"]
    assert [lease.id for lease in settled.leases] == ["b"]
    more = [Revocation(1, "n", "3", False, None), Revocation(2, "m", "4", False, None),
            Revocation(3, None, "id", False, None)]  # fmt: skip
    assert revocations.with_stamps(known, more) == {"n": {"1", "2", "3"}, "m": {"4"}}


# How long


def test_revocations_go_when_their_time_is_over_and_their_job_has_ended(
    database: Database,
) -> None:
    put(database, "runs", "ended")
    leases = claim(database, 2)
    revoke(database, "runs", "ended", "unknown")
    revoke_stamped(database, "n", "1")
    step(database, failure(leases[1]))
    revoke(database, "young", now=NOW + 1)
    revocations.prune(database, NOW + revocations.STAY - 1)
    assert len(listed(database)) == 5
    then = NOW + revocations.STAY
    assert "1" not in [value for _, value, *_ in listed(database, now=then)], "it is not heeded"
    revocations.prune(database, then)
    assert [value for _, value, *_ in listed(database, now=then)] == ["runs", "young"]
    step(database, failure(leases[0]))
    revocations.prune(database, then)
    assert [value for _, value, *_ in listed(database, now=then)] == ["young"]


def test_there_are_never_too_many(
    database: Database, foreign: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "MOST", 3)
    revoke(database, *"abcde")
    revocations.prune(database, NOW)
    assert [value for _, value, *_ in listed(database)] == ["c", "d", "e"]
    before = foreign.execute("PRAGMA data_version").fetchone()
    revocations.prune(database, NOW)
    assert foreign.execute("PRAGMA data_version").fetchone() == before, "nothing was written"


# For producers


def test_who_revokes_wakes_workers_and_who_awaits_the_job(store: Store) -> None:
    put(store.database, "waits", "runs", "second")
    claim_one(store.database)  # "waits" runs
    bell, waiting = Bell(store.path, "worker"), store.wait_for("second")
    try:
        assert store.revoke("second")
        waiting.wait(5)
        assert waiting.event.is_set()
        bell.read()
        bell.has_post()
        assert not store.revoke("waits", terminate=True, signal="SIGKILL")
        assert bell.wait(5) == b"\1"
        assert bell.has_post()
        assert store.revoke_all(["runs", "waits"]).ended == ["runs"]
        assert store.revoke_all(["nobody"], terminate=True) == Revoked([], ["nobody"])
        assert store.revoke_stamped("n", ["1"]) == Revoked()
        assert listed(store.database) == [
            (None, "waits", True, "SIGKILL"),
            (None, "nobody", True, None),
            ("n", "1", False, None),
        ]
    finally:
        bell.close()
        waiting.close()


def test_queues_are_paused_and_their_workers_woken(store: Store) -> None:
    assert store.pause("mail")
    assert store.paused() == ["mail"]
    bell = Bell(store.path, "worker")
    try:
        bell.asleep(True)
        assert store.resume("mail")
        assert bell.wait(5) == b"\1"
    finally:
        bell.close()
    assert not store.resume("mail")
