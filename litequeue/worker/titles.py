"""What `ps` shows of a worker's processes, where setproctitle is installed."""

from __future__ import annotations


def set_title(text: str) -> None:
    """Have the process list show ``text``; without the package it shows what was started."""
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(f"litequeue: {text}")
