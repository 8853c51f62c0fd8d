"""What people ask of a file."""

from __future__ import annotations

import sqlite3

import pytest

from litequeue.facts import AppFacts, TaskFacts
from litequeue.job import Failure, Outcome
from litequeue.store import Database, listing, registry
from litequeue.store.listing import Selection
from tests.store import flows
from tests.store.steps import NOW, put, step


def end(database: Database, *ids: str, state: str = "SUCCESS", now: float = NOW) -> None:
    """Enqueue jobs and have them end."""
    put(database, *ids, now=now, queue="ending")
    leases = step(database, limit=len(ids), queues='["ending"]', now=now).leases
    assert sorted(lease.id for lease in leases) == sorted(ids)
    failure = None if state == "SUCCESS" else Failure("ValueError", "no", "line 1\nline 2")
    outcomes = [
        Outcome(x.seq, x.token, x.claim, state, "1", now + 1, 0.5, failure=failure) for x in leases
    ]
    step(database, *outcomes, now=now + 2)


def ids(database: Database, selection: Selection = listing.EVERYTHING, **more: int) -> list[str]:
    return [job.id for job in listing.jobs(database, selection, **({"limit": 50} | more))]


@pytest.fixture
def mixed(database: Database) -> Database:
    """A file with jobs in every phase."""
    end(database, "done-1")
    end(database, "failed-1", state="FAILURE")
    put(database, "leased-1", queue="q")
    assert step(database, limit=1, queues='["q"]').leases
    put(database, "parked-1", queue="p", task="unknown")
    step(database, limit=1, queues='["p"]')
    put(database, "scheduled-1", eta=NOW + 100, now=NOW + 10)
    put(database, "ready-1", "ready-2", now=NOW + 20, task="mail.send")
    return database


def test_the_last_accepted_come_first(mixed: Database) -> None:
    assert ids(mixed) == [
        "ready-2", "ready-1", "scheduled-1", "parked-1", "leased-1", "failed-1", "done-1",
    ]  # fmt: skip
    assert ids(mixed, limit=2) == ["ready-2", "ready-1"]
    found = listing.jobs(mixed, listing.EVERYTHING, limit=2, oldest_first=True)
    assert [job.id for job in found] == ["done-1", "failed-1"]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(states=("FAILURE",)), {"failed-1"}),
        (Selection(phases=("done",)), {"failed-1", "done-1"}),
        (Selection(phases=("leased",), states=("SUCCESS",)), {"leased-1", "done-1"}),
        (Selection(phases=listing.WAITING), {"ready-1", "ready-2", "scheduled-1", "parked-1"}),
        (Selection(task="mail.*"), {"ready-1", "ready-2"}),
        (Selection(task="MAIL.*"), set()),
        (Selection(queues=("q", "p")), {"leased-1", "parked-1"}),
        (Selection(since=NOW + 10), {"scheduled-1", "ready-1", "ready-2"}),
        (Selection(phases=("ready",), since=NOW + 10, task="mail.*"), {"ready-1", "ready-2"}),
        (Selection(phases=("ready",), queues=("q",)), set()),
    ],
)
def test_a_selection(mixed: Database, selection: Selection, expected: set[str]) -> None:
    assert set(ids(mixed, selection)) == expected


def test_a_line_has_its_facts(mixed: Database) -> None:
    (job,) = listing.jobs(mixed, Selection(states=("FAILURE",)), limit=1)
    assert (job.task, job.queue, job.phase) == ("t", "ending", "done")
    assert (job.created, job.started, job.finished, job.runtime) == (NOW, NOW + 1, NOW + 2, 0.5)
    (leased,) = listing.jobs(mixed, Selection(phases=("leased",)), limit=1)
    assert leased.worker == "w"


def found(database: Database, text: str, **more: int) -> list[str]:
    return [job.id for job in listing.find(database, text, **more)]


def test_an_id_may_be_abbreviated(database: Database) -> None:
    put(database, "019a-aaaa-111111", "019a-aaaa-222222", "019a-bbbb-333333", "019a")
    assert found(database, "019a-aaaa-111111") == ["019a-aaaa-111111"]
    assert found(database, "019a") == ["019a"]  # a whole id, and the beginning of others
    assert found(database, "019a-b") == ["019a-bbbb-333333"]
    assert found(database, "019a-a") == ["019a-aaaa-111111", "019a-aaaa-222222"]
    assert found(database, "019") == []  # too short
    assert found(database, "222222") == ["019a-aaaa-222222"]
    assert found(database, "bbb-33") == ["019a-bbbb-333333"]
    assert found(database, "22222") == []  # too short for a part
    assert found(database, "") == []
    assert found(database, "019a-", limit=2) == ["019a-aaaa-111111", "019a-aaaa-222222"]


def test_a_groups_id_is_looked_for_among_those_of_jobs(database: Database) -> None:
    flows.insert(database, flows.chord(["019a-1", "019a-2"], "019b-3"))

    def named(text: str) -> tuple[list[str], list[str]]:
        jobs, names = listing.find_with_groups(database, text)
        return [job.id for job in jobs], names

    group = "019a-1+019a-2+019b-3"
    assert named(group) == ([], [group])
    assert named("019a-1") == (["019a-1"], [])  # a whole id, and the beginning of another
    assert named("019a-1+") == ([], [group])
    assert named("019a") == (["019a-1", "019a-2"], [group])
    assert named("+019a-") == ([], [group])
    assert named("+019") == named("") == named("other") == ([], [])
    put(database, group)
    assert named(group) == ([group], [])


@pytest.mark.parametrize("text", ["019%-_", "019*a*", "' OR 1=1", "019a\U0010ffff"])
def test_an_id_is_no_pattern(database: Database, text: str) -> None:
    put(database, "019a-aaaa-111111")
    assert found(database, text) == []


def test_everything_about_one_job(database: Database) -> None:
    end(database, "parent", state="FAILURE")
    children = [f"child-{number:02}" for number in range(25)]
    put(database, *children, parent="parent")
    (job,) = listing.find(database, "parent")
    detail = listing.detail(database, job)
    assert (detail.body, detail.options, detail.result) == ("[[],{}]", None, "1")
    (attempt,) = detail.attempts
    assert (attempt.type, attempt.message) == ("ValueError", "no")
    assert attempt.traceback == "line 1\nline 2"
    assert detail.children == children[:20]
    assert detail.children_count == 25


def test_what_is_no_utf_8_can_be_read(database: Database, foreign: sqlite3.Connection) -> None:
    foreign.execute(
        "INSERT INTO litequeue_job (id, task, queue, phase, created)"
        " VALUES (CAST(x'ff61' AS TEXT), CAST(x'fe' AS TEXT), CAST(x'fd' AS TEXT), 'ready', 1)"
    )
    foreign.execute("INSERT INTO litequeue_payload (seq, body) VALUES (1, CAST(x'5bff5d' AS TEXT))")
    (job,) = listing.jobs(database, listing.EVERYTHING, limit=1)
    assert (job.id, job.task) == ("\ufffda", "\ufffd")
    assert listing.detail(database, job).body == "[\ufffd]"
    assert [queue.name for queue in listing.queues(database)] == ["\ufffd"]
    with database.read() as connection:  # and everybody else is strict again
        assert connection.text_factory is str
    foreign.execute("DELETE FROM litequeue_job")
    foreign.execute("DELETE FROM litequeue_payload")


def test_queues_are_counted(mixed: Database) -> None:
    put(mixed, "late", eta=NOW + 30, now=NOW + 25, queue="late")
    step(mixed, limit=1, queues='["nobody"]', now=NOW + 40)  # promotes it
    counts = {queue.name: queue for queue in listing.queues(mixed)}
    assert list(counts) == ["default", "ending", "late", "p", "q"]
    default = counts["default"]
    assert (default.ready, default.scheduled, default.parked, default.leased) == (2, 1, 0, 0)
    assert default.due_since == NOW + 20
    assert counts["late"].due_since == NOW + 30
    assert (counts["p"].parked, counts["q"].leased) == (1, 1)
    assert counts["ending"].due_since is None
    assert set(listing.queue_names(mixed)) == counts.keys()


def test_leases_are_counted_by_worker(mixed: Database) -> None:
    assert listing.leased_by_worker(mixed) == {1: 1}


def test_tasks_are_listed_with_their_last_jobs(database: Database) -> None:
    facts = [TaskFacts("t", "(x)", "Do.", None), TaskFacts("never", "()", "", "slow")]
    with database.write(durable=False) as connection:
        app = AppFacts(name="m:app", root="/", tasks=facts)
        registry.record(connection, database.path, app, NOW)
    for number in range(7):
        end(database, f"old-{number}", now=NOW + number)
    end(database, "new-1", now=NOW + 100)
    end(database, "new-2", "new-3", state="FAILURE", now=NOW + 101)
    never, t = listing.tasks(database, NOW + 100)
    assert (never.name, never.queue, never.states) == ("never", "slow", {})
    assert (t.signature, t.summary, t.app) == ("(x)", "Do.", "m:app")
    assert t.states == {"SUCCESS": 1, "FAILURE": 2}
    for number in range(7):
        states = listing.tasks(database, NOW + number)[1].states
        assert states == {"SUCCESS": 8 - number, "FAILURE": 2}
    assert listing.tasks(database, NOW + 200)[1].states == {}
