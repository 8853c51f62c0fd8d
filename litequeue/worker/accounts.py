"""The leases that are out: every one is with a child, on the way to one, or missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from litequeue.job import Lease, Outcome
from litequeue.worker.slots import Slots


class Accounts:
    """Books on the leases of this worker, by seq."""

    AUDIT_DELAY: Final = 0.25
    """Seconds that a lease may be nowhere: read by a child that has not written its slot yet."""

    def __init__(self) -> None:
        self._out: dict[int, Lease] = {}
        self._marked: set[int] = set()
        self._suspects: set[tuple[int, int]] = set()

    def __len__(self) -> int:
        """Return how many leases are out."""
        return len(self._out)

    def __iter__(self) -> Iterator[Lease]:
        """Iterate over the leases that are out."""
        return iter(self._out.values())

    def take(self, lease: Lease) -> None:
        """Enter a lease."""
        self._out[lease.seq] = lease

    def drop(self, seq: int) -> None:
        """Strike a lease out."""
        self._out.pop(seq, None)
        self._marked.discard(seq)

    def close(self, outcomes: Iterable[Outcome]) -> dict[int, Lease]:
        """Strike out what has been settled; return those leases by seq."""
        marked, out = self._marked, self._out
        closed = {outcome.seq: out.pop(outcome.seq) for outcome in outcomes}
        if marked:
            marked.difference_update(closed)
        return closed

    def lease(self, seq: int, token: int) -> Lease | None:
        """Return this very lease, None when it is not out."""
        lease = self._out.get(seq)
        return lease if lease is not None and lease.token == token else None

    def is_ours(self, seq: int, token: int) -> bool:
        """Tell whether this very lease is out."""
        return self.lease(seq, token) is not None

    def find(self, seq: int, token: int, *, without: Sequence[Outcome]) -> Lease | None:
        """Return the lease, unless its outcome has arrived."""
        if not self.is_ours(seq, token) or any(outcome.seq == seq for outcome in without):
            return None
        return self._out[seq]

    # Which of them run

    def has_unmarked(self) -> bool:
        """Tell whether some lease has not been seen running."""
        return len(self._marked) < len(self._out)

    def unmarked(
        self, slots: Slots, *, without: frozenset[str] = frozenset()
    ) -> list[tuple[float, int, int, int]]:
        """Return (start, pid, seq, token) of running jobs that are not marked as started.

        Those of the tasks in ``without`` do not want to be.
        """
        rows = []
        for line, running in slots.busy():
            if running.seq not in self._marked and self.is_ours(running.seq, running.token):
                if self._out[running.seq].task in without:
                    self._marked.add(running.seq)
                    continue
                rows.append(
                    (
                        running.started,
                        slots.pid_of(line),
                        running.seq,
                        running.token,
                    )
                )
        return rows

    def mark(self, seqs: Iterable[int]) -> None:
        """Take note that the file knows these jobs as started."""
        self._marked.update(seq for seq in seqs if seq in self._out)

    # Which of them are missing

    def missing(
        self, slots: Slots, unread: Sequence[Lease], outcomes: Sequence[Outcome]
    ) -> list[Lease]:
        """Return the leases that no child runs, none can still read, and nobody reported.

        Only those that were missing the last time too: between reading a lease and writing its
        slot a child has it in its hands.
        """
        found = {(lease.seq, lease.token) for lease in unread}
        found.update((outcome.seq, outcome.token) for outcome in outcomes)
        found.update((run.seq, run.token) for run in slots.all_running().values())
        nowhere = {(lease.seq, lease.token) for lease in self._out.values()} - found
        confirmed = nowhere & self._suspects
        self._suspects = nowhere - confirmed
        return [self._out[seq] for seq, _ in confirmed]

    def has_suspects(self) -> bool:
        """Tell whether a lease was missing the last time."""
        return bool(self._suspects)
