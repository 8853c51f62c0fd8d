"""What the pools are tried with: each task as a plain function and as a coroutine function."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from litequeue import LiteQueue, Task, signals
from litequeue.exceptions import SoftTimeLimitExceeded
from litequeue.shared import current_task
from tests.integration.apps.record import record

app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"))

MOMENT = 0.01
seen: ContextVar[str] = ContextVar("seen", default="nothing")


def moments(seconds: float) -> Iterator[None]:
    """Wait in small steps for so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(MOMENT)


async def moments_async(seconds: float) -> AsyncIterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        await asyncio.sleep(MOMENT)


def place(name: str) -> Path:
    return Path(os.environ["JOURNAL"]).with_name(name)


# What is given, and what comes back


@app.task
def echo(value: Any) -> Any:
    return value


@app.task
async def echo_async(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


@app.task
def fail(words: str) -> None:
    raise ValueError(words)


@app.task
async def fail_async(words: str) -> None:
    await asyncio.sleep(0)
    raise ValueError(words)


@app.task(bind=True, autoretry_for=(OSError,), default_retry_delay=0, max_retries=2)
def third_time(self: Any) -> list[int]:
    if self.request.retries < 2:
        raise OSError("not yet")
    return [self.request.retries, self.request.claim]


@app.task(bind=True, autoretry_for=(OSError,), default_retry_delay=0, max_retries=2)
async def third_time_async(self: Any) -> list[int]:
    await asyncio.sleep(0)
    if self.request.retries < 2:
        raise OSError("not yet")
    return [self.request.retries, self.request.claim]


# What it is told


class Telling(Task):
    abstract = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        record("told", what="before_start", id=task_id, here=self.request.id)

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        record("told", what="on_success", id=task_id, here=self.request.id)

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        what = f"on_failure {type(exc).__name__}"
        record("told", what=what, id=task_id, here=self.request.id)

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        record("told", what=f"after_return {status}", id=task_id, here=self.request.id)


@app.task(base=Telling)
def tell(fails: bool) -> None:
    if fails:
        raise ValueError("as told")


@app.task(base=Telling)
async def tell_async(fails: bool) -> None:
    await asyncio.sleep(0)
    if fails:
        raise ValueError("as told")


@app.task(base=Telling)
def tell_late() -> None:
    for _ in moments(20):
        pass


@app.task(base=Telling)
async def tell_late_async() -> None:
    await asyncio.sleep(20)


@signals.task_prerun.connect
def _before(sender: Any, task_id: str, **_: Any) -> None:
    if sender.name.startswith("tests.pools.app.tell"):
        record("told", what="task_prerun", id=task_id, here=sender.request.id)


@signals.task_postrun.connect
def _after(sender: Any, task_id: str, **_: Any) -> None:
    if sender.name.startswith("tests.pools.app.tell"):
        record("told", what="task_postrun", id=task_id, here=sender.request.id)


@signals.task_revoked.connect
def _revoked(request: Any, terminated: bool, signum: Any, **_: Any) -> None:
    record("revoked", id=request.id, terminated=terminated, signum=signum)


# Whose request, whose context, whose output


@app.task(bind=True)
def whoami(self: Any, number: int) -> list[Any]:
    before = self.request.id
    for _ in moments(5 * MOMENT):
        assert self.request.id == before == current_task.request.id
    return [before, self.request.args[0], self.request.kwargs, self.request.retries]


@app.task(bind=True)
async def whoami_async(self: Any, number: int) -> list[Any]:
    before = self.request.id
    async for _ in moments_async(5 * MOMENT):
        assert self.request.id == before == current_task.request.id
    return [before, self.request.args[0], self.request.kwargs, self.request.retries]


@app.task(bind=True)
def leave_a_trace(self: Any) -> list[str]:
    before = seen.get()
    seen.set(self.request.id)
    for _ in moments(3 * MOMENT):
        pass
    return [before, seen.get()]


@app.task(bind=True)
async def leave_a_trace_async(self: Any) -> list[str]:
    before = seen.get()
    seen.set(self.request.id)
    await asyncio.sleep(3 * MOMENT)
    return [before, seen.get()]


@app.task(capture=True)
def speak(word: str, times: int) -> None:
    for number in range(times):
        print(word, number)  # noqa: T201 - what it prints is kept
        time.sleep(MOMENT)


@app.task(capture=True)
async def speak_async(word: str, times: int) -> None:
    for number in range(times):
        print(word, number)  # noqa: T201 - what it prints is kept
        await asyncio.sleep(MOMENT)


# How many at once


@app.task
def meet(name: str, number: int, patience: float) -> int:
    """Return how many came; wait for so many."""
    mark(name)
    for _ in moments(patience):
        if present(name) >= number:
            break
    return present(name)


@app.task
async def meet_async(name: str, number: int, patience: float) -> int:
    mark(name)
    async for _ in moments_async(patience):
        if present(name) >= number:
            break
    return present(name)


def mark(name: str) -> None:
    folder = place(f"meeting-{name}")
    folder.mkdir(exist_ok=True)
    (folder / os.urandom(8).hex()).touch()


def present(name: str) -> int:
    return len(list(place(f"meeting-{name}").iterdir()))


@app.task
def come_and_go(name: str) -> None:
    record("came", name=name, at=time.monotonic_ns())
    for _ in moments(3 * MOMENT):
        pass
    record("went", name=name, at=time.monotonic_ns())


@app.task
async def come_and_go_async(name: str) -> None:
    record("came", name=name, at=time.monotonic_ns())
    await asyncio.sleep(3 * MOMENT)
    record("went", name=name, at=time.monotonic_ns())


@app.task(bind=True)
def hold(self: Any, name: str) -> str:
    """Run until the gate is opened."""
    record("began", name=name, claim=self.request.claim)
    for _ in moments(30):
        if place(f"{name}.go").exists():
            break
    record("ended", name=name)
    return name


@app.task(bind=True)
async def hold_async(self: Any, name: str) -> str:
    record("began", name=name, claim=self.request.claim)
    async for _ in moments_async(30):
        if place(f"{name}.go").exists():
            break
    record("ended", name=name)
    return name


@app.task(bind=True, acks_late=False)
def hold_once(self: Any, name: str) -> str:
    record("began", name=name, claim=self.request.claim)
    for _ in moments(30):
        if place(f"{name}.go").exists():
            break
    return name


@app.task
def where() -> int:
    return os.getpid()


@app.task
def ask(value: Any, patience: float) -> Any:
    return echo.delay(value).get(timeout=patience, disable_sync_subtasks=False)


@app.task
async def ask_async(value: Any, patience: float) -> Any:
    return await echo.delay(value).aget(timeout=patience, disable_sync_subtasks=False)


# Time limits


@app.task
def late() -> None:
    for _ in moments(10):
        pass


@app.task
async def late_async() -> None:
    await asyncio.sleep(10)


@app.task
def catch() -> str:
    try:
        for _ in moments(10):
            pass
    except SoftTimeLimitExceeded:
        return "caught"
    return "never told"


@app.task
async def catch_async() -> str:
    try:
        await asyncio.sleep(10)
    except SoftTimeLimitExceeded:
        return "caught"
    return "never told"


@app.task
def swallow(seconds: float) -> int:
    """Swallow what comes; return how often it did."""
    times, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(MOMENT)
        except SoftTimeLimitExceeded:
            times += 1
    return times


@app.task
async def swallow_async(seconds: float) -> int:
    times, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            await asyncio.sleep(MOMENT)
        except SoftTimeLimitExceeded:
            times += 1
    return times


@app.task
def sleep_in_c(seconds: float) -> None:
    time.sleep(seconds)


@app.task
async def sleep_async(seconds: float) -> None:
    await asyncio.sleep(seconds)


@app.task
def keep_the_gil(seconds: float) -> bool:
    """Compute for so long in one call of C code, which lets nobody else run."""
    until = time.monotonic() + seconds
    return any(map(until.__lt__, iter(time.monotonic, None)))


@app.task
async def keep_the_loop(seconds: float) -> None:
    """Compute for so many seconds in Python without a single await."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(100))
