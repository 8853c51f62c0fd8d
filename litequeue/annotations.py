"""`task_annotations`: attributes of tasks that the settings change, and defaults they give."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from litequeue.calling import check_limits
from litequeue.config import Settings
from litequeue.exceptions import ImproperlyConfigured
from litequeue.task import Task

_FROM_SETTINGS: Final = {
    "acks_late": "task_acks_late",
    "ignore_result": "task_ignore_result",
    "reject_on_worker_lost": "task_reject_on_worker_lost",
    "track_started": "task_track_started",
}


def fill_in(task: Task[..., Any], conf: Settings) -> None:
    """Give a task the settings for what it does not say itself; again where they have changed."""
    filled: dict[str, bool] = task.__dict__.setdefault("_filled", {})
    for name, setting in _FROM_SETTINGS.items():
        value = getattr(task, name)
        if value is None or (name in filled and value is filled[name]):
            filled[name] = conf[setting]
            setattr(task, name, conf[setting])


def annotate(task: Task[..., Any], conf: Settings) -> None:
    """Give a task what the settings say of it.

    Raises `ImproperlyConfigured`, ValueError for a soft time limit above the hard one.
    """
    fill_in(task, conf)
    for attributes in _annotations(conf.task_annotations, task):
        for name, value in attributes.items():
            _apply(task, name, value)
    hard = conf.task_time_limit if task.time_limit is None else task.time_limit
    soft = conf.task_soft_time_limit if task.soft_time_limit is None else task.soft_time_limit
    check_limits(hard, soft, f"{task.name}: ")


def _annotations(given: Any, task: Task[..., Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what the annotations say of ``task``: of any first, of it by name last."""
    for each in _listed(given):
        source = _imported(each) if isinstance(each, str) else each
        if isinstance(source, Mapping):
            found = (source.get("*"), source.get(task.name))
        elif hasattr(source, "annotate") or hasattr(source, "annotate_any"):
            ask_any = getattr(source, "annotate_any", lambda: None)
            ask = getattr(source, "annotate", lambda task: None)
            found = (ask_any(), ask(task))
        else:
            raise ImproperlyConfigured(
                f"task_annotations is a mapping of task names to attributes, not {source!r}"
            )
        yield from (attributes for attributes in found if attributes)


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def _imported(name: str) -> Any:
    module, _, attribute = name.replace(":", ".").rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    return found() if isinstance(found, type) else found


def _apply(task: Task[..., Any], name: str, value: Any) -> None:
    if name.startswith("@"):
        raise NotImplementedError(f"task_annotations that wrap a method ({name!r})")
    # A function becomes a method of this task alone, as in Celery.
    method = callable(value) and not isinstance(value, type)
    setattr(task, name, value.__get__(task) if method and hasattr(value, "__get__") else value)
