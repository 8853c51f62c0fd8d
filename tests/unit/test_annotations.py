from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from litequeue import Task
from litequeue.exceptions import ImproperlyConfigured
from tests.unit.bench import Bench


def annotated(bench: Bench, annotations: Any, **options: Any) -> Task[..., Any]:
    """Return the task "t" after the settings had their say."""
    bench.app.conf.task_annotations = annotations
    bench.task(lambda: None, **options)
    return bench.app.tasks["t"]


class Kind:
    """Annotations as an object, Celery's third form."""

    def annotate(self, task: Task[..., Any]) -> dict[str, Any] | None:
        return {"queue": "mail"} if task.name == "t" else None

    def annotate_any(self) -> dict[str, Any]:
        return {"queue": "any", "priority": 1}


class OnlyAny:
    def annotate_any(self) -> dict[str, Any]:
        return {"priority": 9}


class OnlyOne:
    def annotate(self, task: Task[..., Any]) -> dict[str, Any]:
        return {"priority": 8}


@pytest.mark.parametrize(
    ("annotations", "queue", "priority"),
    [
        (None, None, None),
        ({}, None, None),
        ({"t": {"queue": "mail"}}, "mail", None),
        ({"*": {"queue": "all"}}, "all", None),
        ({"t": {"queue": "mail"}, "*": {"queue": "all", "priority": 2}}, "mail", 2),
        ({"other": {"queue": "mail"}}, None, None),
        ([{"*": {"queue": "all", "priority": 3}}, {"t": {"queue": "mail"}}], "mail", 3),
        (({"*": {"priority": 3}},), None, 3),
        (Kind(), "mail", 1),
        (OnlyAny(), None, 9),
        (OnlyOne(), None, 8),
        (f"{__name__}.KIND", "mail", 1),
        (f"{__name__}:Kind", "mail", 1),
        ([f"{__name__}.MAPPING", OnlyAny()], "mail", 9),
    ],
)
def test_every_form_of_annotations(
    bench: Bench, annotations: Any, queue: str | None, priority: int | None
) -> None:
    task = annotated(bench, annotations)
    assert (task.queue, task.priority) == (queue, priority)


KIND = Kind()
MAPPING = {"t": {"queue": "mail"}}


def test_annotations_win_over_the_decorator(bench: Bench) -> None:
    task = annotated(bench, {"t": {"max_retries": 9}}, max_retries=1)
    assert task.max_retries == 9


def test_a_function_becomes_a_method(bench: Bench) -> None:
    told: list[Any] = []

    def on_failure(self: Any, exc: BaseException, *_: Any) -> None:
        told.append((self.name, exc))

    annotated(bench, {"t": {"on_failure": on_failure}}, typing=False)
    bench.app.task(name="other", typing=False)(lambda: None)
    for name in ("t", "other"):
        assert bench.execute(name, args=[1]).state == "FAILURE"
    assert [name for name, _ in told] == ["t"]


def test_a_class_stays_a_class(bench: Bench) -> None:
    task = annotated(bench, {"t": {"throws": (KeyError,), "MaxRetriesExceededError": KeyError}})
    assert (task.throws, task.MaxRetriesExceededError) == ((KeyError,), KeyError)


def test_tasks_of_later_are_annotated_too(bench: Bench) -> None:
    annotated(bench, {"*": {"priority": 5}})
    later = bench.app.task(name="later")(lambda: None)
    later.delay()
    assert bench.outbox.job.priority == 5


def test_tasks_are_annotated_once(bench: Bench) -> None:
    task = annotated(bench, {"t": {"priority": 5}})
    task.priority = 6
    bench.app.task(name="later")(lambda: None)
    assert bench.app.tasks["t"].priority == 6


def test_a_task_that_is_registered_again_is_annotated_again(bench: Bench) -> None:
    def work() -> None: ...

    bench.app.conf.task_annotations = {"t": {"priority": 5}}
    assert bench.task(work) is bench.app.tasks["t"]
    again = bench.task(work)
    assert bench.app.tasks["t"] is again
    assert again.priority == 5


@pytest.mark.parametrize("name", ["rate_limit", "unique", "@__call__"])
def test_what_is_not_built_yet_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(NotImplementedError, match=name):
        annotated(bench, {"t": {name: 5}})


def test_time_limits_may_be_annotated(bench: Bench) -> None:
    task = annotated(bench, {"t": {"time_limit": 20, "soft_time_limit": 10}})
    assert (task.time_limit, task.soft_time_limit) == (20, 10)


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"task_soft_time_limit": 20, "task_time_limit": 10}, {}),
        ({"task_time_limit": 10}, {"soft_time_limit": 20}),
        ({"task_soft_time_limit": 20}, {"time_limit": 10}),
    ],
)
def test_a_soft_limit_above_the_hard_one_is_refused_wherever_the_two_come_from(
    bench: Bench, settings: dict[str, float], options: dict[str, float]
) -> None:
    bench.app.conf.update(settings)
    task = bench.task(lambda: None, **options)
    with pytest.raises(ValueError, match="t: soft_time_limit must be less than or equal to"):
        task.delay()
    assert bench.outbox.jobs == []


def test_limits_of_the_settings_are_no_attributes_of_tasks(bench: Bench) -> None:
    bench.app.conf.update(task_soft_time_limit=5, task_time_limit=10)
    bench.task(lambda: None)
    task = bench.app.tasks["t"]
    assert (task.time_limit, task.soft_time_limit) == (None, None), (
        "or a worker's own --time-limit, which is less than theirs, would not win over a setting"
    )


@pytest.mark.parametrize("annotations", [5, ["nosuch_module.X"], object(), [5]])
def test_what_is_no_annotation_is_refused(bench: Bench, annotations: Any) -> None:
    with pytest.raises((ImproperlyConfigured, ModuleNotFoundError)):
        annotated(bench, annotations)


def test_a_class_to_import_is_made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("shop_settings")
    module.Any = OnlyAny  # type: ignore[attr-defined]  # a global
    monkeypatch.setitem(sys.modules, "shop_settings", module)
    assert annotated(bench, "shop_settings:Any").priority == 9


# Settings that are defaults of tasks


@pytest.mark.parametrize(
    ("name", "setting", "default"),
    [
        ("acks_late", "task_acks_late", True),
        ("ignore_result", "task_ignore_result", False),
        ("reject_on_worker_lost", "task_reject_on_worker_lost", True),
        ("track_started", "task_track_started", True),
    ],
)
def test_a_setting_holds_for_tasks_that_say_nothing(
    bench: Bench, name: str, setting: str, default: bool
) -> None:
    bench.task(lambda: None)
    assert getattr(bench.app.tasks["t"], name) is default
    setattr(bench.app.conf, setting, not default)
    bench.app.task(name="late")(lambda: None)
    assert getattr(bench.app.tasks["late"], name) is not default
    bench.app.task(name="own", **{name: default})(lambda: None)
    assert getattr(bench.app.tasks["own"], name) is default


def test_settings_are_seen_at_once_and_may_change_until_the_first_use(bench: Bench) -> None:
    task = bench.task(lambda: None)
    assert (task.ignore_result, task.acks_late) == (False, True)
    bench.app.conf.task_ignore_result = True
    bench.app.conf.task_acks_late = False
    bench.app.finalize()
    assert (task.ignore_result, task.acks_late) == (True, False)
