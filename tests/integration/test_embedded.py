"""A worker inside a program: started and stopped at will, and gone with the program."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from litequeue import ImproperlyConfigured, LiteQueue, StoreError
from litequeue.locks import is_free
from litequeue.store import workers
from litequeue.store.workers import Identity
from litequeue.worker import embedded, shift
from litequeue.worker.consumer import Consumer
from litequeue.worker.pools import Station
from litequeue.worker.pools.threads import Threads
from tests.conftest import wait_until
from tests.integration import tasks
from tests.integration.processes import Site

app = tasks.app

HOST = """
import os, sys, time
from pathlib import Path
from tests.integration.tasks import add, app, hold, nap

def say(words):
    print(words, flush=True)

def wait_for(name):
    while not Path(name).exists():
        time.sleep(0.002)

worker = app.worker(single="single" in sys.argv)
"""


@pytest.fixture(autouse=True)
def here(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that run in this process write where those of other processes do."""
    monkeypatch.setenv("JOURNAL", str(site.journal.path))


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Every test gives its threads back."""
    before = set(threading.enumerate())
    yield
    wait_until(lambda: not ours() - before, 10.0)


def ours() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("litequeue-")}


def registered() -> list[Identity]:
    return [owner.identity for owner in workers.owners(app.store.database)]


def names() -> list[str]:
    return [identity.name for identity in registered()]


def rows(site: Site, query: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(site.path)) as connection:
        return connection.execute(query).fetchall()


def descriptors() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def host(site: Site, code: str, *arguments: str) -> subprocess.Popen[bytes]:
    return site.python(HOST + code, *arguments)


def line_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


class TestLife:
    def test_it_works_in_a_block_and_leaves_nothing(self, site: Site) -> None:
        with app.worker() as worker:
            assert worker.is_working
            assert tasks.add.delay(1, 2).get(timeout=10) == 3
            assert names() == [worker.name]
        assert not worker.is_working
        wait_until(lambda: not ours())  # a job thread may be on its last line
        assert names() == []
        assert not list(Path(f"{site.path}.bell").glob("worker-*"))

    @pytest.mark.parametrize("pool", ["threads", "aio", "solo"])
    def test_functions_and_coroutines_run_in_every_pool(self, site: Site, pool: str) -> None:
        with contextlib.closing(LiteQueue(site.path, set_as_current=False)) as own:

            @own.task(name="plain")
            def plain(x: int) -> int:
                return -x

            @own.task(name="later")
            async def later(x: int) -> int:
                await asyncio.sleep(0)
                return x * x

            with own.worker(pool=pool) as worker:
                assert worker.is_working
                assert (plain.delay(2).get(timeout=10), later.delay(3).get(timeout=10)) == (-2, 9)
            assert names() == []

    def test_it_starts_and_stops_as_often_as_one_likes(self, site: Site) -> None:
        worker = app.worker()
        with worker:
            tasks.add.delay(1, 2).get(timeout=10)
        before = descriptors()
        for number in range(10):
            worker.start().start()
            assert tasks.add.delay(number, 1).get(timeout=10) == number + 1
            assert worker.stop()
        assert worker.stop(), "stopped is stopped"
        assert descriptors() < before + 5  # others come and go

    def test_any_thread_may_start_and_stop_it(self, site: Site) -> None:
        worker = app.worker()

        def toggle() -> None:
            for _ in range(5):
                worker.start()
                worker.stop()

        togglers = [threading.Thread(target=toggle) for _ in range(6)]
        for each in togglers:
            each.start()
        for each in togglers:
            each.join(50)
            assert not each.is_alive()
        wait_until(lambda: not ours())
        with worker:
            assert tasks.add.delay(2, 2).get(timeout=10) == 4

    def test_a_stop_waits_for_what_runs(self, site: Site) -> None:
        worker = app.worker().start()
        result = tasks.hold.delay("slow")
        site.journal.wait_for_start("slow")
        opening = threading.Timer(0.2, site.open_gate, ("slow",))
        opening.start()
        assert worker.stop(timeout=20)
        assert result.state == "SUCCESS"

    def test_what_does_not_end_in_time_is_given_back(self, site: Site) -> None:
        worker = app.worker(concurrency=1).start()
        running, waiting = tasks.hold.delay("slow"), tasks.add.delay(1, 1)
        site.journal.wait_for_start("slow")
        began = time.monotonic()
        assert not worker.stop(timeout=0.1)
        assert time.monotonic() - began < 10
        assert (running.state, waiting.state) == ("PENDING", "PENDING")
        assert names() == []
        with app.worker(concurrency=1):
            site.journal.wait_for_start("slow", 2)
            site.open_gate("slow")
            assert running.get(timeout=10) == "slow"
            assert waiting.get(timeout=10) == 2
        starts, ends = site.journal.starts("slow"), site.journal.ends("slow")
        assert (len(starts), len(ends)) == (2, 1), "the code of the first run was interrupted"
        assert rows(site, "SELECT deaths FROM litequeue_job") == [(0,), (0,)], "nobody died"

    def test_a_callback_tells_that_it_works(self, site: Site, caplog: Any) -> None:
        told: list[bool] = []

        def tell() -> None:
            told.append(worker.is_working)
            raise RuntimeError("a mistake of the program's")

        worker = app.worker(on_working=tell)
        with worker, caplog.at_level(logging.ERROR, "litequeue.worker"):
            assert tasks.add.delay(1, 2).get(timeout=10) == 3
        assert told == [True]
        assert "on_working failed" in caplog.text

    def test_remote_control_reaches_it(self, site: Site) -> None:
        with app.worker(name="desk") as worker:
            assert app.control.ping(timeout=5, limit=1) == [{"desk": {"ok": "pong"}}]
            (running,) = app.control.inspect(timeout=5, limit=1).stats().values()
            assert running["pool"]["processes"] == [os.getpid()]
            app.control.shutdown()
            wait_until(lambda: not worker.is_running)
            worker.start()
            assert tasks.add.delay(1, 2).get(timeout=10) == 3


class TestMistakes:
    """What goes wrong inside does not end it, and is told."""

    def test_a_consumer_that_fails_is_replaced(
        self, site: Site, monkeypatch: pytest.MonkeyPatch, caplog: Any
    ) -> None:
        tries = iter([True, True])

        class Fragile(Consumer):
            def run(self) -> None:
                if next(tries, False):
                    raise RuntimeError("a mistake of ours")
                super().run()

        monkeypatch.setattr(shift, "Consumer", Fragile)
        worker = app.worker()
        with worker:
            assert tasks.add.delay(1, 2).get(timeout=10) == 3
        assert caplog.text.count("the consumer failed") == 2
        assert "the next one starts in 0.1 s" in caplog.text

    def test_a_pool_that_ends_is_started_anew(self, site: Site) -> None:
        tasks.add.delay(1, 2)
        worker = app.worker(pool=f"{__name__}:LazyPool").start()
        failure = wait_until(lambda: worker.failure)
        assert "the pool of this worker has ended" in str(failure)
        LazyPool.works = True
        try:
            assert tasks.add.delay(2, 3).get(timeout=10) == 5
        finally:
            LazyPool.works = False
        assert worker.stop()

    def test_a_module_that_cannot_be_imported(self, site: Site) -> None:
        own = LiteQueue(site.path, include=["there_is_no_such_module"], set_as_current=False)
        with pytest.raises(ModuleNotFoundError), own.worker():
            pytest.fail("it works without it")


class LazyPool(Threads):
    works: ClassVar[bool] = False

    def serve(self, station: Station) -> None:
        if self.works:
            super().serve(station)


class TestWhatItRefuses:
    @pytest.mark.parametrize("pool", ["prefork", "processes", "gevent"])
    def test_pools_of_processes(self, pool: str) -> None:
        with pytest.raises(ImproperlyConfigured, match=f"'threads', 'aio' or 'solo'.*-P {pool}"):
            app.worker(pool=pool)

    @pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "2"])
    def test_a_concurrency_that_is_none(self, concurrency: Any) -> None:
        with pytest.raises(ImproperlyConfigured, match="concurrency is a number above 0"):
            app.worker(concurrency=concurrency)

    def test_solo_is_one_job_at_a_time(self, site: Site) -> None:
        with app.worker(pool="solo", concurrency=4):
            tasks.hold.delay("first")
            tasks.mark.delay("second")
            site.journal.wait_for_start("first")
            site.open_gate("first")
            site.journal.wait_for_start("second")
        events = [(entry.event, entry.name) for entry in site.journal.entries()]
        assert events == [(e, n) for n in ("first", "second") for e in ("start", "end")]

    def test_a_file_that_is_none(self, site: Site) -> None:
        site.path.write_text("not a database, but long enough to be looked at" * 20)
        worker = app.worker()
        with pytest.raises(StoreError), worker:
            pytest.fail("it works on no file")
        assert not worker.is_running
        worker.start()
        assert isinstance(wait_until(lambda: worker.failure), StoreError)
        assert worker.is_running
        site.path.unlink()
        wait_until(lambda: worker.is_working, 20.0)
        assert worker.failure is None
        worker.stop()

    def test_a_directory_that_is_none(self, tmp_path: Path) -> None:
        elsewhere = LiteQueue(tmp_path / "nowhere" / "jobs.sqlite", set_as_current=False)
        with pytest.raises(StoreError):
            elsewhere.worker().start()


class TestHost:
    """What a program is and does, with a worker inside."""

    def test_it_keeps_its_signals_its_streams_and_its_logging(self, site: Site) -> None:
        done = site.run("-X", "dev", "-W", "error", "-c", HOST + """
import logging, signal
from litequeue.worker import embedded

def mine():
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    loggers = logging.root, logging.getLogger("litequeue.task")
    return handlers, signal.set_wakeup_fd(-1), [(each.handlers, each.level) for each in loggers]

before = mine()
with worker:
    assert mine() == before
    add.delay(1, 2).get(timeout=10)
    try:
        add.delay(1, "2").get(timeout=10)
    except Exception:
        pass
    assert mine() == before
assert mine() == before
""", LITEQUEUE_URL=str(site.path))  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_it_may_end_without_stopping_it(self, site: Site) -> None:
        process = host(site, "worker.start(); hold.delay('never').id; wait_for('now')")
        site.journal.wait_for_start("never")
        (site.folder / "now").touch()
        assert process.wait(10) == 0
        assert rows(site, "SELECT state FROM litequeue_jobs") == [("PENDING",)]
        assert names() == []
        assert (site.folder / "output").read_text() == ""

    def test_when_it_is_killed_another_takes_its_jobs(self, site: Site) -> None:
        process = host(site, "worker.start(); hold.delay('job'); wait_for('never')")
        site.journal.wait_for_start("job")
        with app.worker(name="other"):
            process.kill()
            site.journal.wait_for_start("job", 2)
            assert site.journal.starts("job")[1].pid == os.getpid()
            site.open_gate("job")
            wait_until(lambda: names() == ["other"])

    def test_it_may_stop_it_while_the_file_is_locked(self, site: Site) -> None:
        """The leases stay where they are, and the lock tells the next worker that it may."""
        process = host(site, """
from litequeue.worker import embedded, shift
embedded.FAREWELL = shift.FAREWELL = 1.5
worker.start()
hold.delay("job")
wait_for("stop")
say(worker.stop(timeout=0.1))
wait_for("never")
""")  # fmt: skip
        site.journal.wait_for_start("job")
        with contextlib.closing(sqlite3.connect(site.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            (site.folder / "stop").touch()
            assert line_of(process) == "False"
            other.execute("ROLLBACK")
        with app.worker():
            site.journal.wait_for_start("job", 2)
            site.open_gate("job")
            wait_until(lambda: rows(site, "SELECT state FROM litequeue_jobs") == [("SUCCESS",)])
        assert process.poll() is None, "and nobody has killed the program"

    def test_it_may_fork(self, site: Site) -> None:
        process = host(site, """
with worker:
    add.delay(1, 1).get(timeout=10)
    child = os.fork()
    if child == 0:
        say(f"{worker.is_running} {worker.is_working}")
        with worker:
            say(add.delay(2, 2).get(timeout=10))
            wait_for("leave")
        os._exit(0)
    wait_for("stop")
    worker.stop()
    say("stopped")
    worker.start()
    say(add.delay(3, 3).get(timeout=10))
    os.waitpid(child, 0)
""")  # fmt: skip
        assert line_of(process) == "False False"
        assert line_of(process) == "4"
        assert len(names()) == 2
        (site.folder / "stop").touch()
        assert line_of(process) == "stopped"
        assert line_of(process) == "6"
        (site.folder / "leave").touch()
        assert process.wait(10) == 0
        assert names() == []

    def test_it_may_become_another_program(self, site: Site) -> None:
        """The pid lives on, so only the lock tells that the worker does not."""
        process = host(site, """
worker.start()
hold.delay("job")
wait_for("now")
os.execv("/bin/sleep", ["sleep", "60"])
""")  # fmt: skip
        site.journal.wait_for_start("job")
        (site.folder / "now").touch()
        (lock,) = Path(f"{site.path}.bell").glob("worker-*.lock")
        wait_until(lambda: is_free(str(lock)))
        with app.worker():
            site.journal.wait_for_start("job", 2)
            site.open_gate("job")
        assert process.poll() is None, "and nobody has killed it"


class TestSingle:
    """Of many programs that start one, one works."""

    def test_when_one_stops_another_takes_over(self, site: Site) -> None:
        begun = threading.Event()
        one, other = app.worker(single=True), app.worker(single=True, on_working=begun.set)
        one.start()
        wait_until(lambda: one.is_working)
        other.start()
        assert tasks.add.delay(1, 2).get(timeout=10) == 3
        assert names() == [one.name]
        assert other.is_running
        assert not other.is_working
        one.stop()
        assert begun.wait(10)
        assert names() == [other.name]
        one.start()
        other.stop()
        wait_until(lambda: one.is_working)
        one.stop()

    def test_one_that_waits_stops_at_once(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(embedded, "TRY_AGAIN", 60.0)
        with app.worker(single=True) as one:
            wait_until(lambda: one.is_working)
            other = app.worker(single=True).start()
            began = time.monotonic()
            assert other.stop()
            assert time.monotonic() - began < 20
            assert one.is_working

    def test_when_one_is_killed_another_takes_over(self, site: Site) -> None:
        code = """
worker.start()
while not worker.is_working:
    time.sleep(0.002)
say(os.getpid())
wait_for("never")
"""
        hosts = [host(site, code, "single") for _ in range(3)]
        pids = {each.pid for each in hosts}
        for alive in (3, 2, 1):
            (one,) = wait_until(registered, 15.0)
            assert one.pid in pids
            tasks.hold.delay(f"job-{alive}")
            site.journal.wait_for_start(f"job-{alive}")
            assert registered() == [one], "one works, and all others wait"
            pids.discard(one.pid)
            os.kill(one.pid, signal.SIGKILL)
            if pids:
                site.journal.wait_for_start(f"job-{alive}", 2)
                site.open_gate(f"job-{alive}")

    def test_a_fork_of_the_one_does_not_keep_others_out(self, site: Site) -> None:
        process = host(site, """
worker.start()
while not worker.is_working:
    time.sleep(0.002)
if os.fork() == 0:
    say(os.getpid())  # that it is on its own: whatever a fork has to forget, it has forgotten
    wait_for("leave")
    os._exit(0)
wait_for("never")
""", "single")  # fmt: skip
        child = int(line_of(process))
        process.kill()
        process.wait()
        os.kill(child, 0)
        (lock,) = Path(f"{site.path}.bell").glob("worker-*.lock")
        assert is_free(str(lock))
        with app.worker(single=True) as worker:
            wait_until(lambda: worker.is_working)
        (site.folder / "leave").touch()


def test_nothing_heavy_is_loaded_before_a_worker_is_wanted() -> None:
    code = """
import sys
from litequeue import LiteQueue, freeze_support
freeze_support()
LiteQueue("jobs.sqlite")
print([name for name in sys.modules if name in ("filelock", "runpy", "litequeue.worker")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
