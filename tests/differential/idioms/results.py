"""Results: looking at them, waiting for them, taking them back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from celery.exceptions import TaskRevokedError, TimeoutError
from celery.result import AsyncResult, ResultSet, allow_join_result
from idioms.observe import (
    got,
    idiom,
    open_gate,
    outcome,
    pass_gate,
    refused,
    tried,
    wait_until,
)
from idioms.proj import app


class OutOfStockError(Exception):
    """An exception of the program's own."""


@app.task
def double(x: int) -> int:
    return 2 * x


@app.task
def nothing() -> None:
    pass


@app.task
def fail(words: str) -> None:
    raise ValueError(words)


@app.task
def fail_with_key() -> None:
    raise KeyError("missing", 3)


@app.task
def fail_with_own_exception() -> None:
    raise OutOfStockError("tea")


@app.task
def wait_at(gate: str) -> str:
    pass_gate(gate)
    return "passed"


@app.task
def children(number: int) -> list[str]:
    return [double.delay(n).id for n in range(number)]


@app.task(trail=False)
def children_not_kept() -> list[str]:
    return [double.delay(1).id]


@app.task
def children_left_out() -> list[str]:
    return [double.apply_async((1,), add_to_parent=False).id]


@app.task
def get_in_a_task() -> Any:
    return refused(lambda: double.delay(1).get(timeout=5))


@app.task
def get_in_a_task_by_option() -> Any:
    return double.delay(5).get(timeout=15, disable_sync_subtasks=False)


@app.task
def get_in_a_task_allowed() -> Any:
    with allow_join_result():
        return double.delay(4).get(timeout=15)


@idiom
def looking_at_success() -> Any:
    result = double.delay(4)
    got(result)
    return {
        "state": result.state,
        "status": result.status,
        "result": result.result,
        "info": result.info,
        "ready": result.ready(),
        "successful": result.successful(),
        "failed": result.failed(),
        "traceback": result.traceback,
    }


@idiom
def looking_at_failure() -> Any:
    result = fail.delay("no luck")
    wait_until(result.ready)
    return {
        "state": result.state,
        "result": repr(result.result),
        "info": repr(result.info),
        "ready": result.ready(),
        "successful": result.successful(),
        "failed": result.failed(),
        "traceback": [
            "Traceback" in result.traceback,
            "raise ValueError(words)" in result.traceback,
        ],
    }


@idiom
def remote_exception_by_type() -> Any:
    seen = []
    for result in [fail.delay("no luck"), fail_with_key.delay()]:
        try:
            got(result)
        except (ValueError, KeyError) as error:
            seen.append([type(error).__name__, list(error.args)])
    return seen


@idiom
def exception_of_ones_own() -> Any:
    return outcome(fail_with_own_exception.delay())


@idiom
def get_without_propagating() -> Any:
    result = fail.delay("kept")
    wait_until(result.ready)
    return repr(result.get(propagate=False))


@idiom
def maybe_throw() -> Any:
    result = fail.delay("thrown")
    wait_until(result.ready)
    return tried(result.maybe_throw)


@idiom
def get_times_out() -> Any:
    result = wait_at.delay("times-out")
    try:
        result.get(timeout=0.2)
    except TimeoutError as error:
        name = type(error).__name__
    open_gate("times-out")
    return [name, got(result)]


@idiom
def get_with_callback() -> Any:
    seen: list[Any] = []
    result = double.delay(6)
    wait_until(result.ready)
    result.get(callback=lambda id, value: seen.append([id == result.id, value]))
    return seen


@idiom
def get_with_interval() -> Any:
    return double.delay(6).get(timeout=20, interval=0.02)


@idiom
def get_twice() -> Any:
    result = double.delay(7)
    return [got(result), result.get(timeout=5), result.wait(timeout=5)]


@idiom
def result_of_none() -> Any:
    return outcome(nothing.delay())


@idiom
def result_by_id() -> Any:
    id = double.delay(8).id
    again = [AsyncResult(id, app=app), AsyncResult(id), app.AsyncResult(id), double.AsyncResult(id)]
    return [got(result) for result in again]


@idiom
def identity_of_results() -> Any:
    result = double.delay(9)
    same, other = app.AsyncResult(result.id), app.AsyncResult("another")
    return [result == same, result != other, len({result, same, other}), str(result) == result.id]


@idiom
def unknown_id() -> Any:
    result = app.AsyncResult("nobody-sent-this")
    return [result.state, result.result, result.ready(), result.exists()]


@idiom
def get_of_an_unknown_id() -> Any:
    return refused(lambda: app.AsyncResult("nobody-sent-this").get(timeout=0.1))


@idiom
def known_id_exists() -> Any:
    result = double.delay(10)
    got(result)
    return result.exists()


@idiom
def forget() -> Any:
    result = double.delay(11)
    got(result)
    result.forget()
    return [result.state, result.result, app.AsyncResult(result.id).state]


@idiom
def what_is_known_of_a_job() -> Any:
    before = datetime.now(UTC) - timedelta(seconds=1)
    result = double.apply_async((12,), queue="named")
    got(result)
    return {
        "name": result.name,
        "args": list(result.args),
        "kwargs": result.kwargs,
        "queue": result.queue,
        "retries": result.retries,
        "date_done": before <= result.date_done.replace(tzinfo=UTC) <= datetime.now(UTC),
    }


@idiom
def worker_of_a_job() -> Any:
    import os

    result = double.delay(13)
    got(result)
    return result.worker == os.environ["IDIOMS_WORKER_NAME"]


@idiom
def children_of_a_job() -> Any:
    result = children.delay(3)
    ids = got(result)
    known = app.AsyncResult(result.id).children
    return [len(known), [child.id for child in known] == ids, [got(child) for child in known]]


@idiom
def children_left_out_on_purpose() -> Any:
    results = [children_not_kept.delay(), children_left_out.delay()]
    return [len(got(result)) for result in results] + [result.children for result in results]


@idiom
def get_in_a_task_is_refused() -> Any:
    return got(get_in_a_task.delay())


@idiom
def get_in_a_task_on_purpose() -> Any:
    return [got(get_in_a_task_allowed.delay()), got(get_in_a_task_by_option.delay())]


@idiom
def result_set() -> Any:
    results = ResultSet([double.delay(1), double.delay(2)], app=app)
    results.add(double.delay(3))
    wait_until(results.ready)
    return {
        "join": results.join(timeout=5),
        "get": results.get(timeout=5),
        "successful": results.successful(),
        "failed": results.failed(),
        "waiting": results.waiting(),
        "completed": results.completed_count(),
        "length": len(results),
    }


@idiom
def result_set_with_a_failure() -> Any:
    results = ResultSet([double.delay(1), fail.delay("one of them")], app=app)
    wait_until(results.ready)
    return {
        "join": tried(lambda: results.join(timeout=5)),
        "kept": repr(results.join(timeout=5, propagate=False)),
        "successful": results.successful(),
        "failed": results.failed(),
        "completed": results.completed_count(),
    }


@idiom
def revoke_a_waiting_job() -> Any:
    result = double.apply_async((1,), countdown=1.5)
    result.revoke()
    try:
        got(result)
    except TaskRevokedError as error:
        return [result.state, type(error).__name__, result.failed(), result.ready()]
