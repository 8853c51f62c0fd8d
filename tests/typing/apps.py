"""The app, its settings, and signals: a wrong name is an error."""
# pyright: strict

from __future__ import annotations

from typing import Any, assert_type

from litequeue import AsyncResult, LiteQueue, ResultSet, Task
from litequeue.config import Settings
from litequeue.control import Control
from litequeue.events import Events
from litequeue.signals import task_prerun, worker_ready
from litequeue.store import Store

app = LiteQueue("jobs.sqlite", include=["tasks"], task_always_eager=True)


def settings() -> None:
    assert_type(app.conf, Settings)
    assert_type(app.conf.task_always_eager, bool)
    assert_type(app.conf.result_expires, float)
    assert_type(app.conf.task_max_deliveries, int)
    assert_type(app.conf.task_default_queue, str)
    assert_type(app.conf.accept_content, tuple[str, ...])
    assert_type(app.conf.broker_url, str | None)
    assert_type(app.conf.task_time_limit, float | None)
    assert_type(app.conf.worker_max_tasks_per_child, int | None)
    assert_type(app.conf["result_expires"], Any)
    app.conf.task_always_eager = True
    app.conf.result_expires = 3600
    app.conf.update(accept_content=["json"], task_default_queue="mail")
    app.conf.task_routes = {"mail.*": "mail"}
    print(app.conf.task_alway_eager)  # error
    app.conf.task_alway_eager = True  # error
    app.conf.task_always_eager = "yes"  # error
    app.conf.result_expires = "soon"  # error


def members() -> None:
    assert_type(app.tasks["add"], Task[..., Any])
    assert_type(app.tasks.get("add"), Task[..., Any] | None)
    assert_type(app.Task, type[Task[..., Any]])
    assert_type(app.AsyncResult("id"), AsyncResult[Any])
    assert_type(app.ResultSet([app.AsyncResult("id")]), ResultSet[Any])
    assert_type(app.send_task("add", (1, 2), countdown=5), AsyncResult[Any])
    assert_type(app.path, str)
    assert_type(app.store, Store)
    app.nonsense  # error
    assert_type(app.control, Control)
    assert_type(app.events, Events)
    app.chain  # error
    app.AsyncResult(1)  # error
    app.send_task(settings)  # error
    LiteQueue(1)  # error
    LiteQueue("jobs.sqlite", task_cls=int)  # error


@worker_ready.connect
def when_ready(sender: object, **named: object) -> int:
    return 1


@task_prerun.connect(sender="add", weak=False)
def before(task_id: str, task: Task, **named: Any) -> str:
    return task_id


@app.on_after_configure.connect
def configured(sender: LiteQueue, **named: Any) -> None: ...


def receivers() -> None:
    assert_type(when_ready(sender=None), int)
    assert_type(before("id", app.tasks["add"]), str)
    assert_type(worker_ready.disconnect(when_ready), bool)
    when_ready(1, 2)  # error
    before(1, app.tasks["add"])  # error
    worker_ready.connect(1)  # error
    worker_ready.nonsense  # error
