"""What a job hands on with its verdict: it is there with it, once, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from litequeue import flow
from litequeue.flow import ERROR, Edge, FanIn, Plan, Sequel, Step
from litequeue.job import Job, Lease, Outcome
from litequeue.store import Database, flows, jobs, maintenance, remembering, results, revocations
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
    retry,
    row_of,
    rows,
    step,
    success,
)

TASKS = frozenset({"t", "other"})


def hands_on(lease: Lease, *plans: Plan, takes: bool = False) -> Outcome:
    """Return the verdict of a job that adds workflows, or is replaced by the first of them."""
    text = flow.to_text(Sequel(plans, takes))
    verdict = retry(lease, counted=False, failure=None) if takes else success(lease, '"added"')
    return replace(verdict, sequel=text)


def replaced(lease: Lease, *before: str) -> Outcome:
    """Return the verdict of a job that becomes the end of a chain."""
    return hands_on(lease, chain(*before, lease.id), takes=True)


def member(id: str, group: str) -> Plan:
    return Plan([Step(job(id), group=group)], [], [], id)


# A job that is replaced


def test_a_job_becomes_another_one_in_its_place(database: Database) -> None:
    insert(database, chain("a", "b"))
    lease = claim_one(database)
    other = Job("a", "other", "[[7],{}]", "mail", 3, expires=NOW + 60, options='{"shadow":"x"}')
    step(database, hands_on(lease, Plan([Step(other)], [], [], "a"), takes=True))
    row = row_of(database.path, "a")
    assert (row["phase"], row["state"], row["retries"]) == ("ready", "PENDING", 0)
    again = claim_one(database, tasks=TASKS)
    assert (again.id, again.task, again.body, again.queue, again.priority) == (
        "a", "other", "[[7],{}]", "mail", 3,
    )  # fmt: skip
    assert (again.seq, again.claim, again.expires) == (lease.seq, 2, NOW + 60)
    assert again.options == '{"shadow":"x"}'
    step(database, success(again, '"in its place"'))
    assert options(database, "b") == {"given": '"in its place"'}
    assert run(database) == ["b"]
    assert problems(database.path) == []


def test_a_plain_job_becomes_the_end_of_a_workflow(database: Database) -> None:
    put(database, "a")
    step(database, replaced(claim_one(database), "x", "y"))
    assert phases(database.path) == {"a": "waiting", "x": "ready", "y": "waiting"}
    assert run(database) == ["x", "y", "a"]
    assert options(database, "a") == {"given": '"y"'}
    assert problems(database.path) == []


def test_a_job_becomes_a_chord(database: Database) -> None:
    insert(database, chain("z", "a", "b"))
    step(database, success(claim_one(database), '"z"'))
    settled = step(
        database, hands_on(claim_one(database), chord(["x", "y"], "a"), takes=True), limit=9
    )
    assert [lease.id for lease in settled.leases] == ["x", "y"]
    step(database, *(success(lease, json.dumps(lease.id)) for lease in settled.leases))
    assert options(database, "a") == {"given": ['"x"', '"y"']}
    assert run(database) == ["a", "b"]
    assert problems(database.path) == []


def test_what_it_waited_for_has_nothing_more_to_say(database: Database) -> None:
    insert(database, chain("z", "a", "b"))
    step(database, success(claim_one(database), '"z"'))
    step(database, replaced(claim_one(database), "x"))
    assert run(database, failing=["x"]) == ["x"]
    assert states_of(database)["a"] == "FAILURE"
    jobs.rerun(database, "x", now=NOW, keep=KEEP)
    step(database)
    assert phases(database.path)["a"] == "waiting"
    assert options(database, "a") == {}
    assert run(database) == ["x", "a", "b"]
    assert options(database, "a") == {"given": '"x"'}


def test_a_body_that_is_replaced_is_not_given_the_list_again(database: Database) -> None:
    insert(database, chord(["m", "n"], "a", then="b"))
    step(database, *(success(lease) for lease in claim(database, 2)))
    step(database, hands_on(claim_one(database), chord(["x"], "a"), takes=True))
    assert run(database, failing=["x"]) == ["x"]
    assert states_of(database)["a"] == "FAILURE"
    jobs.rerun(database, "x", now=NOW, keep=KEEP)
    step(database)
    assert phases(database.path)["a"] == "waiting"
    assert run(database) == ["x", "a", "b"]
    assert options(database, "a") == {"given": ['"x"']}
    assert problems(database.path) == []


def test_a_job_that_was_replaced_and_revoked_runs_again_in_its_turn(database: Database) -> None:
    put(database, "a")
    step(database, replaced(claim_one(database), "x"))
    revocations.revoke(database, ["a"], now=NOW, keep=KEEP)
    assert jobs.rerun(database, "a", now=NOW, keep=KEEP)
    step(database)
    assert phases(database.path)["a"] == "waiting"
    assert run(database) == ["x", "a"]
    assert options(database, "a") == {"given": '"x"'}


def test_a_job_that_was_replaced_and_failed_itself_runs_again_alone(database: Database) -> None:
    put(database, "a")
    step(database, replaced(claim_one(database), "x"))
    assert run(database, failing=["a"]) == ["x", "a"]
    assert jobs.rerun(database, "a", now=NOW, keep=KEEP)
    assert run(database) == ["a"]
    assert options(database, "a") == {"given": '"x"'}


def test_a_member_that_is_replaced_counts_once(database: Database) -> None:
    insert(database, chord(["m", "n"], "body"))
    step(database, replaced(claim_one(database), "x"))
    assert run(database) == ["n", "x", "m", "body"]
    assert options(database, "body") == {"given": ['"m"', '"n"']}
    assert problems(database.path) == []


def test_an_errback_that_is_replaced_is_not_spared(database: Database) -> None:
    plan = Plan(
        [Step(job("a")), Step(job("b")), Step(job("e"), waits=True)],
        [Edge("a", "e", ERROR), Edge("b", "e", ERROR)], [], "a",
    )  # fmt: skip
    insert(database, plan)
    a, b = claim(database, 2)
    step(database, failure(a))
    step(database, replaced(claim_one(database), "x"))
    step(database, success(b))
    assert phases(database.path)["e"] == "waiting"
    assert run(database) == ["x", "e"]


def test_edges_of_the_new_one_come_behind_those_it_had(database: Database) -> None:
    insert(database, chain("a", "b"))
    plan = Plan(
        [Step(job("a")), Step(job("c"), waits=True)], [Edge("a", "c")], [], "a",
    )  # fmt: skip
    step(database, hands_on(claim_one(database), plan, takes=True))
    assert flows.after(database, "a") == (["b", "c"], [], None)
    assert run(database) == ["a", "b", "c"]


def test_it_can_be_replaced_time_and_again(database: Database) -> None:
    insert(database, chain("a", "b"))
    for before in ("x", "y", "z"):
        lease = claim_one(database)
        assert lease.id == "a"
        step(database, replaced(lease, before))
        step(database, success(claim_one(database), json.dumps(before)))
        assert options(database, "a") == {"given": json.dumps(before)}
    assert run(database) == ["a", "b"]


def test_what_waits_for_a_time_is_not_ready(database: Database) -> None:
    put(database, "a")
    plan = Plan([Step(job("a", eta=NOW + 50))], [], [], "a")
    assert not step(database, hands_on(claim_one(database), plan, takes=True), limit=1).leases
    assert phases(database.path) == {"a": "scheduled"}
    assert claim_one(database, now=NOW + 51).id == "a"


def test_a_replacement_without_the_job_is_a_failure(database: Database) -> None:
    put(database, "a")
    step(database, hands_on(claim_one(database), chain("x"), takes=True))
    record = results.fetch(database, "a")
    assert record is not None
    assert record.failure is not None
    assert record.failure.message.endswith("what takes the place of job a has no job of this id")
    assert "x" not in states_of(database)


# A further member


def test_a_further_member_is_waited_for(database: Database) -> None:
    insert(database, chord(["m", "n"], "body"))
    name = "m+n+body"
    m, n = claim(database, 2)
    step(database, success(n, '"n"'))
    settled = step(database, hands_on(m, member("o", name)), limit=9)
    assert [lease.id for lease in settled.leases] == ["o"]
    assert flows.group(database, name) == flow.Group(name, 3, 1, 0, "fail", "body", 1)
    step(database, success(settled.leases[0], '"o"'))
    assert options(database, "body") == {"given": ['"added"', '"n"', '"o"']}
    assert problems(database.path) == []


def test_a_line_can_be_a_further_member(database: Database) -> None:
    insert(database, chord(["m"], "body"))
    steps = [Step(job("x")), Step(job("y"), waits=True, group="m+body")]
    plan = Plan(steps, [Edge("x", "y")], [], "y")
    step(database, hands_on(claim_one(database), plan))
    assert run(database) == ["x", "y", "body"]
    assert options(database, "body") == {"given": ['"added"', '"y"']}


def test_a_member_of_nothing_is_a_failure_and_harms_no_other(database: Database) -> None:
    put(database, "a", "b")
    a, b = claim(database, 2)
    step(database, hands_on(a, member("x", "nobody's")), success(b))
    assert states_of(database) == {"a": "FAILURE", "b": "SUCCESS"}
    record = results.fetch(database, "a")
    assert record is not None
    assert record.failure is not None
    assert record.failure.message.endswith('no group of this file is called "nobody\'s"')


# Once, or not at all


def nothing(lease: Lease, **more: Any) -> list[Outcome]:
    """Return verdicts whose sequel must not come true."""
    added = hands_on(lease, chain("x"))
    return [replace(added, **more), replace(replaced(lease, "x"), **more)]


@pytest.mark.parametrize("which", [0, 1])
def test_what_a_zombie_hands_on_is_dropped(database: Database, which: int) -> None:
    put(database, "a", "b")
    a, b = claim(database, 2)
    before = row_of(database.path, "a")
    verdict = nothing(a, token=a.token ^ 1)[which]
    assert step(database, success(b), verdict).zombies == [a.seq]
    assert states_of(database) == {"a": "RECEIVED", "b": "SUCCESS"}
    assert row_of(database.path, "a") == before


def test_it_is_stored_once_though_another_outcome_is_a_zombies(database: Database) -> None:
    insert(database, chord(["m", "n"], "body"))
    put(database, "z")
    m, n, z = claim(database, 3)
    step(database, hands_on(m, member("o", "m+n+body")), replaced(n, "x"),
         replace(success(z), token=1))  # fmt: skip
    group = flows.group(database, "m+n+body")
    assert group is not None
    assert (group.size, group.waiting) == (3, 2)
    assert phases(database.path) == {
        "m": "done", "n": "waiting", "body": "waiting", "z": "leased", "o": "ready", "x": "ready",
    }  # fmt: skip
    assert problems(database.path) == []


@pytest.mark.parametrize("verdict", [failure, retry])
def test_who_fails_or_tries_again_adds_nothing(database: Database, verdict: Any) -> None:
    put(database, "a")
    text = flow.to_text(Sequel((chain("x"),)))
    step(database, replace(verdict(claim_one(database)), sequel=text))
    assert list(states_of(database)) == ["a"]


def test_a_job_that_is_there_is_not_handed_on(database: Database) -> None:
    put(database, "a", "x")
    plan = Plan([Step(job("x", task="other"))], [], [], "x")
    step(database, hands_on(claim_one(database), plan))
    assert states_of(database) == {"a": "FAILURE", "x": "PENDING"}


@pytest.mark.parametrize("text", ["", "[]", "7", "[[[[[1]]]],true]", '[[["x"]],1]', "[" * 9999])
def test_what_is_no_sequel_is_a_failure(database: Database, text: str) -> None:
    put(database, "a", "b")
    a, b = claim(database, 2)
    step(database, replace(success(a), sequel=text), success(b))
    assert states_of(database) == {"a": "FAILURE", "b": "SUCCESS"}


def test_a_sequel_survives_as_text() -> None:
    plan = Plan(
        (Step(job("a", eta=1.5, options="{}"), True, "g"), Step(job("b"))),
        (Edge("a", "b", ERROR),), (FanIn("g", "b", "ignore"),), "b", "g",
    )  # fmt: skip
    for takes in (False, True):
        sequel = Sequel((plan, plan), takes)
        assert flow.from_text(flow.to_text(sequel)) == sequel


def test_a_sequel_is_no_way_to_store_a_million(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MOST_STEPS", 3)
    flow.to_text(Sequel((chain("a", "b"), chain("c"))))
    with pytest.raises(ValueError, match="at most 3 jobs with its own end; send a larger"):
        flow.to_text(Sequel((chain("a", "b"), chain("c", "d"))))


# What steps inside of a job have returned


def test_a_step_is_remembered_for_the_next_attempt(database: Database) -> None:
    put(database, "a")
    first = claim_one(database)
    assert remembering.remember(database, "a", token=first.token, name="x", text="1")
    assert remembering.remember(database, "a", token=first.token, name="y", text="2")
    assert remembering.remember(database, "a", token=first.token, name="x", text="3")
    step(database, retry(first))
    assert remembering.steps_of(database, "a") == {"x": "3", "y": "2"}
    step(database, failure(claim_one(database)))
    jobs.rerun(database, "a", now=NOW, keep=KEEP)
    assert remembering.steps_of(database, "a") == {"x": "3", "y": "2"}
    assert remembering.steps_of(database, "unknown") == {}


def test_who_lost_the_lease_remembers_nothing(database: Database) -> None:
    put(database, "a")
    lease = claim_one(database)
    step(database, retry(lease))
    claim_one(database)
    assert not remembering.remember(database, "a", token=lease.token, name="x", text="1")
    assert not remembering.remember(database, "b", token=lease.token, name="x", text="1")
    assert remembering.steps_of(database, "a") == {}


def test_another_job_in_its_place_begins_anew(database: Database) -> None:
    put(database, "a")
    lease = claim_one(database)
    remembering.remember(database, "a", token=lease.token, name="x", text="1")
    step(database, replaced(lease))
    assert remembering.steps_of(database, "a") == {}


@pytest.mark.parametrize("how", ["prune", "forget"])
def test_steps_go_with_their_job(database: Database, how: str) -> None:
    put(database, "a")
    lease = claim_one(database)
    remembering.remember(database, "a", token=lease.token, name="x", text="1")
    step(database, success(lease))
    if how == "prune":
        maintenance.prune(database, NOW + KEEP.success)
    else:
        assert results.forget(database, "a")
    assert rows(database.path, "SELECT count(*) FROM litequeue_step") == [(0,)]
