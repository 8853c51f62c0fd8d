from __future__ import annotations

import logging
import sys
import traceback
import types
from collections.abc import MutableMapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from litequeue.celery_names import NOT_BUILT, WITHOUT_EFFECT
from litequeue.config import (
    Settings,
    load_settings,
)
from litequeue.exceptions import ImproperlyConfigured

KINDS = {
    field.name: str(field.type) for field in fields(Settings) if not field.name.startswith("_")
}
NEVER = 100 * 366 * 86_400.0

# Attributes and a mapping


def test_nothing_given_is_all_defaults() -> None:
    assert load_settings({}, {}) == Settings()
    assert load_settings({"worker_grace": 1}, {}) != Settings()


def test_the_names_are_all_settings_and_nothing_else() -> None:
    assert set(Settings.NAMES) == set(KINDS)
    assert len(Settings()) == len(Settings.NAMES) == len(set(Settings()))


def test_settings_are_a_mapping_as_celerys_are() -> None:
    conf = Settings()
    assert isinstance(conf, MutableMapping)
    conf["task_default_queue"] = "mail"
    assert (conf.task_default_queue, conf["task_default_queue"]) == ("mail", "mail")
    conf.update(worker_grace=5, task_always_eager=True)
    assert (conf.worker_grace, conf.get("task_always_eager")) == (5.0, True)
    assert "worker_grace" in conf
    assert dict(conf)["task_default_queue"] == "mail"
    del conf["task_default_queue"]
    assert conf.task_default_queue == "default"


def test_a_name_that_is_no_setting_is_no_key() -> None:
    conf = Settings()
    assert "nosuch" not in conf
    assert conf.get("nosuch", 5) == 5
    for name in ("nosuch", "_version", "update", "NAMES"):
        with pytest.raises(KeyError):
            conf[name]
        with pytest.raises(KeyError):
            del conf[name]


def test_every_change_grows_the_version() -> None:
    conf = Settings()
    versions = [conf.version]
    conf.worker_grace = 5
    versions.append(conf.version)
    conf["worker_grace"] = 6
    versions.append(conf.version)
    conf.read({"worker_grace": 7})
    versions.append(conf.version)
    del conf["worker_grace"]
    versions.append(conf.version)
    assert versions == sorted(set(versions))


# The environment


def test_environment_wins_over_code_and_code_over_defaults() -> None:
    given = {"visibility_timeout": 10.0, "worker_grace": 5.0}
    environment = {"LITEQUEUE_VISIBILITY_TIMEOUT": "20"}
    settings = load_settings(given, environment)
    assert settings.visibility_timeout == 20.0
    assert settings.worker_grace == 5.0
    assert settings.result_expires == Settings().result_expires


def test_it_wins_over_code_that_comes_later_too() -> None:
    settings = load_settings({}, {"LITEQUEUE_VISIBILITY_TIMEOUT": "20"})
    settings.visibility_timeout = 30
    settings["visibility_timeout"] = 31
    settings.update(visibility_timeout=32)
    settings.read({"visibility_timeout": 33})
    del settings["visibility_timeout"]
    assert settings.visibility_timeout == 20.0
    settings.worker_grace = 7
    assert settings.worker_grace == 7.0


def test_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITEQUEUE_TASK_DEFAULT_QUEUE", "mail")
    assert load_settings({"task_default_queue": "code"}).task_default_queue == "mail"


def test_other_variables_are_nobodys_business() -> None:
    environment = {"LITEQUEUE_URL": "x", "LITEQUEUE_NOSUCH": "1", "LITEQUEUE_BEAT_SCHEDULE": "x"}
    assert load_settings({}, environment) == Settings()


TEXTS: dict[str, tuple[str, Any]] = {
    "int": ("7", 7),
    "int | None": ("7", 7),
    "float": ("7.5", 7.5),
    "float | None": ("7.5", 7.5),
    "bool": ("YES", True),
    "str": ("x", "x"),
    "str | None": ("x", "x"),
    "tuple[str, ...]": ("json, yaml,", ("json", "yaml")),
}
CHOICES = {
    "durability": "process",
    "worker_pool_start_method": "spawn",
    "worker_redirect_stdouts_level": "INFO",
}


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind != "Any"])
def test_every_setting_can_come_from_the_environment(name: str) -> None:
    text, expected = TEXTS[KINDS[name]]
    if name in CHOICES:
        text = expected = CHOICES[name]
    value = getattr(load_settings({}, {f"LITEQUEUE_{name.upper()}": text}), name)
    assert (value, type(value)) == (expected, type(expected))


def test_so_can_the_time_zone_but_no_object() -> None:
    environment = {
        f"LITEQUEUE_{name.upper()}": "Europe/Berlin"
        for name, kind in KINDS.items()
        if kind == "Any"
    }
    assert len(environment) > 3
    settings = load_settings({}, environment)
    assert settings.timezone == "Europe/Berlin"
    assert (settings.task_routes, settings.task_queues, settings.task_annotations) == (None,) * 3


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("true", True), ("On", True), ("0", False), ("no", False), ("", False)],
)
def test_a_switch_in_the_environment_is_a_word(text: str, value: bool) -> None:
    settings = load_settings({}, {"LITEQUEUE_TASK_TRACK_STARTED": text})
    assert settings.task_track_started is value


def test_a_bad_value_in_the_environment_is_refused_too() -> None:
    with pytest.raises(ImproperlyConfigured, match="worker_grace"):
        load_settings({}, {"LITEQUEUE_WORKER_GRACE": "a while"})
    with pytest.raises(ImproperlyConfigured, match="task_always_eager is true or false"):
        load_settings({}, {"LITEQUEUE_TASK_ALWAYS_EAGER": "perhaps"})


# Values


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("durability", "sometimes"),
        ("durability", 2),
        ("queue_busy_timeout", "soon"),
        ("queue_busy_timeout", -1),
        ("queue_busy_timeout", 0),
        ("queue_busy_timeout", float("nan")),
        ("queue_busy_timeout", None),
        ("visibility_timeout", True),
        ("visibility_timeout", timedelta(days=2)),
        ("result_expires", -1),
        ("result_expires", timedelta(seconds=-1)),
        ("result_expires", float("inf")),
        ("task_max_deliveries", 0),
        ("task_max_deliveries", "three"),
        ("worker_concurrency", -1),
        ("worker_concurrency", 2.5),
        ("worker_concurrency", True),
        ("task_default_queue", 5),
        ("task_default_queue", None),
        ("task_always_eager", "perhaps"),
        ("task_always_eager", None),
        ("task_always_eager", 0.5),
        ("accept_content", 5),
        ("accept_content", [5]),
        ("include", None),
        ("task_max_arguments_size", 1 << 30),
        ("task_time_limit", 0),
        ("task_time_limit", -1),
        ("task_time_limit", "soon"),
        ("task_time_limit", True),
        ("task_time_limit", float("nan")),
        ("task_time_limit", timedelta(0)),
        ("task_soft_time_limit", 0),
        ("task_capture_output", -1),
        ("event_ring_size", 0),
        ("worker_max_tasks_per_child", 0),
        ("worker_max_tasks_per_child", 1.5),
        ("worker_max_memory_per_child", 0),
        ("worker_pool", None),
        ("worker_pool_start_method", "thread"),
        ("worker_pool_start_method", None),
        ("worker_redirect_stdouts_level", "LOUD"),
        ("worker_redirect_stdouts_level", 30),
        ("worker_soft_shutdown_timeout", -1),
        ("worker_proc_alive_timeout", 0),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(name: str, value: object) -> None:
    conf = Settings()
    before = getattr(conf, name)
    for attempt in (
        lambda: load_settings({name: value}, {}),
        lambda: setattr(conf, name, value),
        lambda: conf.update({name: value}),
    ):
        with pytest.raises(ImproperlyConfigured, match=name):
            attempt()
    assert getattr(conf, name) == before


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("result_expires", None, NEVER),
        ("result_expires", 0, NEVER),
        ("result_expires", timedelta(0), NEVER),
        ("result_expires", timedelta(hours=2), 7200.0),
        ("result_expires", 3600, 3600.0),
        ("result_failure_expires", None, NEVER),
        ("result_failure_expires", timedelta(days=1), 86_400.0),
        ("visibility_timeout", timedelta(seconds=90), 90.0),
        ("worker_grace", 0, 0.0),
        ("task_time_limit", None, None),
        ("task_time_limit", 300, 300.0),
        ("task_time_limit", timedelta(minutes=5), 300.0),
        ("task_soft_time_limit", 0.5, 0.5),
        ("worker_max_tasks_per_child", None, None),
        ("worker_max_tasks_per_child", 100, 100),
        ("worker_max_memory_per_child", 12_000, 12_000),
        ("worker_soft_shutdown_timeout", timedelta(seconds=3), 3.0),
        ("worker_pool_start_method", "forkserver", "forkserver"),
        ("worker_redirect_stdouts_level", "info", "INFO"),
        ("accept_content", ["json", "yaml"], ("json", "yaml")),
        ("accept_content", {"yaml", "json"}, ("json", "yaml")),
        ("include", "shop.tasks", ("shop.tasks",)),
        ("include", "shop.tasks, mail.tasks", ("shop.tasks", "mail.tasks")),
        ("security_key", b"secret", ("secret",)),
        ("security_key", ["new", b"old"], ("new", "old")),
        ("worker_concurrency", 4.0, 4),
        ("task_always_eager", 1, True),
        ("task_default_priority", -5, -5),
        ("result_backend", None, None),
        ("task_compression", None, None),
    ],
)
def test_a_value_takes_celerys_forms(name: str, given: object, value: object) -> None:
    conf = load_settings({name: given}, {})
    assert (conf[name], type(conf[name])) == (value, type(value))


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(Settings(security_key=("secret",)))


@pytest.mark.parametrize("value", [b"secret-\xff\xfe", ("secret", 5), {"secret": 5, 6: 7}, 5])
def test_a_key_that_is_none_is_refused_unseen(value: object) -> None:
    with pytest.raises(ImproperlyConfigured, match="security_key is a list of texts") as caught:
        Settings().security_key = value  # type: ignore[assignment]  # on purpose
    assert "secret" not in "".join(traceback.format_exception(caught.value))


# Names


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"did you mean 'result_expires'\?"):
        load_settings({"result_expire": 1}, {})
    with pytest.raises(ImproperlyConfigured, match="the settings are accept_content, beat_"):
        load_settings({"zzz": 1}, {})
    conf = Settings()
    with pytest.raises(ImproperlyConfigured, match=r"did you mean 'task_routes'\?"):
        conf.task_route = {}  # type: ignore[attr-defined]  # on purpose
    with pytest.raises(ImproperlyConfigured, match=r"did you mean 'task_routes'\?"):
        conf.update(task_route={})


@pytest.mark.parametrize("name", sorted(NOT_BUILT))
def test_a_setting_still_to_come_is_refused_by_name(name: str) -> None:
    conf = Settings()
    with pytest.raises(NotImplementedError, match=name):
        setattr(conf, name, 5)
    with pytest.raises(NotImplementedError, match=name):
        load_settings({name: 5}, {})


FOREIGN = [
    *sorted(WITHOUT_EFFECT),
    "broker_connection_retry_on_startup",
    "broker_transport_options",
    "redis_max_connections",
    "result_backend_transport_options",
    "database_engine_options",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_a_setting_of_celerys_without_effect_is_taken_with_one_warning_that_says_why(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    conf = Settings()
    conf[name] = 5
    (record,) = caplog.records  # without the value, which may be a password
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"the setting {name} changes nothing here: ")
    assert name not in conf
    assert conf == Settings()


def test_no_name_is_in_two_lists() -> None:
    names = [*KINDS, *NOT_BUILT, *FOREIGN]
    assert len(names) == len(set(names))


# From elsewhere


class Production:
    """Settings as a class."""

    task_default_queue = "class"
    worker_grace = 3
    helper = object()

    def method(self) -> None: ...


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = types.ModuleType("shop_config")
    module.__dict__.update(
        task_default_queue="module",
        os=sys,
        CELERY_TASK_DEFAULT_QUEUE="namespaced",
        CELERY_WORKER_GRACE=9,
        LITE_RESULT_EXPIRES=timedelta(hours=1),
        DEBUG=True,
        Production=Production,
    )
    monkeypatch.setitem(sys.modules, "shop_config", module)
    lower = types.ModuleType("lower_config")
    lower.__dict__.update(task_default_queue="module", os=sys, DEBUG=True, CELERYD="not ours")
    monkeypatch.setitem(sys.modules, "lower_config", lower)
    return module


@pytest.mark.parametrize(
    ("source", "namespace", "queue", "grace"),
    [
        ({"task_default_queue": "mapping"}, None, "mapping", 30),
        (Production, None, "class", 3),
        (Production(), None, "class", 3),
        ("lower_config", None, "module", 30),
        ("shop_config:Production", None, "class", 3),
        ("shop_config.Production", None, "class", 3),
        ("shop_config", "CELERY", "namespaced", 9),
        ("shop_config", "CELERY_", "namespaced", 9),
        ({"CELERY_WORKER_GRACE": 8, "worker_grace": 1}, "CELERY", "default", 8),
    ],
)
def test_settings_are_read_from_many_things(
    module: Any, source: object, namespace: str | None, queue: str, grace: float
) -> None:
    conf = Settings()
    conf.read(source, namespace)
    assert (conf.task_default_queue, conf.worker_grace) == (queue, grace)


def test_another_namespace(module: Any) -> None:
    conf = Settings()
    conf.read(module, "LITE")
    assert (conf.result_expires, conf.task_default_queue) == (3600.0, "default")


@pytest.mark.parametrize(
    ("source", "namespace", "words"),
    [
        ({"nosuch": 1}, None, "no setting 'nosuch'"),
        ({"task_default_quue": 1}, None, "did you mean 'task_default_queue'"),
        (type("C", (), {"task_default_quue": 1}), None, "did you mean 'task_default_queue'"),
        ({"CELERY_NOSUCH": 1}, "CELERY", "no setting 'nosuch'"),
        ({"worker_grace": "soon"}, None, "worker_grace"),
        ({5: 1}, None, "no setting '5'"),
        ({"CELERY_TASK_TRACK_STARTED": True}, None, r'say config_from_object.*namespace="CELERY"'),
        ("shop_config", None, "CELERY_[A-Z_]+ is a name with a prefix"),
    ],
)
@pytest.mark.usefixtures("module")
def test_what_makes_no_sense_in_them_is_refused(
    source: object, namespace: str | None, words: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=words):
        Settings().read(source, namespace)


@pytest.mark.parametrize(
    ("last", "error"),
    [
        ({"task_default_priority": "high"}, ImproperlyConfigured),
        ({"nosuch": 5}, ImproperlyConfigured),
        ({"task_default_rate_limit": 5}, NotImplementedError),
    ],
)
def test_all_of_them_are_set_or_none(last: dict[str, Any], error: type[Exception]) -> None:
    conf = Settings()
    with pytest.raises(error):
        conf.read({"worker_grace": 5, "redis_db": 1, "imports": ["shop"], **last})
    assert (conf, conf.version) == (Settings(), Settings().version)


def test_what_can_be_read_once_is_read_once() -> None:
    conf = Settings()
    conf.read({"imports": (name for name in ("shop", "mail"))})
    assert conf.imports == ("shop", "mail")


@pytest.mark.parametrize("name", ["nosuch_module", "shop_config.nosuch.more", "shop_config.nosuch"])
def test_what_cannot_be_imported_is_said(module: Any, name: str) -> None:
    with pytest.raises(ImportError):
        Settings().read(name)


def test_a_settings_module_that_lacks_something_is_not_silently_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_config.py").write_text("import nosuch_dependency\n")
    with pytest.raises(ModuleNotFoundError, match="nosuch_dependency"):
        Settings().read("broken_config")
