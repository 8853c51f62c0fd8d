"""Tasks that print, log, send events, and die in the middle of it."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
from typing import Any

from litequeue import LiteQueue
from litequeue.log import get_task_logger

app = LiteQueue(
    os.environ.get("LITEQUEUE_URL", "unbound.sqlite"),
    task_capture_output=int(os.environ.get("CAPTURE", "0")),
    task_max_deliveries=2,
    worker_redirect_stdouts=bool(os.environ.get("REDIRECT")),
)
logger = get_task_logger(__name__)


@app.task
def talk(name: str) -> None:
    sys.stdout.write(f"{name} prints\n")
    logger.warning("%s logs", name)


@app.task
async def talk_slowly(name: str, lines: int) -> None:
    for number in range(lines):
        sys.stdout.write(f"{name} {number}\n")
        await asyncio.sleep(0.01)


@app.task(capture=False)
def whisper() -> None:
    sys.stdout.write("never kept\n")


@app.task(bind=True)
def crash(self: Any, how: str) -> None:
    sys.stdout.write("about to crash\n")
    logging.getLogger("shop").error("careful")
    self.update_state(state="PROGRESS", meta={"done": 3})
    if how == "segfault":
        ctypes.string_at(0)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(7)


@app.task(bind=True)
def report(self: Any, fails: bool) -> int:
    self.send_event("task-halfway", percent=50)
    if fails and not self.request.retries:
        raise self.retry(countdown=0, exc=OSError("not yet"))
    if fails:
        raise ValueError("no")
    return 3


@app.task(send_events=False)
def quiet() -> None: ...
