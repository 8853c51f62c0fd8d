"""What a consumer still does when its supervisor is gone: end the children, lose nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, Protocol

from litequeue.clock import Clock
from litequeue.exceptions import StoreError
from litequeue.job import Outcome
from litequeue.store import Database, Keep, jobs
from litequeue.store.claim import Settled
from litequeue.store.leases import Lost
from litequeue.store.workers import Identity
from litequeue.worker.accounts import Accounts
from litequeue.worker.liveness import kill_orphans
from litequeue.worker.neighbours import remove_files
from litequeue.worker.slots import Slots
from litequeue.worker.strays import Strays

logger: Final = logging.getLogger("litequeue.worker")

LAST_WORDS: Final = 30.0
"""Seconds to keep trying to give leases back."""
BACK_OFF: Final = 0.5


class Survivor(Protocol):
    """What is needed of the consumer."""

    @property
    def identity(self) -> Identity:
        """Who the worker was."""

    clock: Clock
    slots: Slots
    database: Database
    keep: Keep
    accounts: Accounts
    strays: Strays

    def gather_outcomes(self) -> Sequence[Outcome]:
        """Read the outcomes that have arrived."""

    def after_commit(self, settled: Settled) -> None:
        """Tell who waits."""

    def unregister(self) -> None:
        """Take the worker out of the file."""


def bury_supervisor(consumer: Survivor) -> None:
    """End the children's sessions, settle what they finished, give back the rest."""
    identity, slots, clock = consumer.identity, consumer.slots, consumer.clock
    kill_orphans(slots.all_children(), identity.nonce, slots.path, clock)
    logger.error("the supervisor was killed: its children are ended, their jobs given back")
    deadline = clock.monotonic() + LAST_WORDS
    while clock.monotonic() < deadline:
        try:
            _settle_last(consumer)
            break
        except StoreError as error:
            logger.warning("%s; trying again", error)
            clock.sleep(BACK_OFF)
    remove_files(identity)


def _settle_last(consumer: Survivor) -> None:
    outcomes = consumer.gather_outcomes()
    if outcomes:
        settled = jobs.settle_and_claim(
            consumer.database, now=consumer.clock.now(), keep=consumer.keep, outcomes=outcomes
        )
        consumer.after_commit(settled)
    running = consumer.slots.all_running()
    lost = [
        Lost(lease=lease, ran=True, reason="the worker was killed while running it")
        for lease in consumer.accounts
        if lease.seq in running and running[lease.seq].token == lease.token
    ]
    if lost:
        consumer.strays.reap(lost, with_worker=True)
    consumer.strays.give_back(list(consumer.accounts))
    consumer.unregister()
