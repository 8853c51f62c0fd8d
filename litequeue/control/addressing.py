"""Which commands there are to ask, and which worker is meant by one."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

QUESTIONS: Final = frozenset(
    [
        "active", "active_queues", "clock", "conf", "hello", "memdump", "memsample", "objgraph",
        "ping", "query_task", "registered", "report", "reserved", "revoked", "scheduled", "stats",
    ]
)  # fmt: skip
"""Commands that change nothing: once nobody waits for the answer, they need not be obeyed."""
ALIASES: Final[Mapping[str, str]] = {
    "dump_active": "active",
    "dump_conf": "conf",
    "dump_reserved": "reserved",
    "dump_revoked": "revoked",
    "dump_schedule": "scheduled",
    "dump_tasks": "registered",
    "registered_tasks": "registered",
}
"""Older names of commands, as Celery has them."""


def is_meant(
    name: str, *, destination: Collection[str] | None, pattern: str | None, matcher: str | None
) -> bool:
    """Tell whether a command is for the worker ``name``.

    ``destination`` holds exact names; ``pattern`` is read as ``matcher`` says, "glob" (the
    default) or "pcre".  Raises ValueError for a pattern that is none.
    """
    if destination is not None and name not in destination:
        return False
    if pattern is None:
        return True
    if matcher in (None, "glob"):
        from fnmatch import fnmatchcase

        return fnmatchcase(name, pattern)
    if matcher != "pcre":
        raise ValueError(f'a matcher is "glob" or "pcre", not {matcher!r}')
    try:
        return re.match(pattern, name) is not None
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
