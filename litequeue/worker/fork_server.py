"""A program that imports the app once, and forks the children: start method "forkserver" (Linux).

It is new and clean, whatever the worker's own process has become.  Its children become the
supervisor's: whoever is between them ends at once, and the supervisor adopts what that leaves.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from litequeue.app import LiteQueue
from litequeue.clock import SYSTEM
from litequeue.exceptions import ImproperlyConfigured
from litequeue.freezing import command
from litequeue.os_signals import ignore_stop_signals, signals_held
from litequeue.worker.child import (
    ChildSpec,
    Ties,
    die_with_parent,
    leave,
    serve,
    settle_in,
    spawn_order,
    spec_of,
    take_up,
)
from litequeue.worker.liveness import OWNER_VARIABLE, start_time
from litequeue.worker.manifest import warm_up
from litequeue.worker.nursery import ChildOptions
from litequeue.worker.slots import Slots
from litequeue.worker.titles import set_title

logger: Final = logging.getLogger("litequeue.worker")

PR_SET_CHILD_SUBREAPER: Final = 36
ADOPTION: Final = 5.0
"""Seconds within which the kernel has given a child to the supervisor."""
_LONGEST: Final = 65536


class ForkServer:
    """The supervisor's side.  Raises `ImproperlyConfigured` where there is no such thing."""

    def __init__(self, app: LiteQueue, options: ChildOptions, ties: Ties) -> None:
        if sys.platform != "linux":
            raise ImproperlyConfigured(
                "the start method forkserver needs Linux; leave it out, or use spawn"
            )
        self._app = app
        self._options = options
        self._ties = ties
        self._handle = -1  # of the process: its number may be another's once it is reaped
        self._link: socket.socket | None = None
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_CHILD_SUBREAPER, 1):
            raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")

    def make(self, spec: ChildSpec) -> int:
        """Have a child forked; return its pid.  Raises OSError when that cannot be."""
        link = self._link or self._start(spec)
        try:
            link.send(json.dumps(asdict(spec)).encode())
            answer = json.loads(link.recv(_LONGEST) or b"{}")
        except OSError:
            self.close()
            raise
        if "pid" not in answer:
            self.close()
            raise OSError(answer.get("error", "the fork server has ended"))
        return int(answer["pid"])

    def close(self) -> None:
        """End the server; the children are not its own."""
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._handle >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # reaped as an orphan
                os.waitid(os.P_PIDFD, self._handle, os.WEXITED)
            os.close(self._handle)
            self._handle = -1

    def _start(self, spec: ChildSpec) -> socket.socket:
        order, descriptors = spawn_order(self._options.app_name, self._app.path, spec, self._ties)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(self._options.patience)
        with theirs, signals_held():
            process = subprocess.Popen(
                command("litequeue.worker.fork_server", order, str(theirs.fileno())),
                pass_fds=[*descriptors, theirs.fileno()],
                env={**os.environ, OWNER_VARIABLE: spec.nonce},
            )
            self._handle = os.pidfd_open(process.pid)
        process.returncode = 0  # Popen would reap by itself; only `close` does
        self._link = ours
        return ours


def run(order: Mapping[str, Any], link: socket.socket) -> None:
    """Fork a child for every spec that arrives, until the supervisor hangs up."""
    supervisor = order["spec"]["supervisor"]
    die_with_parent(supervisor)
    ignore_stop_signals()
    set_title(f"fork server of {order['spec']['hostname']}")
    slots = Slots(order["slots"])
    app, ties = take_up(order, slots)
    app.introduced = True  # its worker has done that
    warm_up(app)
    app.close()
    gc.collect()
    gc.freeze()
    while message := link.recv(_LONGEST):
        spec = spec_of(json.loads(message))
        link.send(json.dumps(_answer(app, spec, ties, link)).encode())


def _answer(app: LiteQueue, spec: ChildSpec, ties: Ties, link: socket.socket) -> dict[str, Any]:
    try:
        return {"pid": _fork_twice(app, spec, ties, link)}
    except OSError as error:
        return {"error": str(error)}


def _fork_twice(app: LiteQueue, spec: ChildSpec, ties: Ties, link: socket.socket) -> int:
    """Fork a child that is nobody's here; return its pid once the supervisor has adopted it."""
    told, tell = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    between = os.fork()
    if between == 0:
        _leave_one_behind(app, spec, ties, link, tell)
    os.close(tell)
    with open(told, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(between, 0)  # its children have another parent by now
    if not answer:
        raise OSError("no room for a process")
    return int(answer)


def _leave_one_behind(
    app: LiteQueue, spec: ChildSpec, ties: Ties, link: socket.socket, tell: int
) -> None:
    """Be the one between: fork, say the pid, and end."""
    code = 1
    try:
        pid = os.fork()
        if pid == 0:
            os.close(tell)
            link.close()
            _become_child(app, spec, ties)
        os.write(tell, str(pid).encode())
        code = 0
    finally:
        os._exit(code)


def _become_child(app: LiteQueue, spec: ChildSpec, ties: Ties) -> None:
    try:
        _await_adoption(spec.supervisor)
        ties.slots.assign(spec.index, os.getpid(), start_time(os.getpid()) or 0)
        settle_in(spec, ties.slots)
        with contextlib.suppress(ConnectionError):  # the worker is gone: the kernel ends us, too
            serve(app, spec, ties)
    except BaseException:
        logger.exception("a child of the pool failed outside a task")
        os._exit(1)
    leave()


def _await_adoption(supervisor: int) -> None:
    deadline = SYSTEM.monotonic() + ADOPTION
    while os.getppid() != supervisor and SYSTEM.monotonic() < deadline:
        SYSTEM.sleep(0.0002)


if __name__ == "__main__":
    run(json.loads(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
