from __future__ import annotations

from dataclasses import fields

import pytest

from litequeue.config import Settings, load_settings, settings_from_environment
from litequeue.exceptions import ImproperlyConfigured


def test_nothing_given_is_all_defaults() -> None:
    assert load_settings({}, {}) == Settings()


def test_environment_wins_over_code_and_code_over_defaults() -> None:
    given = {"visibility_timeout": 10.0, "worker_grace": 5.0}
    environment = {"LITEQUEUE_VISIBILITY_TIMEOUT": "20"}
    settings = load_settings(given, environment)
    assert settings.visibility_timeout == 20.0
    assert settings.worker_grace == 5.0
    assert settings.result_expires == Settings().result_expires


def test_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITEQUEUE_TASK_DEFAULT_QUEUE", "mail")
    assert settings_from_environment(task_default_queue="code").task_default_queue == "mail"


def test_other_variables_are_nobodys_business() -> None:
    assert load_settings({}, {"LITEQUEUE_URL": "x", "LITEQUEUE_NOSUCH": "1"}) == Settings()


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_every_setting_can_come_from_the_environment(name: str) -> None:
    text = {"str": "process" if name == "durability" else "x", "int": "7", "float": "7.5"}
    kind = str(Settings.__dataclass_fields__[name].type)
    settings = load_settings({}, {f"LITEQUEUE_{name.upper()}": text[kind]})
    value = getattr(settings, name)
    assert str(value) == text[kind]
    assert type(value).__name__ == kind


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"did you mean 'result_expires'\?"):
        load_settings({"result_expire": 1}, {})
    with pytest.raises(ImproperlyConfigured, match="the settings are durability"):
        load_settings({"zzz": 1}, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("durability", "sometimes"),
        ("durability", 2),
        ("queue_busy_timeout", "soon"),
        ("queue_busy_timeout", -1),
        ("queue_busy_timeout", float("nan")),
        ("queue_busy_timeout", None),
        ("visibility_timeout", True),
        ("task_max_deliveries", 0),
        ("task_max_deliveries", "three"),
        ("worker_concurrency", -1),
        ("worker_concurrency", 2.5),
        ("task_default_queue", 5),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ImproperlyConfigured, match=name):
        load_settings({name: value}, {})


def test_a_bad_value_in_the_environment_is_refused_too() -> None:
    with pytest.raises(ImproperlyConfigured, match="worker_grace"):
        load_settings({}, {"LITEQUEUE_WORKER_GRACE": "a while"})


def test_a_priority_may_be_negative() -> None:
    assert load_settings({"task_default_priority": -5}, {}).task_default_priority == -5
