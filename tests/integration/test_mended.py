"""Defects that a review found once: what a worker must not do again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from litequeue import LiteQueue
from tests.conftest import wait_until
from tests.integration.processes import Site
from tests.integration.tasks import add, app, nap

STRANGE = """
import time


from litequeue import LiteQueue, Reject

app = LiteQueue()


@app.task(bind=True)
def again(self):
    time.sleep(0.6)  # until the worker has stopped looking by itself
    if self.request.claim == 1:
        raise Reject("once more", requeue=True)
    return self.request.claim


@app.task(bind=True)
def never(self):
    raise self.retry(countdown=float("nan"))


@app.task
def double(x):
    return 2 * x
"""


@pytest.fixture
def strange(site: Site) -> LiteQueue:
    """The app of `STRANGE`, with its tasks under the names that a worker gives them."""
    site.write("strange.py", STRANGE)
    return app


def send(site: Site, id: str, task: str, args: str = "[]") -> None:
    with closing(sqlite3.connect(site.path, isolation_level=None, timeout=10)) as file:
        file.execute("INSERT INTO litequeue_enqueue (id, task, args) VALUES (?, ?, ?)",
                     (id, task, args))  # fmt: skip


def test_a_job_that_was_put_back_runs_again_with_nobody_else_about(
    site: Site, strange: LiteQueue
) -> None:
    site.worker(app="strange:app", children=1)
    send(site, "again", "strange.again")
    assert strange.AsyncResult("again").get(timeout=10) == 2


def test_an_outcome_that_cannot_be_is_the_jobs_failure_and_not_the_workers(
    site: Site, strange: LiteQueue
) -> None:
    site.worker(app="strange:app", children=1)
    send(site, "never", "strange.never")
    with pytest.raises(Exception, match="moment"):
        strange.AsyncResult("never").get(timeout=10)
    send(site, "good", "strange.double", "[4]")
    assert strange.AsyncResult("good").get(timeout=10) == 8


def test_two_apps_on_one_file_do_not_toss_jobs_to_and_fro(site: Site, strange: LiteQueue) -> None:
    site.worker(children=1)
    for number in range(700):
        send(site, f"{number}", "strange.double", f"[{number}]")
    wait_until(lambda: phases(site).get("parked") == 700, 20.0)
    site.worker(app="strange:app", children=2)
    wait_until(lambda: phases(site).get("done") == 700, 20.0)
    with closing(sqlite3.connect(site.path, timeout=10)) as file:
        assert file.execute("SELECT max(claims) FROM litequeue_job").fetchone() == (2,)


def test_leases_ahead_shrink_again_when_jobs_grow_long(site: Site) -> None:
    site.worker(children=2)
    app.enqueue_many([(add, (1, 2))] * 3000)[-1].get(timeout=20)
    app.enqueue_many([(nap, ("n", 0.02))] * 250)
    wait_until(lambda: phases(site).get("done", 0) > 3000 + 150, 20.0)
    assert phases(site)["leased"] <= 8


def test_a_worker_that_was_declared_dead_stops(site: Site) -> None:
    worker = site.worker(children=1, LITEQUEUE_VISIBILITY_TIMEOUT="4")
    running = nap.delay("long", 30.0)
    wait_until(lambda: running.state == "STARTED")
    with closing(sqlite3.connect(site.path, isolation_level=None, timeout=10)) as file:
        file.execute("UPDATE litequeue_job SET phase = 'ready', state = 'PENDING', token = NULL")
        file.execute("DELETE FROM litequeue_worker")
    assert add.delay(1, 2).state == "PENDING"
    assert worker.wait(timeout=40) == 1
    assert "declared it dead" in worker.said()
    assert phases(site) == {"ready": 2}


def phases(site: Site) -> dict[str, Any]:

    with closing(sqlite3.connect(site.path, timeout=10)) as file:
        return dict(file.execute("SELECT phase, count(*) FROM litequeue_job GROUP BY phase"))
