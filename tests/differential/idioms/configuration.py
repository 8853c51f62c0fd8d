"""Configuration: every way to give a setting.  Needs no worker."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, Task, shared_task
from idioms.observe import idiom, refused, tried
from kombu import Queue


class Settings:
    """Settings as a class."""

    task_default_queue = "from-class"
    task_ignore_result = True
    _private = "left alone"


class Prefixed:
    """Settings as a class, with a prefix."""

    CELERY_TASK_DEFAULT_QUEUE = "prefixed"
    CELERY_TASK_ALWAYS_EAGER = True
    DEBUG = "left alone"


class Counting(Task):
    """The base class of every task of an app."""

    counted = "by class"


@shared_task(name="sums.everywhere")
def everywhere() -> None: ...


def an_app(**options: Any) -> Any:
    place = {"broker": os.environ["IDIOMS_BROKER"], "backend": os.environ["IDIOMS_BACKEND"]}
    return Celery("another", **place, **options)


@idiom
def conf_updated() -> Any:
    app = an_app()
    app.conf.update(task_default_queue="one", task_ignore_result=True)
    app.conf.update({"task_default_priority": 3})
    conf = app.conf
    return [conf.task_default_queue, conf.task_ignore_result, conf.task_default_priority]


@idiom
def conf_by_attribute() -> Any:
    app = an_app()
    app.conf.task_default_queue = "two"
    app.conf.result_expires = 60
    return [app.conf.task_default_queue, app.conf.result_expires]


@idiom
def conf_as_mapping() -> Any:
    app = an_app()
    app.conf["task_default_queue"] = "three"
    return [
        app.conf["task_default_queue"],
        app.conf.get("task_default_queue"),
        app.conf.get("no_such_setting", "absent"),
        "task_default_queue" in app.conf,
    ]


@idiom
def conf_from_class() -> Any:
    app = an_app()
    app.config_from_object(Settings)
    return [app.conf.task_default_queue, app.conf.task_ignore_result]


@idiom
def conf_from_class_with_namespace() -> Any:
    app = an_app()
    app.config_from_object(Prefixed, namespace="CELERY")
    return [app.conf.task_default_queue, app.conf.task_always_eager]


@idiom
def conf_from_class_by_name() -> Any:
    app = an_app()
    app.config_from_object("idioms.configuration:Settings")
    return app.conf.task_default_queue


@idiom
def conf_from_module_with_namespace() -> Any:
    app = an_app()
    app.config_from_object("idioms.settings", namespace="CELERY")
    return [app.conf.task_default_queue, app.conf.result_expires]


@idiom
def conf_from_mapping() -> Any:
    app = an_app()
    app.config_from_object({"task_default_queue": "from-mapping"})
    return app.conf.task_default_queue


@idiom
def conf_from_missing_module() -> Any:
    app = an_app()

    def use() -> Any:
        app.config_from_object("idioms.no_such_module")
        return app.conf.task_default_queue

    return refused(use)


@idiom
def conf_updated_after_object() -> Any:
    app = an_app()
    app.config_from_object(Settings)
    app.conf.update(task_default_queue="later")
    return [app.conf.task_default_queue, app.conf.task_ignore_result]


@idiom
def conf_of_an_unknown_name() -> Any:
    app = an_app()
    return refused(lambda: app.conf.update(tsak_default_queue="typo"))


@idiom
def default_of_the_default_queue() -> Any:
    return an_app().conf.task_default_queue


@idiom
def other_defaults() -> Any:
    names = [
        "task_always_eager",
        "task_eager_propagates",
        "task_ignore_result",
        "task_routes",
        "task_queues",
        "task_annotations",
        "task_default_priority",
        "task_serializer",
        "result_serializer",
        "accept_content",
        "result_extended",
        "task_track_started",
        "task_create_missing_queues",
        "timezone",
        "enable_utc",
    ]
    conf = an_app().conf
    return {name: conf.get(name, "no such setting") for name in names}


@idiom
def default_of_result_expires() -> Any:
    seconds = an_app().conf.result_expires
    return getattr(seconds, "total_seconds", lambda: float(seconds))()


@idiom
def annotations_change_tasks() -> Any:
    app = an_app()
    app.conf.task_annotations = {"sums.one": {"max_retries": 8}, "*": {"default_retry_delay": 4}}

    @app.task(name="sums.one")
    def one() -> None: ...

    @app.task(name="sums.two", default_retry_delay=5)
    def two() -> None: ...

    tasks = [app.tasks["sums.one"], app.tasks["sums.two"]]
    return [[task.max_retries, task.default_retry_delay] for task in tasks]


@idiom
def ignore_result_by_setting() -> Any:
    app = an_app()
    app.conf.task_ignore_result = True

    @app.task(name="sums.three")
    def three() -> None: ...

    @app.task(name="sums.four", ignore_result=False)
    def four() -> None: ...

    return [three.ignore_result, four.ignore_result]


@idiom
def settings_in_the_constructor() -> Any:
    app = an_app(task_default_queue="given")
    return [app.main, app.conf.task_default_queue]


@idiom
def base_class_of_an_app() -> Any:
    app = an_app(task_cls=Counting)

    @app.task(name="sums.five")
    def five() -> None: ...

    return [five.counted, isinstance(five, Counting)]


@idiom
def attributes_given_to_the_decorator() -> Any:
    app = an_app()

    def define() -> Any:
        @app.task(name="sums.coloured", colour="red")
        def coloured() -> None: ...

        return coloured.colour

    return tried(define).get("value")


@idiom
def shared_task_in_every_app() -> Any:
    apps = [an_app(), an_app()]
    return [everywhere.name in app.tasks for app in apps]


@idiom
def names_made_by_the_app() -> Any:
    class Renaming(Celery):
        def gen_task_name(self, name: str, module: str) -> str:
            return f"ours.{name}"

    app = Renaming(
        "renaming", broker=os.environ["IDIOMS_BROKER"], backend=os.environ["IDIOMS_BACKEND"]
    )

    @app.task
    def six() -> None: ...

    return str(six.name)


@idiom
def queues_are_objects() -> Any:
    queue = Queue("mail", routing_key="mail")
    return [queue.name, queue.routing_key, Queue("mail") == Queue("mail")]
