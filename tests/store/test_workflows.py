from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from litequeue.exceptions import DuplicateJob
from litequeue.flow import Edge, Plan, Step
from litequeue.job import Failure
from litequeue.store import Database, bulk, jobs, maintenance, results, revocations, workflows
from litequeue.store.listing import EVERYTHING, Selection
from tests.store.flows import (
    Cut,
    big,
    chain,
    chord,
    dying_after,
    group,
    insert,
    options,
    run,
    states_of,
)
from tests.store.steps import (
    KEEP,
    NOW,
    claim,
    claim_one,
    failure,
    job,
    phases,
    put,
    reap,
    retry,
    row_of,
    rows,
    step,
    success,
)  # fmt: skip


def test_a_chain_runs_one_by_one_each_with_the_result_before(database: Database) -> None:
    insert(database, chain("a", "b", "c"))
    assert phases(database.path) == {"a": "ready", "b": "waiting", "c": "waiting"}
    (b,) = step(database, success(claim_one(database), '"x"'), limit=9).leases
    assert (b.id, json.loads(b.options or "")) == ("b", {"given": '"x"'})
    assert phases(database.path)["c"] == "waiting"
    (c,) = step(database, success(b, "2"), limit=9).leases
    assert (c.id, json.loads(c.options or "")) == ("c", {"given": "2"})
    assert not step(database, success(c, "3")).ready
    assert set(states_of(database).values()) == {"SUCCESS"}
    assert rows(database.path, "SELECT count(*) FROM litequeue_advance") == [(0,)]


def test_an_immutable_step_is_given_nothing_and_keeps_its_options(database: Database) -> None:
    a, b, c = job("a"), job("b", options='{"shadow":"x"}'), job("c", options='{"big":1e400}')
    edges = [Edge("a", "b", "si"), Edge("a", "c")]
    insert(database, Plan([Step(a), Step(b, waits=True), Step(c, waits=True)], edges, [], "c"))
    step(database, success(claim_one(database), "1"))
    assert options(database, "b") == {"shadow": "x"}
    assert options(database, "c")["given"] == "1"


def test_without_a_result_none_is_given(database: Database) -> None:
    insert(database, chain("a", "b"))
    step(database, success(claim_one(database)))
    assert options(database, "b") == {"given": None}


def test_who_reads_a_signed_result_knows_whose_it_is(database: Database) -> None:
    insert(database, chain("a", "b"))
    insert(database, chord(["c", "d"], "e"))
    for lease in claim(database, 9):
        step(database, success(lease, "!signed" if lease.id in "ac" else "1"))
    assert options(database, "b") == {"given": "!signed", "given_by": "a"}
    assert options(database, "e") == {"given": ["!signed", "1"], "given_by": ["c", "d"]}


def test_who_is_told_that_jobs_are_ready(database: Database) -> None:
    insert(database, chain("a", "b"))
    assert step(database, success(claim_one(database))).ready


def test_a_step_that_is_due_later_waits_for_both(database: Database) -> None:
    plan = chain(
        "a", job("b", eta=NOW + 50), job("c", options='{"countdown":7.5}'), job("d", eta=NOW)
    )
    insert(database, plan)
    step(database, success(claim_one(database)))
    assert phases(database.path)["b"] == "scheduled"
    step(database, success(claim_one(database, now=NOW + 60)), now=NOW + 60)
    assert (row_of(database.path, "c")["phase"], row_of(database.path, "c")["eta"]) == (
        "scheduled", NOW + 67.5,
    )  # fmt: skip
    step(database, success(claim_one(database, now=NOW + 70)), now=NOW + 70)
    assert phases(database.path)["d"] == "ready"


# Failures


def test_what_follows_a_failure_fails_with_its_error(database: Database) -> None:
    insert(database, chain("a", "b", "c"))
    done = step(database, failure(claim_one(database), "broken"))
    assert sorted(done.ended) == ["b", "c"]
    assert set(states_of(database).values()) == {"FAILURE"}
    for id in "bc":
        record = results.fetch(database, id)
        assert record is not None
        assert record.failure == Failure("ValueError", "broken", evidence='{"step": "a"}')
        assert row_of(database.path, id)["claims"] == 0


def test_a_retry_advances_nothing(database: Database) -> None:
    insert(database, chain("a", "b"))
    step(database, retry(claim_one(database)))
    assert phases(database.path) == {"a": "ready", "b": "waiting"}
    (b,) = step(database, success(claim_one(database), "1"), limit=1).leases
    assert b.id == "b"


@pytest.mark.parametrize("state", ["REVOKED", "IGNORED", "REJECTED"])
def test_what_follows_another_end_ends_likewise_and_no_errback_runs(
    database: Database, state: str
) -> None:
    insert(database, chain("a", "b", errback="e"))
    lease = claim_one(database)
    step(database, replace(success(lease), state=state))
    assert states_of(database) == {"a": state, "b": state, "e": "IGNORED"}


def test_an_errback_gets_the_failure(database: Database) -> None:
    insert(database, chain("a", "b", "c", errback="e"))
    (b,) = step(database, success(claim_one(database)), limit=9).leases
    (e,) = step(database, failure(b, "broken"), limit=9).leases
    assert e.id == "e"
    assert json.loads(e.options or "") == {
        "failed": {
            "id": "b",
            "task": "t",
            "type": "ValueError",
            "message": "broken",
            "args": "[]",
            "traceback": None,
        }
    }
    step(database, success(e))
    assert states_of(database) == {"a": "SUCCESS", "b": "FAILURE", "c": "FAILURE", "e": "SUCCESS"}


def test_an_errback_that_nobody_needs_ends_with_the_last_who_might_have(
    database: Database,
) -> None:
    insert(database, chain("a", "b", errback="e"))
    (b,) = step(database, success(claim_one(database)), limit=9).leases
    assert phases(database.path)["e"] == "waiting"
    assert step(database, success(b)).ended == ["e"]
    assert states_of(database)["e"] == "IGNORED"


def test_the_errback_of_a_step_that_never_ran_does_not_run(database: Database) -> None:
    plan = chain("a", "b")
    plan = Plan(
        [*plan.steps, Step(job("e"), waits=True)], [*plan.edges, Edge("b", "e", "error")], [], "b"
    )
    insert(database, plan)
    step(database, failure(claim_one(database)))
    assert states_of(database) == {"a": "FAILURE", "b": "FAILURE", "e": "IGNORED"}


# Groups and chords


def test_a_chord_gets_all_results_in_the_order_of_its_members(database: Database) -> None:
    insert(database, chord(["a", "b", "c"], "z"))
    a, b, c = claim(database, 9)
    step(database, success(c, "3"), success(a, "1"))
    assert phases(database.path)["z"] == "waiting"
    (z,) = step(database, success(b), limit=9).leases
    assert (z.id, json.loads(z.options or "")) == ("z", {"given": ["1", None, "3"]})


def test_a_chord_of_nothing_starts_at_once(database: Database) -> None:
    insert(database, chord([], "z"))
    step(database)
    assert options(database, "z") == {"given": []}
    assert claim_one(database).id == "z"


def test_a_chord_fails_when_all_its_members_have_ended(database: Database) -> None:
    insert(database, chord(["a", "b"], "z", then="y", errback="e"))
    a, b = claim(database, 9)
    assert not step(database, failure(a, "broken")).ended
    done = step(database, success(b), limit=9)
    assert sorted(done.ended) == ["y", "z"]
    record = results.fetch(database, "z")
    assert record is not None
    assert record.failure is not None
    assert (record.failure.type, record.failure.message) == (
        "ChordError", "Dependency a raised ValueError('broken')",
    )  # fmt: skip
    assert [lease.id for lease in done.leases] == ["e"]


@pytest.mark.parametrize(
    ("policy", "given"), [("placeholders", [None, "2", None]), ("ignore", ["2"])]
)
def test_a_chord_may_go_on_without_those_who_failed(
    database: Database, policy: str, given: list[str]
) -> None:
    insert(database, chord(["a", "b", "c"], "z", policy=policy))
    a, b, c = claim(database, 9)
    step(database, failure(a), success(b, "2"))
    revocations.revoke(database, ["c"], now=NOW, keep=KEEP)
    assert reap(database, c, most=1)
    assert [lease.id for lease in claim(database, 9)] == ["z"]
    assert options(database, "z")["given"] == given


def test_a_group_after_a_step_gets_its_result_in_every_member(database: Database) -> None:
    insert(database, chain("a", ["b", "c"], "d", "e"))
    (a,) = claim(database, 9)
    b, c = step(database, success(a, "7"), limit=9).leases
    assert [json.loads(lease.options or "") for lease in (b, c)] == [{"given": "7"}] * 2
    (d,) = step(database, success(c, "3"), success(b, "2"), limit=9).leases
    assert json.loads(d.options or "") == {"given": ["2", "3"]}
    (e,) = step(database, success(d, "4"), limit=9).leases
    assert json.loads(e.options or "") == {"given": "4"}


def test_a_group_that_never_starts_fails_what_comes_after(database: Database) -> None:
    insert(database, chain("a", ["b", "c"], "d", "e"))
    step(database, failure(claim_one(database)))
    assert states_of(database) == dict.fromkeys("abcde", "FAILURE")


def test_a_chord_of_chains(database: Database) -> None:
    insert(database, chord([chain("a", "b"), chain("c", "d"), "x"], "z"))
    assert run(database) == ["a", "c", "x", "b", "d", "z"]
    assert options(database, "z")["given"] == ['"b"', '"d"', '"x"']


def test_a_chain_of_chords(database: Database) -> None:
    insert(database, chain("a", ["b", "c"], "d", ["e", "f"], "g"))
    assert run(database) == ["a", "b", "c", "d", "e", "f", "g"]
    assert options(database, "g")["given"] == ['"e"', '"f"']


def test_a_chord_in_a_chord(database: Database) -> None:
    insert(database, chord([chord(["a", "b"], "c"), "d"], "z"))
    assert run(database) == ["a", "b", "d", "c", "z"]
    assert options(database, "z")["given"] == ['"c"', '"d"']


def test_a_group_as_body(database: Database) -> None:
    insert(database, chain(["a", "b"], "c", ["d", "e"]))
    assert run(database) == ["a", "b", "c", "d", "e"]


def test_a_failure_inside_a_nested_chord_goes_all_the_way_up(database: Database) -> None:
    insert(database, chord([chord([chain("a", "b"), "x"], "c"), "d"], "z"))
    assert run(database, failing={"a"}) == ["a", "x", "d"]
    assert states_of(database) == {
        "a": "FAILURE", "b": "FAILURE", "x": "SUCCESS", "c": "FAILURE", "d": "SUCCESS",
        "z": "FAILURE",
    }  # fmt: skip


def test_a_group_of_results_only_is_remembered(database: Database) -> None:
    insert(database, group("a", "b"))
    assert run(database) == ["a", "b"]
    assert rows(database.path, "SELECT name, size, waiting FROM litequeue_fanin") == [("a+b", 2, 0)]


# Other ways to end


def test_a_zombie_advances_nothing(database: Database) -> None:
    insert(database, chain("a", "b"))
    insert(database, chord(["c"], "d"))
    lost = claim(database, 9)
    reap(database, *lost)
    assert sorted(step(database, *(success(each) for each in lost)).zombies) == [1, 3]
    assert phases(database.path) == {"a": "ready", "b": "waiting", "c": "ready", "d": "waiting"}
    assert rows(database.path, "SELECT waiting FROM litequeue_fanin") == [(1,)]


def test_a_zombie_among_others_counts_them_once(database: Database) -> None:
    insert(database, chord(["a", "b"], "z"))
    a, b = claim(database, 9)
    reap(database, a)
    step(database, success(a), success(b))
    assert rows(database.path, "SELECT waiting FROM litequeue_fanin") == [(1,)]
    step(database, success(claim_one(database)))
    assert phases(database.path)["z"] == "ready"


def test_poison_ends_what_follows(database: Database) -> None:
    insert(database, chain("a", "b"))
    reap(database, claim_one(database), most=1)
    assert step(database).ended == ["b"]
    record = results.fetch(database, "b")
    assert record is not None
    assert record.failure is not None
    assert record.failure.type == "WorkerLostError"


def test_who_revokes_a_step_ends_what_follows(database: Database) -> None:
    insert(database, chain("a", "b", "c"))
    done = revocations.revoke(database, ["a"], now=NOW, keep=KEEP)
    assert (done.ended, done.followed) == (["a"], ["b", "c"])
    assert set(states_of(database).values()) == {"REVOKED"}


def test_a_step_that_waits_can_be_revoked(database: Database) -> None:
    insert(database, chain("a", "b", "c"))
    revocations.revoke(database, ["b"], now=NOW, keep=KEEP)
    assert run(database) == ["a"]
    assert states_of(database) == {"a": "SUCCESS", "b": "REVOKED", "c": "REVOKED"}


def test_who_revokes_in_bulk_ends_what_follows(database: Database) -> None:
    insert(database, chain(job("a", queue="q"), "b"))
    chosen = bulk.choose(database, bulk.Change.REVOKE, Selection(queues=("q",)), NOW)
    assert list(bulk.carry_out(database, chosen, now=NOW, keep=KEEP)) == [(["a", "b"], 1)]
    assert set(states_of(database).values()) == {"REVOKED"}


def test_an_expired_step_ends_what_follows(database: Database) -> None:
    insert(database, chain(job("a", expires=NOW + 5), "b", job("c", expires=NOW + 9)))
    insert(database, chain("d", job("e", expires=NOW + 5), "f"))
    assert [id for id, _ in maintenance.expire(database, NOW + 6, NOW + 99)] == ["a", "e"]
    assert sorted(step(database, now=NOW + 6).ended) == ["b", "c", "f"]
    insert(database, chain(job("g", expires=NOW + 5), "h"))
    assert step(database, limit=9, now=NOW + 6).ended == ["g", "h"]


def test_an_unreadable_step_ends_what_follows(
    database: Database, foreign: sqlite3.Connection
) -> None:
    insert(database, chain("a", "b"))
    foreign.execute("UPDATE litequeue_payload SET body = CAST(x'ff' AS TEXT) WHERE seq = 1")
    assert "b" in step(database, limit=9).ended
    assert set(states_of(database).values()) == {"FAILURE"}


def test_somebody_elses_update_counts_too(database: Database, foreign: sqlite3.Connection) -> None:
    insert(database, chord(["a", "b"], "z"))
    foreign.execute(
        "UPDATE litequeue_job SET phase = 'done', state = 'SUCCESS', finished = 1, keep_until = 9e9"
        " WHERE id IN ('a', 'b')"
    )
    assert claim_one(database).id == "z"


def test_purging_what_has_not_started_leaves_nobody_waiting(database: Database) -> None:
    insert(database, chain(job("a", queue="q"), "b"))
    insert(database, chord([job("c", queue="q"), "d"], "e"))
    chosen = bulk.choose(database, bulk.Change.PURGE, Selection(queues=("q",)), NOW)
    assert sum(count for _, count in bulk.carry_out(database, chosen, now=NOW, keep=KEEP)) == 2
    assert run(database) == ["d"]
    assert states_of(database) == {"b": "REVOKED", "d": "SUCCESS", "e": "FAILURE"}


def test_purging_everything_leaves_no_trace(database: Database) -> None:
    insert(database, chain("a", ["b", "c"], "d", errback="e"))
    chosen = bulk.choose(database, bulk.Change.PURGE, EVERYTHING, NOW)
    assert sum(count for _, count in bulk.carry_out(database, chosen, now=NOW, keep=KEEP)) == 5
    step(database)
    for table in ("job", "payload", "edge", "fanin", "advance", "error"):
        assert rows(database.path, f"SELECT count(*) FROM litequeue_{table}") == [(0,)], table


# Again


def test_who_runs_a_failed_step_again_has_the_rest_back(database: Database) -> None:
    insert(database, chain("a", "b", ["c", "d"], "e", errback="x"))
    run(database, failing={"b"})
    assert states_of(database)["e"] == "FAILURE"
    assert jobs.rerun(database, "b", now=NOW, keep=KEEP)
    step(database)
    assert {id: phases(database.path)[id] for id in "bcde"} == {
        "b": "ready", "c": "waiting", "d": "waiting", "e": "waiting",
    }  # fmt: skip
    assert run(database) == ["b", "c", "d", "e"]
    assert set(states_of(database).values()) == {"SUCCESS"}
    assert rows(database.path, "SELECT job, claim FROM litequeue_error") == [(2, 1)]


def test_a_member_that_runs_again_counts_again(database: Database) -> None:
    insert(database, chord(["a", "b"], "z"))
    a, b = claim(database, 9)
    step(database, failure(a))
    assert jobs.rerun(database, "a", now=NOW, keep=KEEP)
    step(database, success(b, "2"))
    assert phases(database.path)["z"] == "waiting"
    assert run(database) == ["a", "z"]
    assert options(database, "z")["given"] == ['"a"', "2"]


def test_a_chord_that_failed_comes_back_with_its_member(database: Database) -> None:
    insert(database, chord(["a", "b"], "z", then="y"))
    run(database, failing={"a"})
    assert jobs.rerun(database, "a", now=NOW, keep=KEEP)
    assert run(database) == ["a", "z", "y"]
    assert set(states_of(database).values()) == {"SUCCESS"}


def test_a_step_that_never_ran_is_not_run_again_alone(database: Database) -> None:
    insert(database, chord([chain("a", "b")], "z"))
    run(database, failing={"a"})
    assert not jobs.rerun(database, "b", now=NOW, keep=KEEP)
    assert not jobs.rerun(database, "z", now=NOW, keep=KEEP)
    chosen = bulk.choose(database, bulk.Change.RERUN, EVERYTHING, NOW)
    assert [count for _, count in bulk.carry_out(database, chosen, now=NOW, keep=KEEP)] == [1]
    assert run(database) == ["a", "b", "z"]


def test_what_was_revoked_by_name_does_not_come_back(database: Database) -> None:
    insert(database, chain("a", "b", "c"))
    revocations.revoke(database, ["b"], now=NOW, keep=KEEP)
    run(database, failing={"a"})
    jobs.rerun(database, "a", now=NOW, keep=KEEP)
    assert run(database) == ["a"]
    assert states_of(database)["b"] == "REVOKED"


def test_a_revoked_step_that_is_run_again_still_waits_for_its_turn(database: Database) -> None:
    insert(database, chord([chain("a", "b")], "z"))
    revocations.revoke(database, ["b", "z"], now=NOW, keep=KEEP)
    assert jobs.rerun(database, "b", now=NOW, keep=KEEP)
    assert jobs.rerun(database, "z", now=NOW, keep=KEEP)
    assert phases(database.path) == {"a": "ready", "b": "waiting", "z": "waiting"}
    assert run(database) == ["a", "b", "z"]
    insert(database, chain("c", "d"))
    revocations.revoke(database, ["d"], now=NOW, keep=KEEP)
    assert run(database) == ["c"]
    assert jobs.rerun(database, "d", now=NOW, keep=KEEP)
    assert run(database) == ["d"]
    assert options(database, "d") == {"given": '"c"'}


def test_a_retry_with_other_arguments_is_not_given_the_result_twice(database: Database) -> None:
    insert(database, chain("a", "b"))
    (b,) = step(database, success(claim_one(database), "1"), limit=9).leases
    step(database, retry(b, body="[[1, 2],{}]"))
    assert options(database, "b") == {}
    assert claim_one(database).body == "[[1, 2],{}]"


# All of one


def test_revoking_a_workflow_ends_all_that_has_not_ended(database: Database) -> None:
    insert(database, chain("a", ["b", "c"], "d", ["e", "f"]))
    insert(database, chain("other", "next"))
    (b, _) = step(database, success(claim_one(database)), limit=3).leases[:2]
    for id in ("d", "b"):
        done = workflows.revoke(database, id, now=NOW, keep=KEEP)
    assert set(done.stands) <= {"b", "c"}
    step(database, success(b))
    found = states_of(database)
    assert {id: found[id] for id in "abdef"} == {
        "a": "SUCCESS", "b": "SUCCESS", "d": "REVOKED", "e": "REVOKED", "f": "REVOKED",
    }  # fmt: skip
    assert found["next"] == "PENDING"


# Pruning


@pytest.mark.parametrize("id", ["a", "b", "x", "a+b+x"])
def test_revoking_a_group_ends_all_members_and_what_comes_before_them(
    database: Database, id: str
) -> None:
    insert(database, group("a", "b", chain("w", "x")))
    put(database, "other")
    done = workflows.revoke(database, id, now=NOW, keep=KEEP)
    assert {*done.ended, *done.followed} == {"a", "b", "w", "x"}
    assert phases(database.path)["other"] == "ready"


def test_the_jobs_of_a_workflow_are_all_that_hang_together(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflows, "LOOKED_AT_ONCE", 2)
    put(database, "first")
    plan = chain("a", [chord(["b", "c"], "d"), "e", "f"], "g", ["h", "i"], errback="j")
    insert(database, plan)
    put(database, "last")
    for id in (*"abcdefghij", "h+i"):
        assert workflows.jobs_of(database, id) == list(range(2, 12))
    assert workflows.jobs_of(database, "last") == [12]
    insert(database, chord(["k", "l"], "m"))
    for id in ("k", "l", "m", "k+l+m"):
        assert workflows.jobs_of(database, id) == [13, 14, 15]
    assert workflows.jobs_of(database, "unknown") == []


def test_results_stay_while_a_chord_waits_for_them(database: Database) -> None:
    insert(database, chord(["a", "b"], "z"))
    a, b = claim(database, 9)
    step(database, success(a, "1"))
    maintenance.prune(database, NOW + 200)
    step(database, success(b, "2"), now=NOW + 200)
    assert options(database, "z")["given"] == ["1", "2"]
    run(database, now=NOW + 200)
    for later in (1_000, 2_000):
        maintenance.prune(database, NOW + later)
    for table in ("job", "payload", "edge", "fanin", "advance"):
        assert rows(database.path, f"SELECT count(*) FROM litequeue_{table}") == [(0,)], table


def test_a_forgotten_job_takes_its_edges_with_it(database: Database) -> None:
    insert(database, chain("a", "b", "c"))
    run(database)
    results.forget(database, "b")
    assert rows(database.path, "SELECT count(*) FROM litequeue_edge") == [(0,)]


# Storing


def test_the_same_plan_again_changes_nothing(database: Database) -> None:
    for _ in range(2):
        insert(database, chord([chain("a", "b"), "c"], "z"))
    assert rows(database.path, "SELECT waiting, size FROM litequeue_fanin") == [(2, 2)]
    run(database)
    insert(database, chord([chain("a", "b"), "c"], "z"))
    assert claim(database, 9) == []
    assert set(states_of(database).values()) == {"SUCCESS"}


def test_a_plan_with_a_job_that_is_there_is_refused_whole(database: Database) -> None:
    jobs.enqueue(database, job("b"), NOW)
    with pytest.raises(DuplicateJob):
        insert(database, chain("a", "b"))
    assert phases(database.path) == {"b": "ready"}


def test_a_plan_in_chunks_is_the_same(database: Database) -> None:
    workflows.insert(database, big(10), NOW, chunk=3)
    done = run(database)
    assert (len(done), done[-1]) == (21, "z")
    assert options(database, "z")["given"] == [f'"t{number}"' for number in range(10)]


@pytest.mark.parametrize("commits", range(12))
def test_chunks_that_are_cut_off_run_but_release_nothing_until_stored_again(
    queue_path: Path, commits: int
) -> None:
    database = Database(queue_path, create=True)
    database.data_version()
    dying = dying_after(queue_path, commits)
    with pytest.raises(Cut):
        workflows.insert(dying, big(10), NOW, chunk=3)
    dying.close()
    ran = run(database)
    assert "z" not in ran
    assert phases(queue_path).get("z", "waiting") == "waiting"
    workflows.insert(database, big(10), NOW, chunk=3)
    ran += run(database)
    assert (len(ran), len(set(ran)), ran[-1]) == (21, 21, "z")
    assert options(database, "z")["given"] == [f'"t{number}"' for number in range(10)]
    database.close()


def test_a_large_cascade_is_done_in_portions(database: Database) -> None:
    names = [f"m{number:04}" for number in range(1_200)]
    insert(database, chain("a", names, "z"))
    done = step(database, failure(claim_one(database)))
    assert 0 < len(done.ended) < 600
    assert done.ready
    while phases(database.path)["z"] == "waiting":
        assert step(database).ended
    assert set(states_of(database).values()) == {"FAILURE"}
    jobs.rerun(database, "a", now=NOW, keep=KEEP)
    assert len(run(database)) == 1_202


def test_revoking_the_head_of_a_large_group_ends_all_of_it(database: Database) -> None:
    names = [f"m{number:04}" for number in range(1_200)]
    insert(database, chain("a", names, "z"))
    done = revocations.revoke(database, ["a"], now=NOW, keep=KEEP)
    assert len(done.followed) == 1_201
