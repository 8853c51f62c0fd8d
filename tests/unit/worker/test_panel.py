"""What a worker answers, from its books alone: no file is asked for any of it."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import pytest

from litequeue import control
from litequeue.cli.control import CONTROL, INSPECT
from litequeue.store.mailbox import Command
from litequeue.worker.answers import ANSWERS, objgraph, serves
from litequeue.worker.control import control_command, inspect_command
from litequeue.worker.orders import ORDERS
from litequeue.worker.panel import Panel
from tests.conftest import FakeClock
from tests.unit.worker.view import FakeWorker, lease


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker()


class Asker:
    """Asks a panel that has no mailbox."""

    def __init__(self, worker: FakeWorker) -> None:
        clock = FakeClock(1000.0)
        self.panel = Panel.__new__(Panel)
        self.panel._worker = worker
        self.panel._clock = clock
        self.panel._samples = deque(maxlen=10)

    def __call__(self, name: str, **arguments: Any) -> Any:
        return self.raw(name, json.dumps(arguments))

    def raw(self, name: str, arguments: str) -> Any:
        command = Command(id=7, name=name, arguments=arguments, reply=True, expires=2e9)
        return json.loads(self.panel.answer(command))


@pytest.fixture
def ask(worker: FakeWorker) -> Asker:
    return Asker(worker)


class TestQuestions:
    def test_ping(self, ask: Asker) -> None:
        assert ask("ping") == {"ok": "pong"}

    def test_active_and_reserved_are_what_the_lines_say(
        self, ask: Asker, worker: FakeWorker
    ) -> None:
        worker.run(lease(1, deaths=1, once=1), started=12.5, pid=101)
        worker.out.append(lease(2))
        (running,) = ask("active")
        assert running == {
            "id": "id-1",
            "name": "tasks.add",
            "args": [1, "two"],
            "kwargs": {"k": 3},
            "type": "tasks.add",
            "hostname": "w1",
            "time_start": 12.5,
            "acknowledged": True,
            "delivery_info": {
                "exchange": "",
                "routing_key": "default",
                "priority": 5,
                "redelivered": True,
            },
            "worker_pid": 101,
        }
        (waiting,) = ask("reserved")
        assert (waiting["id"], waiting["time_start"], waiting["worker_pid"]) == ("id-2", None, None)
        assert not waiting["delivery_info"]["redelivered"]

    def test_safe_arguments_are_text(self, ask: Asker, worker: FakeWorker) -> None:
        worker.run(lease(1))
        (running,) = ask("dump_active", safe=True)
        assert (running["args"], running["kwargs"]) == ('[1, "two"]', '{"k": 3}')

    @pytest.mark.parametrize("body", ["!yaml,- 1", "[[], {}", "7", "[1,2,3]", "[" * 100_000])
    def test_arguments_that_are_no_json_are_shown_as_they_are(
        self, ask: Asker, worker: FakeWorker, body: str
    ) -> None:
        worker.run(lease(1, body=body))
        (running,) = ask("active")
        assert running["args"].startswith(body[:1000])
        assert running["kwargs"] == {}

    def test_long_arguments_are_cut(self, ask: Asker, worker: FakeWorker) -> None:
        worker.run(lease(1, body=json.dumps([["x" * 1_000_000], {}])))
        (running,) = ask("active")
        assert len(running["args"]) < 2000
        assert running["args"].endswith("(1,000,010 characters)")

    def test_query_task(self, ask: Asker, worker: FakeWorker) -> None:
        worker.run(lease(1))
        worker.out.append(lease(2))
        found = ask("query_task", ids=["id-2", "id-1"])
        assert [(id, state) for id, (state, _) in sorted(found.items())] == [
            ("id-1", "active"),
            ("id-2", "reserved"),
        ]
        assert found["id-1"][1]["worker_pid"] == 101
        assert ask("query_task", ids="id-1").keys() == {"id-1"}

    def test_registered(self, ask: Asker) -> None:
        assert ask("registered") == ["tasks.add", "tasks.mail"]
        assert ask("dump_tasks", taskinfoitems=["max_retries", "queue", "nonsense"]) == [
            "tasks.add [max_retries=3]",
            "tasks.mail [max_retries=7 queue=mail]",
        ]

    def test_conf_is_what_was_changed_or_all(self, ask: Asker) -> None:
        assert ask("conf") == {"worker_grace": 5.0}
        assert ask("conf", with_defaults=True)["task_acks_late"] is True

    def test_stats(self, ask: Asker, worker: FakeWorker) -> None:
        worker.database = FakeFile()
        worker.started = 400.0
        stats = ask("stats")
        assert stats["total"] == {"tasks.add": 8}
        assert (stats["pid"], stats["uptime"], stats["clock"]) == (100, 600, "7")
        assert stats["prefetch_count"] == 16
        assert stats["pool"]["max-concurrency"] == 2
        assert stats["pool"]["processes"] == [101, 102]
        assert stats["pool"]["timeouts"] == [0, 60.0]
        assert stats["rusage"]["maxrss"] > 0
        assert "autoscaler" not in stats
        worker.with_pool(autoscale=(8, 2))
        assert ask("stats")["autoscaler"] == {"current": 2, "max": 8, "min": 2}

    def test_report(self, ask: Asker, worker: FakeWorker) -> None:
        worker.database = FakeFile()
        text = ask("report")["ok"]
        assert "litequeue:" in text
        assert "file -> /jobs.sqlite" in text
        assert "worker_grace: 5.0" in text

    def test_clock_and_hello(self, ask: Asker) -> None:
        assert ask("clock") == {"clock": 7}
        assert ask("hello", from_node="w2") == {"revoked": ["gone-1"], "clock": 7}
        assert ask("hello", from_node="w1") is None

    def test_revoked(self, ask: Asker) -> None:
        assert ask("revoked") == ["gone-1"]

    def test_memory(self, ask: Asker, worker: FakeWorker) -> None:
        worker.with_pool(pids=(2**22 + 1,))  # has left: no pid is that large
        sample = ask("memsample")
        assert float(sample.removesuffix("MB")) > 1
        assert f"> {sample}" in ask("memdump")
        assert ask("memdump", samples=0).count("\n") == 1

    def test_objgraph_is_refused(self, ask: Asker) -> None:
        assert "runs no user code" in ask("objgraph")["error"]


class FakeFile:
    path = "/jobs.sqlite"


@pytest.mark.parametrize(
    ("queues", "excluded", "served"),
    [
        (None, [], {"mail", "mail.fast", "video", "odd[1]"}),
        (["mail"], [], {"mail"}),
        (["mail*"], ["mail.f*"], {"mail"}),
        (None, ["mail", "video"], {"mail.fast", "odd[1]"}),
        (["odd[1]"], [], {"odd[1]"}),
    ],
)
def test_which_queues_are_served(
    worker: FakeWorker, queues: list[str] | None, excluded: list[str], served: set[str]
) -> None:
    worker.queues, worker.excluded = queues, excluded
    known = ("mail", "mail.fast", "video", "odd[1]")
    assert {queue for queue in known if serves(worker, queue)} == served


class TestOrders:
    def test_limits_of_a_task(self, ask: Asker, worker: FakeWorker) -> None:
        answer = ask("time_limit", task_name="tasks.add", soft=1, hard=2.5)
        assert answer == {"ok": "time limits set successfully"}
        assert worker.told == [("limit_time", "tasks.add", 1, 2.5)]
        assert ask("time_limit", task_name="tasks.sub") == {"error": "unknown task"}

    @pytest.mark.parametrize("soft", [0, -1, "5", True, float("inf"), [1]])
    def test_a_limit_is_a_number_above_0(
        self, ask: Asker, worker: FakeWorker, soft: object
    ) -> None:
        assert "soft time limit" in ask("time_limit", task_name="tasks.add", soft=soft)["error"]
        assert worker.told == []

    def test_events_are_switched_once(self, ask: Asker, worker: FakeWorker) -> None:
        assert ask("enable_events") == {"ok": "task events enabled"}
        assert ask("enable_events") == {"ok": "task events already enabled"}
        assert ask("disable_events") == {"ok": "task events disabled"}
        assert ask("disable_events") == {"ok": "task events already disabled"}
        assert worker.told == [("send_events", True), ("send_events", False)]

    def test_heartbeat(self, ask: Asker, worker: FakeWorker) -> None:
        assert ask("heartbeat") is None
        assert worker.told == [("send_heartbeat",)]

    def test_the_size_of_the_pool(self, ask: Asker, worker: FakeWorker) -> None:
        assert ask("pool_grow", n=3) == {"ok": "pool will grow"}
        assert ask("pool_shrink") == {"ok": "pool will shrink"}
        assert worker.told == [("resize_pool", 3), ("resize_pool", -1)]

    @pytest.mark.parametrize(("n", "words"), [(0, "above 0"), ("2", "above 0"), (2, "1 to 64")])
    def test_a_size_that_makes_no_sense(
        self, ask: Asker, worker: FakeWorker, n: object, words: str
    ) -> None:
        assert words in ask("pool_shrink", n=n)["error"]
        assert worker.told == []

    def test_no_more_than_there_is_room_for(self, ask: Asker, worker: FakeWorker) -> None:
        assert "1 to 64" in ask("pool_grow", n=63)["error"]
        assert ask("pool_grow", n=62) == {"ok": "pool will grow"}

    def test_a_pool_that_is_scaled_or_fixed_is_left_alone(
        self, ask: Asker, worker: FakeWorker
    ) -> None:
        worker.with_pool(autoscale=(4, 1))
        assert "not supported with autoscale" in ask("pool_grow")["error"]
        worker.with_pool(autoscale=None, honours=frozenset(), name="solo")
        assert ask("pool_grow") == {"error": "the pool solo cannot change its size"}
        assert worker.told == []

    def test_autoscale(self, ask: Asker, worker: FakeWorker) -> None:
        assert "Autoscale not enabled" in ask("autoscale", max=4, min=1)["error"]
        worker.with_pool(autoscale=(4, 2))
        assert ask("autoscale", max=9) == {"ok": "autoscale now max=9 min=2"}
        for wrong in ({"max": 1}, {"min": 0}, {"max": "9"}, {"max": True, "min": True}):
            assert "max >= min >= 1" in ask("autoscale", **wrong)["error"]
        assert worker.told == [("autoscale", 9, 2)]

    def test_restart_and_shutdown(self, ask: Asker, worker: FakeWorker) -> None:
        assert ask("pool_restart") == {"ok": "reload started"}
        assert ask("pool_restart", reload=True) == {"ok": "reload started"}
        assert "reload=True" in ask("pool_restart", modules=["tasks"])["error"]
        assert ask("shutdown") == {"ok": "shutdown started"}
        assert worker.told == [("restart_pool", False), ("restart_pool", True), ("shut_down",)]

    def test_queues(self, ask: Asker, worker: FakeWorker) -> None:
        assert ask("add_consumer", queue="mail", exchange="x") == {"ok": "add consumer mail"}
        assert ask("cancel_consumer", queue="mail") == {"ok": "no longer consuming from mail"}
        assert "named by a text" in ask("add_consumer", queue=["mail"])["error"]
        assert worker.told == [("add_queue", "mail"), ("cancel_queue", "mail")]

    def test_revoke_says_what_runs_here(self, ask: Asker, worker: FakeWorker) -> None:
        worker.run(lease(1))
        worker.out.append(lease(2))
        ids = ["id-1", "id-2", "id-3"]
        assert ask("revoke", task_id=ids) == {"ok": "tasks id-1, id-2, id-3 flagged as revoked"}
        assert ask("revoke", task_id=ids, terminate=True) == {"ok": "terminate: id-1"}
        assert ask("terminate", task_id="id-3") == {"ok": "terminate: tasks unknown"}

    def test_revoke_by_stamps_says_what_runs_here(self, ask: Asker, worker: FakeWorker) -> None:
        options = json.dumps({"stamps": {"order": ["7", "8"], "who": "me"}})
        worker.run(lease(1, options=options))
        worker.run(lease(2, options="{broken"))

        def said(**headers: Any) -> str:
            answer = ask("revoke_by_stamped_headers", headers=headers, terminate=True)
            return str(answer["ok"])

        assert said(order="8", who=["you"]) == "headers order=8 revoked"
        assert said(order="9") == "headers order=9 were not terminated"
        flagged = ask("revoke_by_stamped_headers", headers={"who": "me"})
        assert flagged == {"ok": "headers who=me flagged as revoked, but not terminated"}

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("rate_limit", {"task_name": "tasks.add", "rate_limit": "5/s"}),
            ("election", {"id": "1", "topic": "t"}),
        ],
    )
    def test_what_there_is_not_is_refused(
        self, ask: Asker, name: str, arguments: dict[str, Any]
    ) -> None:
        assert set(ask(name, **arguments)) == {"error"}


class TestMistakes:
    def test_an_unknown_command(self, ask: Asker) -> None:
        assert ask("x") == {"error": "Unknown control command 'x'"}
        assert ask("__init__") == {"error": "Unknown control command '__init__'"}

    @pytest.mark.parametrize("text", ["{", "[]", "7", "null", '{"ids": 1, "desk": 2}', "[" * 9999])
    def test_arguments_that_are_none(self, ask: Asker, text: str) -> None:
        assert "wrong arguments" in ask.raw("time_limit", text)["error"]

    def test_a_command_that_fails_does_not_end_the_worker(
        self, ask: Asker, worker: FakeWorker, caplog: pytest.LogCaptureFixture
    ) -> None:
        worker.revoked = None  # type: ignore[assignment]  # a fault of ours
        assert ask("revoked")["error"].startswith("TypeError: ")
        assert "the command 'revoked' failed" in caplog.text

    def test_commands_of_users_are_refused_where_they_are_written(self) -> None:
        for decorator in (control_command, inspect_command):
            with pytest.raises(NotImplementedError, match=rf"@{decorator.__name__}: .*a task"):
                decorator(args=[("n", int)])


class TestLists:
    """The same commands are known to the worker, the client and the command line."""

    def test_of_questions(self) -> None:
        assert set(ANSWERS) == control.QUESTIONS
        assert set(control.ALIASES.values()) <= set(ANSWERS)
        not_typed = {"hello", objgraph.__name__}
        assert set(INSPECT) == set(ANSWERS) - not_typed

    def test_of_orders(self) -> None:
        assert set(CONTROL) == set(ORDERS) - {"rate_limit", "election"}

    def test_of_methods(self) -> None:
        assert set(ORDERS) <= set(dir(control.Control))
        assert set(ANSWERS) <= set(dir(control.Inspect))
