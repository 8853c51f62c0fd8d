"""SIGKILL for everybody: the job runs again at once, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing

import pytest

from litequeue import AsyncResult, WorkerLostError
from tests.conftest import wait_until
from tests.integration.processes import Entry, Site, Worker, kill
from tests.integration.tasks import add, app, hold, mark, nap, poison, start_program

RESCUE_OF_A_CHILDS_JOB = 1.0
RESCUE_OF_A_WORKERS_JOB = 10.0
"""Seconds: much less than the visibility timeout, after which others believe it in any case."""


def deaths(site: Site, id: str) -> int:
    """Return how often the job was blamed for the end of its process."""
    with closing(sqlite3.connect(f"file:{site.path}?mode=ro", uri=True)) as file:
        (count,) = file.execute("SELECT lost FROM litequeue_jobs WHERE id = ?", (id,)).fetchone()
    return int(count)


def send_naps(count: int, seconds: float) -> list[AsyncResult[str]]:
    """Send jobs that keep a worker busy while its processes are killed."""
    calls = [(nap, (f"nap-{number}", seconds)) for number in range(count)]
    return app.enqueue_many(calls)


def assert_all_done(site: Site, results: Iterable[AsyncResult[str]], *, repeats: int = 0) -> None:
    """Every job has its result, and at most ``repeats`` runs were for nothing.

    A job that ended, but whose outcome went down with the process that had it, runs once more.
    """
    ids = [each.id for each in results]
    assert [app.AsyncResult(id).get(timeout=20) for id in ids]
    ends = Counter(end.id for end in site.journal.ends())
    assert sum(ends[id] - 1 for id in ids) <= repeats


def test_a_killed_childs_job_runs_again_within_a_second(site: Site) -> None:
    """Once in three times at the latest, whoever has the machine."""
    worker = site.worker()

    def seconds_until_it_runs_again(name: str) -> float:
        result = hold.delay(name)
        first = site.journal.wait_for_start(name)
        assert worker.running() == [first.pid]
        killed = time.monotonic()
        os.kill(first.pid, signal.SIGKILL)
        second = site.journal.wait_for_start(name, 2)
        site.open_gate(name)
        assert result.get(timeout=10) == name
        assert (second.claim, deaths(site, result.id)) == (2, 1)
        return second.at - killed

    names = ("one", "two", "three")
    assert any(seconds_until_it_runs_again(name) <= RESCUE_OF_A_CHILDS_JOB for name in names)


def test_killed_children_are_replaced_and_all_jobs_complete(site: Site) -> None:
    worker = site.worker()
    results = send_naps(60, 0.03)
    for _ in range(6):
        # One that is dead may still stand in the slots.
        wait_until(lambda: any(kill(pid) for pid in worker.running()[:1]))
    assert_all_done(site, results, repeats=6)
    wait_until(lambda: len(worker.children()) == 2)


def test_a_killed_consumer_is_replaced_and_its_jobs_run_on(site: Site) -> None:
    worker = site.worker()
    result = hold.delay("running")
    site.journal.wait_for_start("running")
    others = send_naps(40, 0.02)
    for _ in range(3):
        consumer = worker.consumer()
        os.kill(consumer, signal.SIGKILL)
        wait_until(lambda gone=consumer: worker.find_consumer() not in (0, gone))
    assert_all_done(site, others, repeats=6)  # what its two children had just reported, thrice
    site.open_gate("running")
    assert result.get(timeout=10) == "running"
    assert len(site.journal.starts("running")) == 1, "its child lived: nobody may take the job"


def test_outcomes_of_children_wait_for_the_next_consumer(site: Site) -> None:
    worker = site.worker()
    result = hold.delay("job")
    site.journal.wait_for_start("job")
    consumer = worker.consumer()
    os.kill(worker.supervisor, signal.SIGSTOP)  # so that nobody replaces the consumer yet
    os.kill(consumer, signal.SIGKILL)
    site.open_gate("job")
    wait_until(lambda: site.journal.ends("job"))
    os.kill(worker.supervisor, signal.SIGCONT)
    assert result.get(timeout=10) == "job"
    assert len(site.journal.starts("job")) == 1


@pytest.mark.parametrize("victims", ["supervisor", "everybody"])
def test_a_killed_workers_jobs_run_when_another_one_starts(site: Site, victims: str) -> None:
    worker = site.worker()
    results = [hold.delay(name) for name in ("one", "two")]
    for name in ("one", "two"):
        site.journal.wait_for_start(name)
    everybody = worker.processes()
    kill_worker(worker, victims)
    wait_until(lambda: not site.leftovers())
    began = time.monotonic()
    site.worker(ready=False)
    starts = [site.journal.wait_for_start(name, 2) for name in ("one", "two")]
    assert max(start.at for start in starts) - began <= RESCUE_OF_A_WORKERS_JOB
    assert not {start.pid for start in starts} & set(everybody)
    for name in ("one", "two"):
        site.open_gate(name)
    assert [each.get(timeout=10) for each in results] == ["one", "two"]


@pytest.mark.parametrize("victims", ["supervisor", "everybody"])
def test_a_killed_workers_job_runs_on_the_worker_beside_it(site: Site, victims: str) -> None:
    workers = [site.worker(children=1) for _ in range(2)]
    result = hold.delay("job")
    first = site.journal.wait_for_start("job")
    owner = next(each for each in workers if first.pid in each.children())
    killed = time.monotonic()
    kill_worker(owner, victims)
    second = site.journal.wait_for_start("job", 2)
    assert second.at - killed <= RESCUE_OF_A_WORKERS_JOB
    site.open_gate("job")
    assert result.get(timeout=10) == "job"
    wait_until(lambda: count_rows(site, "litequeue_worker") == 1)


def kill_worker(worker: Worker, victims: str) -> None:
    if victims == "everybody":
        worker.kill_all()
    else:
        worker.send(signal.SIGKILL)
        worker.wait()


def count_rows(site: Site, table: str) -> int:
    with closing(sqlite3.connect(f"file:{site.path}?mode=ro", uri=True)) as file:
        return int(file.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_every_worker_that_is_killed_loses_nothing(site: Site) -> None:
    site.worker(ready=False)
    results = send_naps(120, 0.02)
    for number in range(4):
        worker = site.workers[-1]
        wait_until(lambda seen=number * 20: len(site.journal.ends()) > seen)
        kill_worker(worker, "supervisor" if number % 2 else "everybody")
        site.worker(ready=False)
    for each in results:
        each.get(timeout=20)
    assert {end.id for end in site.journal.ends()} == {each.id for each in results}
    site.workers[-1].wait_until_ready()
    assert site.workers[-1].stop() == 0
    assert bell_files(site) == []


def bell_files(site: Site) -> list[str]:
    directory = site.folder / "jobs.sqlite.bell"
    app.close()  # this process's own bell
    return sorted(each.name for each in directory.iterdir() if each.name != "gate")


def test_a_poison_job_is_given_up_while_good_jobs_go_on(site: Site) -> None:
    site.worker()
    bad = poison.delay()
    good = send_naps(30, 0.02)
    with pytest.raises(WorkerLostError, match="SIGKILL"):
        bad.get(timeout=20)
    assert bad.state == "FAILURE"
    assert len(site.journal.starts("poison")) == 3
    assert_all_done(site, good)
    assert [deaths(site, each.id) for each in good] == [0] * 30
    assert add.delay(1, 1).get(timeout=10) == 2


def test_what_a_killed_child_had_not_started_is_not_blamed(site: Site) -> None:
    """Many short jobs are handed out ahead; the one that kills its child is alone to blame."""
    site.worker(children=1)
    calls = [(mark, (f"short-{number}",)) for number in range(200)]
    good = app.enqueue_many([*calls[:100], (poison, ()), *calls[100:]])
    bad = good.pop(100)
    with pytest.raises(WorkerLostError):
        bad.get(timeout=20)
    for each in good:
        each.get(timeout=20)
    assert sum(deaths(site, each.id) for each in good) == 0
    runs = Counter(start.id for start in site.journal.starts() if start.id != bad.id)
    assert set(runs.values()) == {1}


@pytest.mark.parametrize("victim", ["child", "supervisor", "everybody"])
def test_programs_and_daemons_of_a_task_die_with_it(site: Site, victim: str) -> None:
    worker = site.worker(children=1)
    start_program.delay("family")
    first = site.journal.wait_for_start("family")
    family = session(site, first)
    assert len(family) == 3, "the child, its program and its daemon"
    if victim == "child":
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: not set(family) & set(site.leftovers()))
        site.journal.wait_for_start("family", 2)
        site.open_gate("family")
        return
    kill_worker(worker, victim)
    if victim == "everybody":  # nobody was left to clean up: the next worker does it
        site.worker(children=1)
        wait_until(lambda: not set(family) & set(site.leftovers()))
        site.open_gate("family")
        return
    site.wait_until_empty()


def session(site: Site, entry: Entry) -> list[int]:
    return [pid for pid in site.leftovers() if os.getsid(pid) == entry.pid]


def test_a_program_that_outlived_its_job_is_not_in_the_way(site: Site) -> None:
    """What a task left running belongs to the child that started it, and ends with the worker."""
    worker = site.worker(children=1)
    result = start_program.delay("family")
    first = site.journal.wait_for_start("family")
    daemon = [pid for pid in session(site, first) if pid != first.pid]
    site.open_gate("family")
    result.get(timeout=10)
    assert add.delay(1, 1).get(timeout=10) == 2
    assert worker.stop() == 0
    wait_until(lambda: not set(daemon) & set(site.leftovers()))


def test_a_killed_producers_accepted_jobs_are_run(site: Site) -> None:
    site.worker()
    producer = site.python(
        "from tests.integration.tasks import mark\n"
        "while True:\n"
        "    print(mark.delay('sent').id, flush=True)\n"
    )
    assert producer.stdout is not None
    wait_until(lambda: len(site.journal.ends("sent")) > 20)
    kill(producer.pid)
    accepted = [line.decode().strip() for line in producer.stdout if line.endswith(b"\n")]
    assert len(accepted) > 20
    assert {app.AsyncResult(id).get(timeout=10) for id in accepted} == {"sent"}
