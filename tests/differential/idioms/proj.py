"""The app, set up as many projects do it."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

TOPICS = [
    *("tasks", "calling", "results", "retries", "states", "classes", "routing", "signals"),
    *("limits", "signatures"),
]

app = Celery(
    "proj",
    broker=os.environ["IDIOMS_BROKER"],
    backend=os.environ["IDIOMS_BACKEND"],
    include=[f"idioms.{topic}" for topic in TOPICS],
)


def route(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **more: Any) -> Any:
    if name.endswith("routed_by_function"):
        return {"queue": "chosen"}
    return None


app.conf.task_default_queue = "main"
app.conf.task_queues = [
    Queue("main"),
    Queue("named", Exchange("named"), routing_key="named"),
    Queue("globbed"),
    Queue("matched"),
    Queue("chosen"),
]
app.conf.task_routes = [
    route,
    {
        "idioms.routing.routed_by_name": {"queue": "named"},
        "idioms.routing.glob_*": "globbed",
        "idioms.routing.routed_with_priority": {"queue": "named", "priority": 4},
    },
    [(re.compile(r"idioms\.routing\.(video|image)_.+"), {"queue": "matched"})],
]
app.conf.task_annotations = {
    "idioms.retries.annotated": {"max_retries": 7, "default_retry_delay": 11},
    "*": {"resultrepr_maxsize": 512},
}
app.conf.update(result_extended=True)
app.conf.update(json.loads(os.environ["IDIOMS_SETTINGS"]))
app.autodiscover_tasks(["idioms.shop"])
