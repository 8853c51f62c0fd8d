"""Celery's signals in the processes of a real worker: which, where, how often, and what for."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from litequeue import AsyncResult
from tests.conftest import wait_until
from tests.integration.apps.record import Record
from tests.integration.processes import Site, has_open
from tests.integration.tasks import app

APP = "tests.integration.apps.listening:app"
IN_SUPERVISOR = {
    "celeryd_init", "celeryd_after_setup", "import_modules", "worker_init", "worker_ready",
    "worker_before_create_process", "worker_shutting_down", "worker_shutdown", "heartbeat_sent",
    "beat_embedded_init",
}  # fmt: skip
OF_EVERY_PROGRAM = {"import_modules", "after_setup_logger", "after_setup_task_logger"}
"""A child that is started as a new program imports the app and sets up its log for itself."""
ONCE = IN_SUPERVISOR - {"worker_before_create_process", "import_modules", "heartbeat_sent"}
ABOUT_WORKERS = {"worker_process_init", "worker_process_shutdown", *IN_SUPERVISOR} - {
    "heartbeat_sent"
}


def send(task: str, *args: Any, **options: Any) -> AsyncResult[Any]:
    result: AsyncResult[Any] = app.send_task(
        f"tests.integration.apps.listening.{task}", args, **options
    )
    return result


def about(facts: Record, id: str) -> list[str]:
    """Return the signals that were sent about a job, in their order."""
    return [fact["fact"] for fact in facts.facts() if id in (fact.get("id"), fact.get("task_id"))]


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_each_signal_is_sent_in_its_process(site: Site, facts: Record, start_method: str) -> None:
    worker = site.worker("-n", "w", "--start-method", start_method, app=APP)
    children, consumer = worker.children(), worker.consumer()
    assert send("add", 1, 2).get(timeout=10) == 3
    send("end", "fail").get(timeout=10, propagate=False)
    send("end", "retry").get(timeout=10)
    send("end", "reject").get(timeout=10, propagate=False)
    assert worker.stop() == 0
    heard = facts.facts()
    assert {fact["fact"] for fact in heard} >= ONCE | {
        "worker_before_create_process", "worker_process_init", "worker_process_shutdown",
        "task_received", "task_prerun", "task_postrun", "task_success", "task_failure",
        "task_retry", "task_rejected",
    }  # fmt: skip
    in_supervisor = IN_SUPERVISOR | OF_EVERY_PROGRAM
    for fact in heard:
        if fact["fact"] in OF_EVERY_PROGRAM and start_method == "spawn":
            assert fact["pid"] in (worker.supervisor, *children), fact
        elif fact["fact"] in in_supervisor:
            assert fact["pid"] == worker.supervisor, fact
        else:
            assert fact["pid"] in children, fact
            assert fact["ppid"] == worker.supervisor, fact
    assert consumer not in {fact["pid"] for fact in heard}
    for name in sorted(ONCE):
        assert len(facts.facts(name)) == 1, name
    for name in ("worker_process_init", "worker_process_shutdown"):
        assert sorted(fact["pid"] for fact in facts.facts(name)) == sorted(children), name
    assert len(facts.facts("worker_before_create_process")) == 2


def test_a_worker_that_is_well_says_so_again_and_again(site: Site, facts: Record) -> None:
    worker = site.worker("-n", "w", app=APP, children=1)

    def beats() -> list[int]:
        return [fact["pid"] for fact in facts.facts() if fact["fact"] == "heartbeat_sent"]

    wait_until(lambda: len(beats()) >= 3)
    assert set(beats()) == {worker.supervisor}


def test_signals_of_the_worker_come_in_their_order_with_their_arguments(
    site: Site, facts: Record
) -> None:
    worker = site.worker("-n", "w", app=APP, children=1)
    assert worker.stop() == 0
    names = [fact["fact"] for fact in facts.facts() if fact["fact"] in ABOUT_WORKERS]
    assert [name for name in names if name != "import_modules"] == [
        "celeryd_init", "celeryd_after_setup", "worker_init", "beat_embedded_init",
        "worker_before_create_process", "worker_process_init", "worker_ready",
        "worker_shutting_down", "worker_process_shutdown", "worker_shutdown",
    ]  # fmt: skip
    (down,) = facts.facts("worker_shutting_down")
    assert (down["sig"], down["how"], down["exitcode"]) == ("SIGTERM", "Warm", 0)
    (gone,) = facts.facts("worker_process_shutdown")
    assert (gone["exitcode"], gone["sender"]) == (0, "w")
    senders = {fact["fact"]: fact["sender"] for fact in facts.facts()}
    assert {name: senders[name] for name in ("celeryd_init", "worker_process_init")} == {
        "celeryd_init": "w", "worker_process_init": "w",
    }  # fmt: skip


def test_a_replaced_child_is_initialized_too(site: Site, facts: Record) -> None:
    worker = site.worker(app=APP, children=1)
    (first,) = worker.children()
    os.kill(first, signal.SIGKILL)
    (_, second) = facts.wait_for("worker_process_init", 2)
    wait_until(lambda: worker.children() == [second["pid"]])
    assert send("add", 1, 1).get(timeout=10) == 2
    assert worker.stop() == 0
    assert [fact["pid"] for fact in facts.facts("worker_process_shutdown")] == [second["pid"]], (
        "one that is killed sends nothing"
    )


def test_signals_of_a_job_come_in_their_order_with_their_arguments(
    site: Site, facts: Record
) -> None:
    site.worker("-n", "w", app=APP, children=1)
    around = ["task_received", "task_prerun"]
    for call, middle in (
        (("add", 20, 22), ["task_success"]),
        (("end", "fail"), ["task_failure"]),
        (("end", "retry"), ["task_retry", "task_postrun", *around, "task_success"]),
        (("end", "reject"), []),
    ):
        sent = send(*call)
        sent.get(timeout=10, propagate=False)
        # task_success and task_rejected name no id
        told = [name for name in about(facts, sent.id) if name != "task_rejected"]
        assert told == [*around, *(n for n in middle if n != "task_success"), "task_postrun"]
    succeeded = facts.facts("task_success")
    assert [fact["result"] for fact in succeeded] == [42, None]
    assert all(fact["runtime"] >= 0 for fact in succeeded)
    assert {fact["sender"] for fact in facts.facts("task_received")} == {"w"}
    (rejected,) = facts.facts("task_rejected")
    assert (rejected["sender"], rejected["message"]) == ("w", '[["reject"],{}]')
    states = [fact["state"] for fact in facts.facts("task_postrun")]
    assert states == ["SUCCESS", "FAILURE", "RETRY", "SUCCESS", "REJECTED"]
    for fact in facts.facts():
        if fact["fact"] == "task_failure":
            assert fact["given"] == sorted(
                ["task_id", "exception", "args", "kwargs", "traceback", "einfo"]
            )


def test_a_receiver_that_raises_harms_nothing(site: Site, facts: Record) -> None:
    worker = site.worker(app=APP, children=1, RECEIVERS="raise")
    children = worker.children()
    assert send("add", 1, 2).get(timeout=10) == 3
    failed = send("end", "fail")
    failed.get(timeout=10, propagate=False)
    assert failed.state == "FAILURE"
    assert send("end", "retry").get(timeout=10) is None
    assert worker.children() == children
    assert worker.stop() == 0
    assert "a receiver's own mistake" in worker.said()
    assert set(facts.names()) >= ONCE


@pytest.mark.parametrize("what", ["file", "thread"])
def test_what_worker_init_leaves_open_is_not_copied_by_a_fork(site: Site, what: str) -> None:
    worker = site.worker(app=APP, children=1, PREPARE=what)
    for number in range(20):
        assert send("add", number, 1).get(timeout=10) == number + 1
    os.kill(worker.children()[0], signal.SIGKILL)
    assert send("add", 1, 1).get(timeout=10) == 2
    assert not has_open(worker.supervisor, site.path), "closed before any fork"
    (child,) = worker.children()
    command = Path(f"/proc/{child}/cmdline").read_bytes()
    assert (b"litequeue.worker.child" in command) is (what == "thread"), worker.said()
    assert ("children are started as new programs" in worker.said()) is (what == "thread")
    if what == "thread":
        assert "thread left-over" in worker.said()
    assert worker.stop() == 0


def test_stopping_coldly_says_so_once(site: Site, facts: Record) -> None:
    worker = site.worker(app=APP, children=1)
    send("hold", "busy")
    facts.wait_for("holds")
    assert worker.stop(signal.SIGQUIT) == 1
    (down,) = facts.facts("worker_shutting_down")
    assert (down["sig"], down["how"], down["exitcode"]) == ("SIGQUIT", "Cold", 1)
    assert len(facts.facts("worker_shutdown")) == 1
    assert facts.facts("worker_process_shutdown") == []
