"""How leases reach children and outcomes come back: two socket pairs that keep messages whole.

Idle children pull from one shared socket, so a short job never waits behind a busy child, and the
parent can take unread messages back.  Whatever a dead child had not read is still there for the
next, as long as the children's end stays open somewhere: the supervisor and the consumer keep it.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import marshal
import os
import socket
from collections.abc import Iterator
from typing import Any, Final

from litequeue.clock import SYSTEM
from litequeue.job import (
    Errand,
    Lease,
    Nudge,
    Outcome,
    errand_to_wire,
    from_wire,
    lease_to_wire,
    outcome_from_wire,
    outcome_to_wire,
)

logger: Final = logging.getLogger("litequeue.worker")

BUFFER: Final = 1 << 20
FORMAT: Final = 2
"""Of marshal: later ones look for what occurs twice, which takes longer than it saves here."""
INLINE: Final = 96 * 1024
"""Bytes above which a message travels as a file: a socket takes 200 kB by default."""
_BIG: Final = b"@"
_TRY_AGAIN: Final = 0.1
_COMPLAIN_EVERY: Final = 1.0


class Channel:
    """Both socket pairs.  ``spool`` is the path prefix of messages too large for a socket."""

    def __init__(self, spool: str) -> None:
        self.spool = spool
        self._spool = _Spool(spool)
        self._refused: tuple[Lease, bytes] | None = None
        self.jobs_in: socket.socket
        self.jobs_out: socket.socket
        self.outcomes_in: socket.socket
        self.outcomes_out: socket.socket
        self.jobs_in, self.jobs_out = _pair()
        self.outcomes_in, self.outcomes_out = _pair()

    @classmethod
    def for_child(cls, spool: str, jobs: socket.socket, outcomes: socket.socket) -> Channel:
        """Rebuild the child's side in a program that inherited the two sockets."""
        channel = cls.__new__(cls)
        channel.spool = spool
        channel._spool = _Spool(spool)
        channel.jobs_out, channel.outcomes_in = jobs, outcomes
        return channel

    # The consumer's side

    def submit(self, lease: Lease) -> bool:
        """Offer a lease to the children; False when they have enough to read, or the disk has."""
        message = self._pack(lease)
        if message is None:
            return False
        try:
            self.jobs_in.send(message, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            self._refused = lease, message  # it is offered again soon
            return False
        return True

    def send_errand(self, errand: Errand) -> bool:
        """Offer an errand to the children; False when they have enough to read."""
        message = self._spool.pack(errand_to_wire(errand))
        if message is None:
            return False
        try:
            self.jobs_in.send(message, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            _discard(message)
            return False
        return True

    def poll(self) -> Iterator[Outcome]:
        """Yield the outcomes that have arrived, without waiting."""
        for fields in _unread(self.outcomes_out):
            yield outcome_from_wire(fields)

    def nudge(self, times: int) -> None:
        """Have idle children look whether they were dismissed; the others do after their job."""
        with contextlib.suppress(BlockingIOError, InterruptedError):
            for _ in range(times):
                self.jobs_in.send(marshal.dumps((), FORMAT), socket.MSG_DONTWAIT)

    def take_back(self) -> list[Lease | Errand | Nudge]:
        """Take back what no child has read."""
        self._drop_refused()
        return [from_wire(fields) for fields in _unread(self.jobs_out)]

    # The child's side

    def next_lease(self, flags: int = 0) -> Lease | Errand | Nudge | None:
        """Wait for a lease; None when the worker is gone or wants no more of its children.

        Raises BlockingIOError with MSG_DONTWAIT among ``flags`` when there is none.
        """
        message = self.jobs_out.recv(INLINE + 1024, flags)
        return from_wire(_unpack(message)) if message else None

    def report(self, outcome: Outcome) -> None:
        """Send an outcome, waiting for room: the job is done, and nobody else knows."""
        fields = outcome_to_wire(outcome)
        while (message := self._spool.pack(fields)) is None:
            SYSTEM.sleep(_TRY_AGAIN)
        self.outcomes_in.send(message)

    def keep_child_side(self) -> None:
        """Close what a child must not hold: with it open, it would never see the end."""
        self.jobs_in.close()
        self.outcomes_out.close()

    def hang_up(self) -> None:
        """Close the sending end of the jobs: children that have read all leave."""
        self.jobs_in.close()

    def close(self) -> None:
        """Close all four ends."""
        for end in (self.jobs_in, self.jobs_out, self.outcomes_in, self.outcomes_out):
            end.close()

    def _pack(self, lease: Lease) -> bytes | None:
        if self._refused is not None and self._refused[0] is lease:
            message = self._refused[1]
            self._refused = None
            return message
        self._drop_refused()
        return self._spool.pack(lease_to_wire(lease))

    def _drop_refused(self) -> None:
        if self._refused is not None:
            _discard(self._refused[1])
            self._refused = None


class _Spool:
    """Where messages too large for a socket wait, as files whose path is sent."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._count = itertools.count(1)  # its next() is one step, in threads too
        self._complained = float("-inf")

    def pack(self, fields: tuple[Any, ...]) -> bytes | None:
        """Return the message for ``fields``; None when it cannot be written, which is logged."""
        message = marshal.dumps(fields, FORMAT)
        if len(message) <= INLINE:
            return message
        path = f"{self._prefix}.{os.getpid()}.{next(self._count)}.big"
        try:
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            try:
                with open(fd, "wb") as file:
                    file.write(message)
            except OSError:
                os.unlink(path)
                raise
        except OSError as error:
            self._complain(error)
            return None
        return _BIG + os.fsencode(path)

    def _complain(self, error: OSError) -> None:
        now = SYSTEM.monotonic()
        if now - self._complained >= _COMPLAIN_EVERY:
            self._complained = now
            logger.error("a large message waits for room: %s", error)


def _discard(message: bytes) -> None:
    """Remove the file of a message that will not be read."""
    if message[:1] == _BIG:
        with contextlib.suppress(OSError):
            os.unlink(message[1:])


def _pair() -> tuple[socket.socket, socket.socket]:
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    return ends


def _unread(end: socket.socket) -> Iterator[tuple[Any, ...]]:
    receive, flags = end.recv, socket.MSG_DONTWAIT
    with contextlib.suppress(BlockingIOError):
        while message := receive(INLINE + 1024, flags):
            yield _unpack(message)


def _unpack(message: bytes) -> tuple[Any, ...]:
    if message[:1] == _BIG:
        path = message[1:]
        with open(path, "rb") as file:
            message = file.read()
        os.unlink(path)
    fields: tuple[Any, ...] = marshal.loads(message)
    return fields
