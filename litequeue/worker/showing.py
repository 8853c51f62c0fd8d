"""How a worker shows what it knows: requests, tasks and settings as JSON, in Celery's forms.

Settings and attributes are shown where the app is, in the supervisor; the consumer passes them on.
Nothing secret is shown: who may ask is not asked who he is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from litequeue.job import Lease
from litequeue.store.shown import Upcoming

MASK: Final = "********"
LONGEST_ARGUMENTS: Final = 4096
"""Characters of a stored body above which it is shown cut, as text."""
_SECRET: Final = re.compile(
    r"(?:^|_)(?:api|credentials?|key|keys|pass|passwd|password|secret|signature|token)(?:_|$)",
    re.IGNORECASE,
)
_NO_SECRETS: Final = frozenset({"routing_key", "task_default_routing_key"})
_PASSWORD: Final = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]*@")
_ATTRIBUTES: Final = (
    "acks_late", "autoretry_for", "compression", "default_retry_delay", "exchange", "expires",
    "ignore_result", "max_retries", "priority", "queue", "rate_limit", "reject_on_worker_lost",
    "retry_backoff", "retry_backoff_max", "retry_jitter", "retry_kwargs", "routing_key",
    "serializer", "soft_time_limit", "time_limit", "track_started", "trail", "typing",
)  # fmt: skip


def request_of(
    lease: Lease | Upcoming,
    hostname: str,
    *,
    started: float | None,
    pid: int | None,
    safe: bool = False,
) -> dict[str, Any]:
    """Return a job that a worker holds as Celery shows a request.

    Without ``started`` (epoch seconds) and ``pid`` it has not begun.  With ``safe`` arguments are
    text.
    """
    args, kwargs = _arguments(lease.body, safe=safe)
    return {
        "id": lease.id,
        "name": lease.task,
        "args": args,
        "kwargs": kwargs,
        "type": lease.task,
        "hostname": hostname,
        "time_start": started,
        "acknowledged": bool(lease.once),
        "delivery_info": {
            "exchange": "",
            "routing_key": lease.queue,
            "priority": lease.priority,
            "redelivered": lease.deaths > 0,
        },
        "worker_pid": pid,
    }


def _arguments(body: str, *, safe: bool) -> tuple[Any, Any]:
    """Return (args, kwargs) as plain JSON, or as text where they are long or no JSON."""
    if len(body) > LONGEST_ARGUMENTS:
        return f"{body[: LONGEST_ARGUMENTS // 4]}… ({len(body):,} characters)", {}
    try:
        args, kwargs = json.loads(body)
    except (ValueError, TypeError, RecursionError):  # another serializer's, or nobody's
        return body, {}
    if safe:
        return json.dumps(args), json.dumps(kwargs)
    return args, kwargs


def attributes_of(task: object) -> dict[str, str]:
    """Return the attributes of a task that `inspect registered` may be asked for, as text."""
    found = ((name, getattr(task, name, None)) for name in _ATTRIBUTES)
    return {name: str(value) for name, value in found if value is not None}


def settings_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as JSON can hold them, without what is secret."""
    return {name: _shown(name, settings[name]) for name in settings}


def changed(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the shown ``settings`` that are not as shown in ``defaults``."""
    return {
        name: value
        for name, value in settings.items()
        if name not in defaults or value != defaults[name]
    }


def _shown(name: str, value: object) -> Any:
    if value in (None, "", (), []):
        return None
    if _SECRET.search(name) and name not in _NO_SECRETS:
        return MASK
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _PASSWORD.sub(rf"\1:{MASK}@", value)
    if isinstance(value, Mapping):
        return {str(key): _shown(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown("", each) for each in value]
    return _PASSWORD.sub(rf"\1:{MASK}@", str(value) if _is_named(value) else repr(value))


def _is_named(value: object) -> bool:
    """Tell whether its text is the name that a person wrote: a time zone's is."""
    return hasattr(value, "utcoffset")


def lines_of(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line per value, for people."""
    for name, value in sorted(values.items()):
        yield f"{name}: {json.dumps(value)}"
