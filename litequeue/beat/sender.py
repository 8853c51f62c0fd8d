"""`Beat`: sends what is due, and knows how long nothing will be."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Final

from litequeue.beat.plan import plan
from litequeue.beat.steps import Steps
from litequeue.clock import Clock
from litequeue.due import due, first
from litequeue.entry import Entry, Firing
from litequeue.exceptions import ImproperlyConfigured, QueueBusy
from litequeue.job import Job, new_id
from litequeue.schedules import Tick, machine_zone
from litequeue.store import Database, Keep, entries, ticks
from litequeue.store.events import EventRow
from litequeue.store.firing import Fired, Unusable
from litequeue.store.ticks import DueEntry, Planned

logger: Final = logging.getLogger("litequeue.beat")

LONGEST_SLEEP: Final = 30.0
"""Seconds after which the clocks are looked at in any case."""
SHORTEST_SLEEP: Final = 0.01
"""The same, at least: less would keep a processor busy."""
MOST_ENTRIES: Final = 100
"""Entries per transaction."""
ENOUGH_TICKS: Final = 500
"""Ticks after which a transaction takes no further entry: nobody else writes meanwhile."""
WAIT: Final = 0.25
"""Seconds to wait for other writers before trying again."""
TRY_AGAIN: Final = 0.05
LOOK_EVERY: Final = 0.5
"""Seconds between two looks at a file to which others write: perhaps they changed an entry."""
LOOK_AT_HELD: Final = 0.05
"""The same while a tick waits for a run to end."""
_SENSELESS: Final = (ImproperlyConfigured, ArithmeticError, TypeError, ValueError)
"""What planning with a row that others have written may raise."""


class Beat:
    """The beat of one process, driven by its loop: `run`, then sleep for `time_left`.

    ``sent`` is called after every commit that stored jobs, or revoked some.  ``event_of`` makes the
    event of a job that was sent, or None for one without; None for no events at all.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        keep: Keep,
        sent: Callable[[Fired], None],
        longest: float = 0.0,
        event_of: Callable[[Job, float], EventRow | None] | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep
        self._sent = sent
        self._longest = LONGEST_SLEEP
        if 0 < longest < LONGEST_SLEEP:
            self._longest = max(longest, SHORTEST_SLEEP)
        self._event_of = event_of
        self._steps = Steps(clock)
        self._version = -1
        self._due = -math.inf
        """Epoch seconds of what is due first, as the file said at the last look."""
        self._looked = self._look_at = 0.0
        """When that was, and when to look again whatever is due (monotonic)."""
        self._held = False
        self._unreadable: dict[int, int] = {}
        """Entries that this beat cannot plan: id to version."""
        self._replan = True
        self._zone = ""
        """The machine's own, as the entries in it were planned."""
        self._defined: tuple[str, Sequence[Entry]] | None = None

    def define(self, owner: str, defined: Sequence[Entry]) -> None:
        """Have the file hold what the code of ``owner`` defines, with the next `run`.

        What people added stays.
        """
        self._defined = (owner, defined)
        self._look_at = 0.0

    @property
    def has_learnt(self) -> bool:
        """Tell whether the file holds what `define` said."""
        return self._defined is None

    def _reconcile(self, owner: str, defined: Sequence[Entry]) -> None:
        done = entries.reconcile(self._database, owner, defined, self._clock.now())
        self._defined = None
        for name, whose in done.taken.items():
            logger.warning(
                "the entry %s was of %s, and is of %s now; give one of them another name",
                name, whose, owner,
            )  # fmt: skip
        for name, why in done.refused.items():
            logger.warning("the entry %s of the code is not used: %s", name, why)
        if done.added or done.changed or done.removed:
            logger.info(
                "periodic jobs: %d added, %d changed, %d removed",
                len(done.added), len(done.changed), len(done.removed),
            )  # fmt: skip

    def look_again(self) -> None:
        """Take note that this process has ended jobs: a tick may have waited for one of them."""
        if self._held:
            self._look_at = min(self._look_at, self._looked + LOOK_AT_HELD)

    def time_left(self, version: int) -> float:
        """Return the seconds until something is due; ``version`` changes as others commit."""
        self._notice(version)
        wait = min(self._due - self._clock.now(), self._look_at - self._clock.monotonic())
        return max(0.0, wait)

    def run(self, version: int) -> None:
        """Send what is due.  Raises `StoreError`; then nothing has happened, or all of it."""
        if self.time_left(version) > 0:
            return
        try:
            self._run()
        except QueueBusy:
            logger.debug("beat waits for the write lock")
            self._due = self._clock.now() + TRY_AGAIN
            self._look_at = self._clock.monotonic() + TRY_AGAIN
        except Unusable as error:  # what was to be sent with it is, by the next run
            self._leave(error.id, error.version, error.name, error.__cause__)

    def _notice(self, version: int) -> None:
        if version != self._version:
            self._version = version
            pause = LOOK_AT_HELD if self._held else LOOK_EVERY
            self._look_at = min(self._look_at, self._looked + pause)

    def _run(self) -> None:
        looked = self._clock.monotonic()
        if self._defined is not None:
            self._reconcile(*self._defined)
        now = self._clock.now()
        self._replan = self._steps.went_back() or self._replan  # still, if the file is busy now
        self._release(now)
        rows = ticks.due(self._database, now, MOST_ENTRIES + len(self._unreadable))
        if rows:
            self._fire(rows, now)
        if self._replan:
            self._plan_anew(now)
            self._replan = False
        self._follow_machine(now)
        moment = ticks.next_due(self._database, self._unreadable)
        self._due = math.inf if moment is None else moment
        self._looked, self._look_at = looked, looked + self._longest

    def _fire(self, rows: Sequence[DueEntry], now: float) -> None:
        planned: list[tuple[DueEntry, Firing]] = []
        count = 0
        for row in rows:
            if count >= ENOUGH_TICKS:
                break  # the next run takes them
            if (firing := self._planned(row, now)) is not None:
                planned.append((row, firing))
                count += len(firing.ticks)
        fired = ticks.fire(
            self._database,
            [firing for _, firing in planned],
            now,
            wait=WAIT,
            keep=self._keep,
            event_of=self._event_of,
        )
        sent = {name for name, _, _ in fired.jobs}
        for row, firing in planned:
            overtaken = firing.ticks and row.entry.name not in sent
            missed = not firing.ticks or firing.ticks[0][0] != row.next_key
            if missed and not overtaken:
                logger.info(
                    "%s has missed ticks since %s; of these %d sent",
                    row.entry.name, row.next_key, len(firing.ticks),
                )  # fmt: skip
        self._tell(fired)

    def _planned(self, row: DueEntry, now: float) -> Firing | None:
        """Decide about one entry; one that cannot be read here keeps nobody waiting."""
        if self._unreadable.get(row.id) == row.version:
            return None
        try:
            return plan(
                row.entry,
                id=row.id,
                version=row.version,
                anchor=row.anchor,
                pending=Tick(row.next_key, row.next_at),
                now=now,
                new_id=lambda: new_id(now),
            )
        except _SENSELESS as error:
            self._leave(row.id, row.version, row.entry.name, error)
            return None

    def _leave(self, id: int, version: int, name: str, error: object) -> None:
        """Leave an entry as it is: another beat may know what this one does not."""
        logger.error("this beat cannot send the entry %s: %s", name, error)
        self._unreadable[id] = version

    def _release(self, now: float) -> None:
        """Send the ticks that have waited for an unfinished run which has ended now."""
        self._held = ticks.held(self._database)
        if self._held:
            self._tell(
                ticks.release_held(
                    self._database,
                    now,
                    lambda: new_id(now),
                    ignoring=self._unreadable,
                    wait=WAIT,
                    event_of=self._event_of,
                )
            )

    def _plan_anew(self, now: float) -> None:
        """After the clock was put back: what is due next is due earlier than it was planned.

        Ticks that were sent stay sent, for their rows exist.
        """
        changed = self._plan_again(ticks.behind(self._database, now), now)
        if changed:
            logger.warning("the clock was put back: %d entries are planned anew", changed)

    def _follow_machine(self, now: float) -> None:
        """Plan the entries in the machine's own zone anew, where that is another one by now."""
        zone = machine_zone()
        if zone != self._zone:
            self._plan_again(ticks.local(self._database, now), now)
            self._zone = zone

    def _plan_again(self, rows: Sequence[Planned], now: float) -> int:
        plans = []
        for row in rows:
            try:
                tick = first(row.entry, row.anchor, now)
                plans.append((row, tick, None if tick is None else due(row.entry, tick)))
            except _SENSELESS:
                continue  # what that means is said when it is due
        return ticks.replan(self._database, plans, now)

    def _tell(self, fired: Fired) -> None:
        for name, key, id in fired.jobs:
            logger.info("sent %s for %s, as %s", name, key, id)
        self._held = self._held or bool(fired.held)
        if fired.jobs or fired.revoked:
            self._sent(fired)
