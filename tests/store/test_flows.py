"""What the file tells of workflows."""

from __future__ import annotations

from typing import Any

import pytest

from litequeue import flow
from litequeue.flow import ERROR, DrawnGroup, Edge, FanIn, Plan, Sequel
from litequeue.store import Database, drawings, flows
from tests.store.flows import chain, chord, group, insert
from tests.store.steps import claim, claim_one, failure, put, rows, step, success


def test_a_group_tells_how_far_it_is(database: Database) -> None:
    insert(database, chord(["a", "b", "c"], "body", policy="ignore"))
    name = "a+b+c+body"
    a, b, _ = claim(database, 3)
    step(database, success(a), failure(b))
    assert flows.group(database, name) == flow.Group(name, 3, 1, 1, "ignore", "body", 1)
    assert flows.count_members(database, name) == {
        (True, "SUCCESS"): 1, (True, "FAILURE"): 1, (False, "RECEIVED"): 1,
    }  # fmt: skip
    assert flows.group(database, "unknown") is None
    assert flows.count_members(database, "unknown") == {}


def test_a_group_without_a_body_and_without_members(database: Database) -> None:
    insert(database, Plan([], [], [FanIn("g")], "g", "g"))
    assert flows.group(database, "g") == flow.Group("g", 0, 0, 0, "fail", None)
    assert list(flows.members_of(database, "g")) == []


def test_members_come_in_their_order_some_at_a_time(database: Database) -> None:
    names = [f"m{number}" for number in (3, 1, 2, 5, 4)]
    insert(database, chain(names, "z"))
    put(database, "other")
    read = flows.members_of(database, "+".join(names), at_once=2)
    assert list(read) == [["m3", "m1"], ["m2", "m5"], ["m4"]]
    assert list(flows.members_of(database, "unknown")) == []


def test_what_comes_before_and_after(database: Database) -> None:
    insert(database, chain("a", ["b", "c"], "d", errback="e"))
    assert flows.before(database, "a") == ([], None)
    assert flows.after(database, "a") == (["b", "c"], ["e"], None)
    assert flows.before(database, "b") == (["a"], None)
    assert flows.after(database, "b") == ([], ["e"], "b+c")
    assert flows.before(database, "d") == ([], "b+c")
    assert flows.before(database, "e") == ([], None)
    assert flows.before(database, "unknown") == ([], None)
    assert flows.after(database, "unknown") == ([], [], None)


@pytest.mark.parametrize("before", [[], ["x"]])
def test_what_took_a_place_comes_after_what_it_waits_for(
    database: Database, before: list[str]
) -> None:
    insert(database, chain("a", "b"))
    step(database, success(claim_one(database)))
    lease = claim_one(database)
    text = flow.to_text(Sequel((chain(*before, "b"),), takes=True))
    step(database, success(lease, sequel=text))
    assert flows.before(database, "b") == (before or ["a"], None)


# Drawings


def drawn(database: Database, id: str, most: int = 50) -> flow.Drawing:
    drawing = drawings.drawing(database, id, most=most)
    assert drawing is not None
    return drawing


@pytest.mark.parametrize("id", ["a", "b", "c", "d", "e", "b+c"])
def test_a_drawing_shows_all_of_a_workflow(database: Database, id: str) -> None:
    insert(database, chain("a", ["b", "c"], "d", errback="e"))
    put(database, "other")
    drawing = drawn(database, id)
    assert [node.id for node in drawing.nodes] == ["a", "b", "c", "d", "e"]
    assert drawing.nodes[0] == flow.Node("a", "t", "PENDING", "ready")
    assert set(drawing.edges) == {
        Edge("a", "b"), Edge("a", "c"), *(Edge(each, "e", ERROR) for each in "abcd"),
    }  # fmt: skip
    assert drawing.groups == (DrawnGroup("b+c", 2, 0, 0, "fail", "d", ("b", "c"), 0),)
    assert drawing.is_all


def test_what_is_no_workflow_has_no_drawing(database: Database) -> None:
    put(database, "a")
    assert drawings.drawing(database, "a") is None
    assert drawings.drawing(database, "unknown") is None


def test_of_a_large_group_those_are_drawn_that_tell_something(database: Database) -> None:
    names = [f"m{number:03}" for number in range(200)]
    insert(database, chain("a", names, "z"))
    step(database, success(claim_one(database)))
    leases = claim(database, 100)
    step(database, *(success(lease) for lease in leases[:90]), *map(failure, leases[90:95]))
    name = "+".join(names)[:200]
    for id in ("a", "z", name):
        drawing = drawn(database, id, 30)
        (group,) = drawing.groups
        told = {*names[:10], *names[90:100]}
        assert set(group.members) == told
        assert (group.size, group.ended, group.failed, group.more) == (200, 95, 5, 180)
        assert {node.id for node in drawing.nodes} == {"a", "z", *told}
        assert set(drawing.edges) == {Edge("a", each) for each in told}
    assert "m150" in drawn(database, "m150", 30).groups[0].members


def test_a_drawing_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawings, "MOST_NODES", 5)
    insert(database, chain(*(f"s{number}" for number in range(9))))
    drawing = drawn(database, "s0")
    assert [node.id for node in drawing.nodes] == [f"s{number}" for number in range(5)]
    assert not drawing.is_all
    insert(database, chain("a", "b"))
    assert drawn(database, "a").is_all


# For people


def test_people_see_groups_their_members_and_steps(database: Database) -> None:
    insert(database, chord(["a", "b"], "body", policy="ignore"))
    insert(database, group("c"))
    lease = claim_one(database)
    step(database, failure(lease))
    assert rows(database.path, "SELECT * FROM litequeue_groups ORDER BY id") == [
        ("a+b+body", 2, 1, 1, "ignore", "body"), ("c", 1, 0, 0, "fail", None),
    ]  # fmt: skip
    assert rows(database.path, "SELECT id, phase, member_of FROM litequeue_jobs ORDER BY id") == [
        ("a", "done", "a+b+body"), ("b", "ready", "a+b+body"), ("body", "waiting", None),
        ("c", "ready", "c"),
    ]  # fmt: skip
    with database.write(durable=False) as connection:
        connection.execute("INSERT INTO litequeue_step VALUES (?, 'fetch', '7')", (lease.seq,))
    assert rows(database.path, "SELECT * FROM litequeue_steps") == [("a", "t", "fetch", "7")]


def test_a_group_that_is_not_all_there_has_no_size(queue_path: Any) -> None:
    database = Database(queue_path, create=True)
    with database.write(durable=False) as connection:
        connection.execute("INSERT INTO litequeue_fanin (name, policy) VALUES ('g', 'fail')")
        connection.execute("UPDATE litequeue_fanin SET waiting = 4")
    put(database, "a", "b", "c")
    with database.write(durable=False) as connection:
        connection.execute("UPDATE litequeue_job SET flow = 1")
    step(database, success(claim_one(database)))
    assert rows(queue_path, "SELECT * FROM litequeue_groups") == [("g", None, 1, 0, "fail", None)]
    assert flows.group(database, "g") == flow.Group("g", None, 2, 0, "fail", None)
    assert drawn(database, "a").groups[0].ended == 1
    database.close()
