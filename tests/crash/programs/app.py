"""The app of the campaign: a task whose result can be computed again, and a journal of its runs."""

from __future__ import annotations

import functools
import os
import time
from hashlib import blake2b
from typing import Any

from litequeue import LiteQueue

# Every process is killed so often that the same innocent job may be hit many times.
app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"), task_max_deliveries=1000)


def value_of(number: int, padding: int) -> str:
    """Return what `work` returns."""
    digest = blake2b(number.to_bytes(8, "big"), digest_size=8).hexdigest()
    return digest + "." * padding


@functools.cache
def journal(pid: int) -> int:
    """Open this process's own descriptor of the journal."""
    return os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(event: str, request: Any) -> None:
    """Write one line at once: no kill can cut it in half."""
    pid = os.getpid()
    line = f"{event} {request.id} {request.claim} {pid} {time.monotonic_ns()}\n"
    os.write(journal(pid), line.encode())


@app.task(bind=True)
def work(self: Any, number: int, seconds: float, padding: int) -> str:
    note("S", self.request)
    time.sleep(seconds)
    value = value_of(number, padding)
    note("E", self.request)
    return value
