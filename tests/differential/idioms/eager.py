"""Running at once: `apply`, and every call of an app that is set to eager.  Needs no worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery, signals
from celery.exceptions import MaxRetriesExceededError
from idioms.observe import idiom, tried

app = Celery("eager", broker=os.environ["IDIOMS_BROKER"], backend=os.environ["IDIOMS_BACKEND"])


@contextmanager
def eagerly(*, propagates: bool = False) -> Iterator[None]:
    app.conf.task_always_eager = True
    app.conf.task_eager_propagates = propagates
    try:
        yield
    finally:
        app.conf.task_always_eager = False
        app.conf.task_eager_propagates = False


@app.task
def divide(x: int, y: int) -> float:
    return x / y


@app.task(bind=True)
def request_of(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    request = self.request
    return {
        "id": request.id,
        "args": list(request.args),
        "kwargs": request.kwargs,
        "retries": request.retries,
        "is_eager": request.is_eager,
        "called_directly": request.called_directly,
    }


@app.task(bind=True, max_retries=3)
def retry_until(self: Any, lucky: int) -> int:
    if self.request.retries < lucky:
        raise self.retry(exc=ValueError("not yet"), countdown=3600)
    return int(self.request.retries)


@app.task(bind=True, max_retries=1)
def retry_in_vain(self: Any) -> None:
    self.retry(countdown=3600)


@app.task(autoretry_for=(ZeroDivisionError,), max_retries=2, retry_backoff=True)
def autoretry() -> float:
    return 1 / 0


@app.task(bind=True, time_limit=20, soft_time_limit=10)
def marks_of(self: Any) -> list[Any]:
    request = self.request
    return [list(request.timelimit), request.stamped_headers, request.stamps]


@app.task
def type_of(value: Any) -> str:
    return type(value).__name__


@app.task
def outer() -> float:
    return 1 + divide.delay(4, 2).get()


def seen(result: Any) -> dict[str, Any]:
    return {
        "state": result.state,
        "status": result.status,
        "result": repr(result.result),
        "ready": result.ready(),
        "successful": result.successful(),
        "failed": result.failed(),
        "traceback": result.traceback is not None,
        "get": tried(result.get),
    }


@idiom
def applied() -> Any:
    result = divide.apply((6, 3))
    return [type(result).__name__, seen(result)]


@idiom
def applied_with_keywords() -> Any:
    return [
        divide.apply(kwargs={"x": 6, "y": 3}).get(),
        divide.apply(args=[6], kwargs={"y": 2}).get(),
    ]


@idiom
def applied_and_failed() -> Any:
    result = divide.apply((6, 0))
    return [seen(result), repr(result.get(propagate=False))]


@idiom
def applied_and_thrown() -> Any:
    return tried(lambda: divide.apply((6, 0), throw=True))


@idiom
def applied_request() -> Any:
    result = request_of.apply((1,), {"two": 2}, task_id="eager-one")
    return [result.id, result.get()]


@idiom
def applied_limits_and_stamps() -> Any:
    stamps = {"stamped_headers": ["tenant"], "tenant": "ann"}
    applied = marks_of.apply(time_limit=9, **stamps).get()
    with eagerly():
        return [applied, marks_of.apply_async(time_limit=9, **stamps).get()]


@idiom
def applied_retries() -> Any:
    return [seen(retry_until.apply((2,))), seen(retry_until.apply((9,)))]


@idiom
def applied_retries_in_vain() -> Any:
    result = retry_in_vain.apply()
    return [result.state, isinstance(result.result, MaxRetriesExceededError)]


@idiom
def applied_autoretry() -> Any:
    return seen(autoretry.apply())


@idiom
def always_eager() -> Any:
    with eagerly():
        result = divide.delay(6, 3)
        request = request_of.apply_async((1,), {"two": 2}, task_id="eager-two", countdown=3600)
        return [type(result).__name__, seen(result), request.id, request.get()]


@idiom
def always_eager_and_failed() -> Any:
    with eagerly():
        return seen(divide.delay(6, 0))


@idiom
def always_eager_and_propagated() -> Any:
    with eagerly(propagates=True):
        return tried(lambda: divide.delay(6, 0))


@idiom
def always_eager_serializes() -> Any:
    with eagerly():
        return type_of.delay((1, 2)).get()


@idiom
def always_eager_refuses_what_does_not_travel() -> Any:
    with eagerly():
        return tried(lambda: type_of.delay(object())).get("raised")


@idiom
def always_eager_checks_arguments() -> Any:
    with eagerly():
        return tried(lambda: divide.delay(1))["raised"]


@idiom
def eager_task_calls_a_task() -> Any:
    with eagerly():
        return tried(lambda: outer.delay().get()).get("raised")


@idiom
def eager_signals() -> Any:
    noticed: list[Any] = []

    def note_prerun(task_id: str, args: Any, **more: Any) -> None:
        noticed.append(["prerun", task_id, list(args)])

    def note_success(sender: Any, result: Any, **more: Any) -> None:
        noticed.append(["success", sender.name, result])

    signals.task_prerun.connect(note_prerun)
    signals.task_success.connect(note_success)
    divide.apply((8, 2), task_id="eager-three")
    signals.task_prerun.disconnect(note_prerun)
    signals.task_success.disconnect(note_success)
    return noticed
