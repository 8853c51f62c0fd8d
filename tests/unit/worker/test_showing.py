from __future__ import annotations

import json
from datetime import timezone
from zoneinfo import ZoneInfo

import pytest

from litequeue.config import Settings
from litequeue.worker import showing
from litequeue.worker.showing import MASK
from tests.unit.bench import Bench


def test_settings_are_shown_without_secrets() -> None:
    settings = Settings(
        security_key=("of mine",),
        broker_url="redis://user:hunter2@host:6379/0",
        task_routes={"a": {"queue": "q", "api_token": "t", "url": "amqp://:pw@h"}},
        task_default_routing_key="key.of.no.secret",
    )
    shown = showing.settings_of(settings)
    assert shown["security_key"] == MASK
    assert shown["broker_url"] == f"redis://user:{MASK}@host:6379/0"
    assert shown["task_routes"] == {
        "a": {"queue": "q", "api_token": MASK, "url": f"amqp://:{MASK}@h"}
    }
    assert shown["task_default_routing_key"] == "key.of.no.secret"
    text = json.dumps(shown)
    assert not any(secret in text for secret in ("of mine", "hunter2", "pw"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (ZoneInfo("Europe/Berlin"), "Europe/Berlin"),
        (timezone.utc, "UTC"),  # noqa: UP017 - as people write it
        ("Europe/Berlin", "Europe/Berlin"),
    ],
)
def test_a_zone_is_shown_by_its_name(value: object, shown: str) -> None:
    assert showing.settings_of(Settings(timezone=value))["timezone"] == shown


def test_what_json_has_not_is_shown_as_text() -> None:
    def route(name: str) -> None: ...

    shown = showing.settings_of(Settings(task_routes=[route, ("a", b"b")]))
    assert "route at 0x" in shown["task_routes"][0]
    assert shown["task_routes"][1] == ["a", "b'b'"]
    json.dumps(shown, allow_nan=False)


def test_only_what_was_changed_differs() -> None:
    defaults = showing.settings_of(Settings())
    assert showing.changed(showing.settings_of(Settings()), defaults) == {}
    mine = showing.settings_of(Settings(imports=("a",), security_key=("k",)))
    assert showing.changed(mine, defaults) == {"imports": ["a"], "security_key": MASK}


def test_attributes_of_a_task(bench: Bench) -> None:
    @bench.app.task(name="t", max_retries=7, queue="mail", default_retry_delay=1.5)
    def task() -> None: ...

    shown = showing.attributes_of(bench.app.tasks["t"])
    assert (shown["max_retries"], shown["queue"]) == ("7", "mail")
    assert shown["default_retry_delay"] == "1.5"
    assert "routing_key" not in shown
    assert all(type(value) is str for value in shown.values())
