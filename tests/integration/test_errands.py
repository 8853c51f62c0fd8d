"""Verdicts made without a child: hooks and signals come in one, once, after the commit."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from litequeue import AsyncResult, TaskRevokedError, WorkerLostError
from tests.conftest import wait_until
from tests.integration import tasks
from tests.integration.apps.hooks import app, behave, deadly, hold
from tests.integration.apps.record import Record
from tests.integration.processes import Site

HOOKED = "tests.integration.apps.hooks:app"
LISTENING = "tests.integration.apps.listening:app"


@pytest.fixture(autouse=True)
def _bound(site: Site) -> Iterator[None]:
    app.rebind(site.path)
    yield
    app.close()


def send(task: str, *args: Any, **options: Any) -> AsyncResult[Any]:
    name = f"tests.integration.apps.listening.{task}"
    result: AsyncResult[Any] = tasks.app.send_task(name, args, **options)
    return result


def test_a_poison_job_fires_its_hooks_once_in_a_living_child(site: Site, facts: Record) -> None:
    worker = site.worker(app=HOOKED, children=2)
    result = behave.delay("die")
    with pytest.raises(WorkerLostError, match="3 times"):
        result.get(timeout=15)
    (failed,) = facts.wait_for("on_failure", id=result.id)
    facts.wait_for("after_return", id=result.id, status="FAILURE")
    assert behave.delay("well").get(timeout=10) == "well"
    dead = {fact["pid"] for fact in facts.facts("dies")}
    assert len(dead) == 3
    assert failed["pid"] not in dead
    assert failed["ppid"] == worker.supervisor
    assert (failed["exc"], failed["here"]) == ("WorkerLostError", result.id)
    assert "SIGKILL" in failed["words"]
    assert failed["args"] == ["die"]
    hooks = facts.names(id=result.id)
    assert hooks.count("on_failure") == hooks.count("after_return") == 1


def test_a_poison_job_sends_task_failure_once(site: Site, facts: Record) -> None:
    worker = site.worker(app=LISTENING, children=1)
    result = send("suicide")
    with pytest.raises(WorkerLostError):
        result.get(timeout=15)
    facts.wait_for("task_failure")
    assert send("add", 1, 1).get(timeout=10) == 2
    (failure,) = facts.facts("task_failure")
    assert failure["task_id"] == result.id
    assert failure["sender"] == "tests.integration.apps.listening.suicide"
    assert failure["ppid"] == worker.supervisor
    assert failure["pid"] not in {fact["pid"] for fact in facts.facts("dies")}


def test_the_job_of_a_dead_worker_fires_its_hooks_in_the_next(site: Site, facts: Record) -> None:
    worker = site.worker(app=HOOKED, children=1, LITEQUEUE_TASK_MAX_DELIVERIES="1")
    result = hold.delay("never")
    facts.wait_for("holds")
    worker.kill_all()
    second = site.worker(app=HOOKED, children=1, LITEQUEUE_TASK_MAX_DELIVERIES="1")
    with pytest.raises(WorkerLostError):
        result.get(timeout=10)
    (failed,) = facts.wait_for("on_failure", id=result.id)
    assert failed["ppid"] == second.supervisor


@pytest.mark.parametrize("when", ["at the claim", "while it waits"])
def test_an_expired_job_sends_task_revoked(site: Site, facts: Record, when: str) -> None:
    if when == "at the claim":
        result = send("add", 1, 2, expires=0.01)
        gone = time.time() + 0.01
        wait_until(lambda: time.time() > gone)
        site.worker(app=LISTENING, children=1)
    else:
        worker = site.worker(app=LISTENING, children=1)
        send("hold", "busy")
        facts.wait_for("holds")
        result = send("add", 1, 2, expires=0.1)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=10)
    if when == "while it waits":
        assert facts.facts("task_revoked") == [], "the only child is busy: the errand waits"
        site.open_gate("busy")
    (revoked,) = facts.wait_for("task_revoked")
    assert revoked["id"] == result.id
    assert (revoked["expired"], revoked["terminated"], revoked["signum"]) == (True, False, None)
    assert revoked["sender"] == "tests.integration.apps.listening.add"
    worker = site.workers[0]
    assert (revoked["pid"], revoked["ppid"]) == (worker.children()[0], worker.supervisor)
    assert "task_prerun" not in [
        fact["fact"] for fact in facts.facts() if fact.get("task_id") == result.id
    ]


def test_an_unknown_task_sends_task_unknown(site: Site, facts: Record) -> None:
    worker = site.worker("-n", "w", app=LISTENING, children=1)
    result = send("renamed", 7)
    (unknown,) = facts.wait_for("task_unknown")
    assert (unknown["id"], unknown["name"]) == (
        result.id, "tests.integration.apps.listening.renamed",
    )  # fmt: skip
    assert (unknown["sender"], unknown["message"]) == ("w", "[[7],{}]")
    assert unknown["pid"] == worker.children()[0]
    assert result.state == "PENDING", "it waits for a worker that knows it"


def test_errands_wait_while_the_children_are_busy(site: Site, facts: Record) -> None:
    site.worker(app=LISTENING, children=2)
    for name in ("one", "two"):
        send("hold", name)
    facts.wait_for("holds", 2)
    late = [send("add", number, 0, expires=0.05) for number in range(30)]
    for each in late:
        each.get(timeout=10, propagate=False)
    assert {each.state for each in late} == {"REVOKED"}
    assert facts.facts("task_revoked") == []
    site.open_gate("two")
    facts.wait_for("task_revoked", 30)
    site.open_gate("one")
    assert send("add", 2, 2).get(timeout=10) == 4
    told = [fact["id"] for fact in facts.facts("task_revoked")]
    assert sorted(told) == sorted(each.id for each in late)


@pytest.mark.parametrize("kind", ["hook", "receiver"])
def test_an_errand_that_kills_its_child_is_not_repeated(
    site: Site, facts: Record, kind: str
) -> None:
    worker = site.worker(app=HOOKED if kind == "hook" else LISTENING, children=1, ERRANDS="deadly")
    result = deadly.delay() if kind == "hook" else send("suicide")
    with pytest.raises(WorkerLostError):
        result.get(timeout=15)
    told = "on_failure" if kind == "hook" else "task_failure"
    (errand,) = facts.wait_for(told)
    wait_until(lambda: worker.children() not in ([], [errand["pid"]]))
    if kind == "hook":
        assert behave.delay("well").get(timeout=10) == "well"
    else:
        assert send("add", 1, 1).get(timeout=10) == 2
    assert len(facts.facts(told)) == 1, "whoever dies of an errand takes it along"
    assert result.state == "FAILURE"
    # The errand's child ran no job: none is blamed for it.
    deaths = [fact["pid"] for fact in facts.facts("dies")]
    assert errand["pid"] not in deaths
    assert len(deaths) == 3


def test_errands_on_their_way_are_not_lost_with_the_consumer(site: Site, facts: Record) -> None:
    """What a child has yet to read outlives a consumer."""
    worker = site.worker(app=LISTENING, children=1)
    send("hold", "busy")
    facts.wait_for("holds")
    late = send("add", 1, 0, expires=0.05)
    late.get(timeout=10, propagate=False)
    beats = worker.slots.beats()
    wait_until(lambda: worker.slots.beats() > beats + 1)  # handed out, whatever it sleeps on
    consumer = worker.consumer()
    os.kill(consumer, signal.SIGKILL)
    wait_until(lambda: worker.find_consumer() not in (0, consumer))
    beats = worker.slots.beats()
    wait_until(lambda: worker.slots.beats() > beats + 2)  # it has audited what is on its way
    site.open_gate("busy")
    facts.wait_for("task_revoked", id=late.id)
    assert send("add", 2, 2).get(timeout=10) == 4
    assert len(facts.facts("task_revoked")) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_an_errand_is_run_before_a_warm_stop(site: Site, facts: Record, number: int) -> None:
    worker = site.worker(app=LISTENING, children=1)
    send("hold", "busy")
    facts.wait_for("holds")
    late = send("add", 1, 0, expires=0.05)
    late.get(timeout=10, propagate=False)
    beats = worker.slots.beats()
    wait_until(lambda: worker.slots.beats() > beats + 1)
    worker.send(number)
    worker.wait_until_said("stopping")
    site.open_gate("busy")
    assert worker.wait() == 0
    assert [fact["id"] for fact in facts.facts("task_revoked")] == [late.id]
