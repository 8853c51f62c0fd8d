"""What becomes of a workflow when something goes wrong in it, or somebody interferes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from litequeue.exceptions import DuplicateJob
from litequeue.flow import ERROR, Edge, FanIn, Plan, Step
from litequeue.job import Outcome
from litequeue.store import (
    Database,
    bulk,
    flows,
    jobs,
    maintenance,
    results,
    revocations,
    workflows,
)
from litequeue.store.listing import Selection
from tests.store.flows import Cut, chain, chord, dying_after, insert, options, run, states_of
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
    retry,
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
    jobs.rerun(database, "a", now=NOW, keep=KEEP)
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
    jobs.rerun(database, "b", now=NOW, keep=KEEP)
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


def test_a_failed_member_can_be_run_again_after_all_has_stopped(database: Database) -> None:
    insert(database, chord(["a", "b"], "body", then="z", errback="e"))
    run(database, failing=["b"])
    assert not jobs.rerun(database, "body", now=NOW, keep=KEEP)
    assert not jobs.rerun(database, "z", now=NOW, keep=KEEP)
    assert jobs.rerun(database, "b", now=NOW, keep=KEEP)
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


# What is needed stays, and what is gone is missed


def prune(database: Database, now: float) -> None:
    while maintenance.has_prunable(database, now):
        maintenance.prune(database, now)


@pytest.mark.parametrize("how", ["prune", "forget"])
def test_members_stay_for_a_body_that_may_come_back(database: Database, how: str) -> None:
    insert(database, chord(["a", "b", "c"], "body"))
    run(database, failing=["b"])
    later = NOW + KEEP.success + 1
    if how == "prune":
        prune(database, later)
    else:
        assert results.forget_many(database, ["a", "c"]) == 2
    assert jobs.rerun(database, "b", now=NOW, keep=KEEP)
    assert run(database, now=later) == ["b", "body"]
    assert options(database, "body") == {"given": ['"a"', '"b"', '"c"']}
    prune(database, NOW + 10_000)
    prune(database, NOW + 20_000)
    assert states_of(database) == {}


def test_a_workflow_that_failed_goes_as_a_whole(database: Database) -> None:
    insert(database, chain(*(f"s{number}" for number in range(20))))
    run(database, failing=["s3"])
    prune(database, NOW + KEEP.failure - 1)
    assert len(states_of(database)) == 17  # not those before the one that failed
    prune(database, NOW + KEEP.failure)
    assert states_of(database) == {}


@pytest.mark.parametrize("how", ["prune", "forget"])
def test_the_result_before_a_step_stays_while_it_may_be_run_again(
    database: Database, how: str
) -> None:
    insert(database, chain("a", "b"))
    lease = claim_one(database)
    step(database, now=NOW)
    revocations.revoke(database, ["b"], now=NOW + 50, keep=KEEP)
    step(database, success(lease, '"a"'))
    if how == "prune":
        prune(database, NOW + KEEP.success)
    else:
        assert results.forget(database, "a")
    assert jobs.rerun(database, "b", now=NOW, keep=KEEP)
    assert run(database) == ["b"]
    assert options(database, "b") == {"given": '"a"'}


def test_a_step_that_was_stopped_never_runs_alone(database: Database) -> None:
    insert(database, chain("a", "b"))
    run(database, failing=["a"])
    with database.write(durable=True) as connection:
        connection.execute("DELETE FROM litequeue_job WHERE id = 'a'")
        connection.execute("DELETE FROM litequeue_payload WHERE seq = 1")
        connection.execute("DELETE FROM litequeue_error WHERE job = 1")
    assert not jobs.rerun(database, "b", now=NOW, keep=KEEP)
    chosen = bulk.choose(database, bulk.Change.RERUN, Selection(), NOW)
    list(bulk.carry_out(database, chosen, now=NOW, keep=KEEP))
    assert run(database) == []


@pytest.mark.parametrize("is_stranger_of_a_workflow", [False, True])
def test_who_gets_the_number_of_a_deleted_job_gets_nothing_else_of_it(
    database: Database, is_stranger_of_a_workflow: bool
) -> None:
    steps = [Step(job("b"), waits=True), Step(job("a"))]
    insert(database, Plan(steps, [Edge("a", "b")], [], "b"))
    with database.write(durable=True) as connection:  # by hand: nothing is moved on
        connection.execute("DELETE FROM litequeue_job WHERE id = 'a'")
        connection.execute("DELETE FROM litequeue_payload WHERE seq = 2")
    if is_stranger_of_a_workflow:
        insert(database, chain("stranger"))
    else:
        put(database, "stranger")
    assert run(database) == ["stranger"]
    assert states_of(database) == {"b": "REVOKED", "stranger": "SUCCESS"}
    assert rows(database.path, "SELECT * FROM litequeue_edge") == []
    assert rows(database.path, "SELECT * FROM litequeue_advance") == []


def test_who_gets_the_number_of_a_deleted_body_is_no_body(database: Database) -> None:
    insert(database, chord(["a"], "body"))
    with database.write(durable=True) as connection:
        connection.execute("DELETE FROM litequeue_job WHERE id = 'body'")
        connection.execute("DELETE FROM litequeue_payload WHERE seq = 2")
    steps = [Step(job("y"), waits=True), Step(job("x"))]
    insert(database, Plan(steps, [Edge("x", "y", "si")], [], "y"))
    step(database, success(claim_one(database)))
    assert phases(database.path)["y"] == "waiting"
    assert run(database) == ["x", "y"]
    assert options(database, "y") == {}


def test_a_chord_again_under_another_name_of_its_group_is_the_same(database: Database) -> None:
    for name in ("g", "h"):
        steps = [Step(job("a"), group=name), Step(job("body"), waits=True)]
        insert(database, Plan(steps, [], [FanIn(name, "body")], "body"))
        step(database)
        assert phases(database.path) == {"a": "ready", "body": "waiting"}
    assert run(database) == ["a", "body"]
    assert options(database, "body") == {"given": ['"a"']}


def test_a_group_again_under_another_name_is_refused(database: Database) -> None:
    insert(database, Plan([Step(job("a"), group="g")], [], [FanIn("g")], "g", "g"))
    with pytest.raises(DuplicateJob, match="h"):
        insert(database, Plan([Step(job("a"), group="h")], [], [FanIn("h")], "h", "h"))


def test_who_goes_on_storing_under_another_name_is_refused(queue_path: Path) -> None:
    def plan(name: str) -> Plan:
        steps = [*(Step(job(f"m{n}"), group=name) for n in range(7)), Step(job("z"), waits=True)]
        return Plan(steps, [], [FanIn(name, "z")], "z")

    database = Database(queue_path, create=True)
    database.data_version()
    dying = dying_after(queue_path, 2)
    with pytest.raises(Cut):
        workflows.insert(dying, plan("g"), NOW, chunk=3)
    dying.close()
    with pytest.raises(DuplicateJob, match="h"):
        workflows.insert(database, plan("h"), NOW, chunk=3)
    workflows.insert(database, plan("g"), NOW, chunk=3)
    assert run(database) == [*(f"m{n}" for n in range(7)), "z"]
    database.close()


def test_an_expired_step_says_so(database: Database) -> None:
    insert(database, chain("a", job("b", expires=NOW + 10), "c"))
    assert maintenance.expire(database, NOW + 10, NOW + 99) == [("b", 2)]
    step(database, now=NOW + 10)
    for id in "bc":
        assert message(database, id) == "TaskRevokedError: expired before it could run"
    put(database, "d", expires=NOW + 20)
    step(database, retry(claim(database, 9)[-1], eta=NOW + 30))
    maintenance.expire(database, NOW + 20, NOW + 99)
    assert [error[:3:2] for error in results.errors_of(database, "d")] == [
        (1, "RETRY"), (2, "REVOKED"),
    ]  # fmt: skip
