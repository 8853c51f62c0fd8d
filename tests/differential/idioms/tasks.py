"""Defining tasks: decorators, names, the registry, arguments, loggers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import current_app, current_task, shared_task
from celery.utils.log import get_task_logger
from idioms.observe import got, idiom, outcome, refused, wait_until
from idioms.proj import app

logger = get_task_logger(__name__)


@app.task
def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y


@app.task()
def multiply(x: int, y: int = 10) -> int:
    return x * y


@app.task(name="sums.total")
def total(*numbers: int, start: int = 0, **more: int) -> int:
    return start + sum(numbers) + sum(more.values())


@app.task(typing=False)
def untyped(x: int) -> int:
    return x


@shared_task
def shared(x: int) -> int:
    return x + 1


@shared_task(bind=True, name="sums.shared", max_retries=9)
def shared_bound(self: Any) -> list[Any]:
    return [self.name, self.max_retries]


@app.task(bind=True)
def bound(self: Any, x: int) -> list[Any]:
    return [self.name, x, self.request.called_directly]


@app.task
def who_am_i() -> list[Any]:
    return [current_task.name, current_task.request.retries]


@app.task
def who_is_my_app() -> list[Any]:
    return [current_app.main, "idioms.tasks.add" in current_app.tasks]


@app.task
def log(words: str) -> str:
    logger.warning("%s", words)
    return logger.name


@idiom
def task_without_parentheses() -> Any:
    return got(add.delay(2, 2))


@idiom
def task_with_parentheses() -> Any:
    return got(multiply.delay(2))


@idiom
def automatic_names() -> Any:
    return [add.name, multiply.name, shared.name, bound.name]


@idiom
def explicit_name() -> Any:
    return [total.name, got(total.delay(1, 2, start=3, other=4))]


@idiom
def called_directly() -> Any:
    return [add(2, 3), multiply(4), total(1, start=1), bound(5)]


@idiom
def function_kept() -> Any:
    return [add.__name__, add.__doc__, add.run(1, 1), add.__wrapped__(1, 2)]


@idiom
def registry() -> Any:
    names = ["idioms.tasks.add", "sums.total", "nobody.knows"]
    return [[name in app.tasks for name in names], app.tasks["idioms.tasks.add"].name]


@idiom
def task_taken_from_the_registry() -> Any:
    return got(app.tasks["sums.total"].delay(4, 5))


@idiom
def unknown_task_in_the_registry() -> Any:
    return refused(lambda: app.tasks["nobody.knows"])


@idiom
def wrong_arguments() -> Any:
    return [
        refused(lambda: add.delay(1)),
        refused(lambda: add.delay(1, 2, 3)),
        refused(lambda: add.apply_async((1, 2), {"z": 3})),
        refused(bound.delay),
    ]


@idiom
def wrong_arguments_untyped() -> Any:
    seen = outcome(untyped.delay(1, 2))
    return [seen["state"], seen["raised"], got(untyped.delay(3))]


@idiom
def shared_task_runs() -> Any:
    return [got(shared.delay(1)), got(shared_bound.delay()), shared(2)]


@idiom
def shared_task_belongs_to_the_app() -> Any:
    return [shared.app is app, shared.name in app.tasks, shared_bound.max_retries]


@idiom
def bound_task() -> Any:
    return got(bound.delay(6))


@idiom
def current_task_in_a_task() -> Any:
    return got(who_am_i.delay())


@idiom
def current_task_outside() -> Any:
    return bool(current_task)


@idiom
def current_app_everywhere() -> Any:
    return [current_app.main, "idioms.tasks.add" in current_app.tasks, got(who_is_my_app.delay())]


@idiom
def app_of_a_task() -> Any:
    return [add.app is app, app.main]


@idiom
def discovered_task() -> Any:
    return got(app.send_task("idioms.shop.tasks.sell", ("tea",)))


@idiom
def discovered_at_once() -> Any:
    app.autodiscover_tasks(["idioms.shop", "idioms"], related_name="later", force=True)
    app.autodiscover_tasks(["idioms.shop"], force=True)
    return [name for name in app.tasks if "shop" in name]


@idiom
def task_logger() -> Any:
    result = log.delay("quite remarkable")
    name = got(result)

    def lines() -> list[str]:
        text = Path(os.environ["IDIOMS_WORKER_LOG"]).read_text()
        return [line for line in text.splitlines() if "quite remarkable" in line]

    line = wait_until(lines)[0]
    return [name, "WARNING" in line, log.name in line, result.id in line]


@idiom
def default_attributes() -> Any:
    names = ["max_retries", "ignore_result", "typing", "trail", "throws", "resultrepr_maxsize"]
    return {name: getattr(add, name) for name in names}
