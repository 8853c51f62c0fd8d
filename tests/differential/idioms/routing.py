"""Routing: by name, pattern, function, option; and what wins."""

from __future__ import annotations

from typing import Any

from idioms.observe import got, idiom
from idioms.proj import app


def _where(task: Any) -> list[Any]:
    info = task.request.delivery_info
    return [info["routing_key"], info["priority"]]


@app.task(bind=True)
def unrouted(self: Any) -> Any:
    return _where(self)


@app.task(bind=True)
def routed_by_name(self: Any) -> Any:
    return _where(self)


@app.task(bind=True)
def glob_one(self: Any) -> Any:
    return _where(self)


@app.task(bind=True)
def video_encode(self: Any) -> Any:
    return _where(self)


@app.task(bind=True)
def routed_by_function(self: Any) -> Any:
    return _where(self)


@app.task(bind=True)
def routed_with_priority(self: Any) -> Any:
    return _where(self)


@app.task(bind=True, queue="chosen", priority=2)
def routed_by_option(self: Any) -> Any:
    return _where(self)


@app.task(bind=True, queue="chosen")
def glob_with_option(self: Any) -> Any:
    return _where(self)


@idiom
def default_queue() -> Any:
    return got(unrouted.delay())


@idiom
def routes() -> Any:
    tasks = [routed_by_name, glob_one, video_encode, routed_by_function, routed_with_priority]
    return {task.name: got(task.delay()) for task in tasks}


@idiom
def route_of_a_task_option() -> Any:
    return [got(routed_by_option.delay()), got(glob_with_option.delay())]


@idiom
def call_wins_over_route() -> Any:
    return [
        got(routed_by_name.apply_async(queue="chosen")),
        got(routed_with_priority.apply_async(priority=8)),
        got(routed_by_option.apply_async(queue="main", priority=5)),
    ]


@idiom
def routing_key_of_a_call() -> Any:
    return got(unrouted.apply_async(queue="named", routing_key="named"))


@idiom
def route_of_a_name_sent() -> Any:
    return got(app.send_task("idioms.routing.routed_by_name"))


@idiom
def queues_declared() -> Any:
    return sorted(queue.name for queue in app.conf.task_queues)
