"""A child of the prefork pool: the only place where user code runs.

It leads a session of its own, so that it can be ended with everything it started, and dies with
its supervisor.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from litequeue import log, signals
from litequeue.app import LiteQueue
from litequeue.clock import SYSTEM
from litequeue.context import importing, working_for
from litequeue.finding import find_app
from litequeue.job import Errand
from litequeue.worker.channel import Channel
from litequeue.worker.executor import Executor
from litequeue.worker.hooks import run_errand
from litequeue.worker.liveness import OWNER_VARIABLE
from litequeue.worker.os_signals import ignore_stop_signals
from litequeue.worker.slots import Slots

PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What a child is told: its line of the slots, its worker, its supervisor's pid."""

    index: int
    hostname: str
    nonce: str
    supervisor: int


def serve(app: LiteQueue, spec: ChildSpec, channel: Channel, slots: Slots) -> None:
    """Run leases until the worker wants no more of them."""
    with working_for(app):
        _serve(app, spec, channel, slots)


def _serve(app: LiteQueue, spec: ChildSpec, channel: Channel, slots: Slots) -> None:
    app.introduced = True  # its worker has done that
    signals.worker_process_init.send(sender=spec.hostname)
    executor = Executor(app, SYSTEM, spec.hostname)
    pid, index, now = os.getpid(), spec.index, SYSTEM.now
    slots.listen(index)
    with contextlib.suppress(ConnectionError):  # the worker is gone: the kernel ends us, too
        while (lease := channel.next_lease()) is not None:
            if isinstance(lease, Errand):
                run_errand(app, lease, spec.hostname)
                if os.getpid() != pid:  # a hook forked and let its child return
                    os._exit(1)
                continue
            slots.begin(index, lease.seq, now(), lease.token)
            if lease.once:
                slots.begin_once(index, lease.token)
            outcome = executor.execute(lease)
            if os.getpid() != pid:  # the task forked and let its child return
                os._exit(1)
            channel.report(outcome)
            slots.end(index)
    signals.worker_process_shutdown.send(sender=spec.hostname, pid=pid, exitcode=0)


def settle_in(spec: ChildSpec) -> None:
    """Make this process a child: a session of its own, no terminal, no life after the worker."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    die_with_parent(spec.supervisor)
    ignore_stop_signals()
    os.environ[OWNER_VARIABLE] = spec.nonce
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when ``parent`` dies (Linux)."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)


def leave() -> None:
    """End this process without running what its parent had planned for its own end."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # the reader of our output is gone, and so are we
    os._exit(0)


# Children that are started as new programs (spawn)


def spawn_command(
    app_name: str, path: str, spec: ChildSpec, channel: Channel, slots: Slots
) -> tuple[list[str], list[int]]:
    """Return the command that starts a child anew, and the descriptors it needs."""
    descriptors = [channel.jobs_out.fileno(), channel.outcomes_in.fileno()]
    order = {
        "app": app_name,
        "path": path,
        "spec": asdict(spec),
        "sockets": descriptors,
        "slots": slots.path,
        "spool": channel.spool,
        "logs": log.told(),
    }
    return [sys.executable, "-m", "litequeue.worker.pools.child", json.dumps(order)], descriptors


def run_spawned(order: Mapping[str, Any]) -> None:
    """Run as a child that was started by `spawn_command`."""
    spec = ChildSpec(**order["spec"])
    settle_in(spec)
    log.configure(**order["logs"])
    with importing(order["app"]):
        app = find_app(order["app"])
    if app.path != order["path"]:
        app.rebind(order["path"])
    log.set_up(**order["logs"])
    jobs, outcomes = (socket.socket(fileno=number) for number in order["sockets"])
    channel = Channel.for_child(order["spool"], jobs, outcomes)
    serve(app, spec, channel, Slots(order["slots"]))
    leave()


if __name__ == "__main__":
    run_spawned(json.loads(sys.argv[1]))
