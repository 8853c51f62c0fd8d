"""The app under attack: it notes what it runs, and holds what must never run."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litequeue import LiteQueue, Task

app = LiteQueue("jobs.sqlite")


def note(task: Task[..., Any]) -> None:
    """Write the job's name and id in one line, as other processes do at the same time."""
    line = json.dumps([task.request.task, task.request.id]) + "\n"
    descriptor = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def betray(what: str) -> None:
    """Leave a trace of what must never happen."""
    (Path(os.environ["JOURNAL"]).parent / f"canary-{what}").touch()


@dataclass
class Point:
    x: int
    y: int = 0


@dataclass
class Secret:
    """Data, but of no task: the file must not be able to name it."""

    command: str = ""

    def __post_init__(self) -> None:
        betray("secret")


class Hidden:
    def __init__(self, *_: Any, **__: Any) -> None:
        betray("hidden")


@app.task(bind=True)
def double(self: Task[..., Any], x: int) -> int:
    note(self)
    return 2 * x


@app.task(bind=True)
def echo(self: Task[..., Any], *args: Any, **kwargs: Any) -> int:
    note(self)
    return len(args) + len(kwargs)


@app.task(bind=True)
def mirror(self: Task[..., Any], *args: Any, **kwargs: Any) -> Any:
    note(self)
    return [list(args), kwargs]


@app.task(bind=True)
def locate(self: Task[..., Any], point: Point) -> Any:
    note(self)
    return [type(point).__name__, point]


@app.task(bind=True)
def look_around(self: Task[..., Any], *_: Any) -> str:
    """Ask everything that a request can be asked, and send a job from inside."""
    note(self)
    request = self.request
    double.delay(4)
    names = [name for name in dir(type(request)) if not name.startswith("_")]
    return " ".join(str(getattr(request, name))[:20] for name in names)


@app.task(bind=True)
def stumble(self: Task[..., Any], *_: Any) -> None:
    note(self)
    raise self.retry(countdown=0, exc=OSError("\x1b[31mred\u202e"))


@app.task
def never() -> None:
    betray("never")


def _hidden() -> None:
    betray("function")
