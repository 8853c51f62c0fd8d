"""What the idioms share: a registry of them, waiting for facts, and a journal of all processes.

Nothing here knows the task queue.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

PLACE: Final = Path(os.environ["IDIOMS_PLACE"])
JOURNAL: Final = PLACE / "journal"
PATIENCE: Final = 20.0
"""Seconds that a fact may take to come true."""

IDIOMS: Final[dict[str, Callable[[], Any]]] = {}


def idiom(function: Callable[[], Any]) -> Callable[[], Any]:
    """Register a function that returns what can be observed, as JSON takes it."""
    assert function.__name__ not in IDIOMS
    IDIOMS[function.__name__] = function
    return function


def wait_until(fact: Callable[[], Any], timeout: float = PATIENCE) -> Any:
    """Return the first true value of ``fact()``; raise AssertionError without one in time."""
    deadline = time.monotonic() + timeout
    while not (value := fact()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {timeout:g} s")
        time.sleep(0.005)
    return value


def got(result: Any) -> Any:
    """Return the value of a result, or raise what its task raised."""
    wait_until(result.ready)
    return result.get(timeout=PATIENCE)


def outcome(result: Any) -> dict[str, Any]:
    """Return how a job ended: its state and its value or exception."""
    wait_until(result.ready)
    return {"state": result.state, **tried(lambda: result.get(timeout=PATIENCE))}


def tried(call: Callable[[], Any]) -> dict[str, Any]:
    """Return the value of a call, or the name and the text of what it raised."""
    try:
        return {"value": call()}
    except Exception as error:
        return {"raised": type(error).__name__, "text": str(error)}


def refused(call: Callable[[], Any]) -> str | None:
    """Return the name of what a call raises, where the words are each system's own."""
    return tried(call).get("raised")


def note(key: str, fact: Any = None) -> None:
    """Write a line into the journal, from any process."""
    line = json.dumps([key, fact]) + "\n"
    descriptor = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def noted(key: str) -> list[Any]:
    """Return the facts noted under a key so far, oldest first."""
    text = JOURNAL.read_text() if JOURNAL.exists() else ""
    pairs = (json.loads(line) for line in text.splitlines())
    return [fact for name, fact in pairs if name == key]


def wait_for_notes(key: str, number: int = 1) -> list[Any]:
    """Wait for at least so many notes under a key."""
    return wait_until(lambda: len(found := noted(key)) >= number and found)


def open_gate(name: str) -> None:
    (PLACE / f"{name}.gate").touch()


def pass_gate(name: str) -> None:
    """Wait, in a task, until the driver opens the gate."""
    wait_until((PLACE / f"{name}.gate").exists)
