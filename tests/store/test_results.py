from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from litequeue.config import Settings
from litequeue.exceptions import JobNotFound, QueueFileReplaced, RemoteError
from litequeue.result import ResultSet
from litequeue.store import Database, Store, Waiting, jobs, results, revocations
from litequeue.store.results import fetch, fetch_ended, fetch_many, forget
from tests.store.homes import handle
from tests.store.steps import (
    KEEP,
    NOW,
    claim,
    claim_one,
    failure,
    job,
    put,
    reap,
    retry,
    revoke,
    rows,
    step,
    success,
)


@pytest.fixture
def store(queue_path: Path) -> Iterator[Store]:
    store = Store(str(queue_path), Settings())
    yield store
    store.close()


def succeed(database: Database, id: str, result: str | None = None) -> None:
    put(database, id)
    step(database, success(claim_one(database), result))


def fail(database: Database, id: str, words: str = "no") -> None:
    put(database, id)
    step(database, failure(claim_one(database), words))


def test_an_unknown_job_has_no_record(database: Database) -> None:
    put(database, "a")
    assert fetch(database, "nosuch") is None


def test_a_record_follows_the_job(database: Database) -> None:
    put(database, "a")
    record = fetch(database, "a")
    assert record is not None
    assert (record.phase, record.state, record.retries) == ("ready", "PENDING", 0)
    assert (record.is_done, record.result, record.finished) == (False, None, None)
    lease = claim_one(database)
    assert getattr(fetch(database, "a"), "state", None) == "RECEIVED"
    step(database, success(lease, "5"), now=NOW + 3)
    record = fetch(database, "a")
    assert record is not None
    assert (record.is_done, record.result, record.finished) == (True, "5", NOW + 3)


def test_the_failure_is_the_last_one_of_the_state(database: Database) -> None:
    put(database, "a")
    step(database, retry(claim_one(database)))
    (record,) = fetch_many(database, ["a"]).values()
    assert record == fetch(database, "a")
    assert record is not None
    assert (record.state, record.failure and record.failure.message) == ("RETRY", "again")
    step(database, failure(claim_one(database), "first"))
    assert jobs.rerun(database, "a", now=NOW, keep=KEEP)
    (record,) = fetch_many(database, ["a"]).values()
    assert record is not None
    assert (record.state, record.failure) == ("PENDING", None)
    step(database, failure(claim_one(database), "second"))
    (record,) = fetch_many(database, ["a"]).values()
    assert record == fetch(database, "a")
    assert record is not None
    assert record.failure is not None
    assert record.failure.message == "second"


def test_many_are_read_as_one_by_one(database: Database) -> None:
    for number in range(3):
        succeed(database, f"good {number}", str(number))
        fail(database, f"bad {number}", f"no {number}")
        put(database, f"waits {number}")
        revoke(database, f"waits {number}", now=NOW, keep=KEEP)
        put(database, f"ready {number}", eta=NOW + 1)
    ids = ["good 1", "none 1", "bad 2", "ready 0", "waits 1", "bad 0", "none 2", "good 1"]
    found = fetch_many(database, ids)
    assert found == {id: fetch(database, id) for id in ids}
    assert found["none 1"] is None
    assert fetch_ended(database, ids) == {id: found[id] for id in ids if id != "ready 0"}


def test_more_than_a_portion_can_be_read(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "AT_ONCE", 3)
    ids = [f"job {number}" for number in range(10)]
    for id in ids[:5]:
        succeed(database, id)
    put(database, *ids[5:])
    assert list(fetch_many(database, ids)) == ids
    assert list(fetch_ended(database, iter(ids))) == ids[:5]
    assert results.count_states(database, [*ids, "x"]) == {
        (True, "SUCCESS"): 5,
        (False, "PENDING"): 6,
    }
    assert results.forget_many(database, ids) == 5
    assert set(fetch_many(database, ids).values()) >= {None}
    assert fetch_ended(database, ids) == dict.fromkeys(ids[:5])


def test_ids_of_any_text_are_told_apart(database: Database) -> None:
    ids = ['"', "'; --", "ä", "\\u0061", "1", "null", "\ud800"]
    put(database, *ids[:-1])
    found = fetch_many(database, ids)
    assert [id for id, record in found.items() if record is None] == ["\ud800"]


def test_details_tell_who_ran_it_also_later(database: Database) -> None:
    put(database, "a", queue="mail", body='[[1],{"x":2}]', parent="p", priority=7)
    before = results.details(database, "a")
    assert before is not None
    assert (before.task, before.queue, before.priority) == ("t", "mail", 7)
    assert (before.body, before.parent, before.worker) == ('[[1],{"x":2}]', "p", None)
    step(database, success(claim_one(database), started=NOW, runtime=2.5), now=NOW + 3)
    with database.write(durable=False) as connection:
        connection.execute("INSERT OR IGNORE INTO litequeue_worker_name VALUES (1, 'w', 0)")
        connection.execute("DELETE FROM litequeue_worker")
    after = results.details(database, "a")
    assert after is not None
    assert (after.worker, after.started, after.runtime) == ("w", NOW, 2.5)
    assert results.details(database, "none") is None


def test_every_failed_attempt_is_told_in_order(database: Database) -> None:
    put(database, "a")
    step(database, retry(claim_one(database)), now=NOW + 1)
    reap(database, claim_one(database), now=NOW + 2)
    step(database, failure(claim_one(database)), now=NOW + 3)
    told = results.errors_of(database, "a")
    assert [row[:3] for row in told] == [
        (1, NOW + 1, "RETRY"),
        (2, NOW + 2, "RETRY"),
        (3, NOW + 3, "FAILURE"),
    ]
    assert [row[3] for row in told] == ["OSError", "WorkerLostError", "ValueError"]
    assert results.errors_of(database, "none") == []


def test_children_come_in_the_order_they_were_sent(database: Database) -> None:
    put(database, "p", "q")
    put(database, "z", "b", "a", parent="p")
    put(database, "c", parent="q")
    assert results.children_of(database, "p") == ["z", "b", "a"]
    assert results.children_of(database, "a") == []
    assert results.children_of_many(database, ["q", "p", "a"]) == {
        "p": ["z", "b", "a"],
        "q": ["c"],
    }


def test_those_that_wait_are_revoked(database: Database) -> None:
    put(database, "a", "b", "c", "d")
    lease = claim_one(database)
    step(database, success(claim_one(database)))
    assert revocations.revoke(database, ["a", "b", "d", "x"], now=NOW, keep=KEEP).ended == ["d"]
    states = rows(database.path, "SELECT id, state FROM litequeue_job ORDER BY id")
    assert states == [
        (lease.id, "RECEIVED"),
        ("b", "SUCCESS"),
        ("c", "PENDING"),
        ("d", "REVOKED"),
    ]


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


def test_a_forgotten_result_is_not_none(store: Store) -> None:
    succeed(store.database, "a", "5")
    result = handle(store, "a")
    assert result.get(timeout=1) == 5
    assert result.forget()
    assert not result.exists()
    with pytest.raises(JobNotFound):
        result.get()


def test_who_waits_on_a_file_that_is_replaced_is_told(store: Store, queue_path: Path) -> None:
    put(store.database, "a")
    assert store.fetch("a") is not None
    waiting = store.wait_for

    def wait_for(id: str) -> Waiting:
        queue_path.rename(queue_path.with_suffix(".old"))
        return waiting(id)

    store.wait_for = wait_for  # type: ignore[method-assign]  # it happens just then
    with pytest.raises(QueueFileReplaced):
        handle(store, "a").get()


# Handles on a real file


def test_a_handle_tells_all_that_is_known(store: Store) -> None:
    database = store.database
    put(database, "p")
    put(database, "a", queue="mail", body='[[1],{"x":2}]', parent="p")
    result = handle(store, "a")
    assert (result.name, result.queue, result.worker) == ("t", "mail", None)
    assert (result.args, result.kwargs) == ([1], {"x": 2})
    assert result.parent == "p"
    assert handle(store, "p").children == [result]
    assert handle(store, "p").parent is None
    put(database, "c", parent="a")
    assert [child.state for child in result.children] == ["PENDING"]
    claim_one(database)
    step(database, retry(claim_one(database)), now=NOW + 1)
    assert result.retries == 1
    (error,) = result.errors
    assert (error.attempt, error.at.isoformat()) == (1, "2023-11-14T22:13:21+00:00")
    assert (error.state, error.type, error.message) == ("RETRY", "OSError", "again")
    assert error.traceback is None


def test_a_handle_on_nothing_tells_nothing(store: Store) -> None:
    result = handle(store, "a")
    put(store.database, "b")
    assert (result.name, result.queue, result.worker, result.args, result.kwargs) == (None,) * 5
    assert (result.parent, result.children, result.errors) == (None, [], ())


def test_the_state_that_a_task_gives_itself_is_shown(store: Store) -> None:
    put(store.database, "a")
    lease = claim_one(store.database)
    result = handle(store, "a")
    jobs.update_state(store.database, "a", state="PROGRESS", meta='{"done":3}', token=lease.token)
    assert (result.state, result.info, result.ready()) == ("PROGRESS", {"done": 3}, False)
    step(store.database, success(lease, "5"))
    assert (result.state, result.info) == ("SUCCESS", 5)


def test_what_was_said_of_a_job_that_was_revoked_is_not_its_error(store: Store) -> None:
    put(store.database, "a")
    jobs.update_state(store.database, "a", state="PROGRESS", meta="1", token=None)
    result = handle(store, "a")
    assert result.revoke()
    assert type(result.result).__name__ == "TaskRevokedError"


def members(store: Store, *ids: str) -> ResultSet[int]:
    return ResultSet(handle(store, id) for id in ids)


def test_a_set_counts(store: Store) -> None:
    database = store.database
    succeed(database, "a", "1")
    succeed(database, "b", "2")
    fail(database, "c")
    put(database, "d")
    revoke(database, "d", now=NOW, keep=KEEP)
    put(database, "e")

    def verdict(*ids: str) -> tuple[int, bool, bool, bool, bool]:
        those = members(store, *ids)
        return (
            those.completed_count(),
            those.successful(),
            those.failed(),
            those.ready(),
            those.waiting(),
        )

    assert verdict("a", "b") == (2, True, False, True, False)
    assert verdict("a", "b", "c") == (2, False, True, True, False)
    assert verdict("a", "d") == (1, False, False, True, False)
    assert verdict("a", "e") == (1, False, False, False, True)
    assert verdict("a", "unknown") == (1, False, False, False, True)
    assert verdict("a", "a") == (2, True, False, True, False)


def test_a_set_throws_what_its_first_failure_says(store: Store) -> None:
    succeed(store.database, "a", "1")
    put(store.database, "b")
    claim_one(store.database)
    fail(store.database, "c", "the first")
    fail(store.database, "d", "the second")
    calls: list[tuple[str, object]] = []
    those = members(store, "a", "b", "c", "d")
    with pytest.raises(ValueError, match="the first"):
        those.maybe_throw(lambda id, value: calls.append((id, value)))
    assert calls == [("a", 1), ("b", None)]
    those.maybe_reraise(lambda id, value: calls.append((id, str(value))), propagate=False)
    assert calls[4:] == [("c", "the first"), ("d", "the second")]


def test_a_set_is_revoked_and_forgotten(store: Store) -> None:
    succeed(store.database, "a", "1")
    put(store.database, "b", "c")
    claim_one(store.database)
    those = members(store, "a", "b", "c")
    those.revoke()
    assert [each.state for each in those] == ["SUCCESS", "RECEIVED", "REVOKED"]
    those.forget()
    assert [each.exists() for each in those] == [False, True, False]


def test_a_set_is_read_in_few_statements(store: Store) -> None:
    ids = [f"job {number}" for number in range(300)]
    store.enqueue_many([job(id) for id in ids])
    step(store.database, *(success(lease, "1") for lease in claim(store.database, len(ids))))
    those = members(store, *ids)
    ran: list[str] = []
    with store.database.read() as reader:
        reader.set_trace_callback(ran.append)
    assert those.successful()
    assert len(ran) == 1
    assert those.join() == [1] * 300
    those.maybe_throw()
    assert len(ran) < 15
    with store.database.read() as reader:
        reader.set_trace_callback(None)


def test_a_failure_of_another_program_comes_as_words(store: Store) -> None:
    put(store.database, "a")
    lease = claim_one(store.database)
    jobs.update_state(store.database, "a", state="FAILURE", meta='"gone"', token=lease.token)
    result = handle(store, "a")
    assert (result.state, result.info, result.ready()) == ("FAILURE", "gone", False)
    with store.database.write(durable=False) as connection:
        connection.execute(
            "UPDATE litequeue_job SET phase = 'done', token = NULL, finished = 1, keep_until = 1"
        )
    with pytest.raises(RemoteError, match="FAILURE: gone"):
        result.get()
