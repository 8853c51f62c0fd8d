"""Workflows: a chain has the type of its last step, a group is a list of results."""
# pyright: strict

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, assert_type

from litequeue import (
    AsyncResult,
    GroupResult,
    LiteQueue,
    chain,
    chord,
    chunks,
    group,
    maybe_signature,
    signature,
    subtask,
    xmap,
    xstarmap,
)
from litequeue.canvas import Signature

app = LiteQueue("jobs.sqlite")


@app.task
def add(x: int, y: int = 0) -> int:
    return x + y


@app.task
def text(x: int) -> str:
    return str(x)


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


def chains() -> None:
    both = add.s(1, 2) | text.s()
    assert_type(both, Signature[str])
    assert_type(both.delay(), AsyncResult[str])
    assert_type((add.s(1, 2) | add.s(3)).delay().get(), int)
    assert_type((add.s(1) | add.s(2) | text.s()).apply_async(countdown=5).get(timeout=1), str)
    wrong: int = both.delay().get()  # error
    print(wrong, add.s(1) | 5)  # error
    chain(add.s(1), text.s()).delay()
    chain([add.s(1), text.s()], queue="mail")


def groups() -> None:
    many = group(add.s(n) for n in range(3))
    assert_type(many.delay(), GroupResult[Any])
    assert_type(many.apply_async(countdown=5), GroupResult[Any])
    assert_type(many | total.s(), Signature[int])
    assert_type((many | total.s()).delay().get(), int)
    many.skew(1, 10).delay()
    group(add.s(1), add.s(2)).set(policy="ignore")
    number: int = many.delay()  # error
    print(number, len(many), many.delay().completed_count())


def chords() -> None:
    whole = chord([add.s(1), add.s(2)], total.s(), policy="placeholders")
    whole.delay().get()
    chord(add.s(n) for n in range(3))(total.s())
    whole.link(text.s())
    chord()  # error


def maps() -> None:
    assert_type(text.map([1, 2]), Signature[list[str]])
    assert_type(add.starmap([(1, 2), (3, 4)]).delay().get(), list[int])
    assert_type(add.chunks([(1, 2)], 10), chunks)
    text.map(5)  # error
    add.chunks([(1, 2)])  # error
    print(xmap(add.s(), [1]), xstarmap(add.s(), [(1, 2)]))


async def waits() -> None:
    assert_type(await (add.s(1, 2) | text.s()).delay(), str)
    group_result = group(add.s(1), add.s(2)).delay()
    many: Awaitable[Any] = group_result
    print(await many)


@app.task(bind=True)
def hands_on(self: Any, x: int) -> int:
    return x


def inside() -> None:
    assert_type(add.replace(text.s(1)), str)
    assert_type(add.step("charge", int, "5"), int)
    add.set_progress(5, 10, file="a.csv")
    add.set_progress("5")  # error
    add.step("charge", text, "no number")  # error
    add.step(5, int)  # error
    add.add_to_chord(text.s(1), lazy=True)


async def fetch(url: str) -> bytes:
    return url.encode()


async def inside_a_coroutine() -> None:
    assert_type(await add.step("fetch", fetch, "https://example.org"), bytes)


def elsewhere() -> None:
    app.add_periodic_task(60, add.s(1) | text.s(), name="chain")
    app.add_periodic_task(60, group(add.s(1), add.s(2)), name="group")
    assert_type(signature(add.s(1) | text.s()), Signature[str])
    assert_type(maybe_signature(text.s(1)), Signature[str])
    print(subtask({"task": "add"}))
