"""The task, for huey, with the defaults of its SQLite storage. The file comes from HUEY_FILE."""

from __future__ import annotations

import os
import time

from huey import SqliteHuey

app = SqliteHuey(filename=os.environ["HUEY_FILE"])


@app.task()
def began(x: int, y: int) -> int:
    return time.monotonic_ns()
