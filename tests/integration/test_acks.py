"""Early acks start at most once, whoever is killed; fragile tasks do not outlive their child."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from litequeue import AsyncResult, WorkerLostError
from tests.conftest import wait_until
from tests.integration.apps.acks import app, early, early_flaky, early_nap, fragile, late
from tests.integration.processes import Site, Worker, kill

APP = "tests.integration.apps.acks:app"
VICTIMS = ["child"] * 14 + ["consumer"] * 12 + ["supervisor", "everybody"] * 2


@pytest.fixture(autouse=True)
def _bound(site: Site) -> Iterator[None]:
    app.rebind(site.path)
    yield
    app.close()


def start(site: Site, *, children: int = 2, ready: bool = True) -> Worker:
    return site.worker(app=APP, children=children, ready=ready)


def claimed_once(site: Site, id: str) -> bool:
    """Tell whether the file knows the job as acknowledged."""
    with closing(sqlite3.connect(f"file:{site.path}?mode=ro", uri=True)) as file:
        row = file.execute("SELECT once FROM litequeue_job WHERE id = ?", (id,)).fetchone()
    return row is not None and row[0] == 1


def lose_slots(site: Site, worker: Worker) -> None:
    Path(worker.slots.path).unlink()


def assert_lost(result: AsyncResult[str], words: str = "acknowledged before it ran") -> None:
    with pytest.raises(WorkerLostError, match=words):
        result.get(timeout=15)
    assert result.state == "FAILURE"


def test_an_early_acked_job_ends_with_its_killed_child(site: Site) -> None:
    start(site, children=1)
    result = early.delay("job")
    first = site.journal.wait_for_start("job")
    assert claimed_once(site, result.id), "the claim is the acknowledgement"
    os.kill(first.pid, signal.SIGKILL)
    assert_lost(result, "SIGKILL.*acknowledged before it ran")
    site.open_gate("after")
    assert late.delay("after").get(timeout=10) == "after", "the next child is there"
    assert len(site.journal.starts("job")) == 1


@pytest.mark.parametrize("slots", ["kept", "lost"])
@pytest.mark.parametrize("victims", ["supervisor", "everybody"])
def test_an_early_acked_job_ends_with_its_killed_worker(
    site: Site, victims: str, slots: str
) -> None:
    worker = start(site, children=1)
    result = early.delay("job")
    site.journal.wait_for_start("job")
    unread = early.delay("unread")
    consumer = worker.consumer()
    if slots == "lost":
        lose_slots(site, worker)
    if victims == "everybody":
        worker.kill_all()
    else:  # and its consumer, which would still give back what it can
        kill(worker.supervisor, signal.SIGSTOP)
        kill(consumer)
        kill(worker.supervisor)
    worker.wait()
    site.open_gate("job")
    site.open_gate("unread")
    start(site, children=1)
    assert_lost(result)
    if slots == "kept":  # else nobody can tell it from one that ran, if it was claimed
        assert unread.get(timeout=10) == "unread", "what had not begun runs"
    assert len(site.journal.starts("job")) == 1


def test_an_early_acked_job_that_a_dead_worker_had_not_begun_runs(site: Site) -> None:
    """Claimed, acknowledged, and on its way to a child that never read it."""
    worker = start(site, children=1)
    (child,) = worker.children()
    os.kill(child, signal.SIGSTOP)
    result = early.delay("job")
    wait_until(lambda: claimed_once(site, result.id))
    worker.kill_all()
    site.open_gate("job")
    start(site, children=1)
    assert result.get(timeout=10) == "job"
    assert len(site.journal.starts("job")) == 1


def test_an_early_acked_job_that_a_dead_child_had_not_begun_runs(site: Site) -> None:
    worker = start(site, children=1)
    (child,) = worker.children()
    os.kill(child, signal.SIGSTOP)
    result = early.delay("job")
    wait_until(lambda: claimed_once(site, result.id))
    os.kill(child, signal.SIGKILL)
    site.open_gate("job")
    assert result.get(timeout=10) == "job"
    assert len(site.journal.starts("job")) == 1


@pytest.mark.parametrize("together", ["consumer", "everybody"])
def test_an_early_acked_job_whose_outcome_was_lost_does_not_run_again(
    site: Site, together: str
) -> None:
    """It has run and was reported; whoever held the report died before it was on disk."""
    worker = start(site, children=1)
    result = early.delay("job")
    site.journal.wait_for_start("job")
    with closing(sqlite3.connect(site.path, isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE")  # so that the verdict cannot be written
        site.open_gate("job")
        wait_until(lambda: site.journal.ends("job"))
        wait_until(lambda: not worker.running())
        wait_until(lambda: not unread_outcomes(worker))
        if together == "consumer":
            kill(worker.consumer())
        else:
            worker.kill_all()
        file.execute("ROLLBACK")
    if together == "everybody":
        start(site, children=1)
    assert_lost(result)
    assert len(site.journal.starts("job")) == 1


def unread_outcomes(worker: Worker) -> bool:
    """Tell whether the consumer may still have something to read: it is not asleep on the lock."""
    beats = worker.slots.beats()
    wait_until(lambda: worker.slots.beats() >= beats + 2)
    return False


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM])
def test_an_early_acked_job_is_not_given_back_by_a_stop(site: Site, number: int) -> None:
    worker = site.worker(app=APP, children=1, LITEQUEUE_WORKER_GRACE="0.1")
    result, other = early.delay("job"), late.delay("other")
    site.journal.wait_for_start("job")
    worker.stop(number)
    assert_lost(result)
    assert len(site.journal.starts("job")) == 1
    site.open_gate("other")
    start(site, children=1)
    assert other.get(timeout=10) == "other"


def test_a_retry_of_an_early_acked_job_is_a_new_run(site: Site) -> None:
    start(site, children=1)
    assert early_flaky.delay("job", 3).get(timeout=10) == 3
    assert [each.claim for each in site.journal.starts("job")] == [1, 2, 3, 4]


def test_a_fragile_job_ends_with_its_child_at_once(site: Site) -> None:
    start(site, children=1)
    result = fragile.delay("job")
    first = site.journal.wait_for_start("job")
    os.kill(first.pid, signal.SIGKILL)
    assert_lost(result, "was killed by SIGKILL")
    assert len(site.journal.starts("job")) == 1


def test_a_fragile_job_runs_again_after_its_worker(site: Site) -> None:
    worker = start(site, children=1)
    result = fragile.delay("job")
    site.journal.wait_for_start("job")
    worker.kill_all()
    start(site, children=1)
    site.journal.wait_for_start("job", 2)
    site.open_gate("job")
    assert result.get(timeout=10) == "job"


def test_early_acked_jobs_start_at_most_once_whoever_is_killed(site: Site) -> None:
    """A campaign of seeded kills: no job starts twice, and none is lost that never started."""
    dice = random.Random(5709)
    for _ in range(2):
        start(site)
    results = app.enqueue_many(
        [(early_nap, (f"job-{n}", 0.01 + 0.005 * (n % 3))) for n in range(300)]
    )
    victims = dice.sample(VICTIMS, len(VICTIMS))
    while victims:
        if len(site.journal.starts()) > len(results) - 60:
            results += app.enqueue_many(
                [(early_nap, (f"more-{len(results) + n}", 0.01)) for n in range(150)]
            )
        until = len(site.journal.starts()) + dice.randrange(8)
        wait_until(lambda until=until: len(site.journal.starts()) >= until)
        if strike(site, victims[-1], dice):
            victims.pop()
    for each in results:
        with suppress(WorkerLostError):
            each.get(timeout=20)
    starts = Counter(entry.id for entry in site.journal.starts())
    assert {id: count for id, count in starts.items() if count > 1} == {}
    never = [each.id for each in results if each.id not in starts]
    # Killed between its slot and its first line: nobody can know, so it counts as begun.
    assert len(never) <= len(VICTIMS) // 6, never
    for id in never:
        with pytest.raises(WorkerLostError, match="while running it, and it was acknowledged"):
            app.AsyncResult(id).get(timeout=1)


def strike(site: Site, victim: str, dice: random.Random) -> int:
    worker = dice.choice(site.workers[-2:])
    if victim == "child":
        try:
            pids = worker.running()
        except (StopIteration, OSError):  # it has only just started
            return 0
        return kill(dice.choice(pids)) if pids else 0
    if victim == "consumer":
        pid = worker.find_consumer()
        return kill(pid) if pid else 0
    if victim == "everybody":
        worker.kill_all()
    else:
        worker.send(signal.SIGKILL)
        worker.wait()
    site.workers.remove(worker)
    start(site, ready=False)
    return 1
