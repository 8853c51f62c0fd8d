"""A full disk, a foreign lock, a file that is replaced: the worker lives, or says why not."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from litequeue import LiteQueue, QueueFileReplaced, QueueFull
from tests.conftest import wait_until
from tests.integration.processes import Site
from tests.integration.tasks import add, app, hold, mark, text_of


@pytest.fixture
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site on a filesystem of 3 MB."""
    folder = tmp_path_factory.mktemp("small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=True)
    site = Site(folder)
    app.rebind(site.path)
    try:
        yield site
        app.close()
        site.close()
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(site: Site) -> Path:
    """Leave no byte free."""
    ballast = site.folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return ballast


def test_a_full_disk_stops_nobody_and_loses_nothing(small_disk: Site) -> None:
    site = small_disk
    worker = site.worker(children=1)
    before = [mark.delay(f"before-{number}") for number in range(20)]
    for each in before:
        each.get(timeout=10)
    running = hold.delay("running")
    site.journal.wait_for_start("running")
    (site.folder / "running.go").touch()
    running.get(timeout=10)
    large = text_of.delay(400_000)
    large.get(timeout=10)
    waiting = [text_of.apply_async((100_000,), countdown=1.0) for _ in range(5)]
    ballast = fill(site)
    with pytest.raises(QueueFull, match="nothing was accepted"):
        waiting.extend(text_of.delay(100_000) for _ in range(2000))
    worker.wait_until_said("no space left")
    assert worker.process.poll() is None
    ballast.unlink()
    assert {len(each.get(timeout=15)) for each in waiting} == {100_000}
    assert add.delay(1, 2).get(timeout=10) == 3
    assert worker.stop() == 0
    with closing(sqlite3.connect(site.path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize(
    ("patience", "seconds"), [(1.0, 2.5), pytest.param(5.0, 7.0, marks=pytest.mark.slow)]
)
def test_a_foreign_write_lock_is_waited_out_for_longer_than_one_try(
    site: Site, patience: float, seconds: float
) -> None:
    worker = site.worker(LITEQUEUE_QUEUE_BUSY_TIMEOUT=str(patience))
    running = hold.delay("running")
    site.journal.wait_for_start("running")
    consumer = worker.consumer()
    waiting = [mark.apply_async((f"due-{number}",), countdown=0.5) for number in range(3)]
    with closing(sqlite3.connect(site.path, isolation_level=None)) as foreign:
        foreign.execute("PRAGMA wal_autocheckpoint = 0")
        foreign.execute("BEGIN IMMEDIATE")
        site.open_gate("running")
        lock_ends = site.python(f"import time; time.sleep({seconds})")
        lock_ends.wait()
        assert running.state != "SUCCESS"
        foreign.execute("ROLLBACK")
    assert running.get(timeout=5) == "running"
    assert [each.get(timeout=5) for each in waiting] == [f"due-{n}" for n in range(3)]
    assert len(site.journal.starts("running")) == 1
    assert worker.consumer() == consumer, "waiting is no reason to be replaced"
    assert "Traceback" not in worker.said()
    assert worker.stop() == 0


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_file_that_is_not_the_one_any_more_stops_the_worker_loudly(site: Site, how: str) -> None:
    worker = site.worker()
    assert add.delay(1, 2).get(timeout=10) == 3
    if how == "replaced":
        shutil.copy(site.path, site.folder / "copy")
        (site.folder / "copy").replace(site.path)
        other = LiteQueue(site.path)
        other.enqueue_many([(add, (2, 2))])  # through the new file, whose bell is the old one's
        other.close()
    else:
        site.path.unlink()
    with pytest.raises(QueueFileReplaced, match="restart this process"):
        add.delay(3, 4)
    assert worker.wait(20) == 3
    assert "was removed or replaced" in worker.said()
    assert "Traceback" not in worker.said()
    site.wait_until_empty()
    wait_until(lambda: not list(site.folder.glob("jobs.sqlite.bell/worker-*")))
