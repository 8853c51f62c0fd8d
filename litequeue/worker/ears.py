"""How the consumer hears that others have written to the file, awake or asleep."""

from __future__ import annotations

import contextlib
import select
from typing import Final

from litequeue.clock import Clock
from litequeue.exceptions import QueueBusy
from litequeue.store import Database
from litequeue.store.stirring import Stirring
from litequeue.store.wakeup import NET, Bell

CALM: Final = 4.0
"""Seconds between two looks at a file to which nobody writes."""
STIRRED: Final = 1.0
"""Seconds after a write to the file during which its commit is looked for every `NET` seconds."""
LOOK_EVERY: Final = 0.5
"""Seconds between two looks of a consumer that never sleeps."""


class Ears:
    """A bell that enqueuers ring, an ear on the file for all others, and its version."""

    def __init__(self, database: Database, nonce: str, poll: select.poll, clock: Clock) -> None:
        self.version: int = -1
        self._database = database
        self._clock = clock
        self._bell = Bell(database.path, "worker", nonce)
        self._stirring = Stirring(database.path)
        self._stirred = 0.0
        self._looked = 0.0
        self._sleeps = False
        self._post_at = 0.0
        self._post_version = -1
        for fd in (self._bell.fileno(), self._stirring.fd):
            if fd >= 0:
                poll.register(fd, select.POLLIN)

    def look(self) -> bool:
        """Tell whether others have committed since the last look."""
        self._looked = self._clock.monotonic()
        self._stirring.renew()  # before the look: what comes after it is heard
        before, self.version = self.version, self._database.data_version()
        return self.version != before

    def look_now_and_then(self) -> bool:
        """Look, unless that was done a moment ago."""
        return self._clock.monotonic() - self._looked > LOOK_EVERY and self.look()

    def has_post(self) -> bool:
        """Tell whether somebody has left a command, or perhaps: who cannot ring just writes."""
        if self._bell.has_post():
            return True
        now = self._clock.monotonic()
        if self.version == self._post_version or now - self._post_at < LOOK_EVERY:
            return False
        self._post_at, self._post_version = now, self.version
        return True

    def ask_to_be_rung(self) -> bool:
        """Announce sleep, then look once more: a commit is either seen here or rings."""
        self._bell.asleep(True)
        self._sleeps = True
        return self.look()

    def wake(self) -> None:
        """Say that no ring is wanted."""
        self._bell.asleep(False)
        if self._sleeps:  # whoever slept looks before it sleeps again
            self._sleeps, self._looked = False, self._clock.monotonic()

    def forget_own_write(self) -> None:
        """Do not wake for what this consumer has just written.

        While it holds the write lock nobody is about to commit, so the next look misses nothing.
        """
        with contextlib.suppress(QueueBusy), self._database.write(durable=False, rows=0, wait=0.0):
            self._stirring.read()

    def longest_sleep(self) -> float:
        """Return after how many seconds to look in any case."""
        calm = self._stirring.watching and self._clock.monotonic() - self._stirred > STIRRED
        return CALM if calm else NET

    def rings(self, fd: int) -> bool:
        """Tell whether ``fd`` is the bell: somebody has enqueued."""
        if fd != self._bell.fileno():
            return False
        self._bell.read()
        return True

    def stirs(self, fd: int) -> bool:
        """Tell whether ``fd`` is the file: somebody writes, and may commit any moment."""
        if fd != self._stirring.fd:
            return False
        self._stirring.read()
        self._stirred = self._clock.monotonic()
        return True

    def close(self) -> None:
        """Take the bell down."""
        self._bell.close()
        self._stirring.close()
