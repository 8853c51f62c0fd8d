"""A task to be killed in. It notes each start in the file that JOURNAL names."""

from __future__ import annotations

import os
import time
from pathlib import Path

from litequeue import LiteQueue

app = LiteQueue()


def note(line: str) -> None:
    journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, line.encode())  # one write, or a kill could leave half a line
    os.close(journal)


def is_first_start(number: int) -> bool:
    try:
        Path(f"{os.environ['JOURNAL']}.{number}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@app.task
def hold(number: int) -> int:
    """Run until killed, the first time; end at once, the second time."""
    note(f"{number} {os.getpid()} {time.monotonic_ns()}\n")
    if is_first_start(number):
        time.sleep(60)
    return number
