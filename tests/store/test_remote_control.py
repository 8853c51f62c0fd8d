"""Remote control over a real file: the client here, the panels of made-up workers there."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from litequeue import LiteQueue
from litequeue.clock import SYSTEM
from litequeue.control import Control
from litequeue.store import Database, Waiting, mailbox, revocations, shown, workers
from litequeue.store.wakeup import Bell, Ringer
from litequeue.store.workers import Identity
from litequeue.worker.panel import Panel
from tests.conftest import FakeClock, wait_until
from tests.store.steps import NOW, put, step
from tests.unit.worker.view import FakeWorker, lease

BOOT = "a boot"


class Crew:
    """Made-up workers in threads, and who of them is alive."""

    def __init__(self, app: LiteQueue) -> None:
        self.app = app
        self.alive: set[str] = set()
        self.control = Control(app, lambda owner: owner.identity.name in self.alive)
        self.workers: dict[str, FakeWorker] = {}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def register(self, name: str, *, alive: bool = True) -> None:
        """Enter a worker that answers nothing."""
        identity = Identity(
            name=name, nonce=f"{len(self.workers):016x}", boot=BOOT, namespace="pid:[1]", pid=1,
            start_time=1, directory="",
        )  # fmt: skip
        workers.register(self.app.store.database, identity, SYSTEM.now())
        self.workers[name] = FakeWorker(name=name)
        if alive:
            self.alive.add(name)

    def work(self, *names: str, delay: float = 0.0) -> None:
        """Have workers of these names answer."""
        for name in names:
            self.register(name)
            ready = threading.Event()
            thread = threading.Thread(target=self._answer, args=(name, delay, ready), daemon=True)
            self._threads.append(thread)
            thread.start()
            assert ready.wait(10)

    def _answer(self, name: str, delay: float, ready: threading.Event) -> None:
        database = Database(self.app.path, create=False)
        bell, ringer = Bell(database.path, "worker"), Ringer(database.path)
        self.workers[name].database = database
        panel = Panel(self.workers[name], ringer, SYSTEM)
        bell.asleep(True)
        ready.set()
        while not self._stop.is_set():
            bell.wait(0.2)
            if bell.has_post():
                self._stop.wait(delay)
                panel.attend()
        bell.close()
        ringer.close()
        database.close()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def app(queue_path: Path) -> Iterator[LiteQueue]:
    app = LiteQueue(queue_path, set_as_current=False)
    yield app
    app.close()


@pytest.fixture
def crew(app: LiteQueue) -> Iterator[Crew]:
    crew = Crew(app)
    yield crew
    crew.stop()


@contextmanager
def shorter_than(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def commands(app: LiteQueue) -> list[mailbox.Command]:
    return mailbox.since(app.store.database, 0, SYSTEM.now())


class TestAsking:
    def test_all_answer_and_nobody_waits_longer(self, crew: Crew) -> None:
        crew.work("w1", "w2")
        with shorter_than(10):
            assert crew.control.inspect(timeout=60).ping() == {
                "w1": {"ok": "pong"},
                "w2": {"ok": "pong"},
            }
        answers = crew.control.ping(timeout=60)
        assert sorted(answers, key=str) == [{"w1": {"ok": "pong"}}, {"w2": {"ok": "pong"}}]

    def test_nobody_is_there(self, crew: Crew) -> None:
        with shorter_than(10):
            assert crew.control.inspect(timeout=60).active() is None
            assert crew.control.ping(timeout=60) == []

    def test_only_whom_was_asked(self, crew: Crew) -> None:
        crew.work("web-1", "web-2", "mail-1")
        ask = crew.control.inspect
        with shorter_than(20):
            assert ask(destination=["web-2"], timeout=60).ping() == {"web-2": {"ok": "pong"}}
            assert ask(destination="web-2", timeout=60).ping() == {"ok": "pong"}
            assert ask(pattern="web-*", timeout=60).ping().keys() == {"web-1", "web-2"}
            assert ask(pattern=r"\w+-1$", matcher="pcre", timeout=60).ping().keys() == {
                "web-1",
                "mail-1",
            }
            assert ask(destination=["nobody"], timeout=60).ping() is None
            assert ask(pattern="x*", timeout=60).ping() is None
        with pytest.raises(ValueError, match="regular expression"):
            ask(pattern="(", matcher="pcre").ping()

    def test_a_worker_that_stands_still_is_missing(self, crew: Crew) -> None:
        crew.work("w1")
        crew.register("still")
        began = time.monotonic()
        found = wait_until(lambda: crew.control.inspect(timeout=0.4).ping())
        assert found == {"w1": {"ok": "pong"}}
        assert time.monotonic() - began >= 0.4

    def test_a_dead_worker_is_not_waited_for(
        self, crew: Crew, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def wait(self: Waiting, timeout: float) -> None:
            pytest.fail("there is nobody to wait for")

        crew.register("dead", alive=False)
        with monkeypatch.context() as patch:
            patch.setattr(Waiting, "wait", wait)
            assert crew.control.inspect(timeout=60).ping() is None
        crew.work("w1")
        with shorter_than(10):
            assert crew.control.inspect(timeout=60).ping() == {"w1": {"ok": "pong"}}

    def test_one_that_dies_meanwhile_is_not_waited_for(self, crew: Crew) -> None:
        crew.work("w1")
        crew.register("dying")

        def bury(reply: dict[str, Any]) -> None:
            crew.alive.discard("dying")

        with shorter_than(10):
            assert crew.control.inspect(timeout=60, callback=bury).ping() == {"w1": {"ok": "pong"}}

    def test_enough_answers_are_enough(self, crew: Crew) -> None:
        crew.work("w1", "w2")
        crew.register("still")
        heard: list[dict[str, Any]] = []
        with shorter_than(10):
            found = crew.control.inspect(timeout=60, limit=1, callback=heard.append).ping()
        assert len(found) == 1
        assert heard == [found]

    def test_answers_are_as_they_were_given(self, crew: Crew) -> None:
        crew.work("w1")
        assert crew.control.inspect().registered("max_retries") == {
            "w1": ["tasks.add [max_retries=3]", "tasks.mail [max_retries=7]"]
        }
        assert crew.control.broadcast("time_limit", {"task_name": "x"}, reply=True) == [
            {"w1": {"error": "unknown task"}}
        ]
        assert crew.control.broadcast("hm", reply=True, a=1) == [
            {"w1": {"error": "Unknown control command 'hm'"}}
        ]

    def test_what_json_has_not_cannot_be_asked(self, crew: Crew) -> None:
        with pytest.raises(TypeError, match="JSON"):
            crew.control.broadcast("ping", {"a": object()})

    def test_nothing_is_left_of_a_question(self, crew: Crew, app: LiteQueue) -> None:
        crew.work("w1")
        crew.register("still")
        crew.control.inspect(timeout=0.3).ping()
        assert mailbox.newest(app.store.database) == 0


class TestOrders:
    def test_each_is_obeyed_once_by_those_it_is_for(self, crew: Crew) -> None:
        crew.work("w1", "w2")
        assert crew.control.pool_grow(2, destination=["w2"], reply=True) == [
            {"w2": {"ok": "pool will grow"}}
        ]
        assert crew.control.add_consumer("mail", pattern="w1", reply=True) == [
            {"w1": {"ok": "add consumer mail"}}
        ]
        assert crew.workers["w1"].told == [("add_queue", "mail")]
        assert crew.workers["w2"].told == [("resize_pool", 2)]

    @pytest.mark.parametrize(
        ("name", "arguments", "told"),
        [
            ("time_limit", {"task_name": "tasks.add", "soft": 1.0, "hard": 2.0},
             ("limit_time", "tasks.add", 1.0, 2.0)),
            ("cancel_consumer", {"queue": "mail"}, ("cancel_queue", "mail")),
            ("enable_events", {}, ("send_events", True)),
            ("heartbeat", {}, ("send_heartbeat",)),
            ("pool_shrink", {"n": 1}, ("resize_pool", -1)),
            ("pool_restart", {"reload": True}, ("restart_pool", True)),
            ("shutdown", {}, ("shut_down",)),
        ],
    )  # fmt: skip
    def test_of_every_kind(
        self, crew: Crew, name: str, arguments: dict[str, Any], told: tuple[Any, ...]
    ) -> None:
        crew.work("w1")
        assert getattr(crew.control, name)(**arguments, reply=True, timeout=60) is not None
        assert crew.workers["w1"].told == [told]

    def test_of_all_others(self, crew: Crew) -> None:
        crew.work("w1")
        worker = crew.workers["w1"]
        worker.sends_events = True
        worker.with_pool(autoscale=(4, 1))
        assert crew.control.disable_events(reply=True) == [{"w1": {"ok": "task events disabled"}}]
        assert crew.control.autoscale(8, 2, reply=True) == [
            {"w1": {"ok": "autoscale now max=8 min=2"}}
        ]
        with pytest.raises(NotImplementedError, match="rate limits"):
            crew.control.rate_limit("tasks.add", "5/s")
        crew.control.election("id", "topic")
        with pytest.raises(NotImplementedError, match="reload=True"):
            crew.control.pool_restart(modules=["tasks"])

    def test_without_a_reply_nobody_waits(self, crew: Crew, app: LiteQueue) -> None:
        crew.register("still")
        with shorter_than(10):
            assert crew.control.shutdown(timeout=60) is None
        (command,) = commands(app)
        assert (command.name, command.reply) == ("shutdown", False)
        assert command.expires > SYSTEM.now() + 200

    def test_one_that_was_not_heard_stands(self, crew: Crew, app: LiteQueue) -> None:
        """Whoever stood still for a moment obeys later, although nobody waits any more."""
        crew.work("slow", delay=0.5)
        assert crew.control.shutdown(reply=True, timeout=0.1) == []
        deadline = time.monotonic() + 10
        while not crew.workers["slow"].told and time.monotonic() < deadline:
            time.sleep(0.01)
        assert crew.workers["slow"].told == [("shut_down",)]


class Told:
    """A panel that somebody else's thread need not run."""

    def __init__(self, database: Database) -> None:
        self.worker = FakeWorker(database=database)
        self.database = database
        self.ringer = Ringer(database.path)

    def panel(self) -> Panel:
        return Panel(self.worker, self.ringer, SYSTEM)

    def post(self, name: str = "shutdown", **fields: Any) -> int:
        values: dict[str, Any] = {"expires": SYSTEM.now() + 60, "reply": True}
        command = mailbox.NewCommand(name=name, **(values | fields))
        return mailbox.post(self.database, command, SYSTEM.now())


@pytest.fixture
def told(database: Database) -> Iterator[Told]:
    told = Told(database)
    yield told
    told.ringer.close()


class TestThePanel:
    def test_what_was_said_before_it_came_is_not_for_it(self, told: Told) -> None:
        told.post()
        panel = told.panel()
        told.post("ping")
        panel.attend()
        assert told.worker.told == []
        assert len(mailbox.replies(told.database, 2)) == 1

    def test_what_was_said_while_it_came_is_for_it(self, told: Told) -> None:
        told.post("pool_grow")
        registered = mailbox.newest(told.database)
        number = told.post("ping")
        panel = Panel(told.worker, told.ringer, SYSTEM, last=registered)
        panel.attend()
        assert told.worker.told == []
        assert len(mailbox.replies(told.database, number)) == 1

    def test_what_has_expired_is_not_obeyed(self, told: Told) -> None:
        panel = told.panel()
        told.post(expires=SYSTEM.now() - 1)
        panel.attend()
        assert told.worker.told == []

    def test_a_locked_file_costs_no_reply_and_no_order_is_obeyed_twice(
        self, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from litequeue.exceptions import QueueBusy

        def locked(*_: Any) -> None:
            raise QueueBusy("it is locked")

        panel = told.panel()
        number = told.post()
        with monkeypatch.context() as patch:
            patch.setattr(mailbox, "answer", locked)
            with pytest.raises(QueueBusy):
                panel.attend()
            assert bool(panel.is_behind)
        panel.attend()
        assert not bool(panel.is_behind)
        assert told.worker.told == [("shut_down",)]
        assert json.loads(mailbox.replies(told.database, number)["w1"]) == {
            "ok": "shutdown started"
        }

    def test_many_commands_do_not_keep_jobs_waiting(
        self, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = FakeClock(SYSTEM.now())
        panel = Panel(told.worker, told.ringer, clock)

        def answer(command: mailbox.Command) -> str:
            clock.advance(0.02)
            return "{}"

        monkeypatch.setattr(panel, "answer", answer)
        numbers = [told.post() for _ in range(7)]
        answered = []
        for _ in range(3):
            panel.attend()
            found = [number for number in numbers if mailbox.replies(told.database, number)]
            answered.append((len(found), panel.has_more))
        assert answered == [(3, True), (6, True), (7, False)]

    @pytest.mark.parametrize(
        "fields",
        [
            {"destination": "{"},
            {"destination": "7"},
            {"destination": '["w2"]'},
            {"pattern": "(", "matcher": "pcre"},
            {"pattern": "w1", "matcher": "sql"},
        ],
    )
    def test_what_is_for_nobody_is_obeyed_by_nobody(
        self, told: Told, fields: dict[str, Any]
    ) -> None:
        panel = told.panel()
        number = told.post(**fields)
        panel.attend()
        assert told.worker.told == []
        assert mailbox.replies(told.database, number) == {}

    def test_a_row_of_anybody_does_not_end_the_worker(self, told: Told) -> None:
        panel = told.panel()
        number = told.post("shutdown", arguments="[[[")
        panel.attend()
        (reply,) = mailbox.replies(told.database, number).values()
        assert "wrong arguments" in reply


class TestWhatIsInTheFile:
    def test_scheduled_are_the_next_ones_that_this_worker_may_run(self, told: Told) -> None:
        put(told.database, "later", task="tasks.add", eta=NOW + 9000, body="[[1],{}]", priority=3)
        put(told.database, "soon", task="tasks.add", eta=4e9)
        put(told.database, "sooner", task="tasks.add", eta=3e9)
        put(told.database, "strange", task="nobody.knows", eta=3e9)
        put(told.database, "elsewhere", task="tasks.add", eta=3e9, queue="video")
        put(told.database, "ready", task="tasks.add")
        told.worker.excluded = ["video"]
        panel = told.panel()
        found = self.ask(told, panel, "scheduled")
        assert [each["request"]["id"] for each in found] == ["later", "sooner", "soon"]
        assert found[0]["eta"] == "2023-11-15T00:43:20+00:00"
        assert found[0]["priority"] == 3
        assert found[0]["request"]["args"] == [1]
        asked = self.ask(told, panel, "query_task", ids=["soon", "elsewhere", "ready", "gone"])
        assert {id: state for id, (state, _) in asked.items()} == {"soon": "scheduled"}

    def test_a_lease_that_was_taken_over_is_shown_with_its_arguments(self, told: Told) -> None:
        options = '{"stamps": {"k": "v"}}'
        put(told.database, "a", task="tasks.add", body="[[1],{}]", options=options)
        told.worker.run(lease(1, id="a", body=""))
        panel = told.panel()
        (request,) = self.ask(told, panel, "active")
        assert request["args"] == [1]
        asked = self.ask(told, panel, "query_task", ids="a")
        assert asked["a"][1]["args"] == [1]
        headers = {"k": "v"}
        answer = self.ask(told, panel, "revoke_by_stamped_headers", headers=headers, terminate=True)
        assert answer == {"ok": "headers k=v revoked"}

    def test_a_million_that_are_due_later_cost_no_more_than_a_thousand(self, told: Told) -> None:
        put(
            told.database,
            *(f"j{n}" for n in range(20)),
            eta=4e9,
            body="[[" + "1," * 9999 + "1],{}]",
        )
        found = shown.next_up(told.database, 5)
        assert len(found) == 5
        assert all(len(each.body) == shown.LONGEST_BODY for each in found)

    def test_queues_that_are_read(self, told: Told) -> None:
        put(told.database, "a", queue="mail")
        put(told.database, "b", queue="video")
        panel = told.panel()
        names = self.names(told, panel)
        assert names == ["mail", "video"]
        told.worker.queues = ["v*", "new"]
        assert self.names(told, panel) == ["new", "video"]
        told.worker.queues, told.worker.excluded = None, ["mail"]
        assert self.names(told, panel) == ["video"]
        (queue,) = self.ask(told, panel, "active_queues")
        assert (queue["routing_key"], queue["durable"], queue["exchange"]["type"]) == (
            "video",
            True,
            "direct",
        )

    def names(self, told: Told, panel: Panel) -> list[str]:
        return sorted(queue["name"] for queue in self.ask(told, panel, "active_queues"))

    def ask(self, told: Told, panel: Panel, name: str, **arguments: Any) -> Any:
        number = told.post(name, arguments=json.dumps(arguments))
        panel.attend()
        return json.loads(mailbox.replies(told.database, number)["w1"])


class TestRevoking:
    """Revoking is a fact in the file: no worker has to be there."""

    def test_without_a_worker(self, crew: Crew, app: LiteQueue) -> None:
        put(app.store.database, "runs", "waits")
        step(app.store.database, limit=1)
        assert crew.control.revoke(["runs", "waits", "unknown"]) is None
        assert app.AsyncResult("waits").state == "REVOKED"
        found = revocations.load(app.store.database, 0, SYSTEM.now())
        assert [(each.value, each.terminate, each.signal) for each in found] == [
            ("runs", False, None),
            ("unknown", False, None),
        ]
        assert commands(app) == []

    @pytest.mark.parametrize("how", ["revoke", "terminate", "broadcast"])
    def test_what_runs_is_to_be_ended(self, crew: Crew, app: LiteQueue, how: str) -> None:
        put(app.store.database, "runs")
        step(app.store.database, limit=1)
        if how == "revoke":
            crew.control.revoke("runs", terminate=True, signal="KILL")
        elif how == "terminate":
            crew.control.terminate("runs", signal=9)
        else:
            arguments = {"task_id": "runs", "terminate": True, "signal": "SIGKILL"}
            crew.control.broadcast("revoke", arguments)
        (found,) = revocations.load(app.store.database, 0, SYSTEM.now())
        assert (found.value, found.terminate, found.signal) == ("runs", True, "SIGKILL")

    def test_with_replies(self, crew: Crew) -> None:
        crew.work("w1")
        assert crew.control.revoke(["a", "b"], reply=True) == [
            {"w1": {"ok": "tasks a, b flagged as revoked"}}
        ]
        assert crew.control.terminate("a", reply=True) == [
            {"w1": {"ok": "terminate: tasks unknown"}}
        ]
        assert crew.control.revoke_by_stamped_headers({"k": "v"}, reply=True) == [
            {"w1": {"ok": "headers k=v flagged as revoked, but not terminated"}}
        ]

    def test_by_stamps(self, crew: Crew, app: LiteQueue) -> None:
        put(app.store.database, "a", options='{"stamps": {"k": ["v", "w"]}}')
        put(app.store.database, "b", options='{"stamps": {"k": "x"}}')
        crew.control.revoke_by_stamped_headers({"k": ["w", "z"]}, terminate=True)
        assert app.AsyncResult("a").state == "REVOKED"
        assert app.AsyncResult("b").state == "PENDING"
        found = revocations.load(app.store.database, 0, SYSTEM.now())
        assert sorted((each.header, each.value, each.terminate, each.signal) for each in found) == [
            ("k", "w", True, "SIGTERM"),
            ("k", "z", True, "SIGTERM"),
        ]

    def test_a_signal_that_is_none_revokes_nothing(self, crew: Crew, app: LiteQueue) -> None:
        put(app.store.database, "a")
        with pytest.raises(ValueError, match="no signal"):
            crew.control.revoke("a", terminate=True, signal="SIGNAL")
        assert app.AsyncResult("a").state == "PENDING"


class TestHandles:
    def test_one_that_waits(self, app: LiteQueue) -> None:
        put(app.store.database, "a")
        assert app.AsyncResult("a").revoke() is True
        assert app.AsyncResult("a").revoke() is False
        assert app.AsyncResult("nobody").revoke() is False

    def test_one_that_runs_is_waited_for(self, app: LiteQueue) -> None:
        put(app.store.database, "a")
        (lease,) = step(app.store.database, limit=1).leases
        result = app.AsyncResult("a")
        assert result.revoke(terminate=True, wait=True, timeout=0.05) is False
        ender = threading.Timer(0.1, self.end, (app, lease))
        ender.start()
        assert result.revoke(terminate=True, wait=True, timeout=60) is True
        ender.join()

    def end(self, app: LiteQueue, lease: Any) -> None:
        from litequeue.job import Outcome

        step(app.store.database, Outcome(lease.seq, lease.token, lease.claim, "REVOKED"))
        ringer = Ringer(app.path)
        ringer.ring_waiters([lease.id])
        ringer.close()

    def test_one_that_nobody_knows_is_not_waited_for(self, app: LiteQueue) -> None:
        with shorter_than(10):
            assert not app.AsyncResult("nobody").revoke(terminate=True, wait=True)

    def test_many(self, app: LiteQueue) -> None:
        put(app.store.database, "a", "b", "c")
        step(app.store.database, limit=1)
        results = app.ResultSet([app.AsyncResult(id) for id in "abc"])
        results.revoke(terminate=True, signal="INT", wait=True, timeout=0.05)
        assert results[1].state == results[2].state == "REVOKED"
        (found,) = revocations.load(app.store.database, 0, SYSTEM.now())
        assert (found.value, found.signal) == ("a", "SIGINT")

    def test_by_stamps(self, app: LiteQueue) -> None:
        put(app.store.database, "a", options='{"stamps": {"k": "v"}}')
        app.AsyncResult("another").revoke_by_stamped_headers({"k": ["v"]}, terminate=True)
        assert app.AsyncResult("a").state == "REVOKED"


class TestQueues:
    def test_pause_and_resume(self, crew: Crew, app: LiteQueue) -> None:
        put(app.store.database, "a")
        assert crew.control.pause("default")
        assert not crew.control.pause("default")
        assert not step(app.store.database, limit=1).leases
        assert crew.control.resume("default")
        assert not crew.control.resume("default")
        assert step(app.store.database, limit=1).leases

    def test_purge(self, crew: Crew, app: LiteQueue) -> None:
        put(app.store.database, "a", "b", "c")
        step(app.store.database, limit=1)
        assert crew.control.purge() == 2
        assert crew.control.discard_all() == 0
        assert app.AsyncResult("a").exists()
        assert not app.AsyncResult("b").exists()

    def test_the_end_of_a_pause_wakes_the_workers(self, app: LiteQueue) -> None:
        app.control.pause("mail")
        bell = Bell(app.path, "worker")
        bell.asleep(True)
        assert app.control.resume("mail")
        assert bell.wait(5) == b"\1"
        bell.close()


def test_the_app_has_one(app: LiteQueue) -> None:
    assert app.control is app.control
    assert app.control.inspect().ping() is None
    boot = Identity(
        name="from before", nonce="0" * 16, boot=BOOT, namespace="", pid=1, start_time=1,
        directory="",
    )  # fmt: skip
    workers.register(app.store.database, boot, SYSTEM.now())
    with shorter_than(10):
        assert app.control.inspect(timeout=60).ping() is None


@pytest.mark.parametrize("column", ["name", "arguments", "destination", "pattern"])
def test_a_row_that_is_no_text_does_not_end_the_worker(
    told: Told, foreign: sqlite3.Connection, column: str
) -> None:
    """Others may write to the file: whatever they leave there, a worker goes on."""
    panel = told.panel()
    number = told.post()
    foreign.execute(
        f"UPDATE litequeue_command SET {column} = CAST(x'ff22' AS TEXT) WHERE id = ?", (number,)
    )
    after = told.post("ping")
    panel.attend()
    assert "pong" in mailbox.replies(told.database, after)["w1"]
