"""Tasks that are acknowledged early, and tasks that must not outlive their child."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from litequeue import LiteQueue
from tests.integration.tasks import note, wait_for_gate

app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"))


@app.task(bind=True, acks_late=False)
def early(self: Any, name: str) -> str:
    """Run until the test opens the gate of this name."""
    note("start", name, self.request)
    wait_for_gate(name)
    note("end", name, self.request)
    return name


@app.task(bind=True, acks_late=False)
def early_nap(self: Any, name: str, seconds: float) -> str:
    note("start", name, self.request)
    time.sleep(seconds)
    return name


@app.task(bind=True, acks_late=False, max_retries=5, default_retry_delay=0.0)
def early_flaky(self: Any, name: str, failures: int) -> int:
    note("start", name, self.request)
    if self.request.retries < failures:
        raise self.retry(exc=OSError("not yet"))
    return int(self.request.retries)


@app.task(bind=True, reject_on_worker_lost=False)
def fragile(self: Any, name: str) -> str:
    note("start", name, self.request)
    wait_for_gate(name)
    return name


@app.task(bind=True)
def late(self: Any, name: str) -> str:
    note("start", name, self.request)
    wait_for_gate(name)
    return name


@app.task(bind=True, acks_late=False)
def early_suicide(self: Any, name: str) -> None:
    note("start", name, self.request)
    os.kill(os.getpid(), signal.SIGKILL)
