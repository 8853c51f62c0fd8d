"""Tasks that outstay their limits, whatever is done to them; and some for the pool's life."""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import subprocess
import sys
import time
from typing import Any

from litequeue import LiteQueue
from litequeue.exceptions import SoftTimeLimitExceeded
from tests.integration.apps.record import record
from tests.integration.tasks import wait_for_gate

app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"))


@app.task(bind=True)
def hang(self: Any, name: str = "hang") -> None:
    """Sleep, interruptibly."""
    record("begun", name=name, at=time.monotonic())
    time.sleep(300)


@app.task(bind=True)
def compute(self: Any, name: str = "compute") -> None:
    """Stay in one call of C code that lets others have the interpreter."""
    record("begun", name=name, at=time.monotonic())
    hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 2_000_000_000)


@app.task(bind=True)
def keep_the_interpreter(self: Any, name: str = "keep") -> None:
    """Stay in one call of C code that holds the interpreter's lock."""
    record("begun", name=name, at=time.monotonic())
    ctypes.PyDLL(None).sleep(300)


@app.task(bind=True)
def refuse(self: Any, name: str = "refuse") -> None:
    """Ignore every signal that can be, swallow every exception, and start what does the same."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
    program = subprocess.Popen([sys.executable, "-c", code])
    service = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    daemon = os.fork()
    if daemon == 0:
        time.sleep(300)
        os._exit(0)
    record("begun", name=name, at=time.monotonic(), started=[program.pid, service.pid, daemon])
    while True:
        try:
            time.sleep(300)
        except BaseException as error:
            record("swallowed", error=type(error).__name__)


@app.task(bind=True, soft_time_limit=0.2)
def tidy(self: Any) -> str:
    """Be told of the end, and come to a good one."""
    try:
        time.sleep(300)
    except SoftTimeLimitExceeded:
        record("tidied")
        return "in time"
    return "never"


@app.task(bind=True, soft_time_limit=0.2, time_limit=1.0)
def stubborn(self: Any) -> None:
    """Be told of the end, and go on."""
    while True:
        try:
            time.sleep(300)
        except SoftTimeLimitExceeded:
            record("told")


@app.task(bind=True, time_limit=0.3)
def limited(self: Any, name: str, seconds: float) -> str:
    record("begun", name=name, at=time.monotonic())
    time.sleep(seconds)
    return name


@app.task
def quick(value: int = 0) -> int:
    return value


@app.task
def whoami() -> int:
    return os.getpid()


@app.task
def eat(megabytes: int) -> int:
    """Keep so much memory in this process."""
    hoard.append(bytearray(os.urandom(1024) * 1024 * megabytes))
    return os.getpid()


hoard: list[bytearray] = []


@app.task
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(bind=True)
def hold(self: Any, name: str) -> str:
    record("begun", name=name, at=time.monotonic())
    wait_for_gate(name)
    return name


@app.task(bind=True, max_retries=2)
def retried(self: Any, name: str, countdown: float) -> int:
    """Fail once."""
    record("tried", name=name)
    if self.request.retries == 0:
        raise self.retry(countdown=countdown)
    return int(self.request.retries)


@app.task
def spread(depth: int) -> int:
    """Send two more of its kind, until ``depth`` is 0."""
    record("spread", depth=depth)
    if depth:
        spread.delay(depth - 1)
        spread.delay(depth - 1)
    return depth


@app.task(bind=True)
def tell(self: Any, name: str, seconds: float = 0.0) -> str:
    """Say that it ran, and in which queue."""
    record("ran", name=name, queue=self.request.delivery_info["routing_key"])
    time.sleep(seconds)
    return name


@app.task(bind=True)
def nap(self: Any, seconds: float) -> None:
    record("napped", at=time.monotonic())
    time.sleep(seconds)


@app.task(bind=True)
def die_once(self: Any) -> int:
    record("tried", name="die_once")
    if self.request.claim == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return int(self.request.claim)


@app.task
async def spin(seconds: float) -> None:
    """Let no other coroutine run."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
