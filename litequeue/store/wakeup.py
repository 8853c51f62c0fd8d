"""Bells: how a commit wakes whoever waits for it, without polling.

Every process that waits has a socket and a *page* of shared memory in the directory beside the
file.  The page says whether its owner sleeps and which jobs it awaits; whoever commits reads the
page and rings the socket only if somebody would hear something new.  A bell never blocks: a full
one has been rung already.  A lost ring costs a fifth of a second, because every sleeper also looks
by itself that often; of many threads in one process, one does (`litequeue.store.result_bell`).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import socket
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from litequeue.clock import SYSTEM, Clock
from litequeue.store.filesystem import side_directory

NET: Final = 0.2
"""Seconds after which a sleeper looks by itself: for writers that cannot ring."""
PAGE_SIZE: Final = 4096
CAPACITY: Final = 1000
EVERYTHING: Final = 0xFFFFFFFF
"""Instead of the number of awaited ids, and rung instead of a mark: anything may have happened."""
_ALL: Final = struct.pack("=I", EVERYTHING)
_FULL: Final = 10
"""Messages in a bell from which on the kernel may have dropped others."""
_SWEEP_EVERY: Final = 60.0
"""Seconds between two looks for the bells of processes that were killed."""
_HEADER: Final = struct.Struct("=II")  # asleep, number of awaited ids (or EVERYTHING)
_POST: Final = 1
"""The byte of a worker's page that says that somebody left a command."""
_SETTLED_DIRECTORY: Final = 0.05
"""Seconds after which a directory's mtime is believed: it moves in ticks of some 4 ms."""


def mark(id: str) -> int:
    """Return the 32 bits that stand for a job id on a page; a clash only wakes one too many."""
    return zlib.crc32(id.encode())


class Bell:
    """The receiving end: one per waiting process (or worker) and file.

    ``kind`` is "worker" or "waiter"; without a usable directory `wait` just sleeps for `NET`.
    """

    def __init__(self, path: str, kind: str, name: str | None = None) -> None:
        # Never a name that was used before: who removes a dead bell cannot hit a living one.
        self.name: str = f"{kind}-{name or os.getpid()}.{os.urandom(4).hex()}"
        self.socket: socket.socket | None = None
        self._base = ""
        self._page: mmap.mmap | None = None
        directory = side_directory(path)
        if directory is not None and hasattr(socket, "AF_UNIX"):
            self._open(directory)

    def _open(self, directory: str) -> None:
        self._base = os.path.join(directory, self.name)
        try:
            bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        except OSError:
            return
        bell.setblocking(False)
        try:
            self._page = _map_page(self._base + ".page", create=True)
            # While it is being bound it would look dead.
            with _address(directory, self.name + ".new") as address:
                bell.bind(address)
            os.rename(self._base + ".new", self._base + ".sock")
        except OSError:
            bell.close()
            self.retire()
            return
        self.socket = bell

    def fileno(self) -> int:
        """Return the descriptor to wait on, -1 without one."""
        return -1 if self.socket is None else self.socket.fileno()

    def asleep(self, sleeping: bool) -> None:
        """Say whether a ring is wanted.  Set it, look at the file once more, then sleep."""
        if self._page is not None:
            self._page[0] = sleeping

    def has_post(self) -> bool:
        """Tell whether somebody left a command since the last call; look at the mailbox then."""
        if self._page is None or not self._page[_POST]:
            return False
        self._page[_POST] = 0
        return True

    def await_marks(self, marks: Collection[int]) -> None:
        """Publish which jobs this process awaits."""
        if self._page is None:
            return
        if len(marks) > CAPACITY:
            _HEADER.pack_into(self._page, 0, 1, EVERYTHING)
            return
        listed = list(marks)
        struct.pack_into(f"={len(listed)}I", self._page, _HEADER.size, *listed)
        _HEADER.pack_into(self._page, 0, 1, len(listed))

    def read(self) -> bytes:
        """Return what was rung since the last call, without waiting."""
        heard: list[bytes] = []
        if self.socket is None:
            return b""
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.append(self.socket.recv(PAGE_SIZE, socket.MSG_DONTWAIT))
        if len(heard) >= _FULL:
            return _ALL
        return b"".join(heard)

    def wait(self, timeout: float) -> bytes:
        """Sleep until the bell rings, at most ``timeout`` seconds; return what was rung."""
        if self.socket is None:
            SYSTEM.sleep(timeout)
            return b""
        ready = select.poll()
        ready.register(self.socket, select.POLLIN)
        ready.poll(max(0, timeout) * 1000)
        return self.read()

    def close(self) -> None:
        """Take the bell down."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        self.retire()

    def retire(self) -> None:
        """Vanish from the directory; who sleeps on the socket sleeps on."""
        if self._page is not None:
            self._page.close()
            self._page = None
            remove_bell(self._base)


class Ringer:
    """The sending end: knows who waits on the file.  Not thread-safe; guarded by its owner."""

    def __init__(self, path: str, clock: Clock = SYSTEM) -> None:
        self._directory = side_directory(path)
        self._clock = clock
        self._seen_mtime = 0
        self._swept = clock.monotonic()
        self._workers: dict[str, mmap.mmap] = {}
        self._waiters: dict[str, mmap.mmap] = {}
        self._socket: socket.socket | None = None

    def ring_workers(self, *, post: bool = False) -> None:
        """Wake the workers that sleep: there is something to claim.

        With ``post`` tell all of them, awake or not: there is something in the mailbox.
        """
        self._look()
        for name, page in list(self._workers.items()):
            if post:
                page[_POST] = 1
            if page[0] or post:
                self._ring(name, b"\1")

    def ring_waiters(self, ids: Iterable[str]) -> None:
        """Wake the processes that await one of these jobs: it has been settled."""
        self._look()
        marks: set[int] | None = None
        for name, page in list(self._waiters.items()):
            count = _HEADER.unpack_from(page)[1]
            if not count:
                continue
            if count == EVERYTHING:
                self._ring(name, _ALL)
                continue
            if marks is None:
                marks = {mark(id) for id in ids}
            awaited = struct.unpack_from(f"={min(count, CAPACITY)}I", page, _HEADER.size)
            heard = marks.intersection(awaited)
            if heard:
                self._ring(name, struct.pack(f"={len(heard)}I", *heard))

    def close(self) -> None:
        """Let go of the socket and of the pages that were read."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        for name in [*self._workers, *self._waiters]:
            self._drop(name)
        self._seen_mtime = 0

    def _ring(self, name: str, message: bytes) -> None:
        if self._directory is None:
            return
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            with _address(self._directory, name + ".sock") as address:
                self._socket.sendto(message, address)
        except (ConnectionRefusedError, FileNotFoundError):
            self._bury(name)
        except OSError:
            return  # full, so rung already; or we are out of descriptors: the sleeper looks itself

    def _look(self) -> None:
        """List the directory again when it may have changed."""
        if self._directory is None or not hasattr(socket, "AF_UNIX"):
            return
        try:
            mtime = os.stat(self._directory).st_mtime_ns
        except OSError:
            mtime = 0
        if self._clock.monotonic() - self._swept > _SWEEP_EVERY:
            self._sweep()
        if mtime == self._seen_mtime:
            return
        found = _names(self._directory)
        for name in [*self._workers, *self._waiters]:
            if name not in found:
                self._drop(name)
        for name in found:
            self._add(name)
        settled = abs(self._clock.now() - mtime / 1e9) > _SETTLED_DIRECTORY
        self._seen_mtime = mtime if settled else 0

    def _add(self, name: str) -> None:
        table = self._workers if name.startswith("worker-") else self._waiters
        if name in table or self._directory is None:
            return
        if self._is_dead(name):
            self._bury(name)
            return
        try:
            table[name] = _map_page(os.path.join(self._directory, name + ".page"), create=False)
        except (OSError, ValueError):
            return  # gone, or half made: the next look finds it

    def _sweep(self) -> None:
        """Remove the bells of the dead: nobody rings those that await nothing."""
        self._swept = self._clock.monotonic()
        for name in [*self._workers, *self._waiters]:
            if self._is_dead(name):
                self._bury(name)

    def _is_dead(self, name: str) -> bool:
        if self._directory is None:
            return False
        try:
            with (
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe,
                _address(self._directory, name + ".sock") as address,
            ):
                probe.connect(address)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False  # not for us to say
        return False

    def _bury(self, name: str) -> None:
        self._drop(name)
        if self._directory is not None:
            remove_bell(os.path.join(self._directory, name))

    def _drop(self, name: str) -> None:
        page = self._workers.pop(name, None) or self._waiters.pop(name, None)
        if page is not None:
            page.close()


def remove_bell(base: str) -> None:
    """Remove what a bell left in the directory."""
    for suffix in (".sock", ".page"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(base + suffix)


def _names(directory: str) -> set[str]:
    try:
        return {name[:-5] for name in os.listdir(directory) if name.endswith(".sock")}
    except OSError:
        return set()


def _map_page(path: str, *, create: bool) -> mmap.mmap:
    flags = os.O_RDWR | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if create else 0)
    fd = os.open(path, flags, 0o600)
    try:
        if create:
            os.ftruncate(fd, PAGE_SIZE)
        return mmap.mmap(fd, PAGE_SIZE)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _address(directory: str, name: str) -> Iterator[str]:
    """Yield an address of the socket that fits into the 108 bytes the kernel allows."""
    path = os.path.join(directory, name)
    if len(os.fsencode(path)) < 100:
        yield path
        return
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)
