"""Signatures: what is sent later has the type of the task's result; arguments may be missing."""
# pyright: strict

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_type

from litequeue import AsyncResult, EagerResult, LiteQueue, signature
from litequeue.canvas import Signature, StampingVisitor, maybe_signature, subtask
from litequeue.schedules import crontab

app = LiteQueue("jobs.sqlite")


@app.task
def add(x: int, y: int = 0) -> int:
    return x + y


@app.task
async def fetch(url: str) -> str:
    return url


def makes() -> None:
    assert_type(add.s(1, 2), Signature[int])
    assert_type(add.s(), Signature[int])
    assert_type(add.si(x=1), Signature[int])
    assert_type(fetch.s("a"), Signature[str])
    assert_type(add.signature((1,), {"y": 2}, queue="mail", immutable=True), Signature[int])
    assert_type(add.subtask([1]), Signature[int])
    assert_type(signature(add, (1, 2)), Signature[int])
    assert_type(Signature(add, (1, 2)), Signature[int])
    assert_type(signature(add.s(1)), Signature[int])
    assert_type(signature("add", (1, 2), queue="mail"), Signature[Any])
    assert_type(subtask({"task": "add"}), Signature[Any])
    assert_type(app.signature("add", (1,)), Signature[Any])
    assert_type(maybe_signature(add.s(1), clone=True), Signature[int])
    assert_type(maybe_signature({"task": "add"}, app), Signature[Any])
    assert_type(maybe_signature(None), None)
    add.signature(1)  # error
    add.signature((1,), 2)  # error
    signature(5)  # error
    maybe_signature("add")  # error


def sends() -> None:
    sig = add.s(1)
    assert_type(sig.delay(2), AsyncResult[int])
    assert_type(sig.apply_async((2,), {"y": 3}, countdown=5), AsyncResult[int])
    assert_type(sig.apply(), EagerResult[int])
    assert_type(sig(2), int)
    assert_type(~sig, int)
    assert_type(sig.freeze(), AsyncResult[int])
    sig.apply_async(2)  # error
    text: str = sig.delay().get()  # error
    print(text)


def changes() -> None:
    sig = add.s(1)
    assert_type(sig.clone((2,), {"y": 3}, queue="mail"), Signature[int])
    assert_type(sig.set(queue="mail", countdown=5), Signature[int])
    assert_type(sig.replace(args=(1, 2)), Signature[int])
    assert_type(sig.stamp(tenant="ann"), Signature[int])
    assert_type((sig.task, sig.name), tuple[str, str])
    assert_type(sig.args, Sequence[Any])
    assert_type(sig.kwargs, dict[str, Any])
    assert_type(sig.options, dict[str, Any])
    assert_type(sig.id, str | None)
    assert_type(sig.immutable, bool)
    sig.args = (1, 2)
    sig.id = "mine"
    sig.id = 5  # error
    sig.link(add.s())
    sig.link_error(add.si())
    sig.nonsense  # error
    sig.set("yes")  # error
    assert_type(add.map([1, 2]), Signature[list[int]])


class Tenant(StampingVisitor):
    def on_signature(self, sig: Any, **headers: Any) -> dict[str, Any]:
        return {"tenant": "ann"}


def elsewhere() -> None:
    add.s(1).stamp(Tenant(), append_stamps=True)
    app.add_periodic_task(crontab("0 3 * * *", tz="Europe/Berlin"), add.s(1, 2), name="nightly")
    whole: Signature[object] = signature("add")
    print(whole, add.s(1)["args"])
