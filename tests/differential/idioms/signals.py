"""Signals: around a call, around a run, around a process."""

from __future__ import annotations

import os
from typing import Any

from celery import signals
from idioms.observe import got, idiom, note, noted, wait_for_notes, wait_until
from idioms.proj import app

STARTED: dict[str, int] = {}


@app.task(bind=True)
def watched(self: Any, x: int, *, y: int = 1) -> float:
    return x / y


@app.task
def unwatched() -> str:
    return "nobody looks"


@app.task
def what_the_process_knows() -> list[Any]:
    return [STARTED.get("process") == os.getpid(), len(STARTED)]


@app.task(bind=True)
def trace(self: Any) -> Any:
    return self.request.headers.get("trace")


@signals.worker_process_init.connect
def start_process(**more: Any) -> None:
    STARTED["process"] = os.getpid()


@signals.worker_ready.connect
def say_ready(sender: Any, **more: Any) -> None:
    note("worker_ready", sender is not None)


@signals.task_prerun.connect(sender=watched)
def before(sender: Any, task_id: str, task: Any, args: Any, kwargs: Any, **more: Any) -> None:
    note(task_id, ["prerun", sender.name, task.name, list(args), kwargs])


@signals.task_postrun.connect(sender=watched)
def after(sender: Any, task_id: str, task: Any, retval: Any, state: str, **more: Any) -> None:
    note(task_id, ["postrun", sender.name, repr(retval), state])


@signals.task_success.connect(sender=watched)
def good(sender: Any, result: Any, **more: Any) -> None:
    note(sender.request.id, ["success", sender.name, result])


@signals.task_failure.connect(sender=watched)
def bad(
    sender: Any, task_id: str, exception: Any, args: Any, traceback: Any, einfo: Any, **more: Any
) -> None:
    texts = [traceback is not None, "Traceback" in str(einfo)]
    note(task_id, ["failure", sender.name, repr(exception), list(args), *texts])


@idiom
def signals_of_success() -> Any:
    result = watched.delay(6, y=3)
    got(result)
    return wait_for_notes(result.id, 3)


@idiom
def signals_of_failure() -> Any:
    result = watched.delay(6, y=0)
    wait_until(result.ready)
    return wait_for_notes(result.id, 3)


@idiom
def signal_of_one_sender() -> Any:
    result = unwatched.delay()
    return [got(result), noted(result.id)]


@idiom
def signal_of_a_process() -> Any:
    return got(what_the_process_knows.delay())


@idiom
def signal_of_a_ready_worker() -> Any:
    return wait_for_notes("worker_ready")


@idiom
def signals_of_a_call() -> Any:
    seen: list[Any] = []

    def publishing(sender: str, headers: Any, body: Any, routing_key: str, **more: Any) -> None:
        seen.append(["before", sender, headers["task"], list(body[0]), body[1], routing_key])

    def published(sender: str, headers: Any, body: Any, routing_key: str, **more: Any) -> None:
        seen.append(["after", sender, headers["id"], routing_key])

    signals.before_task_publish.connect(publishing)
    signals.after_task_publish.connect(published)
    try:
        result = watched.apply_async((6,), {"y": 2}, queue="named")
    finally:
        signals.before_task_publish.disconnect(publishing)
        signals.after_task_publish.disconnect(published)
    unwatched.delay()
    seen[-1][2] = seen[-1][2] == result.id
    return [seen, got(result)]


@idiom
def signal_of_a_call_by_sender() -> Any:
    seen: list[str] = []

    def published(sender: str, **more: Any) -> None:
        seen.append(sender)

    signals.after_task_publish.connect(published, sender="idioms.signals.unwatched")
    got(watched.delay(1))
    got(unwatched.delay())
    signals.after_task_publish.disconnect(published, sender="idioms.signals.unwatched")
    return seen


@idiom
def header_added_while_publishing() -> Any:
    def publishing(headers: Any, **more: Any) -> None:
        headers["trace"] = "abc"

    signals.before_task_publish.connect(publishing)
    try:
        result = trace.delay()
    finally:
        signals.before_task_publish.disconnect(publishing)
    return got(result)


@idiom
def receiver_of_a_dead_object() -> Any:
    seen: list[str] = []

    def connect() -> None:
        def forgotten(**more: Any) -> None:
            seen.append("forgotten")

        def kept(**more: Any) -> None:
            seen.append("kept")

        signals.after_task_publish.connect(forgotten)
        signals.after_task_publish.connect(kept, weak=False, dispatch_uid="kept")

    connect()
    got(unwatched.delay())
    signals.after_task_publish.disconnect(dispatch_uid="kept")
    got(unwatched.delay())
    return seen
