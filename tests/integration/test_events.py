"""Events through a real file: followed live by threads and commands while others write them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from litequeue import LiteQueue
from litequeue.events.rows import client_name
from tests.unit.cli.conftest import Cli, cli

__all__ = ["cli"]

Event = dict[str, Any]


@pytest.fixture
def app(queue_path: Path) -> Iterator[LiteQueue]:
    app = LiteQueue(queue_path, set_as_current=False)
    yield app
    app.close()


@pytest.fixture
def heard() -> Queue[Event]:
    return Queue()


def types(events: Any) -> list[str]:
    return [event["type"] for event in events]


class TestFollowing:
    def test_what_comes_while_nobody_reads_is_not_missed(self, app: LiteQueue) -> None:
        app.send_event("before-all")
        found = app.events.follow(timeout=0)
        app.send_event("order-shipped", uuid="the-id", weight=2.5)
        (event,) = found
        assert event["local_received"] >= event["timestamp"]
        assert (event["type"], event["uuid"], event["weight"]) == ("order-shipped", "the-id", 2.5)
        assert (event["hostname"], event["pid"]) == (client_name(), os.getpid())

    def test_the_stored_ones_come_first_where_they_are_asked_for(self, app: LiteQueue) -> None:
        for number in range(1200):  # more than are read at once
            app.send_event("a-b" if number % 2 else "c-d", number=number)
        numbers = [event["number"] for event in app.events.follow(after=0, timeout=0)]
        assert numbers == list(range(1200))
        some = list(app.events.follow(["a-b"], after=0, timeout=0))
        assert len(some) == 600
        rest = app.events.follow(["a-b"], after=some[-3]["clock"], timeout=0)
        assert [event["number"] for event in rest] == [1197, 1199]

    def test_it_is_live(self, app: LiteQueue, heard: Queue[Event]) -> None:
        following = app.events.follow(["c-d"])

        def listen() -> None:
            for event in following:
                heard.put(event)
                if event.get("last"):
                    return

        thread = threading.Thread(target=listen)
        thread.start()
        for number in range(3):
            app.send_event("a-b")
            app.send_event("c-d", number=number)
            assert heard.get(timeout=10)["number"] == number
        app.send_event("c-d", last=True)
        thread.join(10)
        assert not thread.is_alive()

    def test_it_ends_after_a_silence(self, app: LiteQueue) -> None:
        assert list(app.events.follow(timeout=0.05)) == []

    def test_following_costs_nothing_while_nothing_happens(
        self, app: LiteQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was passed over once, because it is of another type, is not read again."""
        for _ in range(50):
            app.send_event("a-b")
        asked: list[int] = []
        events_after = app.store.events_after

        def spy(after: int, **named: Any) -> Any:
            asked.append(after)
            return events_after(after, **named)

        monkeypatch.setattr(app.store, "events_after", spy)
        assert list(app.events.follow(["c-d"], after=0, timeout=0.5)) == []
        assert asked[0] == 0
        assert {*asked[1:]} == {50}


class TestSending:
    def test_a_job_that_runs_here_says_which_worker_it_is(self, app: LiteQueue) -> None:
        @app.task(bind=True, name="halfway")
        def halfway(self: Any) -> None:
            self.send_event("task-halfway", percent=50)

        found = app.events.follow(timeout=0)
        result = halfway.apply()
        (event,) = found
        assert (event["uuid"], event["percent"]) == (result.id, 50)

    def test_a_dispatcher_as_in_celery(self, app: LiteQueue) -> None:
        found = app.events.follow(timeout=0)
        with app.events.default_dispatcher(hostname="me") as dispatcher:
            dispatcher.send("a-b", x=1)
            dispatcher.disable()
            dispatcher.send("a-b", x=2)
            dispatcher.enable()
            dispatcher.send("a-b", x=3)
        quiet = app.events.Dispatcher(enabled=False)
        quiet.send("a-b", x=4)
        assert [(event["hostname"], event["x"]) for event in found] == [("me", 1), ("me", 3)]

    def test_what_no_event_can_hold_is_refused(self, app: LiteQueue) -> None:
        with pytest.raises(ValueError, match="type of an event"):
            app.send_event("")
        with pytest.raises(TypeError, match="JSON cannot hold"):
            app.send_event("a-b", x=object())
        assert app.store.last_event() == 0

    @pytest.mark.parametrize("wanted", [True, False])
    def test_task_sent_is_stored_with_the_job(self, app: LiteQueue, wanted: bool) -> None:
        @app.task(name="add")
        def add(x: int) -> None: ...

        @app.task(name="quiet", send_events=False)
        def quiet() -> None: ...

        app.conf.task_send_sent_event = wanted
        found = app.events.follow(timeout=0)
        job = add.delay(3)
        quiet.delay()
        told = [(event["type"], event["uuid"], event["args"]) for event in found]
        assert told == ([("task-sent", job.id, "(3,)")] if wanted else [])


class TestReceiving:
    def receive(self, app: LiteQueue, receiver: Any, **how: Any) -> Callable[[], None]:
        """Capture in a thread; return what waits for its end."""
        ready = threading.Event()
        raised: list[BaseException] = []
        receiver.wakeup_workers = ready.set  # called once it has noted where it begins

        def capture() -> None:
            try:
                receiver.capture(**how)
            except TimeoutError as error:
                raised.append(error)

        thread = threading.Thread(target=capture)
        thread.start()
        assert ready.wait(10)

        def end() -> None:
            thread.join(10)
            assert not thread.is_alive()
            if raised:
                raise raised[0]

        return end

    def test_handlers_by_type(self, app: LiteQueue) -> None:
        mine: list[Event] = []
        rest: list[Event] = []
        receiver = app.events.Receiver(handlers={"a-b": mine.append, "*": rest.append})
        end = self.receive(app, receiver, limit=3)
        for kind in ("a-b", "c-d", "a-b"):
            app.send_event(kind)
        end()
        assert (types(mine), types(rest)) == (["a-b", "a-b"], ["c-d"])

    @pytest.mark.parametrize(
        ("key", "wanted"),
        [("#", "task-sent task-x-y worker-online"), ("task.#", "task-sent task-x-y"),
         ("*.online", "worker-online"), ("task.*", "task-sent")],
    )  # fmt: skip
    def test_topics(self, app: LiteQueue, key: str, wanted: str) -> None:
        seen: list[Event] = []
        receiver = app.events.Receiver(handlers={"*": seen.append}, routing_key=key)
        end = self.receive(app, receiver, limit=len(wanted.split()))
        for kind in ("task-sent", "task-x-y", "worker-online"):
            app.send_event(kind)
        end()
        assert types(seen) == wanted.split()

    def test_it_can_be_told_to_stop(self, app: LiteQueue) -> None:
        receiver = app.events.Receiver()
        end = self.receive(app, receiver)
        receiver.should_stop = True
        end()

    def test_silence_is_a_timeout(self, app: LiteQueue) -> None:
        with pytest.raises(TimeoutError, match=r"no event came for 0\.05 s"):
            app.events.Receiver().capture(timeout=0.05, wakeup=False)

    def test_a_state_is_kept_by_it(self, app: LiteQueue) -> None:
        state = app.events.State()
        end = self.receive(app, app.events.Receiver(handlers={"*": state.event}), limit=2)
        app.send_event("task-received", uuid="the-id", name="add", hostname="w@host")
        app.send_event("task-succeeded", uuid="the-id", result="3", hostname="w@host")
        end()
        assert (state.tasks["the-id"].state, state.tasks["the-id"].result) == ("SUCCESS", "3")
        assert [*state.workers] == ["w@host"]


class TestCommand:
    def test_the_last_ones_are_listed(self, app: LiteQueue, cli: Cli) -> None:
        for number in range(4):
            app.send_event("a-b", uuid=f"job-{number}", text="evil\x1b[31m", number=number)
        done = cli("events", app.path, "--limit", "2")
        assert (done.code, done.err) == (0, "")
        head, first, second = done.out.splitlines()
        assert head.split() == ["AT", "TYPE", "JOB", "WORKER", "WHAT"]
        assert first.split()[1:3] == ["a-b", "job-2"]
        assert second.endswith("text=evil\\x1b[31m number=3")

    def test_json_is_one_document(self, app: LiteQueue, cli: Cli) -> None:
        app.send_event("a-b", number=1)
        app.send_event("c-d", number=2)
        done = cli("events", app.path, "--json", "--type", "c-d")
        (event,) = json.loads(done.out)["events"]
        assert (event["type"], event["number"], event["clock"]) == ("c-d", 2, 2)
        assert event["at"].endswith("Z")

    def test_none_is_said(self, app: LiteQueue, cli: Cli) -> None:
        app.store.last_event()
        done = cli("events", app.path)
        assert (done.code, done.out) == (0, "")
        assert done.sentence == "no event is stored: start the worker with -E"

    def test_a_timeout_is_for_following(self, app: LiteQueue, cli: Cli) -> None:
        app.store.last_event()
        assert cli("events", app.path, "--timeout", "3s").code == 2

    def test_no_file_is_made(self, tmp_path: Path, cli: Cli) -> None:
        done = cli("events", tmp_path / "none.sqlite", "--follow")
        assert done.code == 3
        assert not (tmp_path / "none.sqlite").exists()

    @pytest.mark.parametrize("as_json", [True, False])
    def test_they_are_shown_as_they_come(self, app: LiteQueue, as_json: bool) -> None:
        app.send_event("a-b", number=0)
        command = [sys.executable, "-m", "litequeue", "events", app.path, "--follow", "--limit=1"]
        command += ["--type=a-b", *(["--json"] if as_json else [])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                for number in range(3):
                    line = process.stdout.readline()
                    assert f'"number": {number}' in line if as_json else f"number={number}" in line
                    app.send_event("c-d")
                    app.send_event("a-b", number=number + 1)
            finally:
                process.kill()

    def test_a_silence_ends_it(self, app: LiteQueue, cli: Cli) -> None:
        app.send_event("a-b", number=1)
        done = cli("events", app.path, "--follow", "--limit", "9", "--timeout", "50ms")
        assert done.code == 0
        assert "number=1" in done.out
