"""The task that beat sends, and nothing else."""

from __future__ import annotations

import os

from litequeue import LiteQueue

app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"))


@app.task(ignore_result=True)
def nothing() -> None:
    """Do nothing."""
