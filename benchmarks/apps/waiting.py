"""Jobs that wait behind others. Each returns the moment in which it began."""

from __future__ import annotations

import time

from litequeue import LiteQueue

app = LiteQueue()


@app.task
def spin(seconds: float) -> int:
    """Use the CPU."""
    began = time.monotonic_ns()
    while time.monotonic_ns() < began + seconds * 1e9:
        pass
    return began


@app.task
def pause(seconds: float) -> int:
    """Sleep."""
    began = time.monotonic_ns()
    time.sleep(seconds)
    return began
