"""Jobs for children that are replaced: a no-op, and one of a millisecond."""

from __future__ import annotations

import os
import time

from litequeue import LiteQueue

app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"))


@app.task
def nothing() -> int:
    return time.monotonic_ns()


@app.task
def millisecond() -> int:
    """Use the CPU for 1 ms; return when it began."""
    began = time.monotonic_ns()
    while time.monotonic_ns() < began + 1_000_000:
        pass
    return began


@app.task
def process() -> int:
    return os.getpid()
