"""Revocations, as far as this worker has heard of them, and what follows for its leases."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from litequeue import states
from litequeue.clock import Clock
from litequeue.job import Failure, Lease, Outcome
from litequeue.store import Database, revocations
from litequeue.store.revocations import Revocation
from litequeue.worker.accounts import Accounts
from litequeue.worker.slots import Slots
from litequeue.worker.time_limits import Alarm

REVOKED: Final = Failure("TaskRevokedError", "revoked")
TERMINATED: Final = "terminated by {}"
UNHEARD: Final = 600.0
"""Seconds after which all are read again: those that do not stand any more are forgotten."""


class RevokedJobs:
    """What the file says of revoked jobs, as of the last look; a hint: see the claim."""

    def __init__(
        self, database: Database, accounts: Accounts, slots: Slots, alarm: Alarm, clock: Clock
    ) -> None:
        self.ids: frozenset[str] = frozenset()
        self.stamps: Mapping[str, frozenset[str]] = {}
        self._database = database
        self._accounts = accounts
        self._slots = slots
        self._alarm = alarm
        self._clock = clock
        self.last: int = 0
        """The number of the last revocation that was read."""
        self._read_all = clock.monotonic()
        self._sought: dict[int, Lease] = {}
        self._known: dict[tuple[str | None, str], Revocation] = {}

    def look(self, take_back: Callable[[], Sequence[Lease]]) -> tuple[list[Outcome], list[Lease]]:
        """Read what is new; return the outcomes of unread leases that it ends, and the other ones.

        ``take_back`` takes back what no child has read.  Jobs that run, and that are to be
        terminated, are asked to end.
        """
        if self._clock.monotonic() - self._read_all > UNHEARD:
            self.last, self._read_all = 0, self._clock.monotonic()
            self._known.clear()
        found = revocations.load(self._database, self.last, self._clock.now())
        if not found:
            return [], []
        self._learn(found)
        hit = [lease for lease in self._accounts if self.revocation_of(lease) is not None]
        if not hit:
            return [], []
        unread = list(take_back())
        self._terminate(hit)
        ended = [lease for lease in unread if self.revocation_of(lease) is not None]
        rest = [lease for lease in unread if self.revocation_of(lease) is None]
        return [outcome_of(lease) for lease in ended], rest

    def _learn(self, found: Iterable[Revocation]) -> None:
        for revocation in found:
            self._known[revocation.header, revocation.value] = revocation
            self.last = max(self.last, revocation.id)
        self.ids = frozenset(value for header, value in self._known if header is None)
        self.stamps = revocations.with_stamps({}, self._known.values())

    def forget(self, leases: Iterable[Lease]) -> None:
        """Forget what does not stand any more: the claim, which asks the file, took these jobs."""
        again = [lease.id for lease in leases if lease.id in self.ids]
        if again:
            for id in again:
                self._known.pop((None, id), None)
            self.ids = self.ids.difference(again)

    def revocation_of(self, lease: Lease) -> Revocation | None:
        """Return what revokes a job, None for nothing that we know of."""
        if lease.id in self.ids:
            return self._known[None, lease.id]
        stamps = revocations.borne(lease.options, self.stamps) if self.stamps else ()
        return next((self._known[stamp] for stamp in stamps), None)

    @property
    def seeks(self) -> bool:
        """Whether a job that is to be terminated has been on no line yet: see `seek`."""
        return bool(self._sought)

    def seek(self) -> None:
        """Look once more for what a child had in its hands, between reading and its line."""
        if self._sought:
            sought, self._sought = self._sought.values(), {}
            is_ours = self._accounts.is_ours
            self._terminate([each for each in sought if is_ours(each.seq, each.token)])

    def _terminate(self, leases: Iterable[Lease]) -> None:
        wanted = {}
        for lease in leases:
            revocation = self.revocation_of(lease)
            if revocation is not None and revocation.terminate:
                wanted[lease.token] = lease, number_of(revocation.signal)
        for line, run in self._slots.busy():
            if run.token in wanted:
                _, signum = wanted.pop(run.token)
                self._slots.ask_to_end(line, run.token, signum)
        self._sought.update((token, lease) for token, (lease, _) in wanted.items())
        self._alarm.ring()

    def overrule(self, outcome: Outcome, lease: Lease) -> Outcome:
        """Return REVOKED instead of a retry, or of what a job came to that was being terminated."""
        if not self._known:
            return outcome
        revocation = self.revocation_of(lease)
        if revocation is None:
            return outcome
        if outcome.state == states.RETRY:
            return replace(outcome_of(lease), started=outcome.started, runtime=outcome.runtime)
        if revocation.terminate and outcome.state not in (states.SUCCESS, states.REVOKED):
            words = TERMINATED.format(revocation.signal or "SIGTERM")
            failure = Failure("TaskRevokedError", words)
            return replace(outcome, state=states.REVOKED, result=None, failure=failure)
        return outcome


def outcome_of(lease: Lease) -> Outcome:
    """Return how a revoked job ends that has not run."""
    return Outcome(lease.seq, lease.token, lease.claim, states.REVOKED, failure=REVOKED)


def signal_of(failure: Failure | None) -> int | None:
    """Return the signal that ended a job, None for one that had not begun."""
    start = TERMINATED.partition("{}")[0]
    if failure is None or not failure.message.startswith(start):
        return None
    return number_of(failure.message.removeprefix(start))


def number_of(name: str | None) -> int:
    """Return the number of a signal, SIGTERM for none and for one that there is not here."""
    try:
        return signal.Signals[name or "SIGTERM"].value
    except KeyError:
        return signal.SIGTERM.value
