"""Captured output: what an attempt logged and printed, readable when its process is long gone.

It is opt-in.  While a job runs, its lines go into a small file beside the slots as they come, so
they survive a killed child; with its outcome they become text in the queue's file.  Of long output
the beginning and the end are kept.  Which job a line belongs to is told by a context variable, so
it works wherever contexts do: in threads, coroutines, greenlets.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import sys
import threading
from collections.abc import Iterable, Iterator
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Any, Final, TextIO, cast

from litequeue.log import REDIRECTED, TASK_LOGGER

LIMIT: Final = 64 * 1024
"""Bytes that are kept of an attempt unless said otherwise."""
LAST: Final = 4 * 1024
"""Bytes that `last_lines` returns at most."""
LINE_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_HEADER: Final = struct.Struct("=qQQ")  # token, bytes that came, bytes that are kept


def path_of(base: str, line: int) -> str:
    """Return the file for what runs on ``line``."""
    return f"{base}.{line}.out"


class Sheet:
    """The file of one line: a header, the first bytes, and a ring of the last ones."""

    def __init__(self, path: str, limit: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)
        self._limit = max(2, limit)
        self._head = self._limit // 2
        self._total = 0
        self._token = 0
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def begin(self, token: int) -> None:
        """Start over for another attempt."""
        with self._lock:
            self._token, self._total = token, 0
            self._try_to_put(_HEADER.pack(token, 0, self._limit), 0)

    def write(self, token: int, data: bytes) -> None:
        """Add what the attempt ``token`` has to say; nothing once another one runs here.

        A process that the job forked writes nothing either: it would not know where.
        """
        with self._lock:
            if token != self._token or os.getpid() != self._pid:
                return
            room = self._head - self._total
            if room > 0:
                self._put(data[:room], self._total)
                data = data[room:]
            if data:
                self._put_last(data)
            self._try_to_put(_HEADER.pack(self._token, self._total, self._limit), 0)

    def end(self) -> str | None:
        """Return what was written since `begin`, None for nothing; write no more."""
        with self._lock:
            token, self._token = self._token, 0
            if not token or not self._total:
                return None
            return _text_of(self._fd)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _put(self, data: bytes, at: int) -> None:
        self._try_to_put(data, _HEADER.size + at)
        self._total += len(data)

    def _put_last(self, data: bytes) -> None:
        ring = self._limit - self._head
        if len(data) > ring:
            self._total += len(data) - ring
            data = data[-ring:]
        at = (self._total - self._head) % ring
        self._put(data[: ring - at], self._head + at)
        if rest := data[ring - at :]:
            self._put(rest, self._head)

    def _try_to_put(self, data: bytes, at: int) -> None:
        """Write; a full disk costs the job its captured output, and nothing else."""
        try:
            os.pwrite(self._fd, data, at)
        except OSError:
            self._token = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """An attempt whose output is being captured."""

    sheet: Sheet
    token: int

    def write(self, text: str) -> None:
        """Add text."""
        self.sheet.write(self.token, text.encode("utf-8", "backslashreplace"))


@dataclass(slots=True)
class Captured:
    """What `Capture.job` yields: ``text`` is there after the block."""

    text: str | None = None


_entry: ContextVar[Entry | None] = ContextVar("litequeue_capture", default=None)
_alone: list[Entry] = []
"""The only attempt of this process, where there is one line: threads without a context count."""


def _current() -> Entry | None:
    return _entry.get() or (_alone[0] if _alone else None)


class Capture:
    """Captures the output of the jobs of this process, on ``lines``.

    ``base`` is the path that the worker's files begin with; of each attempt ``limit`` bytes are
    kept.  Nothing happens before `install`.
    """

    def __init__(self, base: str, lines: Iterable[int], *, limit: int = LIMIT) -> None:
        self._base = base
        self._limit = limit
        self._has_one = len(list(lines)) == 1
        self._sheets: dict[int, Sheet] = {}  # made when needed: there may be thousands of lines
        self._handler = _Handler()
        self._taps: list[tuple[str, TextIO, TextIO]] = []

    def install(self) -> None:
        """Listen to every logger that has handlers of its own, to stdout and to stderr."""
        for logger in (logging.getLogger(), logging.getLogger(TASK_LOGGER)):
            if self._handler not in logger.handlers and _keeps_to_itself(logger):
                logger.addHandler(self._handler)
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None:
                tap = cast("TextIO", Tap(stream))
                self._taps.append((name, stream, tap))
                setattr(sys, name, tap)

    def remove(self) -> None:
        """Undo `install`, and let go of the files."""
        for logger in (logging.getLogger(), logging.getLogger(TASK_LOGGER)):
            logger.removeHandler(self._handler)
        for name, stream, tap in self._taps:
            if getattr(sys, name) is tap:  # or somebody has put another one on top
                setattr(sys, name, stream)
        self._taps.clear()
        for sheet in self._sheets.values():
            sheet.close()
        self._sheets.clear()

    def begin(self, line: int, token: int) -> Token[Entry | None]:
        """Capture from now on what this context, and those made from it, log and print."""
        sheet = self._sheets.get(line)
        if sheet is None:
            sheet = self._sheets[line] = Sheet(path_of(self._base, line), self._limit)
        entry = Entry(sheet, token)
        entry.sheet.begin(token)
        if self._has_one:
            _alone[:] = [entry]
        return _entry.set(entry)

    def end(self, line: int, mark: Token[Entry | None]) -> str | None:
        """Stop capturing, in the context of `begin`; return the output, None for none."""
        _entry.reset(mark)
        _alone.clear()
        return self._sheets[line].end()

    @contextlib.contextmanager
    def job(self, line: int, token: int) -> Iterator[Captured]:
        """Capture the block's output as that of the attempt ``token``."""
        captured = Captured()
        mark = self.begin(line, token)
        try:
            yield captured
        finally:
            captured.text = self.end(line, mark)


class Tap:
    """A text stream that passes everything on, and a copy to the job that writes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write."""
        entry = _current()
        if entry is not None:
            entry.write(text)
        return self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all ``lines``."""
        for line in lines:
            self.write(line)

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Handler(logging.Handler):
    """Copies records to the job that made them.  What was printed has come by its tap."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(LINE_FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record to the output of the job that runs here."""
        entry = _current()
        if entry is None or record.name == REDIRECTED:
            return
        try:
            entry.write(self.format(record) + "\n")
        except Exception:  # as every handler does: a wrong format is told, and harms no job
            self.handleError(record)


def _keeps_to_itself(logger: logging.Logger) -> bool:
    return logger.parent is None or not logger.propagate


# After a death


def read(base: str, line: int, token: int) -> str | None:
    """Return what the attempt ``token`` had said on ``line``, None for nothing or another's."""
    try:
        fd = os.open(path_of(base, line), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        header = os.pread(fd, _HEADER.size, 0)
        if len(header) < _HEADER.size or _HEADER.unpack(header)[0] != token:
            return None
        return _text_of(fd)
    finally:
        os.close(fd)


def last_lines(text: str | None, limit: int = LAST) -> str | None:
    """Return the end of captured output, whole lines where there are some."""
    if text is None or len(text) <= limit:
        return text
    end = text[-limit:]
    return end.partition("\n")[2] or end


def _text_of(fd: int) -> str | None:
    _, total, limit = _HEADER.unpack(os.pread(fd, _HEADER.size, 0))
    limit = min(limit, os.fstat(fd).st_size)  # or the file is not as we left it
    kept = os.pread(fd, limit, _HEADER.size)
    if not total or len(kept) < min(total, limit, 2):
        return None
    if total <= limit:
        return _decoded(kept[:total])
    head = limit // 2
    first, ring = kept[:head], kept[head:]
    at = (total - head) % (limit - head)
    last = ring[at:] + ring[:at]
    first = first[: first.rfind(b"\n") + 1] or first
    last = last[last.find(b"\n") + 1 :] or last
    left_out = total - len(first) - len(last)
    if not first.endswith(b"\n"):
        first += b"\n"
    return f"{_decoded(first)}[... {left_out:,} bytes left out ...]\n{_decoded(last)}"


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\0", "\N{SYMBOL FOR NULL}")
