"""``bind=True`` and ``base=``: the first parameter is the task, and no argument of the call."""
# pyright: strict

from __future__ import annotations

from typing import Any, assert_type

from litequeue import AsyncResult, LiteQueue, Task

app = LiteQueue("jobs.sqlite")


class Connected(Task):
    pool: int = 4


@app.task(bind=True)
def typed(self: Task[..., Any], x: int) -> int:
    return x


@app.task(bind=True)
def plain(self: Task, x: int) -> int:
    assert_type(self.request, Any)
    raise self.retry(countdown=5)


@app.task(bind=True)
def lax(self: Any, x: int) -> int:
    return x


@app.task(bind=True, base=Connected, max_retries=3)
def based(self: Connected, x: int) -> int:
    assert_type(self.pool, int)
    self.nonsense  # error
    return x


@app.task(base=Connected)
def unbound(x: int) -> int:
    return x


@app.task(bind=False)
def not_bound(x: int) -> int:
    return x


def right() -> None:
    assert_type(typed.delay(1), AsyncResult[int])
    assert_type(plain.delay(1), AsyncResult[int])
    assert_type(lax.delay(x=1), AsyncResult[int])
    assert_type(based.delay(1), AsyncResult[int])
    assert_type(unbound.delay(1), AsyncResult[int])
    assert_type(not_bound.delay(1), AsyncResult[int])
    assert_type(typed(1), int)


def wrong() -> None:
    typed.delay("x")  # error
    typed.delay()  # error
    typed.delay(typed, 1)  # error
    plain.delay(1, 2)  # error
    lax.delay(y=1)  # error
    based.delay("x")  # error
    unbound.delay("x")  # error
    not_bound.delay("x")  # error
    typed("x")  # error


@app.task(bind=True)  # error
def forgotten(x: int) -> int:
    return x


@app.task(bind=True)  # error
def without_base(self: Connected, x: int) -> int:
    return x


def when_asked(bind: bool) -> None:
    def work(*args: int) -> int:
        return sum(args)

    maybe = app.task(bind=bind)(work)
    assert_type(maybe.delay("anything"), AsyncResult[Any])
    assert_type(app.task(work, bind=bind), Task[..., Any])
    assert_type(app.task(work, bind=True).delay("anything"), AsyncResult[Any])
