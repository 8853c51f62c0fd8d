from __future__ import annotations

from pathlib import Path

import pytest

from litequeue.exceptions import DuplicateJob, StoreError
from litequeue.store import Database, Keep, jobs
from tests.store.steps import NOW, claim, job, phases, put, revoke, row_of, rows


def test_a_job_is_stored_with_all_it_brought(database: Database) -> None:
    full = job("a", body='[[1],{"k":"é"}]', queue="mail", priority=-3, eta=NOW + 1,
               expires=NOW + 9, options="{}", parent="p")  # fmt: skip
    assert jobs.enqueue(database, full, NOW)
    row = row_of(database.path, "a")
    assert (row["task"], row["queue"], row["priority"]) == ("t", "mail", -3)
    assert (row["eta"], row["expires"], row["created"]) == (NOW + 1, NOW + 9, NOW)
    assert (row["phase"], row["state"], row["parent"]) == ("scheduled", "PENDING", "p")
    assert rows(database.path, "SELECT body, options FROM litequeue_payload") == [
        ('[[1],{"k":"é"}]', "{}")
    ]


@pytest.mark.parametrize(
    ("eta", "phase"),
    [(None, "ready"), (NOW - 1, "ready"), (NOW, "ready"), (NOW + 0.001, "scheduled")],
)
def test_what_is_due_is_ready_at_once(database: Database, eta: float | None, phase: str) -> None:
    put(database, "a", eta=eta)
    assert phases(database.path) == {"a": phase}


def test_the_same_job_again_is_the_same_job(database: Database) -> None:
    assert jobs.enqueue(database, job("a", priority=1), NOW)
    assert not jobs.enqueue(database, job("a", priority=2), NOW + 1)
    assert row_of(database.path, "a")["priority"] == 1
    assert rows(database.path, "SELECT count(*) FROM litequeue_payload") == [(1,)]


@pytest.mark.parametrize("other", [{"body": "[[1],{}]"}, {"task": "u"}, {"options": "{}"}])
def test_the_same_id_with_another_payload_is_refused(
    database: Database, other: dict[str, str]
) -> None:
    put(database, "a")
    with pytest.raises(DuplicateJob) as caught:
        jobs.enqueue(database, job("a", **other), NOW)
    assert caught.value.id == "a"
    assert row_of(database.path, "a")["task"] == "t"
    assert rows(database.path, "SELECT body FROM litequeue_payload") == [("[[],{}]",)]


def test_a_refused_job_leaves_no_queue_behind(database: Database) -> None:
    put(database, "a")
    with pytest.raises(DuplicateJob):
        put(database, "a", task="u", queue="new")
    assert rows(database.path, "SELECT name FROM litequeue_queue") == [("default",)]


def test_the_same_id_is_refused_even_after_the_job_is_done(database: Database) -> None:
    put(database, "a")
    assert revoke(database, "a", now=NOW, keep=Keep(success=1, failure=1))
    assert not jobs.enqueue(database, job("a"), NOW)
    assert phases(database.path) == {"a": "done"}


class TestMany:
    def test_all_are_stored_in_order(self, database: Database) -> None:
        jobs.enqueue_many(database, [job(f"j{n:03}", queue=f"q{n % 3}") for n in range(50)], NOW)
        assert [lease.id for lease in claim(database, 99)] == [f"j{n:03}" for n in range(50)]

    def test_each_gets_its_own_payload(self, database: Database) -> None:
        put(database, "first")
        jobs.enqueue_many(database, [job(f"j{n}", body=f"[[{n}],{{}}]") for n in range(20)], NOW)
        found = rows(
            database.path,
            "SELECT id, body FROM litequeue_job JOIN litequeue_payload USING (seq) ORDER BY seq",
        )
        assert found == [("first", "[[],{}]"), *((f"j{n}", f"[[{n}],{{}}]") for n in range(20))]

    def test_those_stored_before_are_left_alone(self, database: Database) -> None:
        put(database, "j1", priority=7)
        jobs.enqueue_many(database, [job(f"j{n}") for n in range(3)], NOW + 5)
        assert len(phases(database.path)) == 3
        assert row_of(database.path, "j1")["priority"] == 7
        assert rows(database.path, "SELECT count(*) FROM litequeue_payload") == [(3,)]

    def test_twice_the_same_in_one_batch_is_one_job(self, database: Database) -> None:
        jobs.enqueue_many(database, [job("a"), job("b"), job("a")], NOW)
        assert sorted(phases(database.path)) == ["a", "b"]

    def test_one_that_is_refused_takes_all_with_it(self, database: Database) -> None:
        put(database, "taken", body="[[0],{}]")
        with pytest.raises(DuplicateJob) as caught:
            jobs.enqueue_many(database, [job("a"), job("taken"), job("b", queue="new")], NOW)
        assert caught.value.id == "taken"
        assert sorted(phases(database.path)) == ["taken"]
        assert rows(database.path, "SELECT name FROM litequeue_queue") == [("default",)]

    def test_one_that_is_illegal_takes_all_with_it(self, database: Database) -> None:
        with pytest.raises(StoreError):
            jobs.enqueue_many(database, [job("a"), job("x" * 256)], NOW)
        assert phases(database.path) == {}

    def test_a_batch_of_none_touches_nothing(self, queue_path: Path) -> None:
        jobs.enqueue_many(Database(queue_path, create=True), [], NOW)
        assert not queue_path.exists()


@pytest.mark.parametrize("column", ["id", "task", "queue"])
@pytest.mark.parametrize("text", ["", "x" * 256, "é" * 128])
def test_names_have_a_length(database: Database, column: str, text: str) -> None:
    fields = {"id": "fine", column: text}
    with pytest.raises(StoreError):
        jobs.enqueue(database, job(**fields) if text or column != "id" else _with_empty_id(), NOW)
    assert phases(database.path) == {}


def _with_empty_id() -> jobs.Job:
    return jobs.Job("", "t", "[[],{}]", "default")


def test_names_may_be_any_text(database: Database) -> None:
    put(database, "x" * 255, "'; DROP TABLE litequeue_job; --", "é\n\t𝄞", queue="a%b_c", task="t")
    assert len(claim(database, 9, queues='["a%b_c"]')) == 3
