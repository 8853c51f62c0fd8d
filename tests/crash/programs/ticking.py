"""The app of the beat campaign: a task that does nothing."""

from __future__ import annotations

import os

from litequeue import LiteQueue

# Whole workers are killed so often that the same innocent job may be hit many times.
app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"), task_max_deliveries=1000)


@app.task(name="tick", ignore_result=True)
def tick() -> None:
    """Do nothing."""
