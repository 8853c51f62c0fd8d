"""The states of a job, with Celery's names and order, and the phases that drive the machinery.

A *phase* says where the job is: ``waiting`` (for others of its workflow), ``scheduled`` (due
later), ``ready`` (may be claimed), ``parked`` (no worker knows its task), ``leased`` (a worker has
it), ``done``.
A *state* is what users see.  docs/explanation/state-machine.md draws both.
"""

from __future__ import annotations

from typing import Final

PENDING: Final = "PENDING"
RECEIVED: Final = "RECEIVED"
STARTED: Final = "STARTED"
RETRY: Final = "RETRY"
SUCCESS: Final = "SUCCESS"
FAILURE: Final = "FAILURE"
REVOKED: Final = "REVOKED"
REJECTED: Final = "REJECTED"
IGNORED: Final = "IGNORED"

READY_STATES: Final = frozenset({SUCCESS, FAILURE, REVOKED, REJECTED, IGNORED})
UNREADY_STATES: Final = frozenset({PENDING, RECEIVED, STARTED, RETRY})
EXCEPTION_STATES: Final = frozenset({RETRY, FAILURE, REVOKED})
PROPAGATE_STATES: Final = frozenset({FAILURE, REVOKED, REJECTED})
ALL_STATES: Final = READY_STATES | UNREADY_STATES

# None stands for every state that is not in the list, as PROGRESS.
PRECEDENCE: Final = (
    SUCCESS, FAILURE, None, REVOKED, STARTED, RECEIVED, REJECTED, RETRY, PENDING,
)  # fmt: skip
PRECEDENCE_LOOKUP: Final = {name: index for index, name in enumerate(PRECEDENCE)}
NONE_PRECEDENCE: Final = PRECEDENCE.index(None)


def precedence(state: str) -> int:
    """Return the rank of ``state``; the lower, the more it says.  One's own states have one too."""
    return PRECEDENCE_LOOKUP.get(state, NONE_PRECEDENCE)


class state(str):
    """A state that is compared by what it says: PENDING < STARTED < "PROGRESS" < SUCCESS.

    Equality is that of texts.
    """

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return precedence(self) > precedence(other)

    def __le__(self, other: str) -> bool:
        return precedence(self) >= precedence(other)

    def __gt__(self, other: str) -> bool:
        return precedence(self) < precedence(other)

    def __ge__(self, other: str) -> bool:
        return precedence(self) <= precedence(other)


SCHEDULED: Final = "scheduled"
READY: Final = "ready"
PARKED: Final = "parked"
LEASED: Final = "leased"
WAITING: Final = "waiting"
DONE: Final = "done"

PHASES: Final = (WAITING, SCHEDULED, READY, PARKED, LEASED, DONE)
