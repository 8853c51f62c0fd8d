"""What cannot be handed on is the failure of those who wait for it, and of nobody else."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from litequeue import flow
from litequeue.flow import ERROR, Edge, Plan, Sequel, Step, to_text
from litequeue.job import Failure, Outcome
from litequeue.store import Database, results
from litequeue.store.flow_models import FanIn
from tests.store.flows import chain, chord, insert, options, states_of
from tests.store.steps import claim, claim_one, failure, job, phases, put, rows, step, success

TOO_MUCH = json.dumps("x" * 1_000_000)


def by_hand(path: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement, values)


def test_a_list_larger_than_a_text_may_be_fails_the_body_alone(database: Database) -> None:
    insert(database, chord([f"m{number}" for number in range(70)], "body", then="next"))
    while leases := claim(database, 10):
        step(database, *(success(lease, TOO_MUCH) for lease in leases))
    states = states_of(database)
    assert (states["body"], states["next"], states["m69"]) == ("FAILURE", "FAILURE", "SUCCESS")
    record = results.fetch(database, "body")
    assert record is not None
    assert record.failure is not None
    assert "cannot be handed on: string or blob too big" in record.failure.message
    put(database, "other")
    assert claim_one(database).id == "other"


@pytest.mark.parametrize("policy", ["fail", "placeholders", "ignore"])
def test_for_a_body_that_takes_no_list_none_is_made(database: Database, policy: str) -> None:
    plan = chord(["a", "b"], "body", policy=policy)
    *members, body = plan.steps
    kept = {"immutable": True, "root": "a"}
    taking_nothing = replace(body, job=replace(body.job, options=json.dumps(kept)))
    insert(database, replace(plan, steps=[*members, taking_nothing]))
    a, b = claim(database, 2)
    assert phases(database.path)["body"] == "waiting"
    step(database, success(a), success(b))
    assert claim_one(database).id == "body"
    assert options(database, "body") == kept


@pytest.mark.parametrize("evidence", ['{"step":', '{"step":' + "[" * 100_000, '{"step":5}'])
def test_evidence_that_is_no_json_stops_nobody(
    database: Database, queue_path: Path, evidence: str
) -> None:
    insert(database, chain("a", "b", "c"))
    step(database, failure(claim_one(database)))
    by_hand(queue_path, "UPDATE litequeue_job SET phase = 'waiting', finished = NULL, "
            "state = 'PENDING', keep_until = NULL WHERE id = 'b'")  # fmt: skip
    by_hand(queue_path, "UPDATE litequeue_error SET evidence = ?", evidence)
    put(database, "other")
    lease = claim_one(database)
    assert lease.id == "other"
    step(database, success(lease))
    assert states_of(database)["other"] == "SUCCESS"


@pytest.mark.parametrize("number", [-(2**63), 2**63 - 1])
def test_a_counter_at_its_end_stops_nobody(tmp_path: Path, number: int) -> None:
    path = tmp_path / "spoilt.sqlite"  # the fixture's has to be whole in the end
    database = Database(path, create=True)
    insert(database, chord(["a", "b"], "body"))
    put(database, "other")
    table = FanIn._meta.table_name
    by_hand(path, f"UPDATE {table} SET waiting = ?1, failed = ?1", number)
    a, b, other = claim(database, 3)
    step(database, success(a), failure(b), success(other))
    assert states_of(database)["other"] == "SUCCESS"
    database.close()


def test_an_errback_that_runs_again_with_other_arguments_is_told_once(database: Database) -> None:
    steps = [Step(job("a")), Step(job("e"), waits=True)]
    insert(database, Plan(steps, [Edge("a", "e", ERROR)], [], "a"))
    step(database, failure(claim_one(database)))
    errback = claim_one(database)
    again = Outcome(errback.seq, errback.token, errback.claim, "RETRY", body='[["a"],{}]')
    assert "failed" in options(database, "e")
    step(database, again)
    assert "failed" not in options(database, "e")


def test_whoever_settles_what_was_handed_on_is_told_that_it_may_run(database: Database) -> None:
    put(database, "a")
    lease = claim_one(database)
    sequel = to_text(Sequel((Plan([Step(job("b"))], [], [], "b"),)))
    settled = step(database, Outcome(lease.seq, lease.token, lease.claim, "SUCCESS", sequel=sequel))
    assert settled.ready
    assert claim_one(database).id == "b"


def test_a_large_result_is_copied_a_few_times_at_once(database: Database) -> None:
    members = [f"m{number}" for number in range(20)]
    insert(database, chain("a", members))
    settled = step(database, success(claim_one(database), json.dumps("x" * 100_000)))
    assert settled.ready
    ready = [id for id, state in phases(database.path).items() if state == "ready"]
    assert 1 <= len(ready) <= 6, "a turn is 500 rows of a kilobyte"
    ran = 0
    while leases := claim(database, 3):
        ran += len(leases)
        step(database, *map(success, leases))
    assert ran == len(members)


def test_a_traceback_is_kept_once(database: Database, queue_path: Path) -> None:
    insert(database, chain("a", ["b", "c"]))
    lease = claim_one(database)
    told = Failure("ValueError", "no", "Traceback ...")
    step(database, Outcome(lease.seq, lease.token, lease.claim, "FAILURE", failure=told))
    assert rows(queue_path, "SELECT message, traceback FROM litequeue_error ORDER BY job") == [
        ("no", "Traceback ..."), ("no", None), ("no", None),
    ]  # fmt: skip


def test_the_errback_of_a_body_is_told_where_the_member_failed(database: Database) -> None:
    insert(database, chord(["a"], "body", errback="e"))
    lease = claim_one(database)
    told = Failure("ValueError", "no", "Traceback ...")
    step(database, Outcome(lease.seq, lease.token, lease.claim, "FAILURE", failure=told))
    assert options(database, "e")["failed"]["traceback"] == "Traceback ..."


@pytest.mark.parametrize("policy", ["fail", "placeholders", "ignore"])
def test_what_fails_before_a_group_fails_what_comes_after_it(
    database: Database, policy: str
) -> None:
    """A policy is about members that failed; these never began."""
    plan = chain("a", ["b", "c"], "d")
    fanins = [replace(fanin, policy=policy) for fanin in plan.fanins]
    steps = [*plan.steps, Step(job("e"), waits=True)]
    edges = [*plan.edges, Edge("a", "e", ERROR), Edge("d", "e", ERROR)]
    insert(database, Plan(steps, edges, fanins, "d"))
    step(database, failure(claim_one(database), "first"))
    record = results.fetch(database, "d")
    assert record is not None
    assert record.failure is not None
    assert (record.failure.type, record.failure.message) == ("ValueError", "first")
    assert claim_one(database).id == "e"
    assert options(database, "e")["failed"]["id"] == "a", "it is told once, of what failed"


def test_an_errback_that_is_a_group_with_a_body_runs_not_when_all_is_well(
    database: Database,
) -> None:
    steps = [Step(job("a")), Step(job("x"), True, "g"), Step(job("y"), True, "g")]
    steps.append(Step(job("body"), waits=True))
    edges = [Edge("a", "x", ERROR), Edge("a", "y", ERROR)]
    insert(database, Plan(steps, edges, [flow.FanIn("g", "body", "ignore")], "a"))
    step(database, success(claim_one(database)))
    assert claim(database, 9) == []
    assert {states_of(database)[id] for id in ("x", "y", "body")} == {"IGNORED"}


def test_the_errbacks_of_a_job_are_those_of_what_takes_its_place(database: Database) -> None:
    steps = [Step(job("a")), Step(job("e"), waits=True)]
    insert(database, Plan(steps, [Edge("a", "e", ERROR)], [], "a"))
    lease = claim_one(database)
    instead = Plan([Step(job("b")), Step(job("a"), waits=True)], [Edge("b", "a")], [], "a")
    sequel = to_text(Sequel((instead,), takes=True))
    outcome = Outcome(lease.seq, lease.token, lease.claim, "RETRY", counted=False, sequel=sequel)
    step(database, outcome)
    step(database, failure(claim_one(database), "no"))
    assert claim_one(database).id == "e"
    assert options(database, "e")["failed"]["id"] == "b"
