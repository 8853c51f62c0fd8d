"""Stopping a worker: TERM, INT and QUIT, the grace, and what becomes of the jobs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.integration.processes import Site, Worker, is_alive
from tests.integration.tasks import app, hold, mark, start_program
from tests.integration.test_kills import deaths


def assert_gone(worker: Worker, everybody: list[int]) -> None:
    wait_until(lambda: not any(is_alive(pid) for pid in everybody))
    assert [*Path(f"{worker.path}.bell").glob("worker-*")] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_warm_stop_finishes_what_runs_and_gives_the_rest_back(
    site: Site, number: signal.Signals
) -> None:
    worker = site.worker(children=1)
    running = hold.delay("running")
    site.journal.wait_for_start("running")
    waiting = [mark.delay(f"waiting-{index}") for index in range(20)]
    everybody = worker.processes()
    worker.send(number)
    worker.wait_until_said("stopping")
    site.open_gate("running")
    assert worker.wait() == 0
    assert running.state == "SUCCESS"
    assert_gone(worker, everybody)
    done = [each for each in waiting if each.ready()]
    assert {start.name for start in site.journal.starts()} == {
        "running", *(each.result for each in done)
    }  # fmt: skip
    assert {each.state for each in waiting if each not in done} <= {"PENDING"}
    assert len(done) < len(waiting)
    site.worker()
    assert [each.get(timeout=10) for each in waiting] == [f"waiting-{n}" for n in range(20)]
    assert [deaths(site, each.id) for each in waiting] == [0] * 20


def test_a_warm_stop_of_an_idle_worker_is_quick(site: Site) -> None:
    """Once in three times: then nothing in it waits for a moment, whoever has the machine."""

    def seconds_of_a_stop() -> float:
        worker = site.worker()
        everybody = worker.processes()
        began = time.monotonic()
        assert worker.stop() == 0
        took = time.monotonic() - began
        assert_gone(worker, everybody)
        return took

    assert any(seconds_of_a_stop() < 0.7 for _ in range(3))


def test_a_terminals_interrupt_reaches_everybody_and_stops_warmly(site: Site) -> None:
    """Ctrl-C goes to the whole foreground group: the consumer must not leave before its jobs."""
    worker = site.worker(children=1)
    result = hold.delay("running")
    site.journal.wait_for_start("running")
    os.killpg(worker.supervisor, signal.SIGINT)
    worker.wait_until_said("stopping")
    site.open_gate("running")
    assert worker.wait() == 0
    assert result.state == "SUCCESS"


def test_a_service_managers_term_to_every_process_stops_warmly(site: Site) -> None:
    worker = site.worker(children=1)
    result = hold.delay("running")
    site.journal.wait_for_start("running")
    for pid in worker.processes():
        os.kill(pid, signal.SIGTERM)
    worker.wait_until_said("stopping")
    site.open_gate("running")
    assert worker.wait() == 0
    assert result.state == "SUCCESS"
    assert len(site.journal.starts("running")) == 1


def test_after_the_grace_a_job_goes_back_at_once_and_uncounted(site: Site) -> None:
    worker = site.worker(children=1, LITEQUEUE_WORKER_GRACE="0.3")
    result = hold.delay("job")
    site.journal.wait_for_start("job")
    everybody = worker.processes()
    began = time.monotonic()
    worker.stop()
    assert 0.3 <= time.monotonic() - began < 6
    assert_gone(worker, everybody)
    assert (result.state, deaths(site, result.id)) == ("PENDING", 0)
    site.worker(children=1)
    assert site.journal.wait_for_start("job", 2).claim == 2
    site.open_gate("job")
    assert result.get(timeout=10) == "job"


@pytest.mark.parametrize(
    "signals",
    [
        [signal.SIGQUIT],
        [signal.SIGINT, signal.SIGINT],
        [signal.SIGTERM, signal.SIGQUIT],
        [signal.SIGINT, signal.SIGINT, signal.SIGINT],
    ],
    ids=["quit", "int-int", "term-quit", "int-int-int"],
)
def test_a_cold_stop_gives_unfinished_jobs_back_at_once(
    site: Site, signals: list[signal.Signals]
) -> None:
    worker = site.worker()
    results = [hold.delay(name) for name in ("one", "two")]
    for name in ("one", "two"):
        site.journal.wait_for_start(name)
    everybody = worker.processes()
    began = time.monotonic()
    for number in signals:
        worker.send(number)
        wait_until(lambda: "go back" in worker.said() or "stopping" in worker.said())
    assert worker.wait() != 0
    assert time.monotonic() - began < 6
    if len(signals) < 3:  # the third interrupt does not wait for anything
        assert_gone(worker, everybody)
        assert [each.state for each in results] == ["PENDING", "PENDING"]
    wait_until(lambda: not any(is_alive(pid) for pid in everybody))
    site.open_gate("one")
    site.open_gate("two")
    site.worker()
    assert [each.get(timeout=10) for each in results] == ["one", "two"]
    assert [deaths(site, each.id) for each in results] == [0, 0]


def test_five_terms_are_one(site: Site) -> None:
    worker = site.worker(children=1)
    result = hold.delay("job")
    site.journal.wait_for_start("job")
    for _ in range(5):
        worker.send(signal.SIGTERM)
    worker.wait_until_said("stopping")
    assert is_alive(worker.supervisor)
    site.open_gate("job")
    assert worker.wait() == 0
    assert result.state == "SUCCESS"
    assert worker.said().count("stopping") == 1


def test_a_stop_ends_what_tasks_started(site: Site) -> None:
    worker = site.worker(children=1, LITEQUEUE_WORKER_GRACE="0.2")
    start_program.delay("family")
    site.journal.wait_for_start("family")
    assert len(site.leftovers()) == len(worker.processes()) + 1  # the daemon has no parent here
    worker.stop()
    site.wait_until_empty()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 0), (signal.SIGINT, 130), (signal.SIGQUIT, 1)],
)
def test_a_worker_that_imports_its_app_ends_at_once(
    site: Site, number: signal.Signals, code: int
) -> None:
    site.write(
        "slow.py",
        "import time\nfrom pathlib import Path\nfrom tests.integration.tasks import app\n"
        "Path('importing').touch()\ntime.sleep(30)\n",
    )
    worker = site.worker(app="slow:app", ready=False)
    wait_until((site.folder / "importing").exists)
    everybody = worker.processes()
    assert worker.stop(number) == code
    assert_gone(worker, everybody)
    assert "Traceback" not in worker.said()


def test_a_stopping_worker_takes_no_new_job(site: Site) -> None:
    worker = site.worker(children=2)
    running = hold.delay("running")
    site.journal.wait_for_start("running")
    worker.send(signal.SIGTERM)
    worker.wait_until_said("stopping")  # what it is claiming at this moment, it may still take
    other = site.worker(children=1)
    late = [mark.delay("late") for _ in range(20)]
    assert [each.get(timeout=10) for each in late] == ["late"] * 20
    assert {entry.pid for entry in site.journal.starts("late")} == set(other.children())
    site.open_gate("running")
    assert worker.wait() == 0
    assert running.state == "SUCCESS"
    app.close()
