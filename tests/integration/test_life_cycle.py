"""Every signal, alone and in storms; what a worker tells of its end; what systemd is told."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import wait_until
from tests.integration.apps.limited import app, hold, quick
from tests.integration.apps.record import Record
from tests.integration.processes import (
    ROOT,
    Site,
    Worker,
    is_alive,
    is_caught,
    resume,
    suspend,
)

PROGRAM: Final = "tests.integration.apps.limited:app"
UNIT: Final = ROOT / "examples" / "systemd" / "litequeue.service"
TELLING: Final = """
from litequeue import signals
from tests.integration.apps.limited import app
from tests.integration.apps.record import record

@signals.worker_shutting_down.connect
def tell(sender, sig, how, exitcode, **kwargs):
    record("shutting_down", sender=sender, sig=sig, how=how, exitcode=exitcode)
"""
TERM, INT, QUIT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP
SOFT: Final = {"LITEQUEUE_WORKER_SOFT_SHUTDOWN_TIMEOUT": "20"}
SHORT: Final = {"LITEQUEUE_WORKER_SOFT_SHUTDOWN_TIMEOUT": "0.4"}
REMAP: Final = {"REMAP_SIGTERM": "SIGQUIT"}


@pytest.fixture(autouse=True)
def _bound(site: Site) -> Iterator[None]:
    app.rebind(site.path)
    yield
    app.close()


@pytest.fixture
def telling(site: Site) -> str:
    site.write("telling.py", TELLING)
    return "telling:app"


def busy_worker(site: Site, facts: Record, program: str, **env: str) -> Worker:
    """Start a worker that runs the job "long"."""
    worker = site.worker("-n", "w@%n", app=program, children=1, **env)
    hold.delay("long")
    facts.wait_for("begun")
    return worker


def send(worker: Worker, facts: Record, numbers: list[signal.Signals]) -> None:
    """Send signals one by one: each is heard before the next."""
    for count, number in enumerate(numbers, 1):
        worker.send(number)
        if count < len(numbers):
            facts.wait_for("shutting_down", count)


# Each row of the table: signals, settings, how it stops, with which exit code; and whether a job
# that runs, and that would end soon, ends well.
GENTLE: Final = {
    "term": ([TERM], {}, "SIGTERM", "Warm", 0),
    "int": ([INT], {}, "SIGINT", "Warm", 0),
    "quit-soft": ([QUIT], SOFT, "SIGQUIT", "Cold", 1),
    "int-int-soft": ([INT, INT], SOFT, "SIGINT", "Cold", 1),
    "term-quit-soft": ([TERM, QUIT], SOFT, "SIGQUIT", "Cold", 1),
    "remapped-soft": ([TERM], {**REMAP, **SOFT}, "SIGQUIT", "Cold", 1),
}
HARSH: Final = {
    "quit": ([QUIT], {}, "SIGQUIT", "Cold", 1),
    "int-int": ([INT, INT], {}, "SIGINT", "Cold", 1),
    "term-quit": ([TERM, QUIT], {}, "SIGQUIT", "Cold", 1),
    "remapped": ([TERM], REMAP, "SIGQUIT", "Cold", 1),
    "quit-soft-over": ([QUIT], SHORT, "SIGQUIT", "Cold", 1),
}


@pytest.mark.parametrize("row", GENTLE)
def test_what_runs_finishes(site: Site, facts: Record, telling: str, row: str) -> None:
    numbers, env, name, how, code = GENTLE[row]
    worker = busy_worker(site, facts, telling, **env)
    send(worker, facts, numbers)
    last = facts.wait_for("shutting_down", len(numbers))[-1]
    assert (last["sig"], last["how"], last["exitcode"]) == (name, how, code)
    assert last["sender"].startswith("w@")
    site.open_gate("long")
    assert worker.wait() == code
    assert len(facts.facts("begun")) == 1
    site.worker(app=telling, children=1)
    assert quick.delay(1).get(timeout=10) == 1
    assert len(facts.facts("begun")) == 1, "it had ended well, and is not run again"


@pytest.mark.parametrize("row", HARSH)
def test_what_runs_goes_back(site: Site, facts: Record, telling: str, row: str) -> None:
    numbers, env, name, how, code = HARSH[row]
    worker = busy_worker(site, facts, telling, **env)
    everybody = worker.processes()
    send(worker, facts, numbers)
    assert worker.wait() == code
    last = facts.facts("shutting_down")[-1]
    assert (last["sig"], last["how"], last["exitcode"]) == (name, how, code)
    assert not any(map(is_alive, everybody))
    site.worker(app=telling, children=1)
    facts.wait_for("begun", 2)
    site.open_gate("long")


def test_a_second_quit_ends_the_patience_of_the_first(
    site: Site, facts: Record, telling: str
) -> None:
    worker = busy_worker(site, facts, telling, **SOFT)
    send(worker, facts, [QUIT, QUIT])
    assert worker.wait(15) == 1, "long before the 20 s of the first"


def test_a_third_interrupt_waits_for_nobody(site: Site, facts: Record, telling: str) -> None:
    """Not even for a consumer that stands still."""
    worker = busy_worker(site, facts, telling, **SOFT)
    everybody = worker.processes()
    consumer = worker.consumer()
    suspend(consumer)
    send(worker, facts, [INT, INT, INT])
    try:
        assert worker.wait(8) == 1
    finally:
        if is_alive(consumer):
            resume(consumer)
    wait_until(lambda: not any(map(is_alive, everybody)))


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_signals_ends_the_worker_and_loses_no_job(
    site: Site, facts: Record, seed: int
) -> None:
    worker = site.worker(app=PROGRAM)
    results = [quick.delay(number) for number in range(300)]
    storm = random.Random(seed)
    numbers = storm.choices([TERM, INT, QUIT, HUP], k=30)
    for number in [*numbers, TERM]:
        if worker.process.poll() is not None:
            break
        worker.send(number)
        time.sleep(storm.random() * 0.01)
    worker.wait()
    site.wait_until_empty()
    site.worker(app=PROGRAM)
    assert [each.get(timeout=20) for each in results] == list(range(300))


@pytest.mark.parametrize("number", [TERM, INT, QUIT])
@pytest.mark.parametrize("delay", [0.0, 0.1, 0.2, 0.3, "listening"])
def test_a_stop_at_any_moment_of_the_start_leaves_nothing(
    site: Site, number: signal.Signals, delay: float | str
) -> None:
    worker = site.worker(app=PROGRAM, ready=False)
    if isinstance(delay, float):
        time.sleep(delay)
    else:
        wait_until(lambda: is_caught(worker.supervisor, HUP))
    listened = is_caught(worker.supervisor, HUP)  # the last that it learns to listen to
    worker.send(number)
    worker.wait()
    site.wait_until_empty()
    assert "Traceback" not in worker.said() or not listened, "Python itself was still starting"
    bell = Path(f"{site.path}.bell")
    assert not bell.exists() or not list(bell.glob("worker-*"))


# systemd


class Manager:
    """Stands for systemd: listens to what a service says."""

    def __init__(self, path: Path) -> None:
        self.end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.end.bind(str(path))
        self.end.setblocking(False)
        self.heard: list[tuple[float, str]] = []

    def hears(self, word: str, count: int = 1) -> bool:
        """Tell whether it was said at least so often by now."""
        return self.count(word) >= count

    def count(self, word: str) -> int:
        try:
            while data := self.end.recv(4096):
                self.heard += [(time.monotonic(), line) for line in data.decode().splitlines()]
        except BlockingIOError:
            pass
        return sum(line.startswith(word) for _, line in self.heard)

    def close(self) -> None:
        self.end.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with closing(Manager(tmp_path / "notify")) as manager:
        yield manager


def service(site: Site, manager: Manager) -> Worker:
    path = str(manager.end.getsockname())
    return site.worker(
        app=PROGRAM, ready=False,
        NOTIFY_SOCKET=path, WATCHDOG_USEC="400000",
    )  # fmt: skip


def test_systemd_hears_of_start_life_restart_and_stop(site: Site, manager: Manager) -> None:
    worker = service(site, manager)
    wait_until(lambda: manager.hears("READY=1"), 20)
    assert quick.delay(1).get(timeout=10) == 1
    wait_until(lambda: manager.hears("WATCHDOG=1", 5))
    assert not manager.hears("STOPPING=1")
    worker.send(HUP)
    wait_until(lambda: manager.hears("RELOADING=1") and manager.hears("MONOTONIC_USEC="))
    wait_until(lambda: manager.hears("READY=1", 2), 20)
    assert not manager.hears("STOPPING=1")
    assert worker.stop() == 0
    assert manager.hears("STOPPING=1")


def test_a_supervisor_that_hangs_does_not_feed_the_watchdog(site: Site, manager: Manager) -> None:
    worker = service(site, manager)
    wait_until(lambda: manager.hears("WATCHDOG=1", 3), 20)
    suspend(worker.supervisor)
    fed = manager.count("WATCHDOG=1")
    until = time.monotonic() + 1.0
    wait_until(lambda: time.monotonic() > until)
    assert manager.count("WATCHDOG=1") == fed
    resume(worker.supervisor)
    wait_until(lambda: manager.hears("WATCHDOG=1", fed + 1))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_unit_of_the_example_is_right(tmp_path: Path) -> None:
    text = UNIT.read_text()
    assert "/srv/shop/.venv/bin/litequeue" in text
    unit = tmp_path / "shop.service"
    program = str(Path(sys.executable).with_name("litequeue"))
    unit.write_text(text.replace("/srv/shop/.venv/bin/litequeue", program))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert "shop.service" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_the_unit_of_the_example_starts_a_worker(site: Site, manager: Manager) -> None:
    """Its command, with the paths of this site; and what its numbers promise."""
    settings = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line[1:])
    assert float(settings["TimeoutStopSec"]) > 30.0, "worker_grace"
    program, *arguments = settings["ExecStart"].split()
    assert program.endswith("/litequeue")
    here = {"/var/lib/shop/jobs.sqlite": str(site.path), "shop.tasks:app": PROGRAM}
    command = [sys.executable, "-m", "litequeue", *(here.get(word, word) for word in arguments)]
    process = site.start(
        command, log=site.folder / "service.log",
        NOTIFY_SOCKET=str(manager.end.getsockname()), WATCHDOG_USEC="400000",
    )  # fmt: skip
    wait_until(lambda: manager.hears("READY=1"), 20)
    reload = settings["ExecReload"].split()
    assert reload[1:] == ["-HUP", "$MAINPID"]
    process.send_signal(HUP)
    wait_until(lambda: manager.hears("READY=1", 2), 20)
    process.terminate()
    assert process.wait(10) == 0
