from __future__ import annotations

from typing import Any

import pytest

from litequeue.events.state import State, Worker
from tests.conftest import FakeClock

NOW = 1_700_000_000.0


class Monitor:
    """A state, and the events that it is told."""

    def __init__(self, clock: FakeClock, **options: Any) -> None:
        self.clock = clock
        self.state = State(clock=clock, **options)
        self.count = 0

    def tell(self, type: str, uuid: str | None = None, **fields: Any) -> None:
        self.count += 1
        event = {
            "type": type, "timestamp": self.clock.now(), "local_received": self.clock.now(),
            "hostname": "w@host", "clock": self.count, "pid": 9, "utcoffset": 0, **fields,
        }  # fmt: skip
        if uuid is not None:
            event["uuid"] = uuid
        self.state.event(event)


@pytest.fixture
def monitor(clock: FakeClock) -> Monitor:
    return Monitor(clock)


class TestTasks:
    def test_a_life(self, monitor: Monitor) -> None:
        monitor.tell("task-sent", "a", hostname="gen1@host", name="add", queue="q")
        monitor.tell("task-received", "a", name="add", args="(1, 2)", kwargs="{}", retries=0)
        monitor.tell("task-started", "a")
        monitor.clock.advance(1)
        monitor.tell("task-succeeded", "a", result="3", runtime=0.5)
        task = monitor.state.tasks["a"]
        assert (task.name, task.args, task.result, task.runtime) == ("add", "(1, 2)", "3", 0.5)
        assert (task.sent, task.started, task.succeeded) == (NOW, NOW, NOW + 1)
        assert (task.state, task.ready, task.clock, task.timestamp) == ("SUCCESS", True, 4, NOW + 1)
        assert (task.client, task.queue) == ("gen1@host", "q")
        assert task.worker is monitor.state.workers["w@host"]
        assert task.origin == "w@host.None"
        assert task.info()["result"] == "3"
        assert "exception" not in task.info()
        assert (monitor.state.event_count, monitor.state.task_count) == (4, 1)

    @pytest.mark.parametrize(
        ("kind", "state"),
        [("failed", "FAILURE"), ("retried", "RETRY"), ("revoked", "REVOKED"),
         ("rejected", "REJECTED"), ("halfway", "HALFWAY")],
    )  # fmt: skip
    def test_states(self, monitor: Monitor, kind: str, state: str) -> None:
        monitor.tell(f"task-{kind}", "a")
        assert monitor.state.tasks["a"].state == state

    def test_what_comes_late_changes_no_state(self, monitor: Monitor) -> None:
        monitor.tell("task-succeeded", "a", result="3")
        monitor.tell("task-received", "a", name="add", args="()", result="nonsense")
        monitor.tell("task-started", "a")
        task = monitor.state.tasks["a"]
        assert (task.state, task.name, task.result) == ("SUCCESS", "add", "3")

    def test_after_a_retry_it_starts_again(self, monitor: Monitor) -> None:
        for kind in ("started", "retried", "started"):
            monitor.tell(f"task-{kind}", "a")
        assert monitor.state.tasks["a"].state == "STARTED"

    def test_families(self, monitor: Monitor) -> None:
        monitor.tell("task-received", "a", name="add")
        monitor.tell("task-received", "b", name="add", parent_id="a", root_id="a")
        a, b = monitor.state.tasks["a"], monitor.state.tasks["b"]
        assert (b.parent, b.root, a.parent) == (a, a, None)
        assert a.children == [b]

    def test_questions(self, monitor: Monitor) -> None:
        monitor.tell("task-received", "a", name="add")
        monitor.tell("task-received", "b", name="mul", hostname="v@host")
        monitor.tell("task-started", "a")
        state = monitor.state
        assert [uuid for uuid, _ in state.tasks_by_time()] == ["a", "b"]
        assert [uuid for uuid, _ in state.tasks_by_timestamp(limit=1, reverse=False)] == ["b"]
        assert [uuid for uuid, _ in state.tasks_by_type("mul")] == ["b"]
        assert [uuid for uuid, _ in state.tasks_by_worker("w@host")] == ["a"]
        assert state.task_types() == ["add", "mul"]
        assert state.freeze_while(len, state.tasks) == 2

    def test_only_so_many_are_remembered(self, clock: FakeClock) -> None:
        monitor = Monitor(clock, max_tasks_in_memory=2, max_workers_in_memory=1)
        for uuid in "aba":
            monitor.tell("task-started", uuid)
        monitor.tell("task-started", "c", hostname="v@host")
        assert [*monitor.state.tasks] == ["a", "c"]
        assert [*monitor.state.workers] == ["v@host"]

    @pytest.mark.parametrize(("ready", "left"), [(True, ["b"]), (False, [])])
    def test_forgetting(self, monitor: Monitor, ready: bool, left: list[str]) -> None:
        monitor.tell("task-succeeded", "a")
        monitor.tell("task-started", "b")
        monitor.state.clear(ready)
        assert [*monitor.state.tasks] == left
        assert (monitor.state.workers, monitor.state.event_count) == ({}, 0)


class TestWorkers:
    def test_they_live_for_two_periods(self, monitor: Monitor) -> None:
        monitor.tell("worker-online", freq=2.0, active=1, processed=5, sw_ver="1.2")
        worker = monitor.state.workers["w@host"]
        assert (worker.pid, worker.active, worker.processed, worker.sw_ver) == (9, 1, 5, "1.2")
        monitor.clock.advance(3.9)
        assert (worker.alive, worker.status_string) == (True, "ONLINE")
        assert monitor.state.alive_workers() == [worker]
        monitor.clock.advance(0.2)
        assert (worker.alive, worker.status_string) == (False, "OFFLINE")
        monitor.tell("worker-heartbeat")
        assert worker.alive

    def test_few_heartbeats_are_kept(self, monitor: Monitor) -> None:
        for _ in range(9):
            monitor.clock.advance(1)
            monitor.tell("worker-heartbeat")
        assert monitor.state.workers["w@host"].heartbeats == [NOW + n for n in (6, 7, 8, 9)]

    def test_who_comes_and_who_goes(self, clock: FakeClock) -> None:
        joined: list[Worker] = []
        left: list[Worker] = []
        monitor = Monitor(clock, on_node_join=joined.append, on_node_leave=left.append)
        monitor.tell("worker-heartbeat")
        monitor.tell("worker-heartbeat")
        monitor.tell("worker-offline")
        assert [worker.hostname for worker in joined] == ["w@host"]
        assert left == joined
        assert monitor.state.workers == {}
        assert not left[0].alive


def test_every_event_is_shown_to_the_callback_and_strange_ones_do_no_harm(
    clock: FakeClock,
) -> None:
    seen: list[str] = []
    monitor = Monitor(clock, callback=lambda state, event: seen.append(event["type"]))
    for kind in ("order-shipped", "nonsense", "task-started", "worker-online"):
        monitor.tell(kind, hostname=None)
    assert seen == ["order-shipped", "nonsense", "task-started", "worker-online"]
    assert (monitor.state.workers, monitor.state.tasks) == ({}, {})
