"""Workflows with a real worker: every shape has its value, wherever it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from litequeue import chain, chord, group, signals
from litequeue.canvas import xstarmap
from litequeue.store import workflows
from tests.integration.apps.workflows import (
    add,
    app,
    deadly,
    echo,
    flaky,
    grown,
    mul,
    quiet,
    replaced,
    sender,
    total,
    where,
)  # fmt: skip
from tests.integration.flows import APP, WITHIN, alone, facts, rows, shared, value, work
from tests.integration.processes import Site

__all__ = ["alone", "facts", "shared", "work"]

SHAPES: dict[str, tuple[Callable[[], Any], Any]] = {
    "a chain": (lambda: chain(add.s(1, 2), mul.s(10), add.s(3)), 33),
    "a chain with an immutable step": (lambda: add.s(1, 2) | add.si(5, 5) | mul.s(2), 20),
    "a chain of a hundred": (lambda: chain(echo.s(0), *[add.s(1) for _ in range(99)]), 99),
    "a group": (lambda: group(add.s(each, each) for each in range(5)), [0, 2, 4, 6, 8]),
    "an empty group": (lambda: group([], app=app), []),
    "a group of 2,000": (
        lambda: group(add.s(each, 1) for each in range(2000)),
        [*range(1, 2001)],
    ),
    "a chord": (lambda: chord([add.s(each, each) for each in range(10)], total.s()), 90),
    "a chord with an immutable body": (lambda: chord([add.s(1, 1)], add.si(7, 8)), 15),
    "a chord of nothing": (lambda: chord([], total.s()), 0),
    "a chord of a generator": (
        lambda: chord((add.s(each, 0) for each in range(500)), echo.s()),
        [*range(500)],
    ),
    "group, task": (lambda: group(add.s(1, 1), add.s(2, 2)) | total.s(), 6),
    "task, group": (lambda: add.s(1, 1) | group(add.s(1), mul.s(5)), [3, 10]),
    "task, group, task": (
        lambda: add.s(1, 1) | group(add.s(1), mul.s(5)) | total.s() | add.s(1),
        14,
    ),
    "task, group, group": (
        lambda: echo.s(1) | group(add.s(1), add.s(2)) | group(total.s(), add.s([9])),
        [5, [2, 3, 9]],
    ),
    "a chord of chains": (
        lambda: chord([chain(add.s(each, 1), mul.s(10)) for each in range(4)], total.s()),
        100,
    ),
    "a chord of chords": (
        lambda: chord([chord([echo.s(each), echo.s(1)], total.s()) for each in range(3)], echo.s()),
        [1, 2, 3],
    ),
    "a chord of groups in chains": (
        lambda: chord([echo.s(1) | group(add.s(1), add.s(2)), echo.s(5)], echo.s()),
        [[2, 3], 5],
    ),
    "a group of groups": (
        lambda: group(echo.s(1), group(echo.s(2), group(echo.s(3)), echo.s(4)), echo.s(5)),
        [1, 2, 3, 4, 5],
    ),
    "a chord whose body is a chain": (
        lambda: chord([echo.s(1), echo.s(2)], total.s() | mul.s(10) | group(add.s(1), add.s(2))),
        [31, 32],
    ),
    "a chord in a chain": (
        lambda: chain(echo.s(2), chord([add.s(1), add.s(2)], total.s()), mul.s(10)),
        70,
    ),
    "a map": (lambda: total.map([[1, 2], [3]]), [3, 3]),
    "a starmap": (lambda: add.starmap([(1, 2), (3, 4)]), [3, 7]),
    "a starmap in a chain": (lambda: xstarmap(add.s(), [(1, 2), (3, 4)], app=app) | total.s(), 10),
    "chunks": (lambda: add.chunks([(each, each) for each in range(5)], 2), [[0, 2], [4, 6], [8]]),
    "chunks with a body": (lambda: add.chunks([(1, 1), (2, 2)], 1).group() | total.s(), 6),
    "a step whose result is ignored": (lambda: quiet.s(5) | add.s(1), 6),
    "members whose results are ignored": (
        lambda: chord([quiet.s(5), quiet.s(6) | quiet.s()], echo.s()),
        [5, 6],
    ),
    "a member that is run again": (lambda: chord([flaky.s(3), echo.s(4)], echo.s()), [3, 4]),
    "a step that is run again": (lambda: echo.s(3) | flaky.s() | add.s(1), 4),
    "a member that kills its process": (
        lambda: chord([deadly.s(3), echo.s(4) | deadly.s()], echo.s()),
        [3, 4],
    ),
    "a member that is replaced": (lambda: chord([replaced.s(4), echo.s(1)], echo.s()), [12, 1]),
    "a step that is replaced": (lambda: echo.s(3) | replaced.s() | add.s(1), 7),
    "members that come later": (lambda: chord([grown.s(3), echo.s(10)], total.s()), 16),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_value_of(work: Site, shape: str) -> None:
    make, expected = SHAPES[shape]
    assert value(make()) == expected


def test_members_run_while_the_others_are_stored(
    work: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults: Any = workflows.insert.__kwdefaults__
    monkeypatch.setitem(defaults, "chunk", 20)
    header = (grown.s(1) if each == 1 else echo.s(each) for each in range(300))
    assert value(chord(header, total.s())) == sum(range(300)), "one came later, and is 0"
    assert rows(work, "SELECT * FROM litequeue_part") == []


def test_a_workflow_as_json_is_sent_by_another_process(work: Site) -> None:
    canvas = chord([chain(add.s(1, 1), add.s(2)), add.s(3, 3)], total.s() | mul.s(2))
    code = (
        "import json, sys; from litequeue import signature\n"
        "from tests.integration.apps.workflows import app\n"
        "print(signature(json.loads(sys.argv[1]), app=app).delay().get(timeout=20))"
    )
    done = work.run("-c", code, json.dumps(canvas), LITEQUEUE_URL=str(work.path))
    assert done.stdout == "20\n", done.stderr


def test_arguments_and_ids_are_for_the_whole(work: Site) -> None:
    result = chain(add.s(1), mul.s(10)).apply_async((2,), task_id="the-whole")
    assert (result.id, result.get(timeout=WITHIN)) == ("the-whole", 30)
    some = group(add.s(1), add.s(2)).apply_async((10,), task_id="the-group")
    assert (some.id, some.get(timeout=WITHIN)) == ("the-group", [11, 12])
    frozen = chord([echo.s(1), echo.s(2)], total.s())
    expected = frozen.freeze()
    assert frozen.delay() == expected
    assert expected.get(timeout=WITHIN) == 3
    assert frozen.delay().get(timeout=WITHIN) == 3, "sent twice, it is the same"
    assert expected.parent.get(timeout=WITHIN) == [1, 2]


def test_each_step_knows_its_place(work: Site) -> None:
    first = where.s().set(queue="other", priority=7)
    members = group(where.si().set(priority=2), where.si().set(queue="third"))
    members.tasks[1].stamp(tenant="ann")
    canvas = first | members | where.s().set(queue="other")
    last = canvas.delay()
    end = last.get(timeout=WITHIN)
    header = last.parent
    one, two = header.get(timeout=WITHIN)
    begin = header.parent.get(timeout=WITHIN)
    assert (begin["queue"], begin["priority"]) == ("other", 7)
    assert (begin["parent_id"], begin["root_id"], begin["group"]) == (None, begin["id"], None)
    for member in (one, two):
        assert (member["parent_id"], member["root_id"]) == (begin["id"], begin["id"])
        assert member["group"] == header.id
    assert (one["queue"], one["priority"], one["stamps"]) == ("default", 2, None)
    assert (two["queue"], two["priority"], two["stamps"]) == ("third", 0, {"tenant": "ann"})
    assert (end["id"], end["root_id"], end["queue"]) == (last.id, begin["id"], "other")
    assert last.root.id == begin["id"]


def test_what_a_task_sends_is_its_child(work: Site) -> None:
    result = sender.delay()
    line, some = result.get(timeout=WITHIN)
    last, both = app.AsyncResult(line), app.GroupResult(some)
    assert (last.get(timeout=WITHIN), both.get(timeout=WITHIN)) == (4, [6, 8])
    assert last.parent.parent == result
    assert {each.root for each in (last, *both)} == {result}
    assert [child.id for child in result.children] == [last.parent.id, some]
    assert last.parent.children == [last]
    assert next(graft[1] for graft in result.collect()) == [line, some]


# Where it runs


def test_two_workers_share_a_chord(alone: Site) -> None:
    crew = [alone.worker(app=APP, children=1) for _ in range(2)]
    result = chord([where.s() for _ in range(400)], echo.s()).delay()
    pids = {each["pid"] for each in result.get(timeout=WITHIN)}
    assert pids == {pid for worker in crew for pid in worker.children()}
    assert rows(alone, "SELECT DISTINCT state FROM litequeue_job") == [("SUCCESS",)]


@pytest.mark.parametrize("pool", ["threads", "solo", "aio"])
def test_in_another_pool(alone: Site, pool: str) -> None:
    alone.worker("-P", pool, app=APP, children=1, ready=False)
    assert value(add.s(1, 1) | group(add.s(1), replaced.s() | mul.s(2)) | total.s()) == 7


def test_in_this_process(alone: Site) -> None:
    with app.worker(pool="threads", concurrency=2):
        assert value(chord([chain(add.s(1, 1), add.s(2)), flaky.s(3)], total.s())) == 7


@pytest.fixture
def eagerly() -> Iterator[None]:
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


def test_eagerly_without_a_file(alone: Site, eagerly: None) -> None:
    assert value(chord([chain(add.s(1, 1), add.s(2)), flaky.s(3)], total.s() | mul.s(2))) == 14
    assert value(echo.s(3) | replaced.s() | add.s(1)) == 7
    assert not alone.path.exists()


def test_results_that_are_signed(alone: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITEQUEUE_SECURITY_KEY", "k" * 32)
    monkeypatch.setenv("LITEQUEUE_RESULT_SERIALIZER", "signed")
    monkeypatch.setenv("LITEQUEUE_ACCEPT_CONTENT", "signed,json")
    alone.worker(app=APP, ready=False)
    code = (
        "from litequeue import group\n"
        "from tests.integration.apps.workflows import *\n"
        "canvas = add.s(1, 1) | group(add.s(1), mul.s(5)) | total.s() | add.s(1)\n"
        "print(canvas.delay().get(timeout=20))"
    )
    done = alone.run("-c", code, LITEQUEUE_URL=str(alone.path))
    assert done.stdout == "14\n", done.stderr
    found = rows(alone, "SELECT result FROM litequeue_job")
    assert [text[:1] for (text,) in found] == ["!"] * 5


# Who is told


def test_publishing_is_told_of_every_step(alone: Site) -> None:
    before: list[Any] = []
    after: list[Any] = []

    def publishing(sender: str, headers: dict[str, Any], **_: Any) -> None:
        before.append((sender, headers["id"]))

    def published(sender: str, headers: dict[str, Any], **_: Any) -> None:
        after.append((sender, headers["id"]))

    signals.before_task_publish.connect(publishing)
    signals.after_task_publish.connect(published)
    try:
        result = (echo.s(1) | group(add.s(1), mul.s(2)) | total.s()).delay()
    finally:
        signals.before_task_publish.disconnect(publishing)
        signals.after_task_publish.disconnect(published)
    assert [name.rpartition(".")[2] for name, _ in before] == ["echo", "add", "mul", "total"]
    assert before == after
    assert before[-1][1] == result.id


@pytest.fixture
def telling() -> Iterator[None]:
    app.conf.task_send_sent_event = True
    yield
    app.conf.task_send_sent_event = False


def test_task_sent_is_stored_for_every_step(alone: Site, telling: None) -> None:
    found = app.events.follow(["task-sent"], timeout=0)
    result = (echo.s(1) | add.s(1)).delay()
    told = [(event["name"].rpartition(".")[2], event["uuid"]) for event in found]
    assert told == [("echo", result.parent.id), ("add", result.id)]
