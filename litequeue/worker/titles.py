"""What `ps` shows of a worker's processes, where setproctitle is installed."""

from __future__ import annotations

import functools
from collections.abc import Callable


def set_title(text: str) -> None:
    """Have the process list show ``text``; without the package it shows what was started."""
    setter = _setter()
    if setter is not None:
        setter(f"litequeue: {text}")


@functools.cache
def _setter() -> Callable[[str], object] | None:
    # Looking for what is not there takes half a millisecond, a tenth of a child's start.
    try:
        from setproctitle import setproctitle
    except ImportError:
        return None
    setter: Callable[[str], object] = setproctitle
    return setter
