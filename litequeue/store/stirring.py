"""Hear that somebody writes to the file, whoever it is (Linux's inotify).

This is the net under the bells: a plain INSERT by the sqlite3 shell rings nobody.  Watching the
WAL needs no descriptor on it, so SQLite's locks are safe.  An event comes with the write, a
moment before the commit can be seen: whoever hears it looks a few times.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import Final

IN_MODIFY: Final = 0x2
IN_ATTRIB: Final = 0x4  # also: one of its names is gone, though somebody has it open
IN_DELETE_SELF: Final = 0x400
IN_MOVE_SELF: Final = 0x800
IN_NONBLOCK: Final = os.O_NONBLOCK
IN_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
_WATCHED: Final = IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF
_EVENT: Final = struct.Struct("=iIII")  # watch, what happened, cookie, length of a name: none here


class Stirring:
    """Watches the WAL of ``path``; ``fd`` is readable after a write, or -1 without inotify.

    The last process to close the file deletes the WAL, and the next makes another: `renew`
    watches that one.  Until it has succeeded, ``watching`` is false.
    """

    def __init__(self, path: str) -> None:
        self.fd: int = -1
        self.watching: bool = False
        self._wal = os.fsencode(path + "-wal")
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self.fd = self._libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
        self.renew()

    def renew(self) -> None:
        """Watch the WAL that is there now, unless it is being watched."""
        if not self.watching and self.fd >= 0:
            self.watching = self._libc.inotify_add_watch(self.fd, self._wal, _WATCHED) >= 0

    def read(self) -> None:
        """Take note of the writes so far."""
        try:
            events = os.read(self.fd, 4096)
        except BlockingIOError:
            return
        if any(what & ~IN_MODIFY for _, what, _, _ in _EVENT.iter_unpack(events)):
            self.watching = False

    def close(self) -> None:
        """Stop watching."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self.watching = False
