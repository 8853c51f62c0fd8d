"""Class-based tasks whose hooks tell what they were called with."""

from __future__ import annotations

import os
import signal
from typing import Any

from litequeue import LiteQueue, Reject, Task
from tests.integration.apps.record import record
from tests.integration.tasks import wait_for_gate

app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"))


class Telling(Task):  # type: ignore[type-arg]  # a base of tasks with any arguments
    """Tells of every hook."""

    abstract = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        record("before_start", id=task_id, args=args, retries=self.request.retries)

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        record("on_success", id=task_id, args=args, value=retval)

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        record(
            "on_failure", id=task_id, args=args, exc=type(exc).__name__, words=str(exc),
            trace=str(einfo), here=self.request.id,
        )  # fmt: skip

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        record("on_retry", id=task_id, exc=type(exc).__name__)

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        record("after_return", id=task_id, status=status)


class Misbehaving(Task):  # type: ignore[type-arg]  # a base of tasks with any arguments
    """Raises from every hook but the first: what of, its argument says."""

    abstract = True
    max_retries = 1
    default_retry_delay = 0.0

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        misbehave(args[0])

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        misbehave(args[0])

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        misbehave(args[0])

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        record("after_return", id=task_id, status=status)
        misbehave(args[0])


def misbehave(how: str) -> None:
    record("misbehaved", how=how)
    if how == "exit":
        raise SystemExit(3)
    raise RuntimeError("a hook's own mistake")


class Sum(Telling):
    """A class-based task, with something that its jobs share."""

    name = "sum"

    def __init__(self) -> None:
        self.total = 0

    def run(self, number: int) -> list[int]:
        self.total += number
        return [os.getpid(), self.total]


summed = app.register_task(Sum())


@app.task(base=Telling, bind=True, max_retries=1, default_retry_delay=0.0)
def behave(self: Any, how: str) -> str:
    if how == "fail":
        raise ValueError("as asked")
    if how == "retry":
        raise self.retry(exc=OSError("not now"))
    if how == "reject":
        raise Reject("not mine")
    if how == "die":
        record("dies", id=self.request.id)
        os.kill(os.getpid(), signal.SIGKILL)
    return how


@app.task(base=Misbehaving, bind=True)
def suffer(self: Any, how: str, ends: str) -> str:
    if ends == "fail":
        raise ValueError("as asked")
    if ends == "retry" and self.request.retries == 0:
        raise self.retry(exc=OSError("not now"))
    return "fine"


class Stubborn(Telling):
    """Retries from on_failure."""

    abstract = True
    max_retries = 2

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        record("on_failure", id=task_id, retries=self.request.retries)
        self.retry(exc=exc, countdown=0.0)


@app.task(base=Stubborn, bind=True)
def stubborn(self: Any, failures: int) -> int:
    if self.request.retries < failures:
        raise ValueError(f"failure {self.request.retries + 1}")
    return int(self.request.retries)


@app.task(base=Telling, bind=True, expires=None)
def hold(self: Any, name: str) -> str:
    record("holds", id=self.request.id, name=name)
    wait_for_gate(name)
    return name


class Deadly(Telling):
    """Its on_failure ends the child that runs it."""

    abstract = True

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        record("on_failure", id=task_id)
        os.kill(os.getpid(), signal.SIGKILL)


@app.task(base=Deadly, bind=True)
def deadly(self: Any) -> None:
    record("dies", id=self.request.id)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(base=Telling, bind=True, throws=KeyError, name="shadowed")
def throwing(self: Any) -> None:
    raise KeyError("expected")
