"""Tasks for the pools: one that sleeps until all are there, and two that do nothing."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from litequeue import LiteQueue

app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"))

here = 0
everybody: asyncio.Event | None = None


@app.task
async def meet(number: int, patience: float) -> tuple[int, int]:
    """Sleep until ``number`` jobs do so in this process; return how many did, and its peak in kB."""
    global here, everybody
    everybody = everybody or asyncio.Event()
    here += 1
    if here == number:
        everybody.set()
    async with asyncio.timeout(patience):
        await everybody.wait()
    return here, peak()


def peak() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


@app.task(ignore_result=True)
def nothing() -> None:
    pass


@app.task(ignore_result=True)
async def nothing_async() -> None:
    pass
