"""Greenlets: for plain functions that wait in modules which gevent has made cooperative.

It is the pool of threads in a process where threads are greenlets.  A job that neither waits nor
yields holds up all others, limits included.  Coroutine functions run in real threads.
"""

from __future__ import annotations

import functools
import time
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar

from litequeue.clock import SystemClock
from litequeue.exceptions import ImproperlyConfigured, SoftTimeLimitExceeded
from litequeue.interrupts import Guard
from litequeue.job import Lease, Outcome
from litequeue.worker.pools import Station
from litequeue.worker.pools.aio import is_awaited
from litequeue.worker.pools.threads import Dispatcher

if TYPE_CHECKING:
    from gevent import Greenlet

try:
    import gevent
except ImportError:
    raise ImproperlyConfigured(
        "the pool gevent needs the package gevent; add it to your dependencies, "
        "`litequeue-jobs[gevent]`"
    ) from None
