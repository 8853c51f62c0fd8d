"""How leases reach children and outcomes come back: two socket pairs that keep messages whole.

Idle children pull from one shared socket, so a short job never waits behind a busy child, and the
parent can take unread messages back.  Whatever a dead child had not read is still there for the
next, as long as the children's end stays open somewhere: the supervisor and the consumer keep it.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import socket
from collections.abc import Iterator
from typing import Any, Final

from litequeue.job import Lease, Outcome, lease_to_wire, outcome_from_wire, outcome_to_wire

BUFFER: Final = 1 << 20
INLINE: Final = 96 * 1024
"""Bytes above which a message travels as a file: a socket takes 200 kB by default."""
_BIG: Final = b"@"


class Channel:
    """Both socket pairs.  ``spool`` is the path prefix of messages too large for a socket."""

    def __init__(self, spool: str) -> None:
        self.spool = spool
        self._spooled = 0
        self.jobs_in, self.jobs_out = _pair()
        self.outcomes_in, self.outcomes_out = _pair()

    @classmethod
    def for_child(cls, spool: str, jobs: socket.socket, outcomes: socket.socket) -> Channel:
        """Rebuild the child's side in a program that inherited the two sockets."""
        channel = cls.__new__(cls)
        channel.spool = spool
        channel._spooled = 0
        channel.jobs_out, channel.outcomes_in = jobs, outcomes
        return channel

    # The consumer's side

    def submit(self, lease: Lease) -> bool:
        """Offer a lease to the children; False when they have enough to read."""
        return self._send(self.jobs_in, lease_to_wire(lease), socket.MSG_DONTWAIT)

    def poll(self) -> Iterator[Outcome]:
        """Yield the outcomes that have arrived, without waiting."""
        for fields in _unread(self.outcomes_out):
            yield outcome_from_wire(fields)

    def take_back(self) -> list[Lease]:
        """Take the leases back that no child has read."""
        return [Lease(*fields) for fields in _unread(self.jobs_out)]

    # The child's side

    def next_lease(self) -> Lease | None:
        """Wait for a lease; None when the worker is gone or wants no more of this child."""
        message = self.jobs_out.recv(INLINE + 1024)
        return Lease(*_unpack(message)) if message else None

    def report(self, outcome: Outcome) -> None:
        """Send an outcome, waiting for room."""
        self._send(self.outcomes_in, outcome_to_wire(outcome), 0)

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

    def _send(self, end: socket.socket, fields: tuple[Any, ...], flags: int) -> bool:
        message = marshal.dumps(fields)
        if len(message) > INLINE:
            message = self._write_spool(message)
        try:
            end.send(message, flags)
        except (BlockingIOError, InterruptedError):
            return False
        return True

    def _write_spool(self, message: bytes) -> bytes:
        self._spooled += 1
        path = f"{self.spool}.{os.getpid()}.{self._spooled}.big"
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(fd, "wb") as file:
            file.write(message)
        return _BIG + os.fsencode(path)


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
