from __future__ import annotations

import signal
from typing import Any

import pytest

from litequeue.control import Inspect, is_meant
from litequeue.control.asking import ORDER_STANDS, Call, Reply, decoded
from litequeue.result.revoking import signal_name


@pytest.mark.parametrize(
    ("destination", "pattern", "matcher", "meant"),
    [
        (None, None, None, True),
        (["w1"], None, None, True),
        (["w*"], None, None, False),
        (["W1"], None, None, False),
        ([], None, None, False),
        (None, "w*", None, True),
        (None, "w[2-9]", "glob", False),
        (None, "W1", "glob", False),
        (None, r"w\d", "pcre", True),
        (None, r"\d", "pcre", False),
        (["w1"], "x*", None, False),
    ],
)
def test_who_is_meant(
    destination: list[str] | None, pattern: str | None, matcher: str | None, meant: bool
) -> None:
    found = is_meant("w1", destination=destination, pattern=pattern, matcher=matcher)
    assert found is meant


@pytest.mark.parametrize(("pattern", "matcher"), [("(", "pcre"), ("w", "sql")])
def test_a_pattern_that_is_none(pattern: str, matcher: str) -> None:
    with pytest.raises(ValueError, match=r"regular expression|a matcher is"):
        is_meant("w1", destination=None, pattern=pattern, matcher=matcher)


@pytest.mark.parametrize("given", ["SIGKILL", "kill", "Kill", 9])
def test_names_of_signals(given: Any) -> None:
    assert signal_name(given) == "SIGKILL" == signal_name(signal.SIGKILL)


def test_a_signal_that_is_none() -> None:
    assert signal_name(None) == "SIGTERM"
    for wrong in ("SIGNAL", "", 4711, "TERM "):
        with pytest.raises(ValueError, match=r"signal|Signals"):
            signal_name(wrong)


@pytest.mark.parametrize(
    ("command", "timeout", "stands"),
    [
        ("ping", 2.0, 2.0),
        ("dump_active", 0.5, 0.5),
        ("ping", None, ORDER_STANDS),
        ("shutdown", 0.1, ORDER_STANDS),
        ("unheard_of", 999.0, 999.0),
    ],
)
def test_an_order_stands_longer_than_a_question(
    command: str, timeout: float | None, stands: float
) -> None:
    assert Call(command=command, arguments={}, timeout=timeout).stands == stands


class Control:
    """Answers what it is told to, and notes what it was asked."""

    app = "the app"

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def broadcast(self, command: str, **options: Any) -> list[Reply]:
        self.asked.append((command, options))
        return self.replies


def test_answers_come_by_the_names_of_workers() -> None:
    inspect = Inspect(Control({"w1": 1}, {"w2": 2}))
    assert inspect.app == "the app"
    assert inspect.ping() == {"w1": 1, "w2": 2}
    assert Inspect(Control()).active() is None
    assert Inspect(Control({"w1": 1}), destination="w1").active() == 1
    assert Inspect(Control({"w1": 1}), destination=["w1"]).active() == {"w1": 1}


@pytest.mark.parametrize("body", ["{", "", "[" * 100_000])
def test_a_reply_that_no_worker_wrote(body: str) -> None:
    assert decoded(body)["error"].startswith("the reply is no JSON: ")
    assert decoded('{"ok": 1}') == {"ok": 1}


def test_what_is_asked_and_whom() -> None:
    control = Control()
    inspect = Inspect(control, ["w1"], 5.0, print, limit=3, pattern="w*", matcher="glob")
    inspect.query_task("a", ["b", "c"])
    command, options = control.asked[0]
    assert (command, options["arguments"]) == ("query_task", {"ids": ["a", "b", "c"]})
    assert options == {
        "arguments": {"ids": ["a", "b", "c"]},
        "destination": ["w1"],
        "reply": True,
        "timeout": 5.0,
        "limit": 3,
        "callback": print,
        "pattern": "w*",
        "matcher": "glob",
    }


def test_ping_of_some() -> None:
    control = Control()
    Inspect(control).ping(destination=["w2"])
    assert control.asked[0][1]["destination"] == ["w2"]
