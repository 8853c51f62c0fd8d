"""The app of the soft limits' campaign: jobs do what users do, and are interrupted at it.

A journal tells what each of them saw: "S" it began, "X" the limit was raised in it and left it, "W"
it was swallowed, "E value" it came to its end; "?" and "!" before and after a job sends another.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

from litequeue import LiteQueue
from litequeue.exceptions import SoftTimeLimitExceeded
from litequeue.job import new_id

app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"))

STEP: Final = 0.002
"""Seconds of one of the things that a mixed job does; and of a sleep in a thread."""
logger: Final = logging.getLogger("tests.softened")
logger.addHandler(logging.FileHandler(os.devnull))
logger.setLevel(logging.INFO)
logger.propagate = False
_lock: Final = threading.Lock()

Way = Callable[[Any, float], None]
"""Something that a job does until a moment, in monotonic seconds."""


@functools.cache
def journal(pid: int) -> int:
    """Open this process's own descriptor of the journal."""
    return os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(mark: str, request: Any, word: str = "-") -> None:
    """Write one line at once."""
    pid = os.getpid()
    line = f"{mark} {request.id} {request.claim} {pid} {time.monotonic_ns()} {word}\n"
    os.write(journal(pid), line.encode())


def last_word(request: Any, how: str) -> str:
    """Return what a job returns."""
    return f"{how}-{request.id}"


@app.task(bind=True)
def work(self: Any, way: str, seconds: float, swallows: bool) -> str:
    how = "finished"
    note("S", self.request)
    try:
        WAYS[way](self, time.monotonic() + seconds)
    except SoftTimeLimitExceeded:
        if not swallows:
            note("X", self.request)
            raise
        note("W", self.request)
        how = "swallowed"
    note("E", self.request, last_word(self.request, how))
    return last_word(self.request, how)


@app.task(bind=True)
async def work_async(self: Any, way: str, seconds: float, swallows: bool) -> str:
    how = "finished"
    note("S", self.request)
    try:
        await ASYNC_WAYS[way](self, time.monotonic() + seconds)
    except SoftTimeLimitExceeded:
        if not swallows:
            note("X", self.request)
            raise
        note("W", self.request)
        how = "swallowed"
    note("E", self.request, last_word(self.request, how))
    return last_word(self.request, how)


@app.task
def follow(parent: str) -> str:
    """Be sent by a job."""
    return parent


def count(task: Any, until: float) -> None:
    """Stay in Python code."""
    numbers: dict[int, str] = {}
    while time.monotonic() < until:
        for number in sorted(range(50), key=lambda each: -each):
            numbers[number % 7] = json.dumps([str(number), *numbers])[:20]


def sleep(task: Any, until: float) -> None:
    """Wait in C code."""
    in_thread = threading.current_thread() is not threading.main_thread()
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, STEP) if in_thread else left)


def tidy(task: Any, until: float) -> None:
    """Have things to put away."""
    depth: list[int] = []
    while time.monotonic() < until:
        try:
            depth.append(1)
            try:
                depth.append(2)
                time.sleep(0.0002)
            finally:
                depth.pop()
        finally:
            depth.clear()


def connect() -> sqlite3.Connection:
    """Open the user's own file."""
    file = sqlite3.connect(os.environ["OWN"], timeout=10.0)
    file.execute("PRAGMA synchronous = OFF")
    return file


def write(task: Any, until: float) -> None:
    """Write pairs of rows to a file of the user's, with care."""
    with contextlib.closing(connect()) as file:
        while time.monotonic() < until:
            with file:
                key = insert_pair(file)
            assert count_of(file, key) == 2


def write_carelessly(task: Any, until: float) -> None:
    """Write without a thought of exceptions."""
    file = connect()
    file.isolation_level = None
    while time.monotonic() < until:
        file.execute("BEGIN IMMEDIATE")
        insert_pair(file)
        file.execute("COMMIT")
    file.close()


def insert_pair(file: sqlite3.Connection) -> str:
    key = new_id(time.time())
    for side in ("debit", "credit"):
        file.execute("INSERT INTO entry VALUES (?, ?)", (key, side))
    return key


def count_of(file: sqlite3.Connection, key: str) -> int:
    (found,) = file.execute("SELECT count(*) FROM entry WHERE key = ?", (key,)).fetchone()
    return int(found)


def send(task: Any, until: float) -> None:
    """Send jobs."""
    while time.monotonic() < until:
        id = new_id(time.time())
        note("?", task.request, id)
        follow.apply_async((task.request.id,), task_id=id)
        note("!", task.request, id)
        time.sleep(STEP / 2)


def show(task: Any, until: float) -> None:
    """Tell how far it has come."""
    step = 0
    while time.monotonic() < until:
        step += 1
        task.update_state(state="PROGRESS", meta={"step": step})


def ask(task: Any, until: float) -> None:
    """Look at jobs in the queue file."""
    while time.monotonic() < until:
        assert app.AsyncResult(task.request.id).state != "SUCCESS"


def start_programs(task: Any, until: float) -> None:
    """Run other programs."""
    while time.monotonic() < until:
        subprocess.run(["sleep", "0.002"], check=True, stdin=subprocess.DEVNULL)


def numbers_until(moment: float) -> Iterator[int]:
    number = 0
    try:
        while time.monotonic() < moment:
            number += 1
            yield number
    finally:
        number = 0


def generate(task: Any, until: float) -> None:
    """Be in generators, deeply."""
    assert sum(square for square in (number**2 for number in numbers_until(until)) if square) >= 0


@contextlib.contextmanager
def folder_of(task: Any) -> Iterator[Path]:
    folder = Path(os.environ["OWN"]).with_name(f"folder-{task.request.id}")
    folder.mkdir()
    try:
        yield folder
    finally:
        folder.rmdir()


def manage(task: Any, until: float) -> None:
    """Be in context managers; what an interrupted one leaves behind is the user's affair."""
    while time.monotonic() < until:
        with (
            contextlib.suppress(FileExistsError),
            folder_of(task) as folder,
            contextlib.ExitStack(),
        ):
            assert folder.exists()


def log(task: Any, until: float) -> None:
    """Log."""
    while time.monotonic() < until:
        logger.info("a line of %s", task.request.id)


def lock(task: Any, until: float) -> None:
    """Take a lock that the next job needs, too: should it stay taken, nobody gets on."""
    while time.monotonic() < until:
        with _lock:
            time.sleep(0.0001)


def mix(task: Any, until: float) -> None:
    """Do a little of everything."""
    random = Random(task.request.id)
    ways = [way for name, way in sorted(WAYS.items()) if name != "mix"]
    while (now := time.monotonic()) < until:
        random.choice(ways)(task, min(until, now + STEP))


WAYS: Final[dict[str, Way]] = {
    "count": count,
    "sleep": sleep,
    "tidy": tidy,
    "write": write,
    "write_carelessly": write_carelessly,
    "send": send,
    "show": show,
    "ask": ask,
    "start_programs": start_programs,
    "generate": generate,
    "manage": manage,
    "log": log,
    "lock": lock,
    "mix": mix,
}


async def await_sleep(task: Any, until: float) -> None:
    """Sleep, as coroutines do."""
    await asyncio.sleep(until - time.monotonic())


async def await_much(task: Any, until: float) -> None:
    """Wait for several things at once, again and again."""
    gate = asyncio.Lock()

    async def step() -> None:
        async with gate:
            await asyncio.sleep(0.0002)

    while time.monotonic() < until:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(step())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(1.0), 0.001)


async def await_never(task: Any, until: float) -> None:
    """Compute, in a coroutine that never awaits."""
    count(task, until)


async def await_sending(task: Any, until: float) -> None:
    """Send jobs between awaits, and write to the user's own file."""
    while (now := time.monotonic()) < until:
        send(task, now + 0.0002)
        await asyncio.sleep(0)
        write(task, time.monotonic() + 0.0002)


AsyncWay = Callable[[Any, float], Any]
ASYNC_WAYS: Final[dict[str, AsyncWay]] = {
    "await_sleep": await_sleep,
    "await_much": await_much,
    "await_never": await_never,
    "await_sending": await_sending,
}
