"""The states of a job, with Celery's names, and the phases that drive the machinery.

A *phase* says where the job is: ``scheduled`` (due later), ``ready`` (may be claimed),
``parked`` (waits for something other than time), ``leased`` (a worker has it), ``done``.
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

SCHEDULED: Final = "scheduled"
READY: Final = "ready"
PARKED: Final = "parked"
LEASED: Final = "leased"
DONE: Final = "done"

PHASES: Final = (SCHEDULED, READY, PARKED, LEASED, DONE)
