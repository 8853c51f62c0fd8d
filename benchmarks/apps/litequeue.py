"""The task, for litequeue. The file comes from LITEQUEUE_URL."""

from __future__ import annotations

import time

from litequeue import LiteQueue

app = LiteQueue()


@app.task
def began(x: int, y: int) -> int:
    return time.monotonic_ns()
