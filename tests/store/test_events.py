from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from litequeue.config import Settings
from litequeue.exceptions import DuplicateJob
from litequeue.job import Job
from litequeue.store import Database, Store, events, jobs
from litequeue.store.events import Event, EventRow
from tests.store.steps import (
    NOW,
    claim,
    claim_one,
    job,
    put,
    reap,
    rows,
    step,
    success,
)


@pytest.fixture
def store(queue_path: Path) -> Iterator[Store]:
    store = Store(str(queue_path), Settings())
    yield store
    store.close()


def event(type: str, job: str | None = None) -> EventRow:
    return NOW, type, job, "w", "{}"


def types(database: Database, after: int = 0) -> list[str]:
    return [each.type for each in events.read(database, after, limit=99)]


def test_events_are_read_in_their_order(database: Database) -> None:
    assert events.last(database) == 0
    events.append(database, [(NOW, "task-sent", "a", None, '{"x": 1}'), event("worker-online")])
    events.append(database, [])
    first, second = events.read(database, 0, limit=9)
    assert first == Event(first.seq, NOW, "task-sent", "a", None, '{"x": 1}')
    assert (second.seq, second.worker) == (first.seq + 1, "w")
    assert events.last(database) == second.seq
    assert events.read(database, first.seq, limit=9) == [second]
    assert events.read(database, 0, limit=1) == [first]
    assert events.read(database, 0, types=["worker-online", "x"], limit=9) == [second]
    assert events.read(database, 0, types=[], limit=9) == []


def test_an_event_of_an_outcome_is_part_of_its_transaction(database: Database) -> None:
    put(database, "a")
    lease = claim_one(database)
    writing = database.write(durable=False)
    with pytest.raises(LookupError), writing as connection:
        raise LookupError(events.add(connection, [event("task-received", "a")]))
    assert types(database) == []
    step(database, success(lease), events=[event("task-succeeded", "a")])
    assert types(database) == ["task-succeeded"]


def test_no_event_tells_of_an_outcome_that_was_too_late(database: Database) -> None:
    put(database, "a", "b")
    zombie, other = claim(database, 2)
    reap(database, zombie)
    told = [event("task-succeeded", "a"), event("task-succeeded", "b"), event("worker-heartbeat")]
    settled = step(database, success(zombie), success(other), events=told)
    assert settled.zombies == [zombie.seq]
    assert [(each.type, each.job) for each in events.read(database, 0, limit=9)] == [
        ("task-succeeded", "b"),
        ("worker-heartbeat", None),
    ]


def test_an_event_that_cannot_be_stored_costs_no_outcome(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    put(database, "a")
    told = [event("good", "a"), event("\ud800", "a"), event("better", "a")]
    step(database, success(claim_one(database), "1"), events=told)
    assert types(database) == ["good", "better"]
    assert rows(database.path, "SELECT state, result FROM litequeue_job") == [("SUCCESS", "1")]
    assert "cannot be stored" in caplog.text


def test_a_job_is_sent_with_its_event(database: Database) -> None:
    sent = Job("a", "t", "[[],{}]", "default")
    jobs.enqueue(database, sent, NOW, event=event("task-sent", "a"))
    jobs.enqueue(database, sent, NOW, event=event("task-sent", "a"))
    assert types(database) == ["task-sent"], "the same job again is not sent again"
    with pytest.raises(DuplicateJob):
        jobs.enqueue(database, job("a", body="[[1],{}]"), NOW, event=event("task-sent", "a"))
    jobs.enqueue_many(database, [job("b"), job("c")], NOW, events=[event("b"), event("c")])
    assert types(database) == ["task-sent", "b", "c"]


def test_the_ring_is_kept_short_some_at_a_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert events.trim(database, 3) == 0
    events.append(database, [event(str(number)) for number in range(10)])
    monkeypatch.setattr(events, "TRIM_AT_ONCE", 5)
    assert events.trim(database, 10) == 0
    assert events.trim(database, 3) == 5
    assert events.trim(database, 3) == 2
    assert events.trim(database, 3) == 0
    assert types(database) == ["7", "8", "9"]
    last = events.last(database)
    assert events.trim(database, 0) == 3
    events.append(database, [event("next")])
    assert [each.seq for each in events.read(database, last, limit=9)] == [last + 1]


def test_who_follows_the_events_is_woken(store: Store) -> None:
    waiting = store.wait_for(events.MARK)
    try:
        for number, write in enumerate(
            (
                lambda: store.append_events([event("x")]),
                lambda: store.enqueue(job("a"), event=event("y")),
                lambda: store.enqueue_many([job("b")], happened=[event("z")]),
            )
        ):
            write()
            waiting.wait(5)
            assert waiting.event.is_set()
            waiting.event.clear()
            assert len(store.events_after(0)) == number + 1
        assert store.last_event() == store.events_after(0, types=["z"])[0].seq
    finally:
        waiting.close()
