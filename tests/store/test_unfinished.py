"""A workflow that never gets complete in the file is given up."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue.exceptions import DuplicateJob, EnqueueUncertain, QueueBusy, QueueFull, StoreError
from litequeue.facts import AppFacts
from litequeue.flow import FanIn, Plan, Sequel, Step, to_text
from litequeue.store import Database, maintenance, workflows
from tests.store.flows import Cut, big, chain, dying_after, insert, run, states_of
from tests.store.steps import (
    NOW,
    claim,
    claim_one,
    job,
    phases,
    problems,
    put,
    retry,
    rows,
    step,
    success,
)


def parts(path: Path) -> list[Any]:
    return rows(path, "SELECT workflow, first, last, at FROM litequeue_part")


def tidy(database: Database, now: float) -> int:
    """Do as a worker does, until nothing is left; return how many jobs ended."""
    ended = 0
    while maintenance.has_expired(database, now):
        ended += len(maintenance.expire(database, now, now + 100, limit=4))
    step(database, now=now)
    return ended


def cut_off(path: Path, commits: int) -> None:
    """Store a part of a workflow, as somebody who is killed."""
    dying = dying_after(path, commits)
    with pytest.raises(Cut):
        workflows.insert(dying, big(10), NOW, chunk=3)
    dying.close()


@pytest.mark.parametrize("commits", range(1, 12))
def test_what_is_cut_off_and_never_gone_on_with_ends(queue_path: Path, commits: int) -> None:
    database = Database(queue_path, create=True)
    database.data_version()
    cut_off(queue_path, commits)
    assert parts(queue_path)
    (first,) = claim(database, 1)
    step(database, success(first, '"early"'))
    assert maintenance.next_moment(database) == min(NOW + 100.0, NOW + 86_400)
    assert not maintenance.has_expired(database, NOW + 86_399)
    left = sum(phase != "done" for phase in phases(queue_path).values())
    assert tidy(database, NOW + 86_400) == left
    assert run(database) == []
    found = states_of(database)
    assert found.pop(first.id) == "SUCCESS"
    assert set(found.values()) <= {"REVOKED"}
    assert parts(queue_path) == []
    assert problems(queue_path) == []
    while maintenance.prune(database, NOW + 200_000):
        pass
    for table in ("job", "fanin", "edge", "advance"):
        assert rows(queue_path, f"SELECT count(*) FROM litequeue_{table}") == [(0,)]
    database.close()


def test_what_runs_when_its_workflow_is_given_up_runs_to_its_end(queue_path: Path) -> None:
    database = Database(queue_path, create=True)
    database.data_version()
    cut_off(queue_path, 2)
    a, b = claim(database, 2)
    later = NOW + 86_400
    tidy(database, later)
    step(database, success(a), retry(b), now=later)
    assert claim(database, 1, now=later) == []
    assert states_of(database)[a.id] == "SUCCESS"
    assert states_of(database)[b.id] == "REVOKED"
    database.close()


def test_it_is_gone_on_with_though_a_step_has_become_another_meanwhile(queue_path: Path) -> None:
    database = Database(queue_path, create=True)
    database.data_version()
    cut_off(queue_path, 1)
    lease = claim_one(database)
    text = to_text(Sequel((Plan([Step(job(lease.id, task="other"))], [], [], lease.id),), True))
    step(database, success(lease, sequel=text))
    workflows.insert(database, big(10), NOW, chunk=3)
    (again,) = claim(database, 1, tasks=frozenset({"other"}))
    step(database, success(again, json.dumps(again.id)))
    assert len(run(database)) == 20
    with pytest.raises(DuplicateJob):
        workflows.insert(database, big(10), NOW, chunk=3)
    database.close()


def test_a_workflow_that_is_complete_is_not_given_up(database: Database) -> None:
    workflows.insert(database, big(10), NOW, chunk=3)
    assert parts(Path(database.path)) == []
    assert not maintenance.has_expired(database, NOW + 1_000_000)
    assert len(run(database)) == 21


def test_who_fails_to_make_the_rest_has_the_beginning_given_up(database: Database) -> None:
    def steps() -> Iterator[Step]:
        for number in range(10):
            yield Step(job(f"m{number}"), group="g")
        raise TypeError("the last one takes no arguments")

    with pytest.raises(TypeError, match="no arguments"):
        workflows.insert(database, Plan(steps(), [], [FanIn("g")], "g", "g"), NOW, chunk=3)
    assert len(states_of(database)) == 9
    assert tidy(database, NOW) == 9
    assert set(states_of(database).values()) == {"REVOKED"}


def test_who_comes_back_too_late_is_told(database: Database) -> None:
    def steps() -> Iterator[Step]:
        for number in range(10):
            if number == 7:
                tidy(database, NOW + 86_400)
            yield Step(job(f"m{number}"), group="g")

    with pytest.raises(
        StoreError, match=r"workflow g was given up: its sender failed, or .* 24 hours"
    ):
        workflows.insert(database, Plan(steps(), [], [FanIn("g")], "g", "g"), NOW, chunk=3)
    assert set(states_of(database).values()) == {"REVOKED"}


def test_the_app_of_a_workflow_is_recorded(database: Database) -> None:
    database.newcomer = AppFacts(name="site:app", root="/srv", tasks=())
    insert(database, chain("a", "b"))
    assert rows(database.path, "SELECT name FROM litequeue_app") == [("site:app",)]
    assert database.newcomer is None


def test_what_was_given_up_is_not_taken_for_a_whole_one(queue_path: Path) -> None:
    database = Database(queue_path, create=True)
    database.data_version()
    cut_off(queue_path, 3)
    tidy(database, NOW + 90_000)
    assert parts(queue_path) == []
    with pytest.raises(StoreError, match=r"was given up: .* under another task_id"):
        workflows.insert(database, big(10), NOW + 90_000, chunk=3)
    database.close()


def test_what_is_whole_may_be_sent_again(queue_path: Path) -> None:
    database = Database(queue_path, create=True)
    workflows.insert(database, big(10), NOW, chunk=3)
    workflows.insert(database, big(10), NOW, chunk=3)
    assert rows(queue_path, "SELECT count(DISTINCT id) = count(*) FROM litequeue_job") == [(1,)]
    database.close()


@pytest.mark.parametrize("error", [QueueFull("no room"), QueueBusy("busy")])
def test_nobody_says_that_nothing_was_accepted_when_some_was(
    queue_path: Path, error: StoreError
) -> None:
    database = Database(queue_path, create=True)
    plan = big(10)

    def steps() -> Iterator[Step]:
        for number, each in enumerate(plan.steps):
            if number == 7:
                raise error
            yield each

    failing = Plan(steps(), plan.edges, plan.fanins, plan.result, plan.group)
    with pytest.raises(EnqueueUncertain, match="send it again"):
        workflows.insert(database, failing, NOW, chunk=3)
    workflows.insert(database, big(10), NOW, chunk=3)
    assert parts(queue_path) == []
    database.close()


def test_a_part_of_a_workflow_whose_name_is_no_text_keeps_nothing_from_its_end(
    database: Database, foreign: sqlite3.Connection
) -> None:
    put(database, "late", expires=NOW + 5)
    foreign.execute("INSERT INTO litequeue_part VALUES (CAST(X'ff' AS TEXT), 5, 500, 0)")
    while maintenance.has_expired(database, NOW + 5):
        maintenance.expire(database, NOW + 5, NOW + 9)
    assert phases(database.path) == {"late": "done"}
    assert foreign.execute("SELECT count(*) FROM litequeue_part").fetchone() == (0,)
