"""A task to be ended by its limit. It notes its process and its start where JOURNAL says."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable

from litequeue import LiteQueue

app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"))


def note(line: str) -> None:
    journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(journal, line.encode())
    os.close(journal)


def sleep() -> None:
    time.sleep(600)


def spin() -> None:
    while True:
        pass


def compute() -> None:
    """Stay in one call of C code, where no signal handler of Python's ever runs."""
    hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 2_000_000_000)


def refuse() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(600)


WAYS: dict[str, Callable[[], None]] = {
    "sleep": sleep,
    "spin": spin,
    "compute": compute,
    "refuse": refuse,
}


@app.task
def outstay(way: str) -> None:
    """Never end by itself."""
    note(f"{os.getpid()} {time.monotonic_ns()}\n")
    WAYS[way]()
