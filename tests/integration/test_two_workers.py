"""Several workers on one file: side by side, and in different pid namespaces, as containers are."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections import Counter
from contextlib import closing

import pytest

from tests.conftest import wait_until
from tests.integration.processes import Site, Worker, children_of, descendants, kill
from tests.integration.tasks import add, app, hold, mark


def beats(site: Site) -> list[int]:
    """Return how often each worker has renewed its leases."""
    with closing(sqlite3.connect(f"file:{site.path}?mode=ro", uri=True)) as file:
        rows = file.execute("SELECT beats FROM litequeue_worker ORDER BY id").fetchall()
    return [count for (count,) in rows]


def test_nothing_runs_twice(site: Site) -> None:
    workers = [site.worker() for _ in range(2)]
    results = app.enqueue_many([(mark, (f"job-{number}",)) for number in range(1500)])
    assert [each.get(timeout=20) for each in results] == [f"job-{n}" for n in range(1500)]
    starts = site.journal.starts()
    assert set(Counter(start.id for start in starts).values()) == {1}
    pids = {start.pid for start in starts}
    assert all(pids & set(worker.children()) for worker in workers), "one worker had it all"


def test_workers_come_and_go(site: Site) -> None:
    results = app.enqueue_many([(mark, (f"job-{number}",)) for number in range(3000)])
    for _ in range(4):
        worker = site.worker()
        assert worker.stop() == 0
    site.worker()
    for each in results:
        each.get(timeout=20)
    assert set(Counter(start.id for start in site.journal.starts()).values()) == {1}


@pytest.fixture
def pair(site: Site) -> tuple[Worker, Worker]:
    """A worker of the host and one in a pid namespace, each with a job that runs."""
    outside = site.worker(children=1)
    hold.delay("outside")
    site.journal.wait_for_start("outside")
    inside = site.worker(children=1, namespace=True)
    hold.delay("inside")
    site.journal.wait_for_start("inside")
    return outside, inside


def test_each_side_of_a_namespace_leaves_the_others_jobs_alone(site: Site) -> None:
    short = {"LITEQUEUE_VISIBILITY_TIMEOUT": "0.8"}
    workers = [site.worker(children=1, **short)]
    workers.append(site.worker(children=1, namespace=True, **short))
    results = [hold.delay(name) for name in ("one", "two")]
    for name in ("one", "two"):
        site.journal.wait_for_start(name)
    # Each renews four times per timeout: both could have been taken for dead three times over.
    wait_until(lambda: min(beats(site)) >= 12, 20.0)
    site.open_gate("one")
    site.open_gate("two")
    assert [each.get(timeout=10) for each in results] == ["one", "two"]
    assert len(site.journal.starts()) == 2
    assert "is dead" not in workers[0].said() + workers[1].said()
    assert [worker.stop() for worker in workers[:1]] == [0]


@pytest.mark.parametrize("victim", ["inside", "outside"])
def test_a_killed_worker_beyond_a_namespace_is_known_by_its_free_lock(
    site: Site, pair: tuple[Worker, Worker], victim: str
) -> None:
    """Long before the visibility timeout of 60 s, and although its pid says nothing."""
    outside, inside = pair
    survivor = "outside" if victim == "inside" else "inside"
    site.open_gate(survivor)
    wait_until(lambda: site.journal.ends(survivor))
    if victim == "inside":
        os.kill(inside.supervisor, signal.SIGKILL)  # process 1: its namespace ends with it
        inside.wait()
    else:
        outside.kill_all()
    site.journal.wait_for_start(victim, 2, timeout=20.0)
    site.open_gate(victim)
    wait_until(lambda: site.journal.ends(victim))
    assert len(site.journal.starts(victim)) == 2
    assert add.delay(1, 1).get(timeout=10) == 2


def test_a_worker_that_was_taken_for_dead_changes_nothing_any_more(site: Site) -> None:
    """Beyond a namespace a worker that stands still loses its jobs, and learns it."""
    short = {"LITEQUEUE_VISIBILITY_TIMEOUT": "0.8"}
    inside = site.worker(children=1, namespace=True, **short)
    result = hold.delay("job")
    site.journal.wait_for_start("job")
    everybody = [inside.supervisor, *descendants(inside.supervisor)]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    outside = site.worker(children=1, **short)
    outside.wait_until_said("is dead")
    site.journal.wait_for_start("job", 2)
    site.open_gate("job")
    assert result.get(timeout=10) == "job"
    finished = row(site, result.id)
    for pid in everybody:
        kill(pid, signal.SIGCONT)  # the first ones may end those that still stand
    inside.wait_until_said("declared it dead")
    assert inside.wait() == 1
    assert add.delay(20, 22).get(timeout=10) == 42
    assert row(site, result.id) == finished


ORPHANS_AT_IMPORT = """
import subprocess
from tests.integration.tasks import app
subprocess.run(["sh", "-c", "setsid sh -c 'touch leader' & sh -c 'touch member' &"], check=True)
"""


def test_process_1_reaps_the_orphans_it_is_given(site: Site) -> None:
    """Also those that lead a session of their own, as only our children used to."""
    site.write("orphans.py", ORPHANS_AT_IMPORT)
    worker = site.worker(app="orphans:app", namespace=True)
    for name in ("leader", "member"):
        wait_until((site.folder / name).exists)
    wait_until(lambda: len(children_of(worker.supervisor)) == 3)
    assert add.delay(20, 22).get(timeout=10) == 42


def row(site: Site, id: str) -> tuple[object, ...]:
    with closing(sqlite3.connect(f"file:{site.path}?mode=ro", uri=True)) as file:
        found: tuple[object, ...] = file.execute(
            "SELECT * FROM litequeue_job WHERE id = ?", (id,)
        ).fetchone()
    return found
