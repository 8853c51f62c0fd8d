"""The work of this tool, without a window: the checksums of all files in a folder."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from litequeue import AsyncResult, LiteQueue, LiteQueueError, TaskRevokedError

DATA = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "checksums"
DATA.mkdir(parents=True, exist_ok=True)

app = LiteQueue(DATA / "jobs.sqlite")

Tell = Callable[[str, float, str], object]


@app.task(bind=True)
def checksum(self: Any, path: str) -> str:
    """Return the SHA-256 of a file, and show how far it is ten times a second."""
    digest, done, shown = hashlib.sha256(), 0, time.monotonic()
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
            done += len(part)
            if time.monotonic() - shown > 0.1:
                shown = time.monotonic()
                self.update_state(state="PROGRESS", meta={"share": done / size})
    return digest.hexdigest()


class Batch:
    """The jobs of one folder.

    ``tell(path, share, words)`` is called for each file when its job waits, moves on, and has
    ended, and ``done()`` after all; from other threads than the window's.
    """

    def __init__(self, folder: Path, tell: Tell, done: Callable[[], object]) -> None:
        self.folder = folder.resolve()
        self.tell = tell
        self.done = done
        self.open: dict[str, AsyncResult[str]] = {}
        self.sent = False
        # What writes to the file may have to wait for others, and a window must not wait.
        self.hand = ThreadPoolExecutor(1)
        self.hand.submit(self._send)
        Thread(target=self._watch, daemon=True).start()

    def cancel(self) -> None:
        """End the jobs that have not ended: those that wait, and those that run."""
        self.hand.submit(self._revoke)

    def close(self) -> None:
        """Cancel, and wait until that has been done."""
        self.cancel()
        self.hand.shutdown()

    def _send(self) -> None:
        paths = [str(path) for path in sorted(self.folder.rglob("*")) if path.is_file()]
        for path in paths:
            self.tell(path, 0.0, "waiting")
        try:
            jobs = app.enqueue_many((checksum, (path,)) for path in paths)
        except LiteQueueError as error:  # the disk is full, or somebody else has the file for long
            for path in paths:
                self.tell(path, 1.0, f"failed: {error}")
        else:
            self.open.update(zip(paths, jobs, strict=True))
        self.sent = True
        for path, job in list(self.open.items()):
            job.then(partial(self._succeeded, path), on_error=partial(self._failed, path))

    def _watch(self) -> None:
        """Ask how far the jobs are that run.  They are among the first: they start in order."""
        while self.open or not self.sent:
            for path, job in list(self.open.items())[:8]:
                meta = job.info
                if isinstance(meta, dict) and path in self.open:
                    self.tell(path, meta["share"], f"{meta['share']:.0%}")
            time.sleep(0.1)
        self.done()

    def _revoke(self) -> None:
        app.control.revoke([job.id for job in self.open.values()], terminate=True)

    def _succeeded(self, path: str, job: AsyncResult[str]) -> None:
        self._end(path, job.get())

    def _failed(self, path: str, error: BaseException) -> None:
        cancelled = isinstance(error, TaskRevokedError)
        self._end(path, "cancelled" if cancelled else f"failed: {error}")

    def _end(self, path: str, words: str) -> None:
        self.tell(path, 1.0, words)
        self.open.pop(path, None)
