"""Entries as messages to the consumer, which have their limits (`link.py`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Final

from litequeue.entry import Entry

MESSAGE: Final = 150_000
"""Bytes of entries in one message, or a single one that is larger."""
REST: Final = 1_500
"""Bytes of an entry beside its arguments and options."""


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
