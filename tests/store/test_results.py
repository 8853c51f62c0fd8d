from __future__ import annotations

from pathlib import Path

import pytest

from litequeue.config import Settings
from litequeue.exceptions import JobNotFound, QueueFileReplaced
from litequeue.result import AsyncResult
from litequeue.store import Database, Store, Waiting
from litequeue.store.results import fetch, forget
from tests.store.steps import NOW, claim_one, failure, put, rows, step, success


def test_an_unknown_job_has_no_record(database: Database) -> None:
    put(database, "a")
    assert fetch(database, "nosuch") is None


def test_a_record_follows_the_job(database: Database) -> None:
    put(database, "a", queue="mail")
    record = fetch(database, "a")
    assert record is not None
    assert (record.phase, record.state, record.task, record.queue) == (
        "ready",
        "PENDING",
        "t",
        "mail",
    )
    assert (record.is_done, record.result, record.finished) == (False, None, None)
    lease = claim_one(database)
    assert getattr(fetch(database, "a"), "state", None) == "RECEIVED"
    step(database, success(lease, "5"), now=NOW + 3)
    record = fetch(database, "a")
    assert record is not None
    assert (record.is_done, record.result, record.finished) == (True, "5", NOW + 3)


def test_only_a_finished_result_can_be_forgotten(database: Database) -> None:
    put(database, "a")
    assert not forget(database, "a")
    assert not forget(database, "nosuch")
    step(database, success(claim_one(database), "5"))
    assert forget(database, "a")
    assert fetch(database, "a") is None
    assert not forget(database, "a")


def test_a_forgotten_job_takes_nobody_along_and_leaves_nothing(database: Database) -> None:
    put(database, "a", "b")
    for _ in range(2):
        step(database, failure(claim_one(database)))
    assert forget(database, "a")
    for table in ("job", "payload", "error"):
        assert rows(database.path, f"SELECT count(*) FROM litequeue_{table}") == [(1,)], table
    assert fetch(database, "b") is not None


def test_a_forgotten_result_is_not_none(queue_path: Path) -> None:
    store = Store(str(queue_path), Settings())
    put(store.database, "a")
    step(store.database, success(claim_one(store.database), "5"))
    result: AsyncResult[int] = AsyncResult("a", store)
    assert result.get(timeout=1) == 5
    assert result.forget()
    assert not result.exists()
    with pytest.raises(JobNotFound):
        result.get()
    store.close()


def test_who_waits_on_a_file_that_is_replaced_is_told(queue_path: Path) -> None:
    store = Store(str(queue_path), Settings())
    put(store.database, "a")
    assert store.fetch("a") is not None
    waiting = store.wait_for

    def wait_for(id: str) -> Waiting:
        queue_path.rename(queue_path.with_suffix(".old"))
        return waiting(id)

    store.wait_for = wait_for  # type: ignore[method-assign]  # it happens just then
    with pytest.raises(QueueFileReplaced):
        AsyncResult("a", store).get()
    store.close()
