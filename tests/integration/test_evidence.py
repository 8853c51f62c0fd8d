"""What is left of jobs that ran in real workers: output, events, and evidence of deaths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from litequeue import AsyncResult, LiteQueue
from tests.conftest import wait_until
from tests.integration.processes import Site

APP = "tests.integration.apps.talking:app"


@pytest.fixture
def app(site: Site) -> Iterator[LiteQueue]:
    app = LiteQueue(site.path, set_as_current=False)
    yield app
    app.close()


def send(app: LiteQueue, task: str, *args: Any) -> AsyncResult[Any]:
    result: AsyncResult[Any] = app.send_task(f"tests.integration.apps.talking.{task}", args)
    return result


def logs(app: LiteQueue, job: AsyncResult[Any]) -> list[str]:
    return [text for _, text in app.store.logs_of(job.id)]


@pytest.mark.parametrize("pool", ["prefork", "solo", "threads", "aio"])
def test_each_job_keeps_what_it_said(site: Site, app: LiteQueue, pool: str) -> None:
    site.worker("-P", pool, app=APP, children=1 if pool == "solo" else 4, CAPTURE="1000")
    talking = {name: send(app, "talk", name) for name in "abcdef"}
    slow = {name: send(app, "talk_slowly", name, 5) for name in "xyz"}
    silent = send(app, "whisper")
    for job in (*talking.values(), *slow.values(), silent):
        job.get(timeout=20)
    for name, job in talking.items():
        (text,) = logs(app, job)
        printed, logged = text.splitlines()
        assert printed == f"{name} prints"
        assert logged.endswith(f" WARNING tests.integration.apps.talking: {name} logs")
    for name, job in slow.items():
        assert logs(app, job) == ["".join(f"{name} {number}\n" for number in range(5))]
    assert logs(app, silent) == []


def test_off_keeps_nothing_and_prints_everything(site: Site, app: LiteQueue) -> None:
    worker = site.worker(app=APP)
    job = send(app, "talk", "a")
    job.get(timeout=20)
    assert logs(app, job) == []
    worker.wait_until_said("a prints\n")
    worker.wait_until_said(f"WARNING tests.integration.apps.talking.talk[{job.id}]#1: a logs\n")
    beside = site.folder / "jobs.sqlite.bell"
    assert [path for path in beside.iterdir() if path.suffix == ".out"] == []


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_what_is_printed_can_be_logged(site: Site, app: LiteQueue, start_method: str) -> None:
    options = ("--start-method", start_method)
    worker = site.worker(*options, app=APP, REDIRECT="1", CAPTURE="1000")
    job = send(app, "talk", "a")
    job.get(timeout=20)
    worker.wait_until_said(f"WARNING tests.integration.apps.talking.talk[{job.id}]#1: a prints\n")
    (text,) = logs(app, job)
    assert text.count("a prints") == 1


@pytest.mark.parametrize(
    ("how", "end", "stack"),
    [
        ("segfault", {"signal": "SIGSEGV"}, 'apps/talking.py", line '),
        ("kill", {"signal": "SIGKILL"}, None),
        ("exit", {"exit_code": 7}, None),
    ],
)
def test_every_attempt_that_died_left_evidence(
    site: Site, app: LiteQueue, how: str, end: dict[str, Any], stack: str | None
) -> None:
    site.worker(app=APP, children=1, CAPTURE="1000")
    job = send(app, "crash", how)
    job.get(timeout=20, propagate=False)
    shown = site.run("-m", "litequeue", "show", str(site.path), job.id, "--json")
    errors = json.loads(shown.stdout)["job"]["errors"]
    assert [error["attempt"] for error in errors] == [1, 2]
    for error in errors:
        found = error["evidence"]
        assert found | end == found
        assert found["max_rss"] > 10_000_000
        assert found["output"].splitlines()[0] == "about to crash"
        assert found["output"].endswith("ERROR shop: careful\n")
        assert found["progress"] == {"state": "PROGRESS", "result": '{"done":3}'}
        if stack is None:
            assert "stacks" not in found
        else:
            assert stack in found["stacks"]
            assert "executor.py" not in found["stacks"]


class TestEvents:
    def told(self, app: LiteQueue, job: AsyncResult[Any], last: str) -> list[str]:
        """Return the types of the events about a job, once the last one is there."""

        def found() -> list[str]:
            about = app.events.follow(after=0, timeout=0)
            kinds = [event["type"] for event in about if event.get("uuid") == job.id]
            return kinds if last in kinds else []

        return wait_until(found)

    def test_a_job_s_way_in_order(self, site: Site, app: LiteQueue) -> None:
        app.conf.task_send_sent_event = True
        site.worker("-E", "-n", "w", app=APP, children=1)
        jobs = []
        for task, *args in (("report", False), ("report", True), ("quiet",)):
            jobs.append(send(app, task, *args))  # one by one: none is claimed and given back
            jobs[-1].get(timeout=20, propagate=False)
        good, bad, quiet = jobs
        kinds = self.told(app, good, "task-succeeded")
        assert {*kinds} == {
            "task-sent", "task-received", "task-started", "task-halfway", "task-succeeded",
        }  # fmt: skip
        ours = [kind for kind in kinds if kind != "task-halfway"]
        assert ours == ["task-sent", "task-received", "task-started", "task-succeeded"]
        kinds = [kind for kind in self.told(app, bad, "task-failed") if kind != "task-halfway"]
        attempt = ["task-received", "task-started"]
        assert kinds == ["task-sent", *attempt, "task-retried", *attempt, "task-failed"]
        about_quiet = app.events.follow(after=0, timeout=0)
        assert [e["type"] for e in about_quiet if e.get("uuid") == quiet.id] == ["task-sent"]

    def test_a_worker_comes_beats_and_goes(self, site: Site, app: LiteQueue) -> None:
        found = app.events.follow(
            ["worker-online", "worker-heartbeat", "worker-offline"], timeout=20
        )
        worker = site.worker("-E", "-n", "w", app=APP)
        state = app.events.State()
        for kind in ("worker-online", "worker-heartbeat"):
            event = next(found)
            state.event(event)
            assert (event["type"], event["pid"]) == (kind, worker.supervisor)
        assert [each.hostname for each in state.alive_workers()] == [event["hostname"]]
        worker.stop()
        offline = next(event for event in found if event["type"] != "worker-heartbeat")
        state.event(offline)
        assert (offline["type"], state.workers) == ("worker-offline", {})

    @pytest.mark.parametrize("how", ["segfault"])
    def test_a_death_is_told_as_a_retry_and_then_a_failure(
        self, site: Site, app: LiteQueue, how: str
    ) -> None:
        site.worker("-E", app=APP, children=1)
        job = send(app, "crash", how)
        job.get(timeout=20, propagate=False)
        kinds = self.told(app, job, "task-failed")
        assert [kind for kind in kinds if kind != "task-started"] == [
            "task-received", "task-retried", "task-received", "task-failed",
        ]  # fmt: skip

    def test_without_e_nothing_is_written(self, site: Site, app: LiteQueue) -> None:
        worker = site.worker(app=APP)
        send(app, "talk", "a").get(timeout=20)
        worker.stop()
        assert app.store.last_event() == 0
