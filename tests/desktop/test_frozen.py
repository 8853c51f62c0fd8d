"""An example packed by PyInstaller: it runs without Python, and so does a worker with processes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from litequeue import LiteQueue
from tests.conftest import wait_until
from tests.desktop.conftest import EXAMPLES, Desk
from tests.desktop.test_windows import rows, states
from tests.integration.processes import MARK, Site, Worker

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in Tk as its README packs it."""
    folder = tmp_path_factory.mktemp("frozen")
    command = [sys.executable, "-m", "PyInstaller", "--log-level", "WARN", "--noconfirm"]
    example = EXAMPLES / "desktop_tk" / "window.py"
    done = subprocess.run(
        [*command, str(example)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "dist" / "window" / "window"


class Alone(Site):
    """A machine on which nothing is known of Python, nor of this checkout."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.folder)
        self.path = desk.path
        self.desk = desk

    def environment(self, **more: str) -> dict[str, str]:
        known = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        own = {name: text for name, text in self.desk.env.items() if name[:6] != "PYTHON"}
        return {MARK: str(self.folder), "PATH": "/nowhere", **known, **own, **more}


@pytest.fixture
def alone(desk: Desk) -> Iterator[Alone]:
    site = Alone(desk)
    yield site
    site.close()


def test_the_window_works(program: Path, desk: Desk, alone: Alone, files: Path) -> None:
    example = desk.open("desktop_tk", files)  # to see where its buttons are
    start = example.look()["buttons"]["start"]
    assert example.close() == 0
    log = desk.folder / "frozen.log"
    process = alone.start([str(program), files.name], log=log)
    frame = wait_until(lambda: desk.screen.window("Checksums"), 20.0)
    desk.screen.click(*start)
    wait_until(lambda: desk.path.exists() and states(desk) == ["SUCCESS"] * 5, 20.0)
    sums = {hashlib.sha256(path.read_bytes()).hexdigest() for path in files.iterdir()}
    assert {text.strip('"') for (text,) in rows(desk, "SELECT result FROM litequeue_jobs")} == sums
    desk.screen.close_window(frame)
    assert process.wait(15) == 0
    assert log.read_text() == ""
    assert rows(desk, "SELECT * FROM litequeue_worker") == []


def test_it_is_the_command_line_too(program: Path, alone: Alone) -> None:
    said = subprocess.run(
        [program, "-m", "litequeue", "--version"],
        env=alone.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (said.returncode, said.stderr) == (0, "")
    assert "litequeue" in said.stdout


def test_the_parts_of_a_worker_are_programs(
    program: Path, desk: Desk, alone: Alone, files: Path
) -> None:
    """Its children, and the consumer that replaces the first."""
    desk.path.parent.mkdir(parents=True)
    command = [str(program), "-m", "litequeue", "worker", str(desk.path), "-A", "jobs:app"]
    log = desk.folder / "worker.log"
    process = alone.start([*command, "-c", "2", "--start-method", "spawn"], log=log)
    worker = Worker(process, log, desk.path)
    alone.workers.append(worker)
    worker.wait_until_ready()
    file = next(files.iterdir())
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    with contextlib.closing(LiteQueue(desk.path, set_as_current=False)) as app:
        assert app.send_task("jobs.checksum", [str(file)]).get(timeout=20) == right
        for child in worker.children():
            assert command_of(child)[:3] == [str(program), "-m", "litequeue.worker.child"]
        first = worker.consumer()
        os.kill(first, signal.SIGKILL)
        second = wait_until(lambda: {worker.find_consumer()} - {0, first}).pop()
        assert command_of(second)[:3] == [
            str(program), "-m", "litequeue.worker.consumer_process",
        ]  # fmt: skip
        assert app.send_task("jobs.checksum", [str(file)]).get(timeout=20) == right
    assert worker.stop() == 0


def command_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
