"""Steps of workflows: some count, some fail or die, some tell what they were given."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from litequeue import LiteQueue, chain, group
from tests.integration.apps.record import record
from tests.integration.tasks import wait_for_gate

app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"))


# Values


@app.task
def add(x: Any, y: Any) -> Any:
    return x + y


@app.task
def mul(x: int, y: int) -> int:
    return x * y


@app.task
def total(values: list[Any]) -> int:
    """Add up numbers, those in lists too."""
    return sum(total(each) if isinstance(each, list) else each for each in values)


@app.task
def echo(value: Any) -> Any:
    return value


@app.task(ignore_result=True)
def quiet(value: int) -> int:
    return value


# Tales


@app.task(bind=True)
def note(self: Any, *given: Any, label: str) -> str:
    """Tell what it was given."""
    record("ran", label=label, given=list(given), id=self.request.id)
    return label


@app.task(bind=True)
def where(self: Any, *given: Any, **named: Any) -> dict[str, Any]:
    """Return what it knows of its place."""
    request = self.request
    names = ("id", "parent_id", "root_id", "group", "queue", "priority", "stamps")
    return {"pid": os.getpid(), **{name: request.get(name) for name in names}}


@app.task
def told(request: Any, error: Exception, traceback: str, label: str) -> None:
    named = {"label": label, "id": request.id, "task": request.task}
    record("told", **named, error=repr(error), traceback=traceback)


@app.task
def told_the_id(id: str) -> None:
    record("told", label="the id", id=id)


# Troubles


@app.task
def fail(*given: Any) -> None:
    raise ValueError("as asked")


@app.task(bind=True, max_retries=3)
def flaky(self: Any, value: int) -> int:
    """Succeed in the third try."""
    if self.request.retries < 2:
        raise self.retry(countdown=0, exc=OSError("not yet"))
    return value


@app.task(bind=True)
def deadly(self: Any, value: int) -> int:
    """Kill the process in the first try."""
    if self.request.claim == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


@app.task
def mended(value: Any, name: str) -> Any:
    """Fail until the gate of this name is open."""
    record("tried", name=name)
    if not Path(os.environ["JOURNAL"]).with_name(f"{name}.go").exists():
        raise ValueError("not yet")
    return value


@app.task
def hold(name: str) -> str:
    """Run until the gate of this name is open."""
    record("holds", name=name)
    wait_for_gate(name)
    return name


# Tasks that send


@app.task(bind=True)
def sender(self: Any) -> list[str]:
    """Send two workflows, and leave."""
    line = chain(add.s(1, 1), add.s(2)).delay()
    some = group(add.s(3, 3), add.s(4, 4)).delay()
    return [line.id, some.id]


@app.task(bind=True)
def replaced(self: Any, count: int) -> Any:
    """Be a chord of so many in the end."""
    return self.replace(group(add.s(each, each) for each in range(count)) | total.s())


@app.task(bind=True)
def grown(self: Any, value: int) -> int:
    """Be followed by further members of the own chord, down to 0."""
    if value > 0:
        self.add_to_chord(grown.s(value - 1))
    return value


@app.task(bind=True)
def stepwise(self: Any, label: str) -> list[str]:
    """Die between two durable steps."""
    first = self.step("first", _step, f"{label} first")
    if self.request.claim == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return [first, self.step("second", _step, f"{label} second")]


def _step(name: str) -> str:
    record("stepped", name=name)
    return name
