"""Tasks for the pools: one that sleeps until all are there, and two that do nothing."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from litequeue import LiteQueue

app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"))

here: list[int] = []
everybody: list[asyncio.Event] = []  # one, made in the loop


@app.task
async def meet(number: int, patience: float) -> tuple[int, int]:
    """Sleep until ``number`` jobs do; return how many did, and the peak of their process in kB."""
    if not everybody:
        everybody.append(asyncio.Event())
    here.append(1)
    if len(here) == number:
        everybody[0].set()
    async with asyncio.timeout(patience):
        await everybody[0].wait()
    return len(here), peak()


def peak() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


@app.task(ignore_result=True)
def nothing() -> None:
    pass


@app.task(ignore_result=True)
async def nothing_async() -> None:
    pass
