"""``shared_task`` in all its forms, and what stands for the current app and task."""
# pyright: strict

from __future__ import annotations

from typing import Any, assert_type

from litequeue import AsyncResult, LiteQueue, Task, current_app, current_task, shared_task


class Connected(Task):
    pool: int = 4


@shared_task
def add(x: int, y: int = 0) -> int:
    return x + y


@shared_task()
def add_called(x: int, y: int = 0) -> int:
    return x + y


@shared_task(name="add", max_retries=5, ignore_result=True)
def add_with_options(x: int, y: int = 0) -> int:
    return x + y


@shared_task(bind=True)
def add_bound(self: Task[..., Any], x: int, y: int = 0) -> int:
    return x + y


@shared_task(bind=True, base=Connected)
def add_based(self: Connected, x: int, y: int = 0) -> int:
    return x + y + self.pool


@shared_task
async def fetch(url: str) -> int:
    return len(url)


@shared_task(bind=True)
async def fetch_bound(self: Task[..., Any], url: str) -> int:
    return len(url)


def right() -> None:
    assert_type(add.delay(1, 2), AsyncResult[int])
    assert_type(add_called.delay(1), AsyncResult[int])
    assert_type(add_with_options.delay(1, y=2), AsyncResult[int])
    assert_type(add_bound.delay(1, 2), AsyncResult[int])
    assert_type(add_based.delay(1, 2), AsyncResult[int])
    assert_type(fetch.delay("a"), AsyncResult[int])
    assert_type(fetch_bound.delay("a"), AsyncResult[int])
    assert_type(add(1, 2), int)


def wrong() -> None:
    add.delay("x")  # error
    add_called.delay()  # error
    add_with_options.delay(1, 2, 3)  # error
    add_bound.delay(1, z=2)  # error
    add_based.delay("x")  # error
    fetch.delay(1)  # error
    fetch_bound.delay()  # error


@shared_task(bind=True)  # error
def forgotten(x: int) -> int:
    return x


def when_asked(bind: bool) -> None:
    def work(*args: int) -> int:
        return sum(args)

    assert_type(shared_task(bind=bind)(work).delay("anything"), AsyncResult[Any])


def currently() -> None:
    assert_type(current_app, LiteQueue)
    assert_type(current_app.tasks["add"], Task[..., Any])
    assert_type(current_task, Task[..., Any])
    assert_type(current_task.name, str)
    current_app.nonsense  # error
    current_task.nonsense  # error
