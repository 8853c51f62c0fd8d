"""Tasks that tell states of their own, send others, await, and move."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from litequeue import Ignore, LiteQueue
from tests.integration.apps.record import record
from tests.integration.tasks import wait_for_gate

app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"))


# States


@app.task(bind=True, max_retries=2)
def work(self: Any, name: str, ends: str = "well") -> str:
    """Tell of half the work, wait for the gate, and end."""
    self.update_state(state="PROGRESS", meta={"done": 50, "try": self.request.retries})
    record("halfway", name=name)
    wait_for_gate(f"{name}-{self.request.retries}")
    if ends == "fail":
        raise ValueError("as asked")
    if ends == "retry" and self.request.retries == 0:
        raise self.retry(exc=OSError("not now"), countdown=0.5)
    if ends == "ignore":
        self.update_state(state="FAILURE", meta={"mine": "own"})
        raise Ignore
    return name


@app.task(bind=True, track_started=False)
def untracked(self: Any, name: str) -> None:
    record("running", name=name)
    wait_for_gate(name)


@app.task(bind=True, ignore_result=True)
def quiet(self: Any) -> str:
    return "something"


@app.task(bind=True)
def loud(self: Any) -> str:
    return "something"


@app.task(bind=True)
def stale(self: Any, name: str) -> None:
    """Tell a state of an attempt whose lease somebody else has by now."""
    record("holds", name=name, claim=self.request.claim)
    if self.request.claim == 1:
        wait_for_gate(name)
        self.update_state(state="PROGRESS", meta="of the first attempt")
        record("told", name=name)
    wait_for_gate(f"{name}-end")


# Families


@app.task(bind=True)
def family(self: Any, depth: int) -> str:
    request = self.request
    sent = [family.delay(depth - 1).id for _ in range(2)] if depth else []
    record(
        "member", id=request.id, parent=request.parent_id, root=request.root_id, depth=depth,
        sent=sent, seen=[child.id for child in request.children],
    )  # fmt: skip
    return str(request.id)


@app.task(bind=True, trail=False)
def leaves_no_trail(self: Any) -> str:
    return str(loud.delay().id)


@app.task(bind=True)
def disowns(self: Any) -> str:
    return str(loud.apply_async(add_to_parent=False).id)


# Coroutines

_loops: list[Any] = []


@app.task(bind=True, max_retries=2)
async def awaits(self: Any, how: str) -> list[Any]:
    loop = asyncio.get_running_loop()
    if loop not in _loops:
        _loops.append(loop)
    await asyncio.sleep(0)
    record("awaited", how=how, id=self.request.id)
    if how == "fail":
        raise ValueError("as asked")
    if how == "retry" and self.request.retries == 0:
        raise self.retry(exc=OSError("not now"), countdown=0.0)
    if how == "cancel":
        raise asyncio.CancelledError("enough")
    if how == "cancel itself":
        asyncio.current_task().cancel()  # type: ignore[union-attr]  # a task runs here
        await asyncio.sleep(0)
    if how == "exit":
        raise SystemExit(3)
    if how == "leave a task":
        _kept.append(asyncio.create_task(asyncio.sleep(0, "later")))
    if how == "look at it":
        return [await _kept.pop()]
    return [os.getpid(), _loops.index(loop), len(_loops)]


_kept: list[Any] = []


# Moves


@app.task(bind=True, max_retries=5)
def moves(self: Any, name: str, **to: Any) -> list[Any]:
    request = self.request
    record("moved", name=name, queue=request.queue, priority=request.priority, pid=os.getpid())
    if request.retries == 0:
        raise self.retry(countdown=0.0, kwargs={}, args=(name,), **to)
    return [request.queue, request.priority, request.expires, list(request.args)]


@app.task(bind=True, max_retries=5)
def moves_later(self: Any, seconds: float, expires: float) -> None:
    raise self.retry(countdown=seconds, expires=expires)


@app.task(bind=True)
def tells_request(self: Any) -> dict[str, Any]:
    request = self.request
    return {
        "headers": dict(request.headers),
        "shadow": request.shadow,
        "tenant": request.get("tenant"),
        "ignore_result": request.ignore_result,
    }
