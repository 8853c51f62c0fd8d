"""What becomes of a workflow when something goes wrong in it, or somebody interferes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from litequeue.exceptions import DuplicateJob
from litequeue.flow import ERROR, Edge, FanIn, Plan, Step
from litequeue.job import Outcome
from litequeue.store import Database, advance, bulk, flows, jobs, maintenance, results, revocations
from litequeue.store.listing import Selection
from tests.store.flows import chain, chord, insert, options, run, states_of
from tests.store.steps import (
    KEEP,
    NOW,
    claim,
    claim_one,
    failure,
    job,
    phases,
    problems,
    put,
    rows,
    step,
    success,
)

NAME = "a+b+c+body"


def revoke(database: Database, id: str) -> None:
    revocations.revoke(database, [id], now=NOW, keep=KEEP)


def message(database: Database, id: str) -> str:
    record = results.fetch(database, id)
    assert record is not None
    assert record.failure is not None
    return f"{record.failure.type}: {record.failure.message}"


def test_an_errback_of_several_runs_once_for_the_first_failure(database: Database) -> None:
    steps = [*(Step(job(id)) for id in "abc"), Step(job("e"), waits=True)]
    insert(database, Plan(steps, [Edge(id, "e", ERROR) for id in "abc"], [], "c"))
    a, b, c = claim(database, 3)
    step(database, failure(a, "first"))
    step(database, failure(b, "second"))
    assert options(database, "e")["failed"]["message"] == "first"
    step(database, success(claim_one(database)))
    step(database, failure(c, "third"))
    assert claim(database, 9) == []
    assert states_of(database)["e"] == "SUCCESS"
    assert options(database, "e")["failed"]["message"] == "first"


def test_the_errback_of_a_body_runs_when_the_header_failed(database: Database) -> None:
    insert(database, chord(["a", "b"], "body", then="z", errback="e"))
    assert run(database, failing=["a"]) == ["a", "b", "e"]
    failed = options(database, "e")["failed"]
    assert (failed["id"], failed["task"], failed["type"]) == ("body", "t", "ChordError")
    assert failed["message"] == "Dependency a raised ValueError('no')"
    assert states_of(database) == {
        "a": "FAILURE", "b": "SUCCESS", "body": "FAILURE", "z": "FAILURE", "e": "SUCCESS",
    }  # fmt: skip


def test_the_errback_of_a_body_waits_again_with_it(database: Database) -> None:
    insert(database, chord(["a", "b"], "body", errback="e"))
    run(database, failing=["a"])
    jobs.rerun(database, "a")
    assert run(database) == ["a", "body"]
    assert states_of(database)["body"] == "SUCCESS"
    assert problems(database.path) == []


@pytest.mark.parametrize(
    ("policy", "given"),
    [("placeholders", ['"a"', None, '"c"']), ("ignore", ['"a"', '"c"'])],
)
@pytest.mark.parametrize("when", ["ready", "running"])
def test_a_revoked_member_is_one_that_failed(
    database: Database, policy: str, given: Any, when: str
) -> None:
    insert(database, chord(["a", "b", "c"], "body", policy=policy))
    if when == "running":
        a, b, c = claim(database, 3)
        revoke(database, "b")
        revoked = Outcome(b.seq, b.token, b.claim, "REVOKED")
        step(database, success(a, '"a"'), revoked, success(c, '"c"'))
        assert run(database) == ["body"]
    else:
        revoke(database, "b")
        assert run(database) == ["a", "c", "body"]
    assert options(database, "body") == {"given": given}


def test_a_revoked_member_fails_the_body(database: Database) -> None:
    insert(database, chord(["a", "b", "c"], "body"))
    revoke(database, "b")
    assert run(database) == ["a", "c"]
    assert message(database, "body") == (
        "ChordError: Dependency b raised TaskRevokedError('revoked')"
    )
    jobs.rerun(database, "b")
    assert run(database) == ["b", "body"]
    assert options(database, "body") == {"given": ['"a"', '"b"', '"c"']}


@pytest.mark.parametrize(
    ("policy", "given"),
    [("placeholders", ['"a"', '"c"']), ("ignore", ['"a"', '"c"'])],
)
def test_a_member_that_was_deleted_leaves_no_place(
    database: Database, policy: str, given: list[str]
) -> None:
    insert(database, chord(["a", job("b", queue="away"), "c"], "body", policy=policy))
    chosen = bulk.choose(database, bulk.Change.PURGE, Selection(queues=("away",)), NOW)
    list(bulk.carry_out(database, chosen, now=NOW, keep=KEEP))
    assert run(database) == ["a", "c", "body"]
    assert options(database, "body") == {"given": given}


def test_a_member_is_not_pruned_before_the_body_has_its_result(database: Database) -> None:
    insert(database, chord(["a", "b", "c"], "body", policy="placeholders"))
    a, b, c = claim(database, 3)
    step(database, success(a, '"a"'), failure(b))
    maintenance.prune(database, NOW + 10_000)
    step(database, success(c, '"c"'), now=NOW + 10_000)
    assert options(database, "body") == {"given": ['"a"', None, '"c"']}


@pytest.mark.parametrize("many", [False, True])
def test_a_member_that_is_forgotten_goes_when_the_body_has_its_result(
    database: Database, many: bool
) -> None:
    insert(database, chord(["a", "b"], "body"))
    step(database, success(claim_one(database), '"a"'))
    if many:
        assert results.forget_many(database, ["a", "b"]) == 1
    else:
        assert results.forget(database, "a")
        assert not results.forget(database, "b")
    step(database, success(claim_one(database), '"b"'))
    assert options(database, "body") == {"given": ['"a"', '"b"']}
    maintenance.prune(database, NOW)
    assert set(phases(database.path)) == {"b", "body"}
    assert run(database) == ["body"]
    assert problems(database.path) == []


def test_results_that_are_too_large_together_fail_the_body_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advance, "GIVEN_AT_MOST", 5_000)
    insert(database, chord(["a", "b"], "body", errback="e"))
    put(database, "other")
    a, b, other = claim(database, 3)
    large = json.dumps("x" * 3_000)
    step(database, success(a, large), success(b, large), success(other))
    assert message(database, "body").startswith("ResultTooLarge: the results of the group are")
    assert states_of(database)["other"] == "SUCCESS"
    monkeypatch.undo()
    assert run(database) == ["e"]
    assert problems(database.path) == []


def test_a_failed_member_can_be_run_again_after_all_has_stopped(database: Database) -> None:
    insert(database, chord(["a", "b"], "body", then="z", errback="e"))
    run(database, failing=["b"])
    assert not jobs.rerun(database, "body")
    assert not jobs.rerun(database, "z")
    assert jobs.rerun(database, "b")
    assert run(database) == ["b", "body", "z"]
    assert options(database, "body") == {"given": ['"a"', '"b"']}
    assert problems(database.path) == []


def test_a_group_of_the_same_name_with_other_members_is_refused(database: Database) -> None:
    insert(database, Plan([Step(job("a"), group="g")], [], [FanIn("g")], "g", "g"))
    with pytest.raises(DuplicateJob, match="g"):
        insert(database, Plan([Step(job("b"), group="g")], [], [FanIn("g")], "g", "g"))
    assert list(states_of(database)) == ["a"]
    insert(database, Plan([Step(job("a"), group="g")], [], [FanIn("g")], "g", "g"))
    group = flows.group(database, "g")
    assert group is not None
    assert (group.size, group.waiting) == (1, 1)


def test_the_same_id_twice_in_a_workflow_is_refused(database: Database) -> None:
    with pytest.raises(DuplicateJob, match="a"):
        insert(database, chain("a", "b", "a"))
    assert states_of(database) == {}


def test_an_id_that_is_taken_by_a_plain_job_is_refused(database: Database) -> None:
    put(database, "b")
    with pytest.raises(DuplicateJob, match="b"):
        insert(database, chord(["a", "b"], "body"))
    assert states_of(database) == {"b": "PENDING"}
    assert rows(database.path, "SELECT count(*) FROM litequeue_fanin") == [(0,)]


def test_what_cannot_be_read_in_a_payload_stops_nobody(database: Database) -> None:
    insert(database, chain("a", "b"))
    with database.write(durable=False) as connection:
        connection.execute("UPDATE litequeue_payload SET options = '{'")
    step(database, success(claim_one(database), "7"))
    assert options(database, "b") == {"given": "7"}
    assert json.loads(claim_one(database).options or "")["given"] == "7"
