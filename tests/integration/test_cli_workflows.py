"""The commands on workflows: what they tell of steps and groups, and what they change of all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from litequeue.clock import SYSTEM
from litequeue.store import Database, revocations, workflows
from litequeue.store.wakeup import Ringer
from tests.store import flows
from tests.store.flows import states_of
from tests.store.steps import claim, failure, phases, put, step, success
from tests.unit.cli.conftest import Cli, cli

__all__ = ["cli"]


@pytest.fixture
def database(queue_path: Path) -> Iterator[Database]:
    database = Database(queue_path, create=True)
    yield database
    database.close()


def document(cli: Cli, *arguments: str | Path) -> dict[str, Any]:
    done = cli(*arguments, "--json")
    assert (done.code, done.err) == (0, "")
    found: dict[str, Any] = json.loads(done.out)
    assert found.pop("v") == 1
    return found


def facts(cli: Cli, database: Database, id: str) -> dict[str, str]:
    """Return what `show` says, by its labels."""
    done = cli("show", database.path, id)
    assert (done.code, done.err) == (0, "")
    width = done.out.index(id)
    lines = done.out.partition("\n\n")[0].splitlines()
    return {line[:width].strip(): line[width:] for line in lines}


def run_one(database: Database, *, fails: bool = False) -> str:
    """Run the next job that can run; return its id."""
    (lease,) = claim(database, 1)
    step(database, failure(lease) if fails else success(lease, json.dumps(lease.id)))
    return lease.id


# Looking


def test_a_step_says_what_it_waits_for_and_where_its_result_goes(
    cli: Cli, database: Database
) -> None:
    flows.insert(database, flows.chain("step-a", "step-b", "step-c", errback="alarm"))
    told = facts(cli, database, "step-b")
    assert told["state"] == "PENDING (waiting)"
    assert told["waits for"] == "step-a (t, PENDING)"
    assert told["goes to"] == "step-c (t, PENDING)"
    assert told["if it fails"] == "alarm (t, PENDING)"
    assert "waited" not in told
    assert not told.keys() & {"member of", "came after", "stopped by"}
    assert run_one(database) == "step-a"
    told = facts(cli, database, "step-b")
    assert told["came after"] == "step-a (t, SUCCESS)"
    assert "waits for" not in told


def test_a_member_says_how_far_its_group_is(cli: Cli, database: Database) -> None:
    flows.insert(database, flows.chord(["step-a", "step-b", "step-c"], "step-d"))
    name = "step-a+step-b+step-c+step-d"
    run_one(database)
    run_one(database, fails=True)
    assert facts(cli, database, "step-a")["member of"] == (
        f"group {name}: 2 of 3 ended, 1 failed; its results go to step-d (t, PENDING)"
    )
    assert facts(cli, database, "step-d")["waits for"] == f"group {name}: 2 of 3 ended, 1 failed"


def test_a_job_of_no_workflow_says_nothing_of_one(cli: Cli, database: Database) -> None:
    put(database, "alone-1")
    assert not facts(cli, database, "alone-1").keys() & {"waits for", "member of", "goes to"}
    job = document(cli, "show", database.path, "alone-1")["job"]
    assert (job["before"], job["after"], job["errbacks"]) == ([], [], [])
    assert (job["gathers"], job["group"], job["stopped_by"]) == (None, None, None)


def test_the_facts_of_a_workflow_in_json(cli: Cli, database: Database) -> None:
    flows.insert(
        database, flows.chord(["step-a", "step-b"], "step-c", then="step-d", errback="step-e")
    )
    run_one(database)
    group = {
        "id": "step-a+step-b+step-c", "size": 2, "ended": 1, "left": 1, "failed": 0,
        "policy": "fail", "target": "step-c",
    }  # fmt: skip
    member = document(cli, "show", database.path, "step-b")["job"]
    assert (member["group"], member["gathers"]) == (group, None)
    body = document(cli, "show", database.path, "step-c")["job"]
    assert (body["group"], body["gathers"], body["phase"]) == (None, group, "waiting")
    assert (body["after"], body["after_count"]) == (["step-d"], 1)
    assert (body["errbacks"], body["errbacks_count"]) == (["step-e"], 1)
    last = document(cli, "show", database.path, "step-d")["job"]
    assert (last["before"], last["before_count"], last["waited"]) == (["step-c"], 1, None)


def test_what_a_step_was_given_stands_before_its_arguments(cli: Cli, database: Database) -> None:
    flows.insert(database, flows.chain("step-a", ["step-b", "step-c"], "step-d"))
    assert "given" not in facts(cli, database, "step-b")
    flows.run(database)
    told = facts(cli, database, "step-b")
    assert told["given"] == '"step-a"'
    assert "given" not in told.get("options", "")
    assert facts(cli, database, "step-d")["given"] == '["step-b", "step-c"]'
    assert "given" not in facts(cli, database, "step-a")
    given = [
        document(cli, "show", database.path, id)["job"]["given"]
        for id in ("step-a", "step-b", "step-d")
    ]
    assert given == [[], ["step-a"], [["step-b", "step-c"]]]


def test_a_null_was_given_too(cli: Cli, database: Database) -> None:
    flows.insert(database, flows.chain("step-a", "step-b"))
    (lease,) = claim(database, 1)
    step(database, success(lease, "null"))
    assert facts(cli, database, "step-b")["given"] == "null"
    assert document(cli, "show", database.path, "step-b")["job"]["given"] == [None]


def test_of_a_long_list_the_first_are_told(cli: Cli, database: Database) -> None:
    ids = [f"step-{at:02}" for at in range(25)]
    flows.insert(database, flows.chord(ids, "total", policy="placeholders"))
    flows.run(database, failing=["step-01"])
    given = facts(cli, database, "total")["given"]
    assert given.startswith('["step-00", null, "step-02", ')
    assert given.endswith('"step-19"] and 5 more')
    (whole,) = document(cli, "show", database.path, "total")["job"]["given"]
    assert whole == [None if id == "step-01" else id for id in ids]


def test_an_errback_says_what_it_was_told_of(cli: Cli, database: Database) -> None:
    flows.insert(database, flows.chain("step-a", "step-b", errback="alarm"))
    flows.run(database, failing=["step-a"])
    told = facts(cli, database, "alarm")
    assert told["told of"] == "step-a (t): ValueError: no"
    assert "failed" not in told.get("options", "")
    job = document(cli, "show", database.path, "alarm")["job"]
    assert (job["told_of"]["id"], job["given"]) == ("step-a", [])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ('{"given": "!yaml,- a\\u001b"}', '"!yaml,- a\\u001b"'),
        ('{"given": ["1", "{", 7]}', '[1, "{", 7]'),
        ('{"given": {"x": 1}}', '{"x": 1}'),
        ('{"failed": 3, "queue": "q"}', None),
        ("[1]", None),
    ],
)
def test_what_others_wrote_there_does_no_harm(
    cli: Cli, database: Database, options: str, said: str | None
) -> None:
    put(database, "odd-0001", options=options)
    assert facts(cli, database, "odd-0001").get("given") == said


def test_of_many_jobs_the_first_are_named(cli: Cli, database: Database) -> None:
    plans = [flows.chain("begin", f"next-{at:03}") for at in range(30)]
    steps = [*plans[0].steps, *(each for plan in plans[1:] for each in [*plan.steps][1:])]
    edges = [edge for plan in plans for edge in plan.edges]
    flows.insert(database, flows.Plan(steps, edges, [], "begin"))
    goes = facts(cli, database, "begin")["goes to"]
    assert goes.startswith("next-000 (t, PENDING), next-001 ")
    assert goes.endswith("next-004 (t, PENDING) and 25 more")
    job = document(cli, "show", database.path, "begin")["job"]
    assert (len(job["after"]), job["after_count"]) == (20, 30)


def test_a_group_is_shown_with_its_members(cli: Cli, database: Database) -> None:
    ids = [f"step-{at:02}" for at in range(25)]
    flows.insert(database, flows.chord(ids, "total", policy="ignore"))
    name = "+".join([*ids, "total"])[:200]
    run_one(database)
    run_one(database, fails=True)
    claim(database, 1)
    done = cli("show", database.path, name)
    assert done.code == 0
    assert done.err == "and 5 more\n"
    head, _, table = done.out.partition("\n\n")
    assert [line.split(maxsplit=1)[-1] for line in head.splitlines()] == [
        name,
        "25",
        "2 (1 FAILURE, 1 SUCCESS)",
        "ended  23 (22 PENDING, 1 RECEIVED)",
        "ignore: those that fail are left out",
        "to    total (t, PENDING)",
    ]
    rows = [line.split() for line in table.splitlines()]
    assert rows[0] == ["MEMBER", "TASK", "STATE"]
    assert rows[1:4] == [
        ["step-00", "t", "SUCCESS"], ["step-01", "t", "FAILURE"], ["step-02", "t", "RECEIVED"],
    ]  # fmt: skip
    assert len(rows) == 21
    found = document(cli, "show", database.path, name)["group"]
    assert found.pop("members") == ids[:20]
    assert found == {
        "id": name, "size": 25, "ended": 2, "left": 23, "failed": 1, "policy": "ignore",
        "target": "total", "ended_as": {"FAILURE": 1, "SUCCESS": 1},
        "left_as": {"PENDING": 22, "RECEIVED": 1},
    }  # fmt: skip


def test_a_groups_id_may_be_abbreviated(cli: Cli, database: Database) -> None:
    flows.insert(database, flows.chord(["step-a1", "step-b2"], "step-c3"))
    for part in ("step-a1+", "1+step-b2+s"):
        assert (
            document(cli, "show", database.path, part)["group"]["id"] == "step-a1+step-b2+step-c3"
        )
        assert "step-a1" in cli("show", database.path, part, "--graph", "dot").out
    done = cli("show", database.path, "step-a")
    assert (done.code, done.out) == (5, "")
    assert done.sentence == (
        "'step-a' may be step-a1 (t, PENDING), step-a1+step-b2+step-c3 (a group); "
        "say more of the id"
    )
    assert "job" in document(cli, "show", database.path, "step-a1")
    done = cli("revoke", database.path, "step-a1+")
    assert (done.code, done.out) == (5, "")
    assert done.sentence.startswith("'step-a1+' is a group of jobs: add --workflow")
    assert "is a group of jobs: name those" in cli("retry", database.path, "step-a1+").sentence
    assert cli("revoke", database.path, "step-a1+", "--workflow").out == "3 jobs revoked\n"


def test_an_id_that_a_job_and_a_group_have_is_that_of_the_job(cli: Cli, database: Database) -> None:
    plan = flows.chord(["step-a", "step-b"], "step-c")
    flows.insert(database, plan)
    put(database, plan.fanins[0].group)
    assert "job" in document(cli, "show", database.path, plan.fanins[0].group)


def test_a_group_that_is_not_all_there_yet_says_so(cli: Cli, database: Database) -> None:
    plan = flows.chord(["step-a", "step-b"], "step-c")

    def steps() -> Iterator[flows.Step]:
        yield from plan.steps[:2]
        raise InterruptedError

    with pytest.raises(InterruptedError):
        workflows.insert(
            database, flows.Plan(steps(), plan.edges, plan.fanins, plan.result), 1.0, chunk=1
        )
    name = plan.fanins[0].group
    assert "members    2 so far" in cli("show", database.path, name).out
    found = document(cli, "show", database.path, name)["group"]
    assert (found["size"], found["ended"], found["left"]) == (None, None, 2)
    assert facts(cli, database, "step-a")["member of"] == (
        f"group {name}: 2 have not ended; more are to come"
    )


def test_the_phases_of_steps_are_known(cli: Cli, database: Database) -> None:
    flows.insert(database, flows.chain("step-a", "step-b", "step-c"))
    put(database, "alone-1", eta=4e9)

    def listed(state: str) -> list[str]:
        found = document(cli, "jobs", database.path, "--state", state, "--oldest")["jobs"]
        return [job["id"] for job in found]

    assert listed("blocked") == ["step-b", "step-c"]
    assert listed("waiting") == ["step-a", "step-b", "step-c", "alone-1"]
    assert listed("ready") == ["step-a"]
    (queue,) = document(cli, "queues", database.path)["queues"]
    assert (queue["waiting"], queue["blocked"], queue["scheduled"]) == (1, 2, 1)
    assert cli("queues", database.path).out.splitlines()[1].split()[:5] == [
        "default", "1", "1", "2", "0",
    ]  # fmt: skip


# The picture


@pytest.mark.parametrize("id", ["step-b", "step-a+step-b+step-c"])
@pytest.mark.parametrize(("form", "first"), [("mermaid", "flowchart LR"), ("dot", "digraph ")])
def test_the_picture_is_all_that_is_printed(
    cli: Cli, database: Database, form: str, first: str, id: str
) -> None:
    flows.insert(database, flows.chord(["step-a", "step-b"], "step-c", then="step-d"))
    done = cli("show", database.path, id, "--graph", form)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(first)
    for each in ("step-a", "step-b", "step-c", "step-d", "0 of 2 ended"):
        assert each in done.out


def test_the_picture_of_a_hostile_workflow_cannot_harm_a_terminal(
    cli: Cli, database: Database
) -> None:
    hostile = flows.job("hostile-1", task='x\x1b[31m"]\nend')
    flows.insert(database, flows.chain(hostile, "step-b"))
    for form in ("mermaid", "dot"):
        done = cli("show", database.path, "hostile-1", "--graph", form)
        assert done.code == 0
        assert all(line.isprintable() for line in done.out.splitlines())


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["show", "alone-1", "--graph", "dot"], 1,
         "job alone-1 is no part of a workflow: nothing waits for it, nor it for others"),
        (["show", "step-a", "--graph", "dot", "--json"], 2,
         "--graph goes with no --json or --log; see `litequeue show --help`"),
        (["show", "step-a", "--graph", "svg"], 2,
         "invalid value for '--graph': 'svg' is not one of 'mermaid', 'dot'; "
         "see `litequeue show --help`"),
        (["show", "step-a+step-b+step-c", "--log"], 2,
         "a group has no log: name one of its members; see `litequeue show --help`"),
        (["retry", "step-a+step-b+step-c"], 5,
         "'step-a+step-b+step-c' is a group of jobs: name those of its members that failed; "
         "see `litequeue jobs DB`"),
        (["revoke", "step-a+step-b+step-c"], 5,
         "'step-a+step-b+step-c' is a group of jobs: add --workflow to revoke all that is left "
         "of it"),
        (["revoke", "--workflow", "--all"], 2,
         "--workflow goes with the id of a job or group of it; see `litequeue revoke --help`"),
        (["revoke", "--workflow", "--stamp", "a=b"], 2,
         "--stamp goes with no id, filter or --dry-run; see `litequeue revoke --help`"),
        (["revoke", "--workflow", "nobody-1"], 5,
         "no job 'nobody-1' in DB: never enqueued here, pruned, or forgotten; "
         "see `litequeue jobs DB`"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(
    cli: Cli, database: Database, arguments: list[str], code: int, sentence: str
) -> None:
    put(database, "alone-1")
    flows.insert(database, flows.chord(["step-a", "step-b"], "step-c"))
    before = phases(database.path)
    done = cli(arguments[0], database.path, *arguments[1:])
    assert (done.code, done.out) == (code, "")
    assert done.sentence == sentence.replace("DB", str(database.path))
    assert phases(database.path) == before


# Running a step again


def test_what_a_failed_step_had_stopped_comes_back_with_it(cli: Cli, database: Database) -> None:
    flows.insert(database, flows.chain("step-a", "step-b", "step-c"))
    run_one(database, fails=True)
    assert {*states_of(database).values()} == {"FAILURE"}
    told = facts(cli, database, "step-c")
    assert told["stopped by"] == "step-a (t, FAILURE)"
    assert "\nit never began, and ended as FAILURE" in cli("show", database.path, "step-c").out
    assert document(cli, "show", database.path, "step-b")["job"]["stopped_by"] == "step-a"
    done = cli("retry", database.path, "step-a")
    assert (done.code, done.err) == (0, "")
    assert done.out == "step-a will run again; 2 jobs that waited for it wait again\n"
    assert phases(database.path) == {"step-a": "ready", "step-b": "waiting", "step-c": "waiting"}
    assert flows.run(database) == ["step-a", "step-b", "step-c"]


def test_a_failed_member_brings_the_body_back(cli: Cli, database: Database) -> None:
    flows.insert(database, flows.chord(["step-a", "step-b"], "step-c", then="step-d"))
    flows.run(database, failing=["step-b"])
    assert states_of(database)["step-d"] == "FAILURE"
    found = document(cli, "retry", database.path, "step-b")
    assert found == {
        "matched": 1, "changed": 1, "dry_run": False, "ids": ["step-b"], "brought_back": 2,
    }  # fmt: skip
    assert flows.run(database) == ["step-b", "step-c", "step-d"]


def test_one_of_two_that_failed_brings_nothing_back_yet(cli: Cli, database: Database) -> None:
    flows.insert(database, flows.chord(["step-a", "step-b"], "step-c"))
    flows.run(database, failing=["step-a", "step-b"])
    cli("retry", database.path, "step-b")
    assert flows.run(database) == ["step-b"]
    assert states_of(database)["step-c"] == "FAILURE"
    told = cli("retry", database.path, "step-c")
    assert (told.code, told.out) == (1, "")
    assert f"`litequeue retry {database.path} step-a`" in told.sentence
    cli("retry", database.path, "step-a")
    assert flows.run(database) == ["step-a", "step-c"]


@pytest.mark.parametrize("id", ["step-c", "step-d", "step-e"])
def test_a_stopped_step_names_the_one_to_run_again(cli: Cli, database: Database, id: str) -> None:
    """However far before: the body and what comes after it are stopped by a member."""
    inner = flows.chain("step-a", "step-b")
    flows.insert(database, flows.chain(flows.chord(["other", inner], "step-c"), "step-d", "step-e"))
    flows.run(database, failing=["step-a"])
    before = states_of(database)
    done = cli("retry", database.path, id)
    assert (done.code, done.out) == (1, "")
    assert done.sentence == (
        f"job {id} never began, because job step-a came before it and did not succeed: "
        f"run that one again, with `litequeue retry {database.path} step-a`"
    )
    assert states_of(database) == before
    assert document(cli, "retry", database.path, "step-a")["brought_back"] == 4


def test_of_many_that_come_back_some_are_counted(cli: Cli, database: Database) -> None:
    ids = [f"step-{at:03}" for at in range(250)]
    flows.insert(database, flows.chain("begin", [*ids], "total"))
    run_one(database, fails=True)
    done = cli("retry", database.path, "begin")
    assert done.out == ("begin will run again; 200 and more jobs that waited for it wait again\n")
    assert set(phases(database.path).values()) == {"ready", "waiting"}


def test_steps_that_blame_each_other_come_to_an_end(cli: Cli, database: Database) -> None:
    """No workflow is like that, but anybody may write to a file."""
    flows.insert(database, flows.chain("step-a", "step-b", "step-c"))
    run_one(database, fails=True)
    with closing(sqlite3.connect(database.path)) as file, file:
        file.execute("""UPDATE litequeue_error SET evidence = '{"step": "step-c"}' WHERE job = 2""")
        file.execute("""UPDATE litequeue_error SET evidence = '{"step": "step-b"}' WHERE job = 3""")
    done = cli("retry", database.path, "step-c")
    assert (done.code, done.out) == (1, "")
    assert "never began" in done.sentence


def test_a_step_that_succeeded_is_not_run_again(cli: Cli, database: Database) -> None:
    flows.insert(database, flows.chain("step-a", "step-b"))
    flows.run(database, failing=["step-b"])
    done = cli("retry", database.path, "step-a")
    assert (done.code, done.sentence) == (1, "job step-a has already ended as SUCCESS")
    done = cli("retry", database.path, "step-b")
    assert (done.code, done.out) == (0, "step-b will run again\n")


def test_a_revoked_step_cannot_begin_before_what_was_revoked_before_it(
    cli: Cli, database: Database
) -> None:
    flows.insert(database, flows.chain("step-a", "step-b", "step-c"))
    cli("revoke", database.path, "step-a", "step-c", "--workflow")
    done = cli("retry", database.path, "step-c")
    assert (done.code, done.out) == (1, "")
    assert done.sentence.startswith("job step-c never began, because job step-b came before it")
    assert cli("retry", database.path, "step-a", "step-b", "step-c").out.splitlines() == [
        "step-a will run again", "step-b will run again; 1 job that waited for it waits again",
        "step-c will run again",
    ]  # fmt: skip
    assert flows.run(database) == ["step-a", "step-b", "step-c"]


# Calling it off


def test_all_that_is_left_of_a_workflow_is_revoked(cli: Cli, database: Database) -> None:
    flows.insert(
        database, flows.chain("step-a", flows.chord(["step-b", "step-c"], "step-d"), "step-e")
    )
    put(database, "alone-1")
    run_one(database)
    dry = cli("revoke", database.path, "step-d", "--workflow", "--dry-run")
    assert (dry.code, dry.out) == (0, "would revoke what has not ended of 5 jobs\n")
    assert "REVOKED" not in states_of(database).values()
    done = cli("revoke", database.path, "step-c", "--workflow")
    assert (done.code, done.out, done.err) == (0, "4 jobs revoked\n", "")
    assert states_of(database) == {
        "step-a": "SUCCESS", "step-b": "REVOKED", "step-c": "REVOKED", "step-d": "REVOKED",
        "step-e": "REVOKED", "alone-1": "PENDING",
    }  # fmt: skip
    again = cli("revoke", database.path, "step-c", "step-c", "--workflow")
    assert (again.code, again.out) == (1, "0 jobs revoked\n")
    assert again.sentence == "nothing is left of the workflow of step-c"


def test_a_workflow_that_is_named_twice_is_revoked_once(cli: Cli, database: Database) -> None:
    flows.insert(database, flows.chain("step-a", "step-b"))
    done = cli("revoke", database.path, "step-a", "step-b", "--workflow")
    assert (done.code, done.out, done.err) == (0, "2 jobs revoked\n", "")


def test_a_workflow_is_revoked_by_its_group_while_it_runs(cli: Cli, database: Database) -> None:
    flows.insert(database, flows.chord(["step-a", "step-b"], "step-c"))
    (lease,) = claim(database, 1)
    name = "step-a+step-b+step-c"
    found = document(cli, "revoke", database.path, name, "--workflow", "--terminate")
    assert (sorted(found["ids"]), found["running"]) == (["step-b", "step-c"], [lease.id])
    (standing,) = revocations.load(database, 0, SYSTEM.now())
    assert (standing.value, standing.terminate, standing.signal) == (lease.id, True, "SIGTERM")


@pytest.mark.parametrize("how", [["step-a"], ["step-c", "--workflow"]])
def test_who_waits_for_a_step_is_told_when_it_is_revoked(
    cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch, how: list[str]
) -> None:
    flows.insert(database, flows.chain("step-a", "step-b", "step-c"))
    told: set[str] = set()
    monkeypatch.setattr(Ringer, "ring_waiters", lambda self, ids: told.update(ids))
    assert cli("revoke", database.path, *how).code == 0
    assert told == {"step-a", "step-b", "step-c"}


def test_what_waited_for_a_revoked_step_is_revoked_too(cli: Cli, database: Database) -> None:
    flows.insert(database, flows.chain("step-a", "step-b", "step-c"))
    done = cli("revoke", database.path, "step-a")
    assert (done.code, done.err) == (0, "")
    assert done.out == "step-a revoked\n2 jobs that waited for it revoked, too\n"
    done = cli("retry", database.path, "step-a")
    assert done.out == "step-a will run again; 2 jobs that waited for it wait again\n"
    found = document(cli, "revoke", database.path, "step-a")
    assert (found["ids"], found["followed"]) == (["step-a"], ["step-b", "step-c"])
