"""`enqueue_many`: many calls, all of them or none."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from litequeue import EagerResult
from litequeue.exceptions import ImproperlyConfigured, NotSerializable
from litequeue.routing import Queue
from tests.unit.bench import NOW, Bench


def test_many_calls_are_one_transaction(bench: Bench) -> None:
    add, name = bench.task(lambda x, y=0: None), "other"
    other = bench.app.task(name=name, queue="slow")(lambda: None)
    results = bench.app.enqueue_many(
        [(add, (1,)), (add, [2], {"y": 3}), (other, ())], priority=4, eta=NOW + 1
    )
    jobs = bench.outbox.jobs
    assert [result.id for result in results] == [job.id for job in jobs]
    assert [job.body for job in jobs] == ["[[1],{}]", '[[2],{"y":3}]', "[[],{}]"]
    assert [job.queue for job in jobs] == ["default", "default", "slow"]
    assert {(job.priority, job.eta) for job in jobs} == {(4, NOW + 1)}
    assert len(bench.outbox.introduced) == 1


def test_one_wrong_call_refuses_all(bench: Bench) -> None:
    task = bench.task(lambda x: None)
    with pytest.raises(TypeError, match="missing a required argument"):
        bench.app.enqueue_many([(task, (1,)), (task, ())])
    with pytest.raises(NotSerializable):
        bench.app.enqueue_many([(task, (1,)), (task, (object(),))])
    assert bench.outbox.jobs == []


@pytest.mark.parametrize("bad", [{"queue": "b\nad"}, {"queue": "fine", "priority": "high"}])
def test_a_wrong_route_of_any_of_them_refuses_all(bench: Bench, bad: dict[str, Any]) -> None:
    routes = {1: {"queue": "fine"}, 2: bad}
    bench.app.conf.task_routes = lambda name, args, kwargs, options, task=None: routes[args[0]]
    task = bench.task(lambda x: None)
    with pytest.raises(ImproperlyConfigured):
        bench.app.enqueue_many([(task, (1,)), (task, (2,))])
    assert bench.outbox.jobs == []


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize(
    "call",
    [(), ((1,), {}, 5), ("ab",), ({"x": 1},), (5,), ((1,), ["y"]), ((1, 2),)],
)
def test_what_is_no_call_is_refused(bench: Bench, call: Any, eager: bool) -> None:
    bench.app.conf.task_always_eager = eager
    task = bench.task(lambda x: pytest.fail("ran"))
    with pytest.raises(TypeError):
        bench.app.enqueue_many([(task, *call)])
    assert bench.outbox.jobs == []


def test_no_arguments_may_be_said_in_many_ways(bench: Bench) -> None:
    task = bench.task(lambda: None)
    bench.app.enqueue_many([(task, None), (task, ()), (task, [], {}), (task, None, None)])
    assert [job.body for job in bench.outbox.jobs] == ["[[],{}]"] * 4


def test_a_generator_will_do(bench: Bench) -> None:
    task = bench.task(lambda x: None)
    assert len(bench.app.enqueue_many((task, (x,)) for x in range(3))) == 3
    assert bench.app.enqueue_many([]) == []


def test_the_options_mean_what_those_of_apply_async_do(bench: Bench) -> None:
    task = bench.task(lambda: None)
    later = datetime(2026, 7, 1, 12, 0)  # noqa: DTZ001 - of the app's zone
    bench.app.conf.timezone = "Europe/Berlin"
    for options in (
        {"countdown": 5},
        {"countdown": 0, "expires": 60},
        {"eta": NOW + 7.5},
        {"eta": later, "expires": later},
        {"eta": "2026-07-01T12:00:00", "expires": "2026-07-01T12:00:00+00:00"},
        {"queue": "mail", "priority": -1},
        {"queue": Queue("mail")},
    ):
        task.apply_async(**options)
        bench.app.enqueue_many([(task, ())], **options)
        one, many = bench.outbox.jobs[-2:]
        names = ("eta", "expires", "queue", "priority")
        assert [getattr(many, name) for name in names] == [getattr(one, name) for name in names]


def test_countdown_and_eta_exclude_each_other(bench: Bench) -> None:
    with pytest.raises(ImproperlyConfigured, match="not both"):
        bench.app.enqueue_many([], countdown=1, eta=NOW)


def test_where_calls_are_eager_these_are_one_after_the_other(bench: Bench) -> None:
    bench.app.conf.task_always_eager = True
    seen: list[Any] = []

    def work(x: int, y: int = 0) -> int:
        seen.append((x, y))
        return x + y

    task = bench.task(work)
    results = bench.app.enqueue_many([(task, (1,)), (task, [2], {"y": 3})])
    assert all(isinstance(result, EagerResult) for result in results)
    assert [result.get() for result in results] == [1, 5]
    assert (seen, bench.outbox.jobs) == ([(1, 0), (2, 3)], [])
