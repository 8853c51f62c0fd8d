from __future__ import annotations

from litequeue.store import Database
from litequeue.store.results import fetch, forget
from tests.store.steps import NOW, claim_one, put, step, success


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
    record = fetch(database, "a")
    assert record is not None
    assert (record.state, record.result) == ("SUCCESS", None)
