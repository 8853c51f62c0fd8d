"""What a consumer still does when its supervisor is gone: end the children, lose nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from litequeue.clock import Clock
from litequeue.exceptions import StoreError
from litequeue.store.leases import Lost
from litequeue.store.workers import Identity
from litequeue.worker.exchange import Exchange
from litequeue.worker.liveness import kill_orphans
from litequeue.worker.neighbours import remove_files
from litequeue.worker.slots import Slots

logger: Final = logging.getLogger("litequeue.worker")

LAST_WORDS: Final = 30.0
"""Seconds to keep trying to give leases back."""
BACK_OFF: Final = 0.5


def bury_supervisor(
    identity: Identity,
    slots: Slots,
    exchange: Exchange,
    clock: Clock,
    unregister: Callable[[], None],
) -> None:
    """End the children's sessions, settle what they finished, give back the rest."""
    kill_orphans(slots.all_children(), identity.nonce, slots.path, clock)
    logger.error("the supervisor was killed: its children are ended, their jobs given back")
    deadline = clock.monotonic() + LAST_WORDS
    while clock.monotonic() < deadline:
        try:
            exchange.settle_last()
            _give_everything_back(slots, exchange)
            unregister()
            remove_files(identity)
            return
        except StoreError as error:
            logger.warning("%s; trying again", error)
            clock.sleep(BACK_OFF)
    logger.error("not all leases could be given back; the next worker will")


def _give_everything_back(slots: Slots, exchange: Exchange) -> None:
    running = slots.all_running()
    lost = [
        Lost(
            lease=lease,
            ran=True,
            reason="the worker was killed while running it",
            started=running[lease.seq].started,
        )
        for lease in exchange.accounts
        if lease.seq in running and running[lease.seq].token == lease.token
    ]
    if lost:
        exchange.strays.reap(lost, with_worker=True)
    exchange.strays.give_back(list(exchange.accounts))
