"""An entry and its own unfinished run: allow, skip, queue, cancel."""

from __future__ import annotations

from typing import Any

import pytest

from litequeue.job import Lease
from litequeue.store import Database, entries, ticks
from litequeue.store.firing import FORGET_EVERY, KEPT_TICKS, Fired
from tests.store.beat_steps import add, beat, fire_often, notes, release, run_one, sent
from tests.store.steps import (
    KEEP,
    NOW,
    claim,
    claim_one,
    reap,
    retry,
    row_of,
    rows,
    step,
    success,
)


def unfinished(database: Database, how: str) -> Lease | None:
    """Bring the only job into a state that is not done."""
    if how == "waits":
        return None
    if how == "is not known":
        step(database, limit=1, now=NOW + 11, tasks=frozenset({"other"}))
        return None
    lease = claim_one(database, now=NOW + 11)
    if how == "retries":
        step(database, retry(lease, NOW + 500), now=NOW + 11)
    return lease


EVERY_WAY = pytest.mark.parametrize("how", ["waits", "runs", "retries", "is not known"])


@EVERY_WAY
def test_allow_sends_whatever_has_not_ended(database: Database, how: str) -> None:
    add(database, "nightly")
    beat(database, NOW + 10)
    unfinished(database, how)
    assert len(beat(database, NOW + 20).jobs) == 1
    assert notes(database) == [(10, "sent"), (20, "sent")]


@EVERY_WAY
def test_skip_leaves_a_tick_out_while_a_run_has_not_ended(database: Database, how: str) -> None:
    add(database, "nightly", overlap="skip")
    beat(database, NOW + 10)
    lease = unfinished(database, how)
    fired = beat(database, NOW + 20)
    assert (fired.jobs, fired.held) == ([], 0)
    assert notes(database) == [(10, "sent"), (20, "overlap")]
    record = entries.get(database, "nightly")
    assert (record.next_at, record.last_at, record.count) == (NOW + 30, NOW + 10, 1)
    if how == "runs":
        assert lease is not None
        step(database, success(lease), now=NOW + 25)
        assert len(beat(database, NOW + 30).jobs) == 1


@EVERY_WAY
def test_queue_has_one_tick_wait(database: Database, how: str) -> None:
    add(database, "nightly", overlap="queue")
    beat(database, NOW + 10)
    lease = unfinished(database, how)
    fired = beat(database, NOW + 20)
    assert (fired.jobs, fired.held) == ([], 1)
    assert beat(database, NOW + 30).held == 0
    assert notes(database) == [(10, "sent"), (20, "held"), (30, "overlap")]
    assert ticks.held(database)
    assert release(database, NOW + 31) == Fired()
    if how != "runs" or lease is None:
        return
    step(database, success(lease), now=NOW + 33)
    ((name, key, id),) = release(database, NOW + 34).jobs
    assert (name, key) == ("nightly", "2023-11-14T22:13:40Z")
    assert not ticks.held(database)
    record = entries.get(database, "nightly")
    assert (record.held_key, record.held_at, record.held_due) == (None, None, None)
    assert (record.last_at, record.last_fired, record.last_job) == (NOW + 20, NOW + 34, id)
    assert (record.count, record.next_at) == (2, NOW + 40)
    row = entries.history(database, "nightly", 2)[1]
    assert (row.job, row.note, row.fired, row.state) == (id, "held", NOW + 34, "PENDING")
    assert release(database, NOW + 35) == Fired()
    assert len(sent(database)) == 2


def test_what_waits_goes_before_what_comes(database: Database) -> None:
    """The run has ended, and a beat fires before another one looked at what waits."""
    add(database, "nightly", overlap="queue")
    beat(database, NOW + 10)
    beat(database, NOW + 20)
    run_one(database, NOW + 25)
    assert beat(database, NOW + 30).jobs == []
    assert len(release(database, NOW + 31).jobs) == 1
    assert notes(database) == [(10, "sent"), (20, "held"), (30, "overlap")]


def test_cancel_ends_what_waits_and_sends_at_once(database: Database) -> None:
    add(database, "nightly", overlap="cancel")
    ((_, _, old),) = beat(database, NOW + 10).jobs
    fired = beat(database, NOW + 20)
    assert len(fired.jobs) == 1
    assert (fired.ended, fired.revoked, fired.held) == ([old], [old], 0)
    row = row_of(database.path, old)
    assert (row["state"], row["finished"], row["keep_until"]) == (
        "REVOKED", NOW + 20, KEEP.until("REVOKED", NOW + 20),
    )  # fmt: skip
    assert notes(database) == [(10, "sent"), (20, "sent")]


def test_cancel_has_the_run_ended_and_waits_for_that(database: Database) -> None:
    add(database, "nightly", overlap="cancel")
    beat(database, NOW + 10)
    lease = claim_one(database, now=NOW + 11)
    fired = beat(database, NOW + 20)
    assert (fired.jobs, fired.ended, fired.revoked, fired.held) == ([], [], [lease.id], 1)
    assert rows(database.path, "SELECT value, terminate, signal FROM litequeue_revocation") == [
        (lease.id, 1, "SIGTERM")
    ]
    assert beat(database, NOW + 30).held == 1
    assert notes(database) == [(10, "sent"), (20, "overlap"), (30, "held")]
    assert release(database, NOW + 31).jobs == []
    step(database, success(lease), now=NOW + 32)
    assert len(release(database, NOW + 33).jobs) == 1
    assert entries.get(database, "nightly").last_at == NOW + 30
    assert len(sent(database)) == 2


def test_cancel_after_the_run_has_ended_sends_the_newest(database: Database) -> None:
    add(database, "nightly", overlap="cancel")
    beat(database, NOW + 10)
    lease = claim_one(database, now=NOW + 11)
    beat(database, NOW + 20)
    step(database, success(lease), now=NOW + 25)
    assert len(beat(database, NOW + 30).jobs) == 1
    assert notes(database) == [(10, "sent"), (20, "overlap"), (30, "sent")]
    assert not ticks.held(database)


def test_cancel_calls_off_manual_runs_too(database: Database) -> None:
    add(database, "nightly", overlap="cancel")
    entries.run_now(database, "nightly", "manual-1", NOW + 1)
    entries.run_now(database, "nightly", "manual-2", NOW + 2)
    fired = beat(database, NOW + 10)
    assert sorted(fired.ended) == ["manual-1", "manual-2"]
    assert len(fired.jobs) == 1


def test_ticks_of_one_firing_overlap_with_each_other(database: Database) -> None:
    add(database, "nightly", overlap="queue", misfire="all")
    fired = beat(database, NOW + 40, most=9)
    assert (len(fired.jobs), fired.held) == (1, 1)
    assert notes(database) == [(10, "sent"), (20, "held"), (30, "overlap"), (40, "overlap")]


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_a_run_that_lasts_longer_than_the_history_is_still_seen(
    database: Database, overlap: str
) -> None:
    add(database, "nightly", overlap=overlap)
    beat(database, NOW + 10)
    lease = claim_one(database, now=NOW + 11)
    fire_often(database, NOW + 10, KEPT_TICKS + 20)
    assert sent(database) == [lease.id]
    assert (10, "sent") in notes(database)
    step(database, success(lease), now=NOW + 5000)
    if overlap == "queue":
        assert (20, "held") in notes(database)
        assert len(release(database, NOW + 5000).jobs) == 1
    else:
        assert len(beat(database, NOW + 5000).jobs) == 1
    step(database, success(claim_one(database, now=NOW + 5001)), now=NOW + 5002)
    fire_often(database, NOW + 6000, FORGET_EVERY)
    assert len(entries.history(database, "nightly", 1000)) < KEPT_TICKS + FORGET_EVERY


def test_a_tick_that_waits_is_dropped_by_a_pause(database: Database) -> None:
    add(database, "nightly", overlap="queue")
    beat(database, NOW + 10)
    beat(database, NOW + 20)
    assert entries.pause(database, "nightly", NOW + 21)
    assert not ticks.held(database)
    run_one(database, NOW + 25)
    assert release(database, NOW + 26) == Fired()
    entries.resume(database, "nightly", NOW + 100)
    assert release(database, NOW + 101) == Fired()
    assert notes(database) == [(10, "sent"), (20, "paused")]


def test_what_was_freed_is_looked_at_again_under_the_lock(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the lock another beat has released it."""
    add(database, "nightly", overlap="queue")
    beat(database, NOW + 10)
    beat(database, NOW + 20)
    run_one(database, NOW + 25)
    genuine = Database.write
    other = Database(database.path)

    def write(self: Database, **more: Any) -> Any:
        if self is database:
            monkeypatch.setattr(Database, "write", genuine)
            assert len(release(other, NOW + 26).jobs) == 1
        return genuine(self, **more)

    monkeypatch.setattr(Database, "write", write)
    assert release(database, NOW + 26) == Fired()
    other.close()
    assert len(sent(database)) == 2


def test_those_that_still_run_do_not_keep_others_waiting(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticks, "AT_ONCE", 1)
    add(database, "a", "b", "c", overlap="queue")
    beat(database, NOW + 10)
    _, second, third = claim(database, 3, now=NOW + 11)
    beat(database, NOW + 20)
    step(database, success(second), success(third), now=NOW + 21)
    told = [release(database, NOW + 22).jobs for _ in range(3)]
    assert [len(jobs) for jobs in told] == [1, 1, 0]
    assert {jobs[0][0] for jobs in told[:2]} == {"b", "c"}


def test_a_run_whose_worker_died_is_still_unfinished(database: Database) -> None:
    add(database, "nightly", overlap="skip")
    beat(database, NOW + 10)
    lease = claim_one(database, now=NOW + 11)
    reap(database, lease, now=NOW + 12)
    assert beat(database, NOW + 20).jobs == []


def test_a_run_that_was_pruned_has_ended(database: Database) -> None:
    add(database, "nightly", overlap="skip")
    beat(database, NOW + 10)
    id = run_one(database, NOW + 11)
    with database.write(durable=False) as connection:
        connection.execute("DELETE FROM litequeue_payload")
        connection.execute("DELETE FROM litequeue_job WHERE id = ?", (id,))
    assert len(beat(database, NOW + 20).jobs) == 1


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel"])
def test_a_run_of_a_task_that_is_not_sent_any_more_is_in_nobodys_way(
    database: Database, overlap: str
) -> None:
    """The task was renamed: its last job may wait for ever for somebody who knows it."""
    add(database, "nightly", overlap=overlap)
    beat(database, NOW + 10)
    unfinished(database, "is not known")
    entries.change(database, "nightly", {"task": "renamed"}, NOW + 12)
    assert len(beat(database, NOW + 20).jobs) == 1
    assert notes(database) == [(10, "sent"), (20, "sent")]


def test_nor_is_a_tick_held_for_one(database: Database) -> None:
    add(database, "nightly", overlap="queue")
    beat(database, NOW + 10)
    unfinished(database, "is not known")
    assert beat(database, NOW + 20).held == 1
    assert release(database, NOW + 21).jobs == []
    entries.change(database, "nightly", {"task": "renamed"}, NOW + 22)
    assert len(release(database, NOW + 23).jobs) == 1
