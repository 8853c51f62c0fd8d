"""How children are made: copies of this process, or programs of their own.

The third way, "forkserver", has a module of its own.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from litequeue.app import LiteQueue
from litequeue.freezing import command
from litequeue.os_signals import fork, signals_held
from litequeue.worker.child import ChildSpec, Ties, leave, serve, settle_in, spawn_order
from litequeue.worker.liveness import OWNER_VARIABLE, start_time
from litequeue.worker.pools import Recycling

logger: Final = logging.getLogger("litequeue.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOptions:
    """How children are made: by ``method``, "fork", "forkserver" or "spawn".

    ``patience``: how many seconds one may take until it could take jobs.
    """

    app_name: str
    hostname: str
    nonce: str
    pool: str
    method: str
    patience: float
    recycling: Recycling
    close_in_child: Callable[[], None]

    def spec(self, index: int) -> ChildSpec:
        """Return what the child at ``index`` is told."""
        return ChildSpec(
            index=index,
            hostname=self.hostname,
            nonce=self.nonce,
            supervisor=os.getpid(),
            pool=self.pool,
            recycling=self.recycling,
        )


class Nursery(Protocol):
    """Makes children."""

    def make(self, spec: ChildSpec) -> int:
        """Start a child; return its pid.  Raises OSError where there is no room for one."""

    def close(self) -> None:
        """End what it has started besides children."""


class Forks:
    """Copies this process: the quickest way, and unsafe once it has threads or the file open."""

    def __init__(self, app: LiteQueue, options: ChildOptions, ties: Ties) -> None:
        self._app = app
        self._options = options
        self._ties = ties

    def make(self, spec: ChildSpec) -> int:
        """Fork."""
        sys.stdout.flush()
        sys.stderr.flush()
        pid = fork()
        if pid:
            return pid
        slots = self._ties.slots
        try:
            slots.assign(spec.index, os.getpid(), start_time(os.getpid()) or 0)
            settle_in(spec, slots)
            self._options.close_in_child()
            self._ties.channel.keep_child_side()
            serve(self._app, spec, self._ties)
        except BaseException:
            logger.exception("a child of the pool failed outside a task")
            os._exit(1)
        leave()
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Have nothing else to end."""


class Spawns:
    """Starts programs, each of which imports the app anew."""

    def __init__(self, app: LiteQueue, options: ChildOptions, ties: Ties) -> None:
        self._app = app
        self._options = options
        self._ties = ties

    def make(self, spec: ChildSpec) -> int:
        """Start a program."""
        order, descriptors = spawn_order(self._options.app_name, self._app.path, spec, self._ties)
        # Popen would reap by itself; only `Children.bury` does.
        environment = {**os.environ, OWNER_VARIABLE: spec.nonce}
        with signals_held():
            process = subprocess.Popen(
                command("litequeue.worker.child", order),
                pass_fds=descriptors,
                start_new_session=True,
                env=environment,
            )
        process.returncode = 0
        return process.pid

    def close(self) -> None:
        """Have nothing else to end."""
