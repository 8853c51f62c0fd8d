"""The consumer's part in beat: it learns what the code defines, and sends what is due."""

from __future__ import annotations

import math
from typing import Any

from litequeue.beat.sender import Beat
from litequeue.clock import Clock
from litequeue.entry import Entry
from litequeue.events.rows import sent_but_of
from litequeue.store import Database, Keep
from litequeue.store.firing import Fired
from litequeue.store.wakeup import Ringer
from litequeue.worker import link as messages
from litequeue.worker.exchange import Exchange
from litequeue.worker.link import Link, Manifest


class Periodic:
    """Beat in a worker, which has none before its manifest, and with --no-beat none at all."""

    def __init__(
        self,
        database: Database,
        exchange: Exchange,
        ringer: Ringer,
        link: Link,
        clock: Clock,
        *,
        wanted: bool,
    ) -> None:
        self._database = database
        self._exchange = exchange
        self._ringer = ringer
        self._link = link
        self._clock = clock
        self._wanted = wanted
        self._beat: Beat | None = None
        self._collected: list[Entry] = []

    def set_manifest(self, manifest: Manifest, keep: Keep) -> None:
        """Start, with the app's settings."""
        if self._wanted:
            self._beat = Beat(
                self._database,
                self._clock,
                keep=keep,
                sent=self._tell,
                longest=manifest.beat_sleep,
                event_of=(
                    sent_but_of(manifest.of_kind(messages.SILENT)) if manifest.sent_events else None
                ),
            )

    def collect(self, owner: str, part: list[dict[str, Any]], last: bool) -> None:
        """Take in what the code of ``owner`` defines; it comes in parts."""
        self._collected += [Entry(**fields) for fields in part]
        if last and self._beat is not None:
            self._beat.define(owner, self._collected)
            self._collected = []

    def stop(self) -> None:
        """Send no more: this worker is about to leave, and others go on."""
        self._beat = None
        self._wanted = False

    def time_left(self, version: int) -> float:
        """Return the seconds until something is due; ``version`` grows as others commit."""
        return math.inf if self._beat is None else self._beat.time_left(version)

    def run(self, version: int, *, ended: bool) -> None:
        """Send what is due; ``ended``: this worker has just ended jobs.  Raises `StoreError`."""
        beat = self._beat
        if beat is None:
            return
        if ended:
            beat.look_again()
        knew = beat.has_learnt
        beat.run(version)
        if beat.has_learnt and not knew:
            self._link.send(messages.RECONCILED)

    def _tell(self, fired: Fired) -> None:
        """Have the jobs claimed that were sent, and those ended that were called off."""
        self._exchange.look_again()
        if fired.revoked:
            self._ringer.ring_workers(post=True)
            self._ringer.ring_waiters(fired.ended)
