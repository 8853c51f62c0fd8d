from __future__ import annotations

from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from litequeue.exceptions import ImproperlyConfigured, SecurityError
from tests.unit.bench import Bench

# What is made of settings


def test_the_router_and_the_codec_are_made_once(bench: Bench) -> None:
    app = bench.app
    assert app.router is app.router
    assert app.codec is app.codec


def test_a_setting_that_changes_makes_them_anew(bench: Bench) -> None:
    app = bench.app
    task = bench.task(lambda: None)
    task.delay()
    app.conf.task_routes = {"t": "mail"}
    task.delay()
    app.conf["task_default_queue"] = "other"
    app.conf.task_routes = None
    task.delay()
    app.conf.update(task_serializer="yaml", accept_content=["json", "yaml"])
    task.delay()
    assert [job.queue for job in bench.outbox.jobs] == ["default", "mail", "other", "other"]
    assert [job.body[:5] for job in bench.outbox.jobs[2:]] == ["[[],{", "!yaml"]


def test_what_makes_no_sense_together_is_said_at_each_use(bench: Bench) -> None:
    bench.app.conf.task_serializer = "yaml"
    for _ in range(2):
        with pytest.raises(ImproperlyConfigured, match="accept_content"):
            _ = bench.app.codec
    bench.app.conf["accept_content"] = ["json", "yaml"]
    assert bench.app.codec.task_serializer == "yaml"


def test_routes_that_make_no_sense_are_said_when_needed(bench: Bench) -> None:
    task = bench.task(lambda: None)
    bench.app.conf.task_routes = {"t": 5}
    with pytest.raises(ImproperlyConfigured, match="task_routes"):
        task.delay()
    assert bench.outbox.jobs == []


# The zone


@pytest.mark.parametrize(
    ("timezone", "zone"),
    [(None, None), ("Europe/Berlin", ZoneInfo("Europe/Berlin")), (UTC, UTC)],
)
def test_the_zone_is_a_name_or_an_object(bench: Bench, timezone: Any, zone: Any) -> None:
    bench.app.conf.timezone = timezone
    assert bench.app.zone == zone


@pytest.mark.parametrize("timezone", ["Europe/Atlantis", "", "../etc/passwd", "Europe", "local"])
def test_a_zone_that_is_not_there_is_refused_at_once(bench: Bench, timezone: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="is not in this machine's time zone database"):
        bench.app.conf.timezone = timezone
    assert bench.app.zone is None


@pytest.mark.parametrize("timezone", [5])
def test_what_is_no_zone_is_said_so(bench: Bench, timezone: Any) -> None:
    bench.app.conf.timezone = timezone
    with pytest.raises(ImproperlyConfigured, match="time zone database"):
        _ = bench.app.zone


# Keys


def test_keys_that_can_be_guessed_are_refused_at_each_use_and_not_shown(bench: Bench) -> None:
    task = bench.task(lambda: None)
    for keys in ("short-secret", ("k" * 16, "short-secret"), ("short-secret", "k" * 16)):
        bench.app.conf["security_key"] = keys
        for _ in range(2):
            with pytest.raises(ImproperlyConfigured, match="can be guessed") as caught:
                task.delay()
            assert "short-secret" not in str(caught.value)
    assert bench.outbox.jobs == []
    bench.app.conf["security_key"] = "k" * 16
    task.delay()
    assert bench.outbox.job.task == "t"


def test_a_new_key_signs_and_the_old_one_still_verifies(bench: Bench) -> None:
    old, new = "o" * 16, "n" * 16
    bench.app.conf["accept_content"] = ["signed"]
    bench.app.conf.update(task_serializer="signed", result_serializer="signed")
    bench.app.conf["security_key"] = old
    body = bench.app.codec.dumps_arguments((1,), {}, limit=1_000, context="c")
    bench.app.conf["security_key"] = (new, old)
    assert bench.app.codec.loads_arguments(body, context="c")[0] == [1]
    bench.app.conf["security_key"] = new
    with pytest.raises(SecurityError):
        bench.app.codec.loads_arguments(body, context="c")
