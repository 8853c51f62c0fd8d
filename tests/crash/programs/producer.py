"""A producer of the campaign: sends jobs in bursts, and journals before and after each.

A line "? id number seconds padding" comes before a job is sent, "! id" once it was accepted.  A
killed producer's successor goes on after the last number, and sends again what is uncertain.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TypeAlias

from litequeue import QueueBusy
from litequeue.job import new_id
from tests.crash.programs.app import work

BURST = 40
ONE_IN = 400
"""Of so many jobs one has a result too large for a socket's message."""
LARGE = 120_000
Arguments: TypeAlias = tuple[int, float, int]


class Producer:
    """Sends the numbers from ``first`` on, each by ``send(id, arguments)``."""

    def __init__(
        self, journal: str, first: int, seed: str, send: Callable[[str, Arguments], object]
    ) -> None:
        self.random = Random(seed)
        self.number = first
        self.uncertain: dict[str, Arguments] = {}
        self.journal = journal
        self._send_once = send
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

    def repeat(self, share: float) -> None:
        """Send again what may have been accepted, but not all where that tells more."""
        for id, arguments in self.uncertain.items():
            if self.random.random() < share:
                self._send(id, arguments)

    def burst(self, longest: float, count: int) -> None:
        for _ in range(count):
            padding = LARGE if self.random.randrange(ONE_IN) == 0 else 0
            arguments = (self.number, self.random.uniform(0.0, longest), padding)
            self.number += 1
            id = new_id(time.time())
            self._note("?", id, *arguments)
            self._send(id, arguments)

    def _send(self, id: str, arguments: Arguments) -> None:
        """Send it until it is accepted: `QueueBusy` says that it was not."""
        while True:
            try:
                self._send_once(id, arguments)
            except QueueBusy:
                continue
            break
        self._note("!", id)

    def _note(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


def send(id: str, arguments: Arguments) -> None:
    work.apply_async(arguments, task_id=id)


def main(journal: str, first: str, last: str, seed: str, pause: str, longest: str) -> None:
    """Send the numbers ``first`` to ``last``, and more until the file JOURNAL.stop is there."""
    producer = Producer(journal, int(first), seed, send)
    producer.repeat(0.5)
    go_on(producer, int(last), pause=float(pause), longest=float(longest), burst=BURST)


def go_on(producer: Producer, last: int, *, pause: float, longest: float, burst: int) -> None:
    """Send bursts up to the number ``last``, and more until the file JOURNAL.stop is there."""
    while producer.number < last or not Path(f"{producer.journal}.stop").exists():
        producer.burst(longest, burst)
        time.sleep(producer.random.uniform(0.0, 2.0 * pause))


if __name__ == "__main__":
    main(*sys.argv[1:])
