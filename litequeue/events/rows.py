"""Events as rows of the stored ring, and back: plain data, with Celery's types and fields.

What all events have stands in columns: when, type, the job's id, who reports it.  Everything else
is a JSON object.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Container, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from litequeue.job import Job
from litequeue.serialization import dumps, loads
from litequeue.store.events import Event, EventRow

IDENTITY: Final = {"sw_ident": "py-litequeue"}
SENT: Final = "task-sent"
MOST_SHOWN: Final = 1024
"""Characters of arguments that an event shows (Celery's)."""
_MOST_READ: Final = 16 * 1024
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode
_COLUMNS: Final = ("type", "timestamp", "uuid", "hostname", "clock", "local_received")


def row(kind: str, at: float, *, job: str | None, worker: str | None, **fields: Any) -> EventRow:
    """Make a row of fields that are plain JSON."""
    return at, kind, job, worker, _encode(fields)


def custom(kind: str, at: float, worker: str | None, fields: Mapping[str, Any]) -> EventRow:
    """Make a row of whatever a user reports.

    Raises `NotSerializable` for a field that JSON does not hold, ValueError for a wrong type.
    """
    if not kind or not isinstance(kind, str):
        raise ValueError(f"the type of an event is a text such as 'task-halfway', not {kind!r}")
    job = fields.get("uuid")
    body = {name: value for name, value in fields.items() if name not in _COLUMNS}
    moment_given = fields.get("timestamp")
    return (
        at if moment_given is None else float(moment_given), kind,
        None if job is None else str(job), fields.get("hostname", worker), dumps(body),
    )  # fmt: skip


def sent(job: Job, now: float) -> EventRow:
    """Make the row of "task-sent" for a job that is being enqueued."""
    args, kwargs, root = shown_arguments(job.body, job.options)
    return row(
        SENT, now, job=job.id, worker=client_name(), pid=os.getpid(), name=job.task, args=args,
        kwargs=kwargs, root_id=root or job.id, parent_id=job.parent, retries=0,
        eta=moment(job.eta), expires=moment(job.expires), queue=job.queue, exchange="",
        routing_key=job.queue,
    )  # fmt: skip


def sent_but_of(silent: Container[str]) -> Callable[[Job, float], EventRow | None]:
    """Return what makes the row that `sent` makes, and none for jobs of the ``silent`` tasks."""
    return lambda job, now: None if job.task in silent else sent(job, now)


def silent(tasks: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of those of an app's tasks that want no events (`send_events` false)."""
    return frozenset(name for name, task in tasks.items() if not task.send_events)


def client_name() -> str:
    """Return who reports what no worker does: "gen4711@host" (Celery's form)."""
    return f"gen{os.getpid()}@{socket.gethostname()}"


def as_dict(event: Event, received: float) -> dict[str, Any]:
    """Return an event as Celery's receivers get it: one flat dict."""
    try:
        fields = loads(event.body)
    except ValueError:
        fields = {}
    found: dict[str, Any] = dict(fields) if isinstance(fields, dict) else {}
    if event.job is not None:
        found["uuid"] = event.job
    found.update(
        type=event.type,
        timestamp=event.at,
        hostname=event.worker,
        clock=event.seq,
        local_received=received,
        utcoffset=_utc_offset(event.at),
    )
    return found


def shown_arguments(body: str, options: str | None) -> tuple[str | None, str | None, str | None]:
    """Return args and kwargs as Python shows them, and the id of the root of the job's family.

    None for arguments that are not plain JSON, or too long to be read here.  Celery's headers
    ``argsrepr`` and ``kwargsrepr`` stand in for what should not be seen.
    """
    extras = _object(options)
    headers = extras.get("headers")
    args = kwargs = None
    if isinstance(headers, dict):
        args, kwargs = headers.get("argsrepr"), headers.get("kwargsrepr")
    if (args is None or kwargs is None) and len(body) <= _MOST_READ and body.startswith("["):
        try:
            given, named = json.loads(body)[:2]
            args = repr(tuple(given)) if args is None else args
            kwargs = repr(named) if kwargs is None else kwargs
        except (TypeError, ValueError):
            pass
    root = extras.get("root")
    return _cut(args), _cut(kwargs), root if isinstance(root, str) else None


def shown_exception(kind: str, arguments: str, message: str) -> str:
    """Return an exception as ``repr`` would: from its type, its args as JSON, or its message."""
    try:
        values = json.loads(arguments)
        inside = ", ".join(map(repr, values)) if isinstance(values, list) and values else ""
    except ValueError:
        inside = ""
    shown = f"{kind.rpartition('.')[2]}({inside or (repr(message) if message else '')})"
    return shown[:MOST_SHOWN]


def moment(seconds: float | None) -> str | None:
    """Return epoch seconds in ISO 8601, UTC; None for none, and for what is no moment."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def _utc_offset(at: float) -> int:
    """Return the hours by which local time was behind UTC (Celery's field)."""
    try:
        return -(time.localtime(at).tm_gmtoff or 0) // 3600
    except (ValueError, OverflowError, OSError):
        return 0


def _object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _cut(text: object) -> str | None:
    return None if text is None else str(text)[:MOST_SHOWN]
