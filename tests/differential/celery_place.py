"""Celery's broker and result backend in directories, for the test: its own, without two races.

kombu creates a message's file and then writes it, so a reader may find it empty.  And a task that
retries is sent again before its state becomes RETRY, which may then replace the verdict of the
next attempt.
"""

from __future__ import annotations

import fcntl
import time
import uuid
from pathlib import Path
from typing import Any

from celery import states
from celery.backends.filesystem import FilesystemBackend
from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    """Writes beside the inbox, then renames."""

    def _put(self, queue: str, payload: Any, **options: Any) -> None:
        name = f"{time.monotonic_ns():020}_{uuid.uuid4()}.{queue}.msg"
        draft = Path(self.processed_folder, f"{name}.draft")
        draft.write_text(dumps(payload))
        draft.rename(Path(self.data_folder_out, name))


class Transport(filesystem.Transport):
    """The transport with that channel."""

    Channel = Channel


class Backend(FilesystemBackend):
    """Keeps a verdict when an earlier attempt comes late with its RETRY; writes whole files."""

    def set(self, key: bytes, value: bytes) -> None:
        draft = b"draft-" + uuid.uuid4().hex.encode()
        super().set(draft, value)
        Path(self._filename(draft).decode()).rename(self._filename(key).decode())

    def _store_result(self, task_id: str, result: Any, state: str, *args: Any, **more: Any) -> Any:
        with Path(self.path.decode(), "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            late = state == states.RETRY
            if late and self._get_task_meta_for(task_id)["status"] in states.READY_STATES:
                return result
            return super()._store_result(task_id, result, state, *args, **more)
