"""A child: a process of the pool, the only place where user code runs.

It leads a session of its own, so that it can be ended with everything it started, and dies with
its supervisor.  What it does with leases is its pool's affair.
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
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from litequeue import log, signals
from litequeue.app import LiteQueue
from litequeue.clock import SYSTEM
from litequeue.context import importing, working_for
from litequeue.finding import find_app
from litequeue.os_signals import ignore_stop_signals
from litequeue.worker import evidence
from litequeue.worker.capture import LIMIT, Capture
from litequeue.worker.channel import Channel
from litequeue.worker.liveness import OWNER_VARIABLE, start_time
from litequeue.worker.pools import Pool, Recycling, Station, find_pool
from litequeue.worker.slots import Slots, Stage
from litequeue.worker.time_limits import Alarm
from litequeue.worker.titles import set_title

PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What a child is told: its place in the slots, its worker, its supervisor's pid."""

    index: int
    hostname: str
    nonce: str
    supervisor: int
    pool: str = "prefork"
    recycling: Recycling = field(default_factory=Recycling)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """What connects a child with its worker.

    ``baton`` is a pipe that holds a byte for every child that is missing: who reads one serves.
    """

    channel: Channel
    slots: Slots
    alarm: Alarm
    baton: tuple[int, int]


def serve(app: LiteQueue, spec: ChildSpec, ties: Ties) -> None:
    """Run leases until the worker wants no more of them, or this child has done its part."""
    slots, index = ties.slots, spec.index
    app.introduced = True  # its worker has done that
    with working_for(app):
        signals.worker_process_init.send(sender=spec.hostname)
        station = Station(
            app=app,
            index=index,
            hostname=spec.hostname,
            channel=ties.channel,
            slots=slots,
            alarm=ties.alarm,
            clock=SYSTEM,
            stop_worker=lambda number: os.kill(spec.supervisor, number),
            give_way=lambda: _give_way(index, ties),
            recycling=spec.recycling,
            capture=_capture(app, slots, index),
        )
        slots.set_stage(index, Stage.WAITING)
        if not os.read(ties.baton[0], 1):
            return
        slots.set_stage(index, Stage.SERVING)
        pool: Pool = find_pool(spec.pool)()
        pool.serve(station)
        if station.is_spent() and not slots.is_dismissed(index):
            _give_way(index, ties)
        slots.set_stage(index, Stage.LEAVING)
        signals.worker_process_shutdown.send(sender=spec.hostname, pid=os.getpid(), exitcode=0)


def _give_way(index: int, ties: Ties) -> None:
    """Have a successor serve, once: a child of many lines may have to wait for its last jobs."""
    if ties.slots.stage(index) is Stage.SERVING:
        ties.slots.set_stage(index, Stage.LEAVING)
        os.write(ties.baton[1], b"+")


def _capture(app: LiteQueue, slots: Slots, index: int) -> Capture | None:
    """Return what keeps the output of jobs, where some want that."""
    size = app.conf.task_capture_output
    if not size and not any(task.capture for task in app.tasks.values()):
        return None
    capture = Capture(base_of(slots), slots.lines_of(index), limit=size or LIMIT)
    capture.install()
    return capture


def settle_in(spec: ChildSpec, slots: Slots) -> None:
    """Make this process a child: a session of its own, no terminal, no life after the worker."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    die_with_parent(spec.supervisor)
    ignore_stop_signals()
    os.environ[OWNER_VARIABLE] = spec.nonce
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    set_title(f"child {spec.index} of {spec.hostname}")
    with contextlib.suppress(OSError):  # a full disk costs the last words of a crash
        evidence.enable(evidence.fault_path(base_of(slots), spec.index))


def base_of(slots: Slots) -> str:
    """Return the path that the files of this worker begin with."""
    return slots.path.removesuffix(".slots")


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


def spawn_order(app_name: str, path: str, spec: ChildSpec, ties: Ties) -> tuple[str, list[int]]:
    """Return what a child is told that is a program of its own, and the descriptors it needs."""
    channel = ties.channel
    sockets = [channel.jobs_out.fileno(), channel.outcomes_in.fileno()]
    pipes = [ties.alarm.out, ties.alarm.into, *ties.baton]
    order = {
        "app": app_name,
        "path": path,
        "spec": asdict(spec),
        "sockets": sockets,
        "pipes": pipes,
        "slots": ties.slots.path,
        "spool": channel.spool,
        "logs": log.told(),
    }
    return json.dumps(order), sockets + pipes


def run_spawned(order: Mapping[str, Any]) -> None:
    """Run as a child that was started with `spawn_order`."""
    spec = spec_of(order["spec"])
    slots = Slots(order["slots"])
    slots.assign(spec.index, os.getpid(), start_time(os.getpid()) or 0)
    settle_in(spec, slots)
    app, ties = take_up(order, slots)
    with contextlib.suppress(ConnectionError):  # the worker is gone: the kernel ends us, too
        serve(app, spec, ties)
    leave()


def spec_of(fields: Mapping[str, Any]) -> ChildSpec:
    """Rebuild what `asdict` and JSON made of a spec."""
    return ChildSpec(**{**fields, "recycling": Recycling(**fields["recycling"])})


def take_up(order: Mapping[str, Any], slots: Slots) -> tuple[LiteQueue, Ties]:
    """Import the app, and rebuild what connects a child with its worker."""
    find_pool(order["spec"]["pool"]).prepare()
    log.configure(**order["logs"])
    with importing(order["app"]):
        app = find_app(order["app"])
    if app.path != order["path"]:
        app.rebind(order["path"])
    log.set_up(**order["logs"])
    for number in (*order["sockets"], *order["pipes"]):  # not for programs that tasks start
        os.set_inheritable(number, False)
    jobs, outcomes = (socket.socket(fileno=number) for number in order["sockets"])
    bell_out, bell_into, *baton = order["pipes"]
    ties = Ties(
        channel=Channel.for_child(order["spool"], jobs, outcomes),
        slots=slots,
        alarm=Alarm((bell_out, bell_into)),
        baton=(baton[0], baton[1]),
    )
    return app, ties


if __name__ == "__main__":
    run_spawned(json.loads(sys.argv[1]))
