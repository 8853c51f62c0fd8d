"""What a consumer is told of an app, in as many messages as their limits demand (`link.py`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Final

from litequeue.entry import Entry
from litequeue.facts import AppFacts
from litequeue.worker import link as messages
from litequeue.worker.link import Manifest

TASKS_AT_ONCE: Final = 50
MESSAGE: Final = 150_000
"""Bytes of entries in one message, or a single one that is larger."""
REST: Final = 1_500
"""Bytes of an entry beside its arguments and options."""


def about_app(manifest: Manifest, app: AppFacts) -> Iterator[tuple[Any, ...]]:
    """Yield what the worker knows of the app, and what people may know of it."""
    yield messages.MANIFEST, *dataclasses.astuple(manifest)
    for first in range(0, max(1, len(app.tasks)), TASKS_AT_ONCE):
        part = app.tasks[first : first + TASKS_AT_ONCE]
        yield messages.APP, app.name, app.root, [dataclasses.astuple(task) for task in part]


def about_entries(owner: str, entries: Sequence[Entry]) -> Iterator[tuple[Any, ...]]:
    """Yield what the code of ``owner`` has beat send."""
    for part, is_last in in_parts(entries):
        yield messages.ENTRIES, owner, part, is_last


def in_parts(entries: Sequence[Entry]) -> Iterator[tuple[list[dict[str, Any]], bool]]:
    """Yield entries as plain data, each part with whether it is the last; at least one part."""
    part: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        weight = REST + len(entry.body.encode()) + len((entry.options or "").encode())
        if part and size + weight > MESSAGE:
            yield part, False
            part, size = [], 0
        part.append(dataclasses.asdict(entry))
        size += weight
    yield part, True
