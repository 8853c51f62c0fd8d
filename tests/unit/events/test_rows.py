from __future__ import annotations

import json
import os
from typing import Any

import pytest

from litequeue.events.rows import (
    MOST_SHOWN,
    as_dict,
    client_name,
    custom,
    moment,
    sent,
    shown_arguments,
    shown_exception,
)
from litequeue.exceptions import NotSerializable
from litequeue.job import Job
from litequeue.store.events import Event

NOW = 1_700_000_000.0


class TestReading:
    def test_what_stands_in_columns_and_in_the_body_is_one_dict(self) -> None:
        event = as_dict(Event(7, NOW, "task-x", "the-id", "w@host", '{"a":1,"type":"y"}'), NOW + 1)
        assert isinstance(event.pop("utcoffset"), int)
        assert event == {
            "type": "task-x", "timestamp": NOW, "uuid": "the-id", "hostname": "w@host", "clock": 7,
            "local_received": NOW + 1, "a": 1,
        }  # fmt: skip

    @pytest.mark.parametrize("body", ["", "[1]", "nonsense", "3", "[" * 5000])
    def test_a_body_that_somebody_else_wrote_does_no_harm(self, body: str) -> None:
        event = as_dict(Event(7, 1e300, "task-x", None, None, body), NOW)
        assert (event["type"], event["utcoffset"]) == ("task-x", 0)
        assert "uuid" not in event


class TestYourOwn:
    def test_the_job_and_the_sender_have_columns(self) -> None:
        row = custom("order-shipped", NOW, "w@host", {"uuid": "the-id", "weight": 2.5})
        assert row == (NOW, "order-shipped", "the-id", "w@host", '{"weight":2.5}')

    def test_what_is_given_wins(self) -> None:
        row = custom("a-b", NOW, "w", {"timestamp": 5, "hostname": "other", "clock": 9})
        assert row == (5.0, "a-b", None, "other", "{}")

    def test_what_json_does_not_hold_is_refused(self) -> None:
        with pytest.raises(NotSerializable):
            custom("a-b", NOW, "w", {"x": object()})

    @pytest.mark.parametrize("kind", ["", None, 3])
    def test_a_type_is_a_text(self, kind: Any) -> None:
        with pytest.raises(ValueError, match="the type of an event is a text"):
            custom(kind, NOW, "w", {})


def test_task_sent_has_celerys_fields() -> None:
    job = Job("the-id", "shop.pay", "[[1],{},{}]", "mail", eta=NOW, parent="p")
    at, kind, id, sender, body = sent(job, NOW)
    assert (at, kind, id, sender) == (NOW, "task-sent", "the-id", client_name())
    assert json.loads(body) == {
        "pid": os.getpid(), "name": "shop.pay", "args": "(1,)", "kwargs": "{}",
        "root_id": "the-id", "parent_id": "p", "retries": 0, "eta": "2023-11-14T22:13:20+00:00",
        "expires": None, "queue": "mail", "exchange": "", "routing_key": "mail",
    }  # fmt: skip


class TestArguments:
    @pytest.mark.parametrize(
        ("body", "shown"),
        [
            ("[[1,[2]],{},{}]", ("(1, [2])", "{}")),
            ('[[],{"a":null}]', ("()", "{'a': None}")),
            ("!yaml,abc", (None, None)),
            ("[[1]", (None, None)),
            ("[1]", (None, None)),
            ("[3,4]", (None, None)),
            ("", (None, None)),
        ],
    )
    def test_plain_ones_are_shown_as_python_writes_them(
        self, body: str, shown: tuple[str | None, str | None]
    ) -> None:
        assert shown_arguments(body, None) == (*shown, None)

    def test_long_ones_are_cut_or_left_out(self) -> None:
        args, _, _ = shown_arguments(json.dumps([["x" * 2000], {}]), None)
        assert args is not None
        assert len(args) == MOST_SHOWN
        assert shown_arguments(json.dumps([["x" * 20_000], {}]), None) == (None, None, None)

    def test_headers_stand_in_for_what_nobody_should_see(self) -> None:
        options = json.dumps({"headers": {"argsrepr": "(***)", "kwargsrepr": "{}"}, "root": "r"})
        assert shown_arguments('[["secret"],{"a":1}]', options) == ("(***)", "{}", "r")
        options = json.dumps({"headers": {"argsrepr": "(***)"}})
        assert shown_arguments('[["secret"],{"a":1}]', options) == ("(***)", "{'a': 1}", None)

    @pytest.mark.parametrize("options", ["", "[]", '{"headers":3,"root":4}', "{"])
    def test_strange_options_do_no_harm(self, options: str) -> None:
        assert shown_arguments("[[1],{}]", options) == ("(1,)", "{}", None)


@pytest.mark.parametrize(
    ("kind", "arguments", "message", "shown"),
    [
        ("ValueError", '["no",3]', "('no', 3)", "ValueError('no', 3)"),
        ("shop.errors.Poor", "[]", "no money", "Poor('no money')"),
        ("KeyError", "nonsense", "", "KeyError()"),
    ],
)
def test_exceptions_are_shown_as_python_writes_them(
    kind: str, arguments: str, message: str, shown: str
) -> None:
    assert shown_exception(kind, arguments, message) == shown


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, None), (0.0, "1970-01-01T00:00:00+00:00"), (1e300, None)]
)
def test_moments(seconds: float | None, text: str | None) -> None:
    assert moment(seconds) == text
