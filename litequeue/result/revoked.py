"""`task_revoked`, sent where a waiting job is revoked: no worker ever sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litequeue import signals
from litequeue.job import bound_to
from litequeue.result.home import Home


@dataclass(frozen=True, slots=True)
class RevokedRequest:
    """What is known of a job that will not run; the names are those of a running request."""

    id: str
    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    parent_id: str | None
    hostname: None = None


def tell_revoked(app: Home, ids: Iterable[str]) -> None:
    """Send the signal for jobs that have just been revoked."""
    if not signals.task_revoked.receivers:
        return
    tasks: Mapping[str, Any] = getattr(app, "tasks", {})
    for id in ids:
        details = app.store.details(id)
        if details is None:  # pruned meanwhile
            continue
        try:
            args, kwargs = app.codec.loads_arguments(
                details.body or "", context=bound_to(details.task, id, details.options)
            )
        except ValueError:  # what cannot be read here is revoked all the same
            args, kwargs = [], {}
        signals.task_revoked.send(
            sender=tasks.get(details.task),
            request=RevokedRequest(id, details.task, args, kwargs, details.parent),
            terminated=False,
            signum=None,
            expired=False,
        )
