"""A producer of the campaign: sends jobs in bursts, and journals before and after each.

`python -m tests.crash.programs.producer JOURNAL FIRST LAST SEED PAUSE LONGEST`: the numbers FIRST
to LAST.  A line "? id number padding" comes before a job is sent, "! id" once it was accepted.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from random import Random

from litequeue import QueueBusy
from litequeue.job import new_id
from tests.crash.programs.app import work

BURST = 40
ONE_IN = 400
"""Of so many jobs one has arguments and a result too large for a socket's message."""
LARGE = 120_000


def main(path: str, first: str, last: str, seed: str, pause: str, longest: str) -> None:
    random = Random(int(seed))
    journal = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    if random.random() < 0.5:
        for id, number, padding in unsure(Path(path)):
            send(journal, id, number, padding, seconds=0.0)
    for number in range(int(first), int(last)):
        padding = LARGE if random.randrange(ONE_IN) == 0 else 0
        seconds = random.uniform(0.0, float(longest))
        id = new_id(time.time())
        os.write(journal, f"? {id} {number} {padding}\n".encode())
        send(journal, id, number, padding, seconds)
        if number % BURST == 0:
            time.sleep(random.uniform(0.0, 2.0 * float(pause)))


def send(journal: int, id: str, number: int, padding: int, seconds: float) -> None:
    """Send one job until it is accepted: `QueueBusy` says that it was not."""
    while True:
        try:
            work.apply_async((number, seconds, padding), task_id=id)
        except QueueBusy:
            continue
        break
    os.write(journal, f"! {id}\n".encode())


def unsure(path: Path) -> list[tuple[str, int, int]]:
    """Return the jobs that a killed predecessor may or may not have sent."""
    asked: dict[str, tuple[str, int, int]] = {}
    for line in path.read_text().splitlines():
        kind, id, *rest = line.split()
        if kind == "?":
            asked[id] = (id, int(rest[0]), int(rest[1]))
        else:
            del asked[id]
    return list(asked.values())


if __name__ == "__main__":
    main(*sys.argv[1:])
