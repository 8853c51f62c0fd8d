"""The app of the integration tests.  Workers find their file in LITEQUEUE_URL, tests rebind it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from litequeue import LiteQueue

app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"))


def note(event: str, name: str, request: Any) -> None:
    """Tell the test what happens here, by one write that no kill can cut in half."""
    fields = (event, name, request.id, request.claim, os.getpid(), time.monotonic_ns())
    line = "\t".join(map(str, fields)) + "\n"
    journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(journal, line.encode())
    os.close(journal)


def wait_for_gate(name: str, timeout: float = 50.0) -> None:
    gate = Path(os.environ["JOURNAL"]).with_name(f"{name}.go")
    deadline = time.monotonic() + timeout
    while not gate.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody opened {gate}")
        time.sleep(0.002)


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def echo(value: Any) -> Any:
    return value


@app.task
def text_of(size: int) -> str:
    return "x" * size


@app.task(bind=True)
def mark(self: Any, name: str) -> str:
    """Run and leave a trace."""
    note("start", name, self.request)
    note("end", name, self.request)
    return name


@app.task(bind=True)
def nap(self: Any, name: str, seconds: float) -> str:
    note("start", name, self.request)
    time.sleep(seconds)
    note("end", name, self.request)
    return name


@app.task(bind=True)
def hold(self: Any, name: str) -> str:
    """Run until the test opens the gate of this name."""
    note("start", name, self.request)
    wait_for_gate(name)
    note("end", name, self.request)
    return name


@app.task(bind=True)
def poison(self: Any) -> None:
    note("start", "poison", self.request)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(bind=True, max_retries=3, default_retry_delay=0.05)
def flaky(self: Any, failures: int) -> int:
    """Fail ``failures`` times, then return the number of retries."""
    note("start", "flaky", self.request)
    if self.request.retries < failures:
        raise self.retry(exc=OSError("not yet"))
    return int(self.request.retries)


@app.task(bind=True, autoretry_for=(OSError,), max_retries=2, retry_backoff=0.05)
def stubborn(self: Any) -> None:
    note("start", "stubborn", self.request)
    raise OSError("never")


@app.task(bind=True)
def start_program(self: Any, name: str) -> None:
    """Have a program and a forked daemon running in this session, then wait for the gate."""
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    daemon = os.fork()
    if daemon == 0:
        if os.fork():
            os._exit(0)
        time.sleep(300)
        os._exit(0)
    os.waitpid(daemon, 0)
    note("start", name, self.request)
    wait_for_gate(name)
    program.kill()
    program.wait()
