"""One job at a time in the main thread of a child: prefork, and solo, which is one such child."""

from __future__ import annotations

import signal
from contextvars import copy_context
from types import FrameType
from typing import ClassVar

from litequeue.interrupts import SignalGuard
from litequeue.job import Lease
from litequeue.worker.executor import Executor
from litequeue.worker.pools import OPTIONS, Pool, Station


class Prefork(Pool):
    """A process for every job that runs: nothing that one does can hurt another."""

    name = "prefork"
    many = False
    honours: ClassVar[frozenset[str]] = frozenset(OPTIONS) - {"embedded"}
    start_methods: ClassVar[tuple[str, ...]] = ("fork", "forkserver", "spawn")

    def serve(self, station: Station) -> None:
        """Run leases one by one."""
        (line,) = station.lines
        guard = SignalGuard()
        executor = station.executor(guard)
        slots, clock = station.slots, station.clock

        def soften(signum: int, frame: FrameType | None) -> None:
            run = slots.running(line)
            if run is None:
                return
            asked, _ = slots.asked_to_end(line)
            if asked == run.token or (run.soft and clock.monotonic() >= run.soft):
                guard.interrupt(run.token, frame)

        signal.signal(signal.SIGUSR1, soften)
        while (lease := station.next()) is not None:
            copy_context().run(_run, station, executor, line, lease)
            if station.is_spent():
                break
        executor.close()


def _run(station: Station, executor: Executor, line: int, lease: Lease) -> None:
    station.begin(line, lease)
    outcome = executor.execute(lease)
    if executor.stop_wanted is not None:  # before others can claim the job that wants it
        station.stop_if_asked(executor)
    station.finish(line, lease, outcome)


class Solo(Prefork):
    """One child, one job at a time."""

    name = "solo"
    honours: ClassVar[frozenset[str]] = Prefork.honours - {"concurrency", "autoscale"}
