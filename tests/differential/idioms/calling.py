"""Calling tasks: every option of a call, what the task sees of it, and what travels as argument."""

from __future__ import annotations

import os
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from celery.exceptions import TaskRevokedError
from idioms.observe import got, idiom, outcome, refused, tried, wait_until
from idioms.proj import app


@app.task
def subtract(x: int, y: int) -> int:
    return x - y


@app.task(bind=True)
def request_of(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    request = self.request
    return {
        "id": request.id,
        "args": list(request.args),
        "kwargs": request.kwargs,
        "retries": request.retries,
        "hostname": request.hostname,
        "called_directly": request.called_directly,
        "is_eager": request.is_eager,
        "task": request.task,
        "eta": request.eta is not None,
        "expires": request.expires is not None,
        "routing_key": request.delivery_info["routing_key"],
        "priority": request.delivery_info["priority"],
        "parent_id": request.parent_id,
        "root_id": request.root_id,
        "shadow": request.shadow,
        "ignore_result": request.ignore_result,
    }


@app.task(bind=True)
def more_of_the_request(self: Any) -> dict[str, Any]:
    request = self.request
    names = ["group", "chord", "chain", "callbacks", "errbacks", "timelimit"]
    return {
        **{name: getattr(request, name, "absent") for name in names},
        "correlation_id": request.correlation_id == request.id,
        "redelivered": request.delivery_info["redelivered"],
        "origin": "@" in str(request.origin),
    }


@app.task(bind=True)
def header_of(self: Any, name: str) -> Any:
    return (self.request.headers or {}).get(name)


@app.task
def started_at() -> float:
    return time.time()


@app.task
def type_of(value: Any) -> list[str]:
    return [type(value).__name__, str(value)]


@app.task
def echo(value: Any) -> Any:
    return value


@app.task
def never() -> None:
    raise AssertionError("ran although it had expired")


@app.task
def fire_and_forget() -> str:
    return "nobody asks"


@app.task(ignore_result=True)
def forgetful() -> str:
    return "nobody asks"


@app.task(bind=True, expires=60, priority=6)
def with_options_of_its_own(self: Any) -> list[Any]:
    return [self.request.expires is not None, self.request.delivery_info["priority"]]


@app.task(acks_late=True, serializer="json")
def with_options_of_delivery() -> str:
    return "done"


@app.task(bind=True)
def grandparent(self: Any) -> dict[str, Any]:
    child = request_of.delay("from a task")
    return {"id": self.request.id, "root": self.request.root_id, "child": child.id}


@idiom
def arguments() -> Any:
    return [
        got(subtract.delay(5, 3)),
        got(subtract.delay(5, y=3)),
        got(subtract.apply_async((5, 3))),
        got(subtract.apply_async([5, 3])),
        got(subtract.apply_async(kwargs={"x": 5, "y": 3})),
        got(subtract.apply_async((5,), {"y": 3})),
    ]


@idiom
def request_fields() -> Any:
    result = request_of.delay(1, two=2)
    seen = got(result)
    return {
        **seen,
        "id": seen["id"] == result.id,
        "hostname": seen["hostname"] == os.environ["IDIOMS_WORKER_NAME"],
        "root_id": seen["root_id"] == result.id,
    }


@idiom
def more_request_fields() -> Any:
    return got(more_of_the_request.delay())


@idiom
def countdown() -> Any:
    sent = time.time()
    return got(started_at.apply_async(countdown=0.3)) >= sent + 0.3


@idiom
def eta() -> Any:
    when = datetime.now(UTC) + timedelta(seconds=0.3)
    return got(started_at.apply_async(eta=when)) >= when.timestamp()


@idiom
def eta_in_the_past() -> Any:
    seen = got(request_of.apply_async(eta=datetime.now(UTC) - timedelta(days=1)))
    return seen["eta"]


@idiom
def expires_in_the_past() -> Any:
    result = never.apply_async(expires=datetime.now(UTC) - timedelta(seconds=5))
    seen = outcome(result)
    return [seen["state"], seen["raised"], type(result.result) is TaskRevokedError]


@idiom
def expires_before_it_is_due() -> Any:
    result = never.apply_async(countdown=0.4, expires=0.1)
    seen = outcome(result)
    return [seen["state"], seen["raised"]]


@idiom
def expires_in_time() -> Any:
    return got(request_of.apply_async(expires=60))["expires"]


@idiom
def options_of_a_task() -> Any:
    return [got(with_options_of_its_own.delay()), got(with_options_of_delivery.delay())]


@idiom
def priority() -> Any:
    return got(request_of.apply_async(priority=3))["priority"]


@idiom
def queue_of_a_call() -> Any:
    return got(request_of.apply_async(queue="named"))["routing_key"]


@idiom
def id_of_a_call() -> Any:
    result = request_of.apply_async(task_id="chosen-by-the-caller")
    return [result.id, result.task_id, str(result), got(result)["id"]]


@idiom
def headers() -> Any:
    return got(header_of.apply_async(("tenant",), headers={"tenant": "blue"}))


@idiom
def shadow() -> Any:
    return got(request_of.apply_async(shadow="under another name"))["shadow"]


@idiom
def serializer_of_a_call() -> Any:
    return got(echo.apply_async(("x",), serializer="json"))


@idiom
def compression() -> Any:
    return len(got(echo.apply_async(("x" * 5000,), compression="zlib")))


@idiom
def publish_retry_policy() -> Any:
    policy = {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2}
    return [
        got(echo.apply_async((1,), retry=True, retry_policy=policy)),
        got(echo.apply_async((2,), retry=False)),
    ]


@idiom
def ignore_result_of_a_call() -> Any:
    result = fire_and_forget.apply_async(ignore_result=True)
    return [result.ignored, result.get(timeout=5)]


@idiom
def ignore_result_of_a_task() -> Any:
    result = forgetful.delay()
    return [forgetful.ignore_result, result.get(timeout=5)]


@idiom
def result_kept_for_one_call() -> Any:
    return got(forgetful.apply_async(ignore_result=False))


@idiom
def by_name() -> Any:
    return [
        got(app.send_task("idioms.calling.subtract", (9, 1))),
        got(app.send_task("idioms.calling.subtract", args=[9], kwargs={"y": 2})),
        got(app.send_task("idioms.calling.request_of", queue="named"))["routing_key"],
    ]


@idiom
def by_name_with_wrong_arguments() -> Any:
    return tried(lambda: outcome(app.send_task("idioms.calling.subtract", (1,)))["raised"])


@idiom
def types_that_travel() -> Any:
    values = [
        datetime(2026, 11, 5, 12, 30, tzinfo=UTC),
        date(2026, 11, 5),
        UUID("12345678-1234-5678-1234-567812345678"),
        Decimal("1.10"),
        b"bytes",
        (1, 2),
        None,
        1.5,
        "snow \u2603",
    ]
    return [got(type_of.delay(value)) for value in values]


@idiom
def types_that_come_back() -> Any:
    values = [datetime(2026, 11, 5, tzinfo=UTC), Decimal("1.10"), UUID(int=7), (1, 2), {"a": [1]}]
    return [repr(got(echo.delay(value))) for value in values]


@idiom
def numbers_as_keys() -> Any:
    seen = tried(lambda: got(echo.delay({1: "one"})))
    return seen.get("raised", seen.get("value"))


@idiom
def what_does_not_travel() -> Any:
    return refused(lambda: echo.delay(object()))


@idiom
def wrong_moment() -> Any:
    return refused(lambda: echo.apply_async((1,), countdown="soon"))


@idiom
def task_that_calls_a_task() -> Any:
    seen = got(grandparent.delay())
    child = got(app.AsyncResult(seen["child"]))
    return [
        seen["root"] == seen["id"],
        child["parent_id"] == seen["id"],
        child["root_id"] == seen["id"],
        child["args"],
    ]


@idiom
def many_at_once() -> Any:
    results = [subtract.delay(number, 1) for number in range(30)]
    wait_until(lambda: all(result.ready() for result in results))
    return [result.get(timeout=5) for result in results]


@idiom
def unknown_option() -> Any:
    return tried(lambda: got(subtract.apply_async((3, 1), no_such_option=1))).get("raised")
