"""A producer of the campaign: sends jobs in bursts, and journals before and after each.

A line "? id number seconds padding" comes before a job is sent, "! id" once it was accepted.  A
killed producer's successor goes on after the last number, and sends again what is uncertain.
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
"""Of so many jobs one has a result too large for a socket's message."""
LARGE = 120_000


class Producer:
    """Sends the numbers from ``first`` on."""

    def __init__(self, journal: str, first: int, seed: str) -> None:
        self.random = Random(seed)
        self.number = first
        self.uncertain: dict[str, tuple[int, float, int]] = {}
        self._file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._read(Path(journal))

    def _read(self, journal: Path) -> None:
        for line in journal.read_text().splitlines():
            kind, id, *rest = line.split()
            if kind == "!":
                self.uncertain.pop(id, None)
                continue
            number, seconds, padding = rest
            self.uncertain[id] = (int(number), float(seconds), int(padding))
            self.number = max(self.number, int(number) + 1)

    def repeat(self) -> None:
        """Send again what may have been accepted: half of the time, the other half tells more."""
        for id, arguments in self.uncertain.items():
            if self.random.random() < 0.5:
                self._send(id, arguments)

    def burst(self, longest: float) -> None:
        for _ in range(BURST):
            padding = LARGE if self.random.randrange(ONE_IN) == 0 else 0
            arguments = (self.number, self.random.uniform(0.0, longest), padding)
            self.number += 1
            id = new_id(time.time())
            self._note("?", id, *arguments)
            self._send(id, arguments)

    def _send(self, id: str, arguments: tuple[int, float, int]) -> None:
        """Send one job until it is accepted: `QueueBusy` says that it was not."""
        while True:
            try:
                work.apply_async(arguments, task_id=id)
            except QueueBusy:
                continue
            break
        self._note("!", id)

    def _note(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


def main(journal: str, first: str, last: str, seed: str, pause: str, longest: str) -> None:
    """Send the numbers ``first`` to ``last``, and more until the file JOURNAL.stop is there."""
    producer = Producer(journal, int(first), seed)
    producer.repeat()
    while producer.number < int(last) or not Path(f"{journal}.stop").exists():
        producer.burst(float(longest))
        time.sleep(producer.random.uniform(0.0, 2.0 * float(pause)))


if __name__ == "__main__":
    main(*sys.argv[1:])
