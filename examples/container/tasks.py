"""The program of the container."""

from __future__ import annotations

from litequeue import LiteQueue

app = LiteQueue("/queue/jobs.sqlite")


@app.task
def greet(name: str) -> str:
    return f"Hello, {name}!"
