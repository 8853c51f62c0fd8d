"""From `delay()` to `get()`, through a real worker."""

from __future__ import annotations

import sqlite3
import time

import pytest

from litequeue import TaskRevokedError
from tests.conftest import wait_until
from tests.integration.processes import Site
from tests.integration.tasks import add, app, echo, flaky, hold, mark, stubborn, text_of


def test_a_job_goes_from_delay_to_get(site: Site) -> None:
    site.worker()
    assert add.delay(20, 22).get(timeout=10) == 42


def test_jobs_sent_before_the_worker_starts_are_run(site: Site) -> None:
    sent = app.enqueue_many([(add, (number, 1)) for number in range(200)])
    site.worker()
    assert [each.get(timeout=10) for each in sent] == list(range(1, 201))


def test_a_task_that_asks_for_retries_gets_them(site: Site) -> None:
    site.worker()
    result = flaky.delay(2)
    assert result.get(timeout=10) == 2
    assert [start.claim for start in site.journal.starts("flaky")] == [1, 2, 3]
    assert result.retries == 2


def test_a_task_that_keeps_failing_ends_with_its_own_exception(site: Site) -> None:
    site.worker()
    result = stubborn.delay()
    with pytest.raises(OSError, match="never"):
        result.get(timeout=10)
    assert len(site.journal.starts("stubborn")) == 3
    assert result.state == "FAILURE"


def test_countdowns_decide_the_order_and_nobody_runs_early(site: Site) -> None:
    site.worker(children=1)
    sent_at = time.monotonic()
    for name, countdown in (("never", 3600), ("third", 0.9), ("first", 0.3), ("second", 0.6)):
        mark.apply_async((name,), countdown=countdown)
    site.journal.wait_for_start("third")
    starts = site.journal.starts()
    assert [start.name for start in starts] == ["first", "second", "third"]
    due = (0.3, 0.6, 0.9)
    assert all(start.at - sent_at >= wait for start, wait in zip(starts, due, strict=True))


def test_higher_priorities_run_first_and_equal_ones_in_order(site: Site) -> None:
    for name, priority in (("a", 0), ("b", 5), ("c", 9), ("d", -3), ("e", 5), ("f", 0)):
        last = mark.apply_async((name,), priority=priority)
    site.worker(children=1)
    wait_until(lambda: len(site.journal.ends()) == 6)
    assert [start.name for start in site.journal.starts()] == ["c", "b", "e", "a", "f", "d"]
    assert last.get(timeout=10) == "f"


def test_a_worker_takes_only_the_queues_it_was_told(site: Site) -> None:
    results = {
        name: mark.apply_async((name,), queue=name) for name in ("mail", "images", "reports")
    }
    worker = site.worker("-Q", "mail,images", children=1)
    assert results["mail"].get(timeout=10) == "mail"
    assert results["images"].get(timeout=10) == "images"
    # A later job of its queues overtakes the foreign one: it was looked at, and left alone.
    assert mark.apply_async(("more",), queue="mail").get(timeout=10) == "more"
    assert results["reports"].state == "PENDING"
    assert worker.stop() == 0
    site.worker("-Q", "reports", children=1)
    assert results["reports"].get(timeout=10) == "reports"


def test_one_plain_insert_enqueues_a_job(site: Site) -> None:
    site.worker()
    add.delay(0, 0).get(timeout=10)
    with sqlite3.connect(site.path, isolation_level=None) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(
            "INSERT INTO litequeue_enqueue (id, task, args, kwargs) VALUES (?, ?, ?, ?)",
            ("from-sql", "tests.integration.tasks.add", "[40]", '{"y": 2}'),
        )
    connection.close()
    assert app.AsyncResult("from-sql").get(timeout=10) == 42


def test_an_unknown_task_waits_for_a_worker_that_knows_it(site: Site) -> None:
    add.delay(1, 1)
    connection = sqlite3.connect(site.path, isolation_level=None)
    connection.execute(
        "INSERT INTO litequeue_enqueue (id, task, args) VALUES ('early', 'later.double', '[21]')"
    )
    connection.close()
    first = site.worker()
    first.wait_until_said("is parked")
    assert add.delay(1, 2).get(timeout=10) == 3
    assert app.AsyncResult("early").state == "PENDING"
    site.write(
        "later.py",
        "from litequeue import LiteQueue\n\n"
        "app = LiteQueue()\n\n\n"
        "@app.task\ndef double(x: int) -> int:\n    return 2 * x\n",
    )
    site.worker(app="later:app")
    assert app.AsyncResult("early").get(timeout=10) == 42


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_large_payloads_travel_both_ways(site: Site, start_method: str) -> None:
    site.worker("--start-method", start_method)
    text = "ab€" * 150_000
    assert echo.delay(text).get(timeout=20) == text
    assert len(text_of.delay(2_000_000).get(timeout=20)) == 2_000_000
    wait_until(lambda: not list(site.folder.glob("jobs.sqlite.bell/*.big")))


def test_an_expired_job_is_revoked_and_never_run(site: Site) -> None:
    late = mark.apply_async(("late",), expires=0.01)
    in_time = mark.apply_async(("in time",), expires=300)
    wait_until(lambda: not late.ready() and time.time() > 0, 1.0)
    worker = site.worker(children=1)
    with pytest.raises(TaskRevokedError):
        late.get(timeout=10)
    assert in_time.get(timeout=10) == "in time"
    assert late.state == "REVOKED"
    # One that expires while the worker is busy ends without a child, and its waiter is told.
    hold.delay("busy")
    site.journal.wait_for_start("busy")
    with pytest.raises(TaskRevokedError):
        mark.apply_async(("too late",), expires=0.2).get(timeout=10)
    site.open_gate("busy")
    assert worker.stop() == 0
    assert {start.name for start in site.journal.starts()} == {"in time", "busy"}


def test_a_script_names_its_tasks_by_its_file(site: Site) -> None:
    site.write(
        "shop.py",
        "import os\n"
        "from litequeue import LiteQueue\n\n"
        'app = LiteQueue(os.path.join(os.path.dirname(__file__), "jobs.sqlite"))\n\n\n'
        "@app.task\ndef price(euros: int) -> int:\n    return euros * 100\n\n\n"
        'if __name__ == "__main__":\n    print(price.name, price.delay(5).get(timeout=20))\n',
    )
    app.close()
    site.worker(app="shop:app", ready=False)
    done = site.run("shop.py")
    assert (done.stdout.split(), done.stderr) == (["shop.price", "500"], "")
