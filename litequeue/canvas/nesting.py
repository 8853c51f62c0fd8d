"""How deep a canvas is nested, and the error for one that Python's stack has no room for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from litequeue.canvas.linking import many

SURE: Final = 100
"""Levels that there is room for, unless whoever sends has used up the stack by himself."""
_ENDLESS: Final = 10_000


@contextmanager
def bounded(*sigs: Any) -> Iterator[None]:
    """Raise ValueError instead of a RecursionError that comes of how deep ``sigs`` are nested."""
    try:
        yield
    except (RecursionError, TypeError, ValueError) as error:
        caused = isinstance(error, RecursionError) or isinstance(error.__context__, RecursionError)
        depth = max(map(depth_of, sigs)) if caused else 0
        if depth < SURE // 2:  # another error, or somebody else's recursion: a generator's
            raise
        # From None: what is hidden has a thousand lines, all alike.
        raise too_deep(depth) from None


def too_deep(depth: int | None = None) -> ValueError:
    """Return the error for a workflow of so many levels; None where they are not counted."""
    if depth is not None and depth >= _ENDLESS:
        return ValueError("this workflow holds itself, so it would never end; link a clone()")
    levels = "too deep" if depth is None else f"{depth:,} levels deep"
    return ValueError(
        f"this workflow is nested {levels}, and Python's stack has no room for that ({SURE} levels "
        "are always possible); put its parts side by side in one chain or group, or have a task "
        "hand on the inner ones with self.replace()"
    )


def depth_of(sig: Any) -> int:
    """Return how many levels of signatures there are; `_ENDLESS` of one that holds itself.

    A generator's members that were not made yet are not looked at.
    """
    depth, level = 0, [sig]
    while level and depth < _ENDLESS:
        depth += 1
        inner = (part for each in level for part in _parts(each))
        level = [*{id(part): part for part in inner}.values()]
    return depth


def _parts(sig: Mapping[str, Any]) -> Iterator[Any]:
    given, options = sig.get("kwargs") or {}, sig.get("options") or {}
    for held in (given.get("tasks"), given.get("header"), sig.get("args")):
        yield from _signatures(list.__iter__(held) if isinstance(held, list) else held or ())
    for one in (given.get("body"), given.get("task")):
        yield from _signatures((one,))
    for name in ("link", "link_error"):
        yield from _signatures(many(options.get(name)))


def _signatures(held: Any) -> Iterable[Any]:
    items = (held,) if isinstance(held, Mapping) else held
    return [item for item in items if isinstance(item, Mapping) and "task" in item]
