"""Changes to many jobs: all that were counted, and never more."""

from __future__ import annotations

from typing import Any

import pytest

from litequeue.job import Failure, Lease, Outcome
from litequeue.store import Database, bulk, jobs, listing
from litequeue.store.bulk import Change, Chosen
from litequeue.store.listing import Selection
from tests.store.steps import KEEP, NOW, put, step
from tests.store.test_listing import end

EVERYTHING = listing.EVERYTHING


def choose(
    database: Database, change: Change, selection: Selection = EVERYTHING, now: float = NOW + 10
) -> Chosen:
    return bulk.choose(database, change, selection, now)


def carry_out(database: Database, chosen: Chosen, now: float = NOW + 10) -> int:
    return sum(changed for _, changed in bulk.carry_out(database, chosen, now=now, keep=KEEP))


def phases(database: Database) -> dict[str, str]:
    return {job.id: job.phase for job in listing.jobs(database, EVERYTHING, limit=10_000)}


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BATCH", 3)


def test_failed_jobs_run_again(database: Database) -> None:
    end(database, "good")
    names = [f"bad-{number}" for number in range(8)]
    end(database, *names, state="FAILURE")
    end(database, "given-back", state="REJECTED")
    put(database, "waiting")
    chosen = choose(database, Change.RERUN)
    assert chosen.counts == {"FAILURE": 8, "REJECTED": 1}
    assert carry_out(database, chosen) == 9
    again = {job for job, phase in phases(database).items() if phase == "ready"}
    assert again == {*names, "given-back", "waiting"}
    assert carry_out(database, choose(database, Change.RERUN)) == 0


def test_a_job_that_fails_again_is_not_run_a_third_time(database: Database) -> None:
    names = [f"bad-{number}" for number in range(8)]
    end(database, *names, state="FAILURE")
    chosen = choose(database, Change.RERUN)
    runs = 0
    for some, changed in bulk.carry_out(database, chosen, now=NOW + 10, keep=KEEP):
        runs += changed
        for lease in step(database, limit=len(some), queues='["ending"]', now=NOW + 11).leases:
            step(database, failing(lease), now=NOW + 12)
    assert runs == 8
    assert set(phases(database).values()) == {"done"}


def failing(lease: Lease) -> Outcome:
    failure = Failure("ValueError", "no")
    return Outcome(lease.seq, lease.token, lease.claim, "FAILURE", failure=failure)


def test_what_fails_after_the_count_is_left_alone(database: Database) -> None:
    """Also a job that was accepted before those that were counted."""
    put(database, "slow", queue="slow")
    end(database, "early", state="FAILURE", now=NOW)
    chosen = choose(database, Change.RERUN, now=NOW + 10)
    (lease,) = step(database, limit=1, queues='["slow"]', now=NOW + 11).leases
    step(database, failing(lease), now=NOW + 20)
    assert carry_out(database, chosen) == 1
    assert phases(database) == {"early": "ready", "slow": "done"}


def test_what_comes_after_the_count_is_left_alone(database: Database) -> None:
    end(database, "early", state="FAILURE", now=NOW)
    chosen = choose(database, Change.RERUN, now=NOW + 10)
    end(database, "late", state="FAILURE", now=NOW + 20)
    assert carry_out(database, chosen) == 1
    assert phases(database) == {"early": "ready", "late": "done"}


def test_no_more_are_changed_than_were_counted(database: Database) -> None:
    """Jobs that wait again, as after a retry, were there before and were not counted."""
    end(database, "a", "b", "c", "d", state="FAILURE")
    put(database, "w")
    chosen = choose(database, Change.REVOKE)
    assert chosen.counts == {"ready": 1}
    for id in "abcd":
        assert jobs.rerun(database, id, now=NOW, keep=KEEP)
    assert carry_out(database, chosen) == 1


def test_waiting_jobs_are_revoked(database: Database) -> None:
    put(database, "leased", queue="q")
    step(database, limit=1, queues='["q"]')
    put(database, *(f"w-{number}" for number in range(7)))
    put(database, "later", eta=NOW + 100)
    chosen = choose(database, Change.REVOKE)
    assert chosen.counts == {"ready": 7, "scheduled": 1}
    assert carry_out(database, chosen) == 8
    left = phases(database)
    assert left.pop("leased") == "leased"
    assert set(left.values()) == {"done"}
    (job,) = listing.find(database, "later")
    assert (job.state, job.finished) == ("REVOKED", NOW + 10)


def test_what_was_claimed_meanwhile_is_not_revoked(database: Database) -> None:
    put(database, "a", "b")
    chosen = choose(database, Change.REVOKE)
    step(database, limit=1)
    assert carry_out(database, chosen) == 1
    assert phases(database) == {"a": "leased", "b": "done"}


def test_a_purge_deletes_every_trace(database: Database) -> None:
    end(database, "done")
    end(database, "again", state="FAILURE")
    assert jobs.rerun(database, "again", now=NOW, keep=KEEP)  # waits, and has an error
    put(database, *(f"w-{number}" for number in range(7)), queue="mail")
    put(database, "other")
    assert carry_out(database, choose(database, Change.PURGE, Selection(queues=("mail",)))) == 7
    assert phases(database).keys() == {"done", "again", "other"}
    assert carry_out(database, choose(database, Change.PURGE)) == 2
    assert phases(database).keys() == {"done"}
    with database.read() as connection:
        for table in ("job", "payload"):
            count = connection.execute(f"SELECT count(*) FROM litequeue_{table}").fetchone()
            assert count == (1,)
        assert connection.execute("SELECT count(*) FROM litequeue_error").fetchone() == (0,)


def test_what_was_claimed_meanwhile_is_not_purged(database: Database) -> None:
    put(database, "a", "b", "c", "d")
    chosen = choose(database, Change.PURGE)
    step(database, limit=1)
    assert carry_out(database, chosen) == 3
    assert phases(database) == {"a": "leased"}
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM litequeue_payload").fetchone() == (1,)


def test_a_job_that_came_after_the_count_stays(database: Database) -> None:
    put(database, "a", "b")
    chosen = choose(database, Change.PURGE)
    step(database, limit=1)  # so that one fewer is there than was counted
    put(database, "new")
    assert carry_out(database, chosen) == 1
    assert phases(database) == {"a": "leased", "new": "ready"}


@pytest.mark.parametrize("change", [Change.PURGE, Change.REVOKE])
def test_what_is_claimed_while_it_is_read_is_left_alone(
    database: Database, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(database, "a", "b")
    chosen = choose(database, change)
    read = bulk._next_batch

    def read_slowly(*arguments: Any) -> list[tuple[int, str]]:
        rows = read(*arguments)
        step(database, limit=1)
        return rows

    monkeypatch.setattr(bulk, "_next_batch", read_slowly)
    assert carry_out(database, chosen) == 1
    assert phases(database)["a"] == "leased"


def test_every_batch_is_a_transaction_of_its_own(database: Database) -> None:
    put(database, *(f"w-{number}" for number in range(7)))
    sizes = []
    chosen = choose(database, Change.PURGE)
    for some, _ in bulk.carry_out(database, chosen, now=NOW, keep=KEEP):
        sizes.append(len(some))
        put(database, f"between-{len(sizes)}", now=NOW)  # nobody holds the lock
    assert sizes == [3, 3, 1]


@pytest.mark.parametrize("change", list(Change))
def test_nothing_is_no_work(database: Database, change: Change) -> None:
    end(database, "done")
    chosen = choose(database, change)
    assert (chosen.total, list(bulk.carry_out(database, chosen, now=NOW, keep=KEEP))) == (0, [])
