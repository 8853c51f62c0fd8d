"""Calls of function tasks: arguments, results, the forms of the decorator."""
# pyright: strict

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

from litequeue import AsyncResult, EagerResult, LiteQueue, ResultSet, Task

app = LiteQueue("jobs.sqlite")


@app.task
def add(x: int, y: int = 0) -> int:
    return x + y


@app.task()
def greet(name: str, *, loud: bool = False) -> str:
    return name.upper() if loud else name


@app.task(name="report", queue="slow", max_retries=5, autoretry_for=(OSError,))
def report() -> None: ...


def double(x: int) -> int:
    return 2 * x


registered = app.task(double)
renamed = app.task(double, name="twice")


def right() -> None:
    assert_type(add.delay(1, 2), AsyncResult[int])
    assert_type(add.delay(1), AsyncResult[int])
    assert_type(add.delay(x=1, y=2), AsyncResult[int])
    assert_type(greet.delay("a", loud=True), AsyncResult[str])
    assert_type(report.delay(), AsyncResult[None])
    assert_type(registered.delay(1), AsyncResult[int])
    assert_type(renamed.delay(1), AsyncResult[int])
    assert_type(add(1, 2), int)
    assert_type(add.run(1, 2), int | Coroutine[Any, Any, int])
    assert_type(add.name, str)


def wrong() -> None:
    add.delay("x")  # error
    add.delay()  # error
    add.delay(1, 2, 3)  # error
    add.delay(1, z=2)  # error
    greet.delay("a", True)  # error
    report.delay(1)  # error
    registered.delay("x")  # error
    renamed.delay("x")  # error
    add("x")  # error
    add.run("x")  # error
    add.nonsense  # error
    app.task("add")  # error
    text: str = add.delay(1).get()  # error
    print(text)


def with_options() -> None:
    # The arguments are in a tuple and a dict here, which a type checker cannot compare.
    assert_type(add.apply_async((1, 2)), AsyncResult[int])
    assert_type(add.apply_async([1], {"y": 2}, countdown=5, queue="mail"), AsyncResult[int])
    assert_type(add.apply((1, 2)), EagerResult[int])
    assert_type(add.apply((1, 2)).get(), int)
    assert_type(add.AsyncResult("id"), AsyncResult[int])
    add.apply_async((1, 2), time_limit=5, soft_time_limit=4.5)
    add.apply_async((1, 2), stamped_headers=["tenant"], tenant="ann")
    add.send_event("task-halfway", done=5)
    add.apply_async((1, 2), countdown="soon")  # error
    add.apply_async((1, 2), time_limit="soon")  # error
    add.send_event(5)  # error
    add.apply_async(1)  # error


def results() -> None:
    result = add.delay(1, 2)
    assert_type(result.get(), int)
    assert_type(result.get(timeout=10), int)
    assert_type(result.get(propagate=False), int)
    assert_type(result.id, str)
    assert_type(result.state, str)
    assert_type(result.traceback, str | None)
    assert_type(result.children, list[Any])
    results = ResultSet([add.delay(1), add.delay(2)])
    assert_type(results, ResultSet[int])
    assert_type(results.get(), list[int])
    assert_type(results.join(timeout=1), list[int])
    assert_type(results.join_native(), list[int])
    assert_type([each.get() for each in results], list[int])
    anything: AsyncResult = result
    whole: AsyncResult[object] = result
    print(anything, whole, ResultSet([add.delay(1), greet.delay("a")]))
    results.add(greet.delay("a"))  # error
    result.get(timeout="long")  # error
    result.nonsense  # error


async def awaited() -> None:
    assert_type(await add.delay(1, 2), int)
    assert_type(await add.delay(1, 2).aget(timeout=1), int)
    assert_type(await ResultSet([add.delay(1)]), list[int])


# `async def` tasks


@app.task
async def fetch(url: str) -> int:
    return len(url)


@app.task(queue="web")
async def fetch_slowly(url: str) -> int:
    return len(url)


@app.task(bind=True)
async def fetch_bound(self: Task[..., Any], url: str) -> int:
    return len(url)


async def asynchronous() -> None:
    assert_type(fetch.delay("a"), AsyncResult[int])
    assert_type(fetch_slowly.delay("a"), AsyncResult[int])
    assert_type(fetch_bound.delay("a"), AsyncResult[int])
    assert_type(fetch.delay("a").get(), int)
    coroutine: Coroutine[Any, Any, int] = fetch("a")
    assert_type(await coroutine, int)
    assert_type(await fetch.delay("a"), int)
    assert_type(fetch.apply(("a",)), EagerResult[int])
    fetch.delay(1)  # error
    fetch_slowly.delay()  # error
    fetch_bound.delay("a", "b")  # error
