"""The tasks that every app has: those that workflows are made of, by Celery's names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

PREFIXES: Final = ("celery.", "litequeue.")
"""What the names of built-in tasks begin with; lists of tasks for people leave them out."""


def declare(app: Any) -> None:
    """Register them with ``app``."""

    def accumulate(*args: Any, index: int | None = None) -> Any:
        """Return the results that it is given, or the one at ``index``."""
        return list(args) if index is None else args[index]

    def xmap(task: Any, it: Iterable[Any]) -> list[Any]:
        """Call a task with every item."""
        from litequeue.canvas.maps import map_here

        return map_here(app, task, it)

    def xstarmap(task: Any, it: Iterable[Any]) -> list[Any]:
        """Call a task with the arguments that every item is."""
        from litequeue.canvas.maps import starmap_here

        return starmap_here(app, task, it)

    def parts(self: Any, task: Any, it: Iterable[Any], n: int) -> Any:
        """Call a task for all items, in jobs of ``n``."""
        from litequeue.canvas.maps import chunks

        return self.replace(chunks(task, it, n, app=app).group())

    def workflow(self: Any, sig: Any) -> Any:
        """Begin a workflow in the place of this job: an entry of beat sends one job."""
        from litequeue.canvas import signature

        return self.replace(signature(sig, app=app))

    app.task(accumulate, name="celery.accumulate")
    app.task(xmap, name="celery.map")
    app.task(xstarmap, name="celery.starmap")
    app.task(parts, name="celery.chunks", bind=True)
    app.task(workflow, name="litequeue.workflow", bind=True)
