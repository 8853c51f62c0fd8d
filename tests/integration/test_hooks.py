"""Hooks of class-based tasks, in real children: when, where, and what they cannot spoil."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from litequeue.exceptions import LiteQueueError
from tests.integration.apps.hooks import app, behave, stubborn, suffer, summed, throwing
from tests.integration.apps.record import Record
from tests.integration.processes import Site, wait_until

APP = "tests.integration.apps.hooks:app"


@pytest.fixture(autouse=True)
def _bound(site: Site) -> Iterator[None]:
    app.rebind(site.path)
    yield
    app.close()


def test_a_class_based_task_lives_as_long_as_its_child(site: Site, facts: Record) -> None:
    worker = site.worker(app=APP, children=1)
    ends = [summed.delay(number).get(timeout=10) for number in (1, 2, 3)]
    assert ends == [[worker.children()[0], total] for total in (1, 3, 6)]
    assert facts.names() == ["before_start", "on_success", "after_return"] * 3


HOOKS = {
    "well": ["before_start", "on_success", "after_return:SUCCESS"],
    "fail": ["before_start", "on_failure", "after_return:FAILURE"],
    "retry": ["before_start", "on_retry", "before_start", "on_failure", "after_return:FAILURE"],
    "reject": ["before_start"],
}


def test_hooks_come_in_their_order_in_the_child_that_ran_the_job(site: Site, facts: Record) -> None:
    worker = site.worker(app=APP, children=1)
    for how, hooks in HOOKS.items():
        result = behave.delay(how)
        result.get(timeout=10, propagate=False)
        seen = facts.facts(id=result.id)
        assert [
            ":".join(filter(None, (each["fact"], each.get("status")))) for each in seen
        ] == hooks
        assert {each["pid"] for each in seen} == set(worker.children())
        if how == "fail":
            (failed,) = facts.facts("on_failure", id=result.id)
            assert (failed["exc"], failed["words"]) == ("ValueError", "as asked")
            assert 'raise ValueError("as asked")' in failed["trace"]
            assert failed["here"] == result.id, "the request is there, for the hooks too"


@pytest.mark.parametrize("how", ["raise", "exit"])
def test_what_a_hook_raises_costs_no_verdict(site: Site, facts: Record, how: str) -> None:
    worker = site.worker(app=APP, children=1)
    children = worker.children()
    for ends, state in (("well", "SUCCESS"), ("fail", "FAILURE"), ("retry", "SUCCESS")):
        result = suffer.delay(how, ends)
        result.get(timeout=10, propagate=False)
        assert result.state == state
    assert worker.children() == children, "a hook's mistake does not end its child"
    assert len(facts.facts("misbehaved")) == 2 + 2 + 3
    assert worker.said().count("a hook of tests.integration.apps.hooks.suffer") == 7


def test_a_retry_from_on_failure_is_a_retry(site: Site, facts: Record) -> None:
    site.worker(app=APP, children=1)
    good = stubborn.delay(2)
    assert good.get(timeout=10) == 2
    assert facts.names(id=good.id) == [
        *["before_start", "on_failure", "on_retry"] * 2,
        "before_start", "on_success", "after_return",
    ]  # fmt: skip
    bad = stubborn.delay(9)
    with pytest.raises(ValueError, match="failure 3"):
        bad.get(timeout=10)
    assert bad.state == "FAILURE"
    assert [each["retries"] for each in facts.facts("on_failure", id=bad.id)] == [0, 1, 2]
    assert facts.names(id=bad.id)[-2:] == ["on_failure", "after_return"]


def test_an_expected_exception_is_a_line_of_information(site: Site, facts: Record) -> None:
    worker = site.worker(app=APP, children=1)
    result = throwing.apply_async()
    with pytest.raises((KeyError, LiteQueueError)):
        result.get(timeout=10)
    wait_until(lambda: "shadowed[" in worker.said())  # written after the waiters are told
    lines = [line for line in worker.said().splitlines() if "shadowed[" in line]
    assert len(lines) == 1
    assert " INFO shadowed" in lines[0]
    assert "KeyError" in lines[0]
    assert "Traceback" not in worker.said()
    assert facts.names(id=result.id) == ["before_start", "on_failure", "after_return"]
